//! AVX-512 with BW, DQ, VL and VBMI.
#![expect(unsafe_code, reason = "vector instructions; each block says why it is sound")]

mod sums;

use std::arch::x86_64::*;

use self::sums::look_up;
use super::{BYTES, EIGHT, Isa, Leaves, WORD};
use crate::compiled::{ABREAST, MISSING, MOST_COLUMNS, Sorted, Step};

/// Only to be used where [`available`] said so: every function's instructions are of what it asks for.
pub(in crate::predict) struct Avx512;

/// Whether this processor has what [`Avx512`] uses.
pub(in crate::predict) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("bmi2")
}

impl Isa for Avx512 {
    #[inline(always)]
    fn and(one: &[u64; EIGHT], two: &[u64; EIGHT]) -> [u64; EIGHT] {
        let mut joined = [0; EIGHT];
        // SAFETY: 64 bytes are read twice and written of 64 each
        unsafe {
            let (one, two) = (_mm512_loadu_si512(one.as_ptr().cast()), _mm512_loadu_si512(two.as_ptr().cast()));
            _mm512_storeu_si512(joined.as_mut_ptr().cast(), _mm512_and_si512(one, two));
        }
        joined
    }

    #[inline(always)]
    fn and_not(one: &[u64; EIGHT], two: &[u64; EIGHT]) -> [u64; EIGHT] {
        let mut joined = [0; EIGHT];
        // SAFETY: 64 bytes are read twice and written of 64 each
        unsafe {
            let (one, two) = (_mm512_loadu_si512(one.as_ptr().cast()), _mm512_loadu_si512(two.as_ptr().cast()));
            _mm512_storeu_si512(joined.as_mut_ptr().cast(), _mm512_andnot_si512(two, one));
        }
        joined
    }

    #[inline(always)]
    fn or(one: &[u64; EIGHT], two: &[u64; EIGHT]) -> [u64; EIGHT] {
        let mut joined = [0; EIGHT];
        // SAFETY: 64 bytes are read twice and written of 64 each
        unsafe {
            let (one, two) = (_mm512_loadu_si512(one.as_ptr().cast()), _mm512_loadu_si512(two.as_ptr().cast()));
            _mm512_storeu_si512(joined.as_mut_ptr().cast(), _mm512_or_si512(one, two));
        }
        joined
    }

    #[inline(always)]
    fn at_most(bytes: &[u8; WORD], bound: u8) -> u64 {
        // SAFETY: 64 bytes are read of 64
        unsafe {
            let bytes = _mm512_loadu_si512(bytes.as_ptr().cast());
            _mm512_cmple_epu8_mask(bytes, _mm512_set1_epi8(bound.cast_signed()))
        }
    }

    #[inline(always)]
    fn below_single(keys: &[f32], x: f32) -> u16 {
        // SAFETY: 16 numbers are read of 16, and of the rest only as many as there are
        unsafe {
            let x = _mm512_set1_ps(x);
            let one = _mm512_set1_epi32(1);
            let mut below = _mm512_setzero_si512();
            let mut keys = keys.chunks_exact(16);
            for keys in keys.by_ref() {
                let passed = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_loadu_ps(keys.as_ptr()), x);
                below = _mm512_mask_add_epi32(below, passed, below, one);
            }
            let rest = keys.remainder();
            let there = (1 << rest.len()) - 1;
            let last = _mm512_maskz_loadu_ps(there, rest.as_ptr());
            let passed = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(there, last, x);
            _mm512_reduce_add_epi32(_mm512_mask_add_epi32(below, passed, below, one)) as u16
        }
    }

    #[inline(always)]
    fn below_double(keys: &[f64], x: f64) -> u16 {
        // SAFETY: as in `below_single`, eight at a time
        unsafe {
            let x = _mm512_set1_pd(x);
            let one = _mm512_set1_epi64(1);
            let mut below = _mm512_setzero_si512();
            let mut keys = keys.chunks_exact(8);
            for keys in keys.by_ref() {
                let passed = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(_mm512_loadu_pd(keys.as_ptr()), x);
                below = _mm512_mask_add_epi64(below, passed, below, one);
            }
            let rest = keys.remainder();
            let there = (1 << rest.len()) - 1;
            let last = _mm512_maskz_loadu_pd(there, rest.as_ptr());
            let passed = _mm512_mask_cmp_pd_mask::<_CMP_LT_OQ>(there, last, x);
            _mm512_reduce_add_epi64(_mm512_mask_add_epi64(below, passed, below, one)) as u16
        }
    }

    #[inline(always)]
    fn deposit(bits: u64, places: u64) -> u64 {
        // SAFETY: a processor with the instructions of this type has BMI2
        unsafe { _pdep_u64(bits, places) }
    }

    #[inline(always)]
    fn end<const ROWS: usize, const WIDE: bool, const SETS: bool>(
        steps: &[Step],
        bytes: &[[u8; MOST_COLUMNS]; ROWS],
        others: &[[u64; ROWS]],
    ) -> [[u8; ABREAST]; ROWS] {
        let mut ends = [[0; ABREAST]; ROWS];
        // SAFETY: 64 bytes are read and written of 64 or more
        unsafe {
            let (mut low, mut high) = ([_mm512_setzero_si512(); ROWS], [_mm512_setzero_si512(); ROWS]);
            for ((low, high), bytes) in low.iter_mut().zip(&mut high).zip(bytes) {
                *low = _mm512_loadu_si512(bytes.as_ptr().cast());
                *high = _mm512_loadu_si512(bytes.as_ptr().add(ABREAST).cast());
            }
            let mut at = [_mm512_setzero_si512(); ROWS];
            for (number, step) in steps.iter().enumerate() {
                let columns = _mm512_loadu_si512(step.columns.as_ptr().cast());
                let bounds = _mm512_loadu_si512(step.bounds.as_ptr().cast());
                let firsts = _mm512_loadu_si512(step.firsts.as_ptr().cast());
                let next = _mm512_set1_epi8((number + 1) as i8);
                let none = [0; ROWS];
                let others = if SETS { others.get(number).unwrap_or(&none) } else { &none };
                let bytes = low.iter().zip(&high);
                for ((at, (low, high)), others) in at.iter_mut().zip(bytes).zip(others) {
                    let asked = if WIDE {
                        _mm512_permutex2var_epi8(*low, columns, *high)
                    } else {
                        _mm512_permutexvar_epi8(columns, *low)
                    };
                    let mut fails = _mm512_cmpgt_epu8_mask(asked, bounds);
                    if SETS {
                        fails |= *others;
                    }
                    let goes = _mm512_mask_cmpge_epu8_mask(fails, *at, firsts);
                    *at = _mm512_mask_mov_epi8(*at, goes, next);
                }
            }
            for (to, at) in ends.iter_mut().zip(at) {
                _mm512_storeu_si512(to.as_mut_ptr().cast(), at);
            }
        }
        ends
    }

    #[inline(always)]
    fn turn(rows: &[[u8; ABREAST]; EIGHT], trees: &mut [[u8; EIGHT]; ABREAST]) {
        // SAFETY: 64 bytes are read of 64; 16 are written of 512, at most 16 before their end
        unsafe {
            // no closures: they would not be compiled for the instructions that this is compiled for
            let mut loaded = [_mm512_setzero_si512(); EIGHT];
            for (to, row) in loaded.iter_mut().zip(rows) {
                *to = _mm512_loadu_si512(row.as_ptr().cast());
            }
            let [a, b, c, d, e, f, g, h] = loaded;
            let to = trees.as_mut_ptr().cast::<u8>();
            let low = [
                _mm512_unpacklo_epi8(a, b),
                _mm512_unpacklo_epi8(c, d),
                _mm512_unpacklo_epi8(e, f),
                _mm512_unpacklo_epi8(g, h),
            ];
            let high = [
                _mm512_unpackhi_epi8(a, b),
                _mm512_unpackhi_epi8(c, d),
                _mm512_unpackhi_epi8(e, f),
                _mm512_unpackhi_epi8(g, h),
            ];
            for (half, [ab, cd, ef, gh]) in [low, high].into_iter().enumerate() {
                let fours = [
                    [_mm512_unpacklo_epi16(ab, cd), _mm512_unpacklo_epi16(ef, gh)],
                    [_mm512_unpackhi_epi16(ab, cd), _mm512_unpackhi_epi16(ef, gh)],
                ];
                for (four, [first, last]) in fours.into_iter().enumerate() {
                    let both = [_mm512_unpacklo_epi32(first, last), _mm512_unpackhi_epi32(first, last)];
                    for (two, eight) in both.into_iter().enumerate() {
                        // two trees of each 16
                        let tree = 8 * half + 4 * four + 2 * two;
                        let to = to.add(tree * EIGHT).cast::<__m128i>();
                        _mm_storeu_si128(to, _mm512_castsi512_si128(eight));
                        _mm_storeu_si128(to.add(8), _mm512_extracti32x4_epi32::<1>(eight));
                        _mm_storeu_si128(to.add(16), _mm512_extracti32x4_epi32::<2>(eight));
                        _mm_storeu_si128(to.add(24), _mm512_extracti32x4_epi32::<3>(eight));
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn pick(table: &[f64; BYTES], count: usize, rows: &[u8; EIGHT]) -> [f64; EIGHT] {
        let mut picked = [0.0; EIGHT];
        // SAFETY: eight bytes are read and eight numbers written of as many
        unsafe {
            let leaf = _mm512_cvtepu8_epi64(_mm_loadu_si64(rows.as_ptr()));
            _mm512_storeu_pd(picked.as_mut_ptr(), look_up(table.as_ptr(), count, leaf));
        }
        picked
    }

    #[inline(always)]
    fn spread(bits: u64, out: &mut [u8; WORD]) {
        // SAFETY: 64 bytes are written of 64
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_maskz_set1_epi8(bits, 1)) }
    }

    #[inline(always)]
    fn bytes(planes: impl Iterator<Item = u64>, out: &mut [u8; WORD]) {
        // SAFETY: 64 bytes are written of 64
        unsafe {
            let mut bytes = _mm512_setzero_si512();
            let mut bit = _mm512_set1_epi8(1);
            for plane in planes {
                bytes = _mm512_mask_add_epi8(bytes, plane, bytes, bit);
                bit = _mm512_add_epi8(bit, bit);
            }
            _mm512_storeu_si512(out.as_mut_ptr().cast(), bytes);
        }
    }

    #[inline(always)]
    fn ranks_single(keys: &Sorted<f32>, numbers: &[f32], out: &mut [u16]) {
        let table = keys.padded();
        let first_steps = keys.steps().min(4);
        let rest = keys.steps() - first_steps;
        // the keys that the first steps can meet, in one register
        let mut top = [f32::INFINITY; 16];
        for (place, key) in top.iter_mut().take((1 << first_steps) - 1).enumerate() {
            *key = table.get(((place + 1) << rest) - 1).copied().unwrap_or(f32::INFINITY);
        }
        let mut numbers = numbers.chunks_exact(16);
        let mut out = out.chunks_exact_mut(16);
        // SAFETY: 16 numbers are read and written of 16; a search stays below the padded length, which is
        // `2^steps - 1`, because its steps add up to that, so each gathered key is one of the table's
        unsafe {
            let top = _mm512_loadu_ps(top.as_ptr());
            for (numbers, out) in numbers.by_ref().zip(out.by_ref()) {
                let x = _mm512_loadu_ps(numbers.as_ptr());
                let mut below = _mm512_setzero_si512();
                for step in (0..first_steps).rev().map(|step| 1_i32 << step) {
                    let at = _mm512_add_epi32(below, _mm512_set1_epi32(step - 1));
                    let passed = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_permutexvar_ps(at, top), x);
                    below = _mm512_mask_add_epi32(below, passed, below, _mm512_set1_epi32(step));
                }
                below = _mm512_sll_epi32(below, _mm_cvtsi32_si128(rest.cast_signed()));
                for step in (0..rest).rev().map(|step| 1_i32 << step) {
                    let at = _mm512_add_epi32(below, _mm512_set1_epi32(step - 1));
                    let key = _mm512_i32gather_ps::<4>(at, table.as_ptr());
                    let passed = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(key, x);
                    below = _mm512_mask_add_epi32(below, passed, below, _mm512_set1_epi32(step));
                }
                let missing = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
                below = _mm512_mask_mov_epi32(below, missing, _mm512_set1_epi32(i32::from(MISSING)));
                _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(below));
            }
        }
        super::portable::Portable::ranks_single(keys, numbers.remainder(), out.into_remainder());
    }

    #[inline(always)]
    fn ranks_double(keys: &Sorted<f64>, numbers: &[f64], out: &mut [u16]) {
        let table = keys.padded();
        let first_steps = keys.steps().min(3);
        let rest = keys.steps() - first_steps;
        let mut top = [f64::INFINITY; 8];
        for (place, key) in top.iter_mut().take((1 << first_steps) - 1).enumerate() {
            *key = table.get(((place + 1) << rest) - 1).copied().unwrap_or(f64::INFINITY);
        }
        let mut numbers = numbers.chunks_exact(8);
        let mut out = out.chunks_exact_mut(8);
        // SAFETY: as in `ranks_single`, eight at a time
        unsafe {
            let top = _mm512_loadu_pd(top.as_ptr());
            for (numbers, out) in numbers.by_ref().zip(out.by_ref()) {
                let x = _mm512_loadu_pd(numbers.as_ptr());
                let mut below = _mm512_setzero_si512();
                for step in (0..first_steps).rev().map(|step| 1_i64 << step) {
                    let at = _mm512_add_epi64(below, _mm512_set1_epi64(step - 1));
                    let passed = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(_mm512_permutexvar_pd(at, top), x);
                    below = _mm512_mask_add_epi64(below, passed, below, _mm512_set1_epi64(step));
                }
                below = _mm512_sll_epi64(below, _mm_cvtsi32_si128(rest.cast_signed()));
                for step in (0..rest).rev().map(|step| 1_i64 << step) {
                    let at = _mm512_add_epi64(below, _mm512_set1_epi64(step - 1));
                    let key = _mm512_i64gather_pd::<8>(at, table.as_ptr());
                    let passed = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(key, x);
                    below = _mm512_mask_add_epi64(below, passed, below, _mm512_set1_epi64(step));
                }
                let missing = _mm512_cmp_pd_mask::<_CMP_UNORD_Q>(x, x);
                below = _mm512_mask_mov_epi64(below, missing, _mm512_set1_epi64(i64::from(MISSING)));
                _mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtepi64_epi16(below));
            }
        }
        super::portable::Portable::ranks_double(keys, numbers.remainder(), out.into_remainder());
    }

    #[inline(always)]
    fn add_single(sums: &mut [f32; WORD], trees: &[Leaves<'_, f32>], rows: usize) {
        match rows {
            0..=16 => sums::add_single::<1>(sums, trees),
            _ => sums::add_single::<4>(sums, trees),
        }
    }
    #[inline(always)]
    fn add_double(sums: &mut [f64; WORD], trees: &[Leaves<'_, f64>], rows: usize) {
        match rows {
            0..=8 => sums::add_double::<1>(sums, trees),
            9..=16 => sums::add_double::<2>(sums, trees),
            _ => sums::add_double::<8>(sums, trees),
        }
    }
}
