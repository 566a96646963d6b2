//! Plain Rust, for any processor.
#![expect(clippy::indexing_slicing, reason = "a table of 256 is indexed by a byte")]

use super::{EIGHT, Isa, Leaves, WORD};
use crate::compiled::{ASIDE_LEAF, MISSING, PATH_TREES, PathGroup, Sorted};

pub(in crate::predict) struct Portable;

impl Isa for Portable {
    #[inline(always)]
    fn at_most(bytes: &[u8; WORD], bound: u8) -> u64 {
        bits(bytes, |byte| byte <= bound)
    }

    #[inline(always)]
    fn below_single(keys: &[f32], x: f32) -> u16 {
        keys.partition_point(|key| *key < x) as u16
    }

    #[inline(always)]
    fn below_double(keys: &[f64], x: f64) -> u16 {
        keys.partition_point(|key| *key < x) as u16
    }

    #[inline(always)]
    fn above(bytes: &[u8; WORD], columns: &[u8; WORD], bounds: &[u8; WORD]) -> u64 {
        Self::above_of_two([bytes, bytes], columns, bounds)
    }

    #[inline(always)]
    fn above_of_two(bytes: [&[u8; WORD]; 2], columns: &[u8; WORD], bounds: &[u8; WORD]) -> u64 {
        let mut above = 0;
        for (at, (column, bound)) in columns.iter().zip(bounds).enumerate() {
            let byte = bytes[usize::from(*column) / WORD % 2][usize::from(*column) % WORD];
            above |= u64::from(byte > *bound) << at;
        }
        above
    }

    #[inline(always)]
    fn deposit(bits: u64, places: u64) -> u64 {
        let (mut left, mut places, mut deposited) = (bits, places, 0);
        while places != 0 {
            deposited |= (left & 1) << places.trailing_zeros();
            left >>= 1;
            places &= places - 1;
        }
        deposited
    }

    #[inline(always)]
    fn follow(
        group: &PathGroup,
        failed: &[u64; PATH_TREES],
        firsts: &[u64; PATH_TREES],
        asides: &[u8],
        leaves: &mut [u8; PATH_TREES],
    ) {
        for (tree, leaf) in leaves.iter_mut().enumerate() {
            let asides = &asides[firsts[tree] as usize..];
            *leaf = leaf_on_paths(failed[tree], group.turned[tree], group.ends[tree], asides);
        }
    }

    #[inline(always)]
    fn follow_eight(group: &PathGroup, tree: usize, failed: &[u64; EIGHT], asides: &[u8], leaves: &mut [u8; EIGHT]) {
        for (failed, leaf) in failed.iter().zip(leaves) {
            *leaf = leaf_on_paths(*failed, group.turned[tree], group.ends[tree], asides);
        }
    }

    #[inline(always)]
    fn complete(levels: u32, (fails, shift): (&[[u64; EIGHT]], usize), table: &[u8], leaves: &mut [u8; EIGHT]) {
        for (row, leaf) in leaves.iter_mut().enumerate() {
            let mut at = 0;
            for _ in 0..levels {
                let bit = shift + at;
                at = 2 * at + 1 + (fails[bit / WORD][row] >> (bit % WORD) & 1) as usize;
            }
            *leaf = table[at + 1 - (1 << levels)];
        }
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

#[inline(always)]
fn leaf_on_paths(failed: u64, turned: u64, ends: u64, asides: &[u8]) -> u8 {
    let stops = (failed ^ turned) | ends;
    let mut at = if ends == 0 { ASIDE_LEAF } else { 0 };
    while at < ASIDE_LEAF {
        // every path has an end
        let stop = at + (stops >> at).trailing_zeros() as u8;
        let is_second = failed & ends & 1 << (stop % ASIDE_LEAF) != 0;
        at = asides[usize::from(stop)] + u8::from(is_second);
    }
    at - ASIDE_LEAF
}
