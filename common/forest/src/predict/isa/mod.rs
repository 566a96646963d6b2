//! What a processor can do for 64 rows at a time. Every implementation gives the same bits; which one runs is decided once,
//! by what the processor has.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
pub(super) mod portable;

use crate::compiled::{PATH_TREES, PathGroup, Sorted};

/// Rows that one word of a mask stands for.
pub(super) const WORD: usize = 64;
/// Rows whose words stand in a register.
pub(super) const EIGHT: usize = 8;
/// What a byte can name.
pub(super) const BYTES: usize = 256;

/// Where rows have ended in one tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaves<'t, F> {
    /// Each row's leaf, below `count`.
    pub(super) rows: &'t [u8; WORD],
    /// How many leaves the tree has.
    pub(super) count: usize,
    /// Their numbers, and whatever follows.
    pub(super) table: &'t [F; BYTES],
}

/// Operations on 64 rows.
pub(super) trait Isa {
    /// A bit for each byte that is at most `bound`.
    fn at_most(bytes: &[u8; WORD], bound: u8) -> u64;
    /// How many are below `x`, which is not NaN.
    fn below_single(keys: &[f32], x: f32) -> u16;
    /// As [`Isa::below_single`].
    fn below_double(keys: &[f64], x: f64) -> u16;
    /// A bit for each of 64: whether the byte that its column names is above its bound. Columns are below 64.
    fn above(bytes: &[u8; WORD], columns: &[u8; WORD], bounds: &[u8; WORD]) -> u64;
    /// As [`Isa::above`], with columns below 128.
    fn above_of_two(bytes: [&[u8; WORD]; 2], columns: &[u8; WORD], bounds: &[u8; WORD]) -> u64;
    /// The lowest bits, one after another, where `places` has a bit.
    fn deposit(bits: u64, places: u64) -> u64;
    /// One row's leaf of each tree of a group, by which splits of each it failed, from the lowest bit on; `firsts` are the
    /// first splits' places among `asides`, which end with 256 of no split.
    fn follow(
        group: &PathGroup,
        failed: &[u64; PATH_TREES],
        firsts: &[u64; PATH_TREES],
        asides: &[u8],
        leaves: &mut [u8; PATH_TREES],
    );
    /// As [`Isa::follow`], of eight rows in one tree of the group, whose asides come first.
    fn follow_eight(group: &PathGroup, tree: usize, failed: &[u64; EIGHT], asides: &[u8], leaves: &mut [u8; EIGHT]);
    /// Eight rows' leaves of a complete tree of so many levels, of which the first split is a bit of the first word; `table` has
    /// its leaves, and at least 64.
    fn complete(levels: u32, fails: (&[[u64; EIGHT]], usize), table: &[u8], leaves: &mut [u8; EIGHT]);
    /// Each bit as a byte, 0 or 1.
    fn spread(bits: u64, out: &mut [u8; WORD]);
    /// Bit `b` of each byte is the row's bit of `planes[b]`; at most 8 planes.
    fn bytes(planes: impl Iterator<Item = u64>, out: &mut [u8; WORD]);
    /// [`Sorted::rank`] of each number; NaN is [`crate::compiled::MISSING`]. Both slices are equally long.
    fn ranks_single(keys: &Sorted<f32>, numbers: &[f32], out: &mut [u16]);
    /// As [`Isa::ranks_single`].
    fn ranks_double(keys: &Sorted<f64>, numbers: &[f64], out: &mut [u16]);
    /// `sums[i] += table[leaf]`, where `leaf` is the i-th byte of each tree's leaves in turn, for at least the first `rows`.
    fn add_single(sums: &mut [f32; WORD], trees: &[Leaves<'_, f32>], rows: usize);
    /// As [`Isa::add_single`].
    fn add_double(sums: &mut [f64; WORD], trees: &[Leaves<'_, f64>], rows: usize);
}
