//! What a processor can do for 64 rows at a time. Every implementation gives the same bits; which one runs is decided once,
//! by what the processor has.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
pub(super) mod portable;

use crate::compiled::Sorted;

/// Rows that one word of a mask stands for.
pub(super) const WORD: usize = 64;
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
