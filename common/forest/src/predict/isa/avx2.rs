//! AVX2: as the portable form, compiled for it, with what a compiler does not find by itself.
#![expect(unsafe_code, reason = "vector instructions; each block says why it is sound")]

use std::arch::x86_64::*;

use super::portable::Portable;
use super::{BYTES, EIGHT, Isa, Leaves, WORD};
use crate::compiled::{ABREAST, MOST_COLUMNS, Sorted, Step};

/// Only to be used where [`available`] said so.
pub(in crate::predict) struct Avx2;

/// Whether this processor has what [`Avx2`] uses.
pub(in crate::predict) fn available() -> bool {
    is_x86_feature_detected!("avx2")
}

impl Isa for Avx2 {
    #[inline(always)]
    fn and(one: &[u64; EIGHT], two: &[u64; EIGHT]) -> [u64; EIGHT] {
        let mut joined = [0; EIGHT];
        for from in [0, 4] {
            // SAFETY: four words are read twice and written of eight each
            unsafe {
                let one = _mm256_loadu_si256(one.as_ptr().add(from).cast());
                let two = _mm256_loadu_si256(two.as_ptr().add(from).cast());
                _mm256_storeu_si256(joined.as_mut_ptr().add(from).cast(), _mm256_and_si256(one, two));
            }
        }
        joined
    }

    #[inline(always)]
    fn and_not(one: &[u64; EIGHT], two: &[u64; EIGHT]) -> [u64; EIGHT] {
        let mut joined = [0; EIGHT];
        for from in [0, 4] {
            // SAFETY: four words are read twice and written of eight each
            unsafe {
                let one = _mm256_loadu_si256(one.as_ptr().add(from).cast());
                let two = _mm256_loadu_si256(two.as_ptr().add(from).cast());
                _mm256_storeu_si256(joined.as_mut_ptr().add(from).cast(), _mm256_andnot_si256(two, one));
            }
        }
        joined
    }

    #[inline(always)]
    fn or(one: &[u64; EIGHT], two: &[u64; EIGHT]) -> [u64; EIGHT] {
        let mut joined = [0; EIGHT];
        for from in [0, 4] {
            // SAFETY: four words are read twice and written of eight each
            unsafe {
                let one = _mm256_loadu_si256(one.as_ptr().add(from).cast());
                let two = _mm256_loadu_si256(two.as_ptr().add(from).cast());
                _mm256_storeu_si256(joined.as_mut_ptr().add(from).cast(), _mm256_or_si256(one, two));
            }
        }
        joined
    }

    #[inline(always)]
    fn at_most(bytes: &[u8; WORD], bound: u8) -> u64 {
        let mut bits = 0;
        for from in [32, 0] {
            // SAFETY: two times 32 bytes are read of 64
            let half = unsafe {
                let bytes = _mm256_loadu_si256(bytes.as_ptr().add(from).cast());
                let bound = _mm256_set1_epi8(bound.cast_signed());
                _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(bytes, bound), bytes)).cast_unsigned()
            };
            bits = bits << 32 | u64::from(half);
        }
        bits
    }

    #[inline(always)]
    fn below_single(keys: &[f32], x: f32) -> u16 {
        Portable::below_single(keys, x)
    }

    #[inline(always)]
    fn below_double(keys: &[f64], x: f64) -> u16 {
        Portable::below_double(keys, x)
    }

    #[inline(always)]
    fn deposit(bits: u64, places: u64) -> u64 {
        Portable::deposit(bits, places)
    }

    #[inline(always)]
    fn end<const ROWS: usize, const WIDE: bool, const SETS: bool>(
        steps: &[Step],
        bytes: &[[u8; MOST_COLUMNS]; ROWS],
        others: &[[u64; ROWS]],
    ) -> [[u8; ABREAST]; ROWS] {
        Portable::end::<ROWS, WIDE, SETS>(steps, bytes, others)
    }

    #[inline(always)]
    fn turn(rows: &[[u8; ABREAST]; EIGHT], trees: &mut [[u8; EIGHT]; ABREAST]) {
        Portable::turn(rows, trees);
    }

    #[inline(always)]
    fn pick(table: &[f64; BYTES], count: usize, rows: &[u8; EIGHT]) -> [f64; EIGHT] {
        Portable::pick(table, count, rows)
    }

    #[inline(always)]
    fn spread(bits: u64, out: &mut [u8; WORD]) {
        Self::bytes(std::iter::once(bits), out);
    }

    #[inline(always)]
    fn bytes(planes: impl Iterator<Item = u64>, out: &mut [u8; WORD]) {
        // SAFETY: two times 32 bytes are written of 64
        unsafe {
            let mut halves = [_mm256_setzero_si256(); 2];
            let mut bit = _mm256_set1_epi8(1);
            let select = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
            let each = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
            for plane in planes {
                for (half, bits) in halves.iter_mut().zip([plane as u32, (plane >> 32) as u32]) {
                    let bits = _mm256_shuffle_epi8(_mm256_set1_epi32(bits.cast_signed()), select);
                    let is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, each), each);
                    *half = _mm256_or_si256(*half, _mm256_and_si256(is_set, bit));
                }
                bit = _mm256_add_epi8(bit, bit);
            }
            let [low, high] = halves;
            _mm256_storeu_si256(out.as_mut_ptr().cast(), low);
            _mm256_storeu_si256(out.as_mut_ptr().add(32).cast(), high);
        }
    }

    #[inline(always)]
    fn ranks_single(keys: &Sorted<f32>, numbers: &[f32], out: &mut [u16]) {
        Portable::ranks_single(keys, numbers, out);
    }

    #[inline(always)]
    fn ranks_double(keys: &Sorted<f64>, numbers: &[f64], out: &mut [u16]) {
        Portable::ranks_double(keys, numbers, out);
    }

    #[inline(always)]
    fn add_single(sums: &mut [f32; WORD], trees: &[Leaves<'_, f32>], rows: usize) {
        Portable::add_single(sums, trees, rows);
    }

    #[inline(always)]
    fn add_double(sums: &mut [f64; WORD], trees: &[Leaves<'_, f64>], rows: usize) {
        Portable::add_double(sums, trees, rows);
    }
}
