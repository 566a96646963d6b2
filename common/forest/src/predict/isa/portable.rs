//! Plain Rust, for any processor.
#![expect(clippy::indexing_slicing, reason = "a table of 256 is indexed by a byte")]

use super::{Isa, Leaves, WORD};
use crate::compiled::{MISSING, Sorted};

pub(in crate::predict) struct Portable;

impl Isa for Portable {
    #[inline(always)]
    fn at_most(bytes: &[u8; WORD], bound: u8) -> u64 {
        bits(bytes, |byte| byte <= bound)
    }

    #[inline(always)]
    fn spread(bits: u64, out: &mut [u8; WORD]) {
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = (bits >> at & 1) as u8;
        }
    }

    #[inline(always)]
    fn bytes(planes: impl Iterator<Item = u64>, out: &mut [u8; WORD]) {
        out.fill(0);
        for (bit, plane) in planes.enumerate() {
            for (row, byte) in out.iter_mut().enumerate() {
                *byte |= ((plane >> row & 1) as u8) << bit;
            }
        }
    }

    #[inline(always)]
    fn ranks_single(keys: &Sorted<f32>, numbers: &[f32], out: &mut [u16]) {
        for (rank, x) in out.iter_mut().zip(numbers) {
            *rank = if x.is_nan() { MISSING } else { keys.rank(*x) };
        }
    }

    #[inline(always)]
    fn ranks_double(keys: &Sorted<f64>, numbers: &[f64], out: &mut [u16]) {
        for (rank, x) in out.iter_mut().zip(numbers) {
            *rank = if x.is_nan() { MISSING } else { keys.rank(*x) };
        }
    }

    #[inline(always)]
    fn add_single(sums: &mut [f32; WORD], trees: &[Leaves<'_, f32>], rows: usize) {
        for tree in trees {
            for (sum, leaf) in sums.iter_mut().zip(tree.rows).take(rows) {
                *sum += tree.table[usize::from(*leaf)];
            }
        }
    }

    #[inline(always)]
    fn add_double(sums: &mut [f64; WORD], trees: &[Leaves<'_, f64>], rows: usize) {
        for tree in trees {
            for (sum, leaf) in sums.iter_mut().zip(tree.rows).take(rows) {
                *sum += tree.table[usize::from(*leaf)];
            }
        }
    }
}

#[inline(always)]
fn bits(bytes: &[u8; WORD], is_set: impl Fn(u8) -> bool) -> u64 {
    bytes.iter().enumerate().fold(0, |bits, (row, byte)| bits | u64::from(is_set(*byte)) << row)
}
