//! Plain Rust, for any processor.
#![expect(clippy::indexing_slicing, reason = "a table of 256 is indexed by a byte")]

use super::{BYTES, EIGHT, Isa, Leaves, WORD};
use crate::compiled::{ABREAST, MISSING, MOST_COLUMNS, Sorted, Step};

pub(in crate::predict) struct Portable;

impl Isa for Portable {
    #[inline(always)]
    fn and(one: &[u64; EIGHT], two: &[u64; EIGHT]) -> [u64; EIGHT] {
        std::array::from_fn(|at| one[at] & two[at])
    }

    #[inline(always)]
    fn and_not(one: &[u64; EIGHT], two: &[u64; EIGHT]) -> [u64; EIGHT] {
        std::array::from_fn(|at| one[at] & !two[at])
    }

    #[inline(always)]
    fn or(one: &[u64; EIGHT], two: &[u64; EIGHT]) -> [u64; EIGHT] {
        std::array::from_fn(|at| one[at] | two[at])
    }

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
    fn end<const ROWS: usize, const WIDE: bool, const SETS: bool>(
        steps: &[Step],
        bytes: &[[u8; MOST_COLUMNS]; ROWS],
        others: &[[u64; ROWS]],
    ) -> [[u8; ABREAST]; ROWS] {
        let mut at = [[0; ABREAST]; ROWS];
        for (number, step) in steps.iter().enumerate() {
            for (row, at) in at.iter_mut().enumerate() {
                let others = if SETS { others[number][row] } else { 0 };
                for (tree, at) in at.iter_mut().enumerate() {
                    let byte = bytes[row][usize::from(step.columns[tree]) % MOST_COLUMNS];
                    let fails = byte > step.bounds[tree] || others >> tree & 1 == 1;
                    if fails && *at >= step.firsts[tree] {
                        *at = (number + 1) as u8;
                    }
                }
            }
        }
        at
    }

    #[inline(always)]
    fn turn(rows: &[[u8; ABREAST]; EIGHT], trees: &mut [[u8; EIGHT]; ABREAST]) {
        for (tree, to) in trees.iter_mut().enumerate() {
            *to = rows.map(|row| row[tree]);
        }
    }

    #[inline(always)]
    fn pick(table: &[f64; BYTES], _: usize, rows: &[u8; EIGHT]) -> [f64; EIGHT] {
        rows.map(|leaf| table[usize::from(leaf)])
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
