//! What a processor can do for 64 rows at a time. Every implementation gives the same bits; which one runs is decided once,
//! by what the processor has.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
pub(super) mod portable;

use crate::compiled::{ABREAST, MOST_COLUMNS, Sorted, Step};

/// Rows that one word of a mask stands for.
pub(super) const WORD: usize = 64;
/// Rows whose bytes and places stand in registers.
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
    /// Bits of both.
    fn and(one: &[u64; EIGHT], two: &[u64; EIGHT]) -> [u64; EIGHT];
    /// Bits of the first alone.
    fn and_not(one: &[u64; EIGHT], two: &[u64; EIGHT]) -> [u64; EIGHT];
    /// Bits of either.
    fn or(one: &[u64; EIGHT], two: &[u64; EIGHT]) -> [u64; EIGHT];
    /// A bit for each byte that is at most `bound`.
    fn at_most(bytes: &[u8; WORD], bound: u8) -> u64;
    /// How many are below `x`, which is not NaN.
    fn below_single(keys: &[f32], x: f32) -> u16;
    /// As [`Isa::below_single`].
    fn below_double(keys: &[f64], x: f64) -> u16;
    /// The lowest bits, one after another, where `places` has a bit.
    fn deposit(bits: u64, places: u64) -> u64;
    /// The leaves that rows end in, of 64 trees side by side. Without `WIDE`, columns are below 64; with `SETS`, `others` says of
    /// each step, by a bit each, in which trees a row is not in the set that is asked of.
    fn end<const ROWS: usize, const WIDE: bool, const SETS: bool>(
        steps: &[Step],
        bytes: &[[u8; MOST_COLUMNS]; ROWS],
        others: &[[u64; ROWS]],
    ) -> [[u8; ABREAST]; ROWS];
    /// Byte `r` of entry `t` is byte `t` of `rows[r]`.
    fn turn(rows: &[[u8; ABREAST]; EIGHT], trees: &mut [[u8; EIGHT]; ABREAST]);
    /// The number of each row's leaf, which is below `count`.
    fn pick(table: &[f64; BYTES], count: usize, rows: &[u8; EIGHT]) -> [f64; EIGHT];
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

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    fn hold<const WIDE: bool, const SETS: bool>(random: &mut impl FnMut() -> u64) {
        const ROWS: usize = EIGHT;
        let columns = if WIDE { MOST_COLUMNS } else { ABREAST } as u64;
        let mut steps = Vec::new();
        let mut others = Vec::new();
        for number in 0..random() % 256 {
            steps.push(Step {
                columns: std::array::from_fn(|_| (random() % columns) as u8),
                bounds: std::array::from_fn(|_| random() as u8),
                firsts: std::array::from_fn(|_| (random() % (number + 1)) as u8),
            });
            others.push(std::array::from_fn(|_| random() & random()));
        }
        let bytes: [[u8; MOST_COLUMNS]; ROWS] = std::array::from_fn(|_| std::array::from_fn(|_| random() as u8));
        let found = avx512::Avx512::end::<ROWS, WIDE, SETS>(&steps, &bytes, &others);
        assert_eq!(found, portable::Portable::end::<ROWS, WIDE, SETS>(&steps, &bytes, &others));
        let mut turned = [[[0; EIGHT]; ABREAST]; 2];
        avx512::Avx512::turn(&found, &mut turned[0]);
        portable::Portable::turn(&found, &mut turned[1]);
        assert_eq!(turned[0], turned[1]);
    }

    #[test]
    fn words_are_joined_as_by_plain_code() {
        fn hold<I: Isa>() {
            let words = |seed: u64| std::array::from_fn(|at| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15 + at as u64));
            let (one, two) = (words(3), words(5));
            assert_eq!(I::and(&one, &two), portable::Portable::and(&one, &two));
            assert_eq!(I::and_not(&one, &two), portable::Portable::and_not(&one, &two));
            assert_eq!(I::or(&one, &two), portable::Portable::or(&one, &two));
        }
        if avx2::available() {
            hold::<avx2::Avx2>();
        }
        if avx512::available() {
            hold::<avx512::Avx512>();
        }
    }

    #[test]
    fn rows_end_where_they_do_by_plain_code() {
        if !avx512::available() {
            return;
        }
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        for _ in 0..50 {
            hold::<false, false>(&mut random);
            hold::<false, true>(&mut random);
            hold::<true, false>(&mut random);
            hold::<true, true>(&mut random);
        }
    }
}
