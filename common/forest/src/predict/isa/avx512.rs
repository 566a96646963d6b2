//! AVX-512 with BW, DQ, VL and VBMI.
#![expect(unsafe_code, reason = "vector instructions; each block says why it is sound")]

use std::arch::x86_64::*;

use super::{EIGHT, Isa, Leaves, WORD};
use crate::compiled::{ASIDE_LEAF, MISSING, PATH_TREES, PathGroup, Sorted};

/// Only to be used where [`available`] said so: every function's instructions are of what it asks for.
pub(in crate::predict) struct Avx512;

/// Whether this processor has what [`Avx512`] uses.
pub(in crate::predict) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("bmi2")
}

impl Isa for Avx512 {
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
    fn above(bytes: &[u8; WORD], columns: &[u8; WORD], bounds: &[u8; WORD]) -> u64 {
        // SAFETY: 64 bytes are read of 64
        unsafe {
            let bytes = _mm512_loadu_si512(bytes.as_ptr().cast());
            let columns = _mm512_loadu_si512(columns.as_ptr().cast());
            let bounds = _mm512_loadu_si512(bounds.as_ptr().cast());
            _mm512_cmpgt_epu8_mask(_mm512_permutexvar_epi8(columns, bytes), bounds)
        }
    }

    #[inline(always)]
    fn above_of_two(bytes: [&[u8; WORD]; 2], columns: &[u8; WORD], bounds: &[u8; WORD]) -> u64 {
        // SAFETY: 64 bytes are read of 64
        unsafe {
            let [low, high] = bytes.map(|bytes| _mm512_loadu_si512(bytes.as_ptr().cast()));
            let columns = _mm512_loadu_si512(columns.as_ptr().cast());
            let bounds = _mm512_loadu_si512(bounds.as_ptr().cast());
            _mm512_cmpgt_epu8_mask(_mm512_permutex2var_epi8(low, columns, high), bounds)
        }
    }

    #[inline(always)]
    fn deposit(bits: u64, places: u64) -> u64 {
        // SAFETY: a processor with the instructions of this type has BMI2
        unsafe { _pdep_u64(bits, places) }
    }

    #[inline(always)]
    fn follow(
        group: &PathGroup,
        failed: &[u64; PATH_TREES],
        firsts: &[u64; PATH_TREES],
        asides: &[u8],
        leaves: &mut [u8; PATH_TREES],
    ) {
        // SAFETY: eight words are read of 16; a split's place and 64 more, and seven bytes more, are within `asides`
        unsafe {
            let one = _mm512_set1_epi64(1);
            let first_leaf = _mm512_set1_epi64(ASIDE_LEAF.into());
            for half in [0, 8] {
                let failed = _mm512_loadu_si512(failed.as_ptr().add(half).cast());
                let turned = _mm512_loadu_si512(group.turned.as_ptr().add(half).cast());
                let ends = _mm512_loadu_si512(group.ends.as_ptr().add(half).cast());
                let first = _mm512_loadu_si512(firsts.as_ptr().add(half).cast());
                let stops = _mm512_or_si512(_mm512_xor_si512(failed, turned), ends);
                let second = _mm512_and_si512(failed, ends);
                let mut under_way = _mm512_test_epi64_mask(ends, ends);
                let mut at = _mm512_mask_mov_epi64(first_leaf, under_way, _mm512_setzero_si512());
                for _ in 0..group.turns {
                    let ahead = _mm512_srlv_epi64(stops, at);
                    let lowest = _mm512_and_si512(ahead, _mm512_sub_epi64(_mm512_setzero_si512(), ahead));
                    let steps = _mm512_sub_epi64(_mm512_set1_epi64(63), _mm512_lzcnt_epi64(lowest));
                    let stop = _mm512_add_epi64(at, steps);
                    let place = _mm512_add_epi64(first, stop);
                    let aside = _mm512_mask_i64gather_epi64::<1>(at, under_way, place, asides.as_ptr().cast());
                    let aside = _mm512_and_si512(aside, _mm512_set1_epi64(255));
                    let is_second = _mm512_and_si512(_mm512_srlv_epi64(second, stop), one);
                    at = _mm512_mask_add_epi64(at, under_way, aside, is_second);
                    under_way = _mm512_cmplt_epu64_mask(at, first_leaf);
                }
                let leaf = _mm512_cvtepi64_epi8(_mm512_sub_epi64(at, first_leaf));
                _mm_storel_epi64(leaves.as_mut_ptr().add(half).cast(), leaf);
            }
        }
    }

    #[inline(always)]
    fn follow_eight(group: &PathGroup, tree: usize, failed: &[u64; EIGHT], asides: &[u8], leaves: &mut [u8; EIGHT]) {
        let Some(asides) = asides.first_chunk::<WORD>() else { return };
        let (turned, ends) = group.of(tree);
        if ends == 0 {
            leaves.fill(0);
            return;
        }
        // SAFETY: eight words are read of eight, 64 bytes of 64
        unsafe {
            let one = _mm512_set1_epi64(1);
            let first_leaf = _mm512_set1_epi64(ASIDE_LEAF.into());
            let asides = _mm512_loadu_si512(asides.as_ptr().cast());
            let (turned, ends) = (_mm512_set1_epi64(turned.cast_signed()), _mm512_set1_epi64(ends.cast_signed()));
            let failed = _mm512_loadu_si512(failed.as_ptr().cast());
            let stops = _mm512_or_si512(_mm512_xor_si512(failed, turned), ends);
            let second = _mm512_and_si512(failed, ends);
            let mut under_way = u8::MAX;
            let mut at = _mm512_setzero_si512();
            for _ in 0..group.turns {
                let ahead = _mm512_srlv_epi64(stops, at);
                let lowest = _mm512_and_si512(ahead, _mm512_sub_epi64(_mm512_setzero_si512(), ahead));
                let steps = _mm512_sub_epi64(_mm512_set1_epi64(63), _mm512_lzcnt_epi64(lowest));
                let stop = _mm512_add_epi64(at, steps);
                // only the low byte of each
                let aside = _mm512_maskz_permutexvar_epi8(0x0101_0101_0101_0101, stop, asides);
                let is_second = _mm512_and_si512(_mm512_srlv_epi64(second, stop), one);
                at = _mm512_mask_add_epi64(at, under_way, aside, is_second);
                under_way = _mm512_cmplt_epu64_mask(at, first_leaf);
            }
            _mm_storel_epi64(leaves.as_mut_ptr().cast(), _mm512_cvtepi64_epi8(_mm512_sub_epi64(at, first_leaf)));
        }
    }

    #[inline(always)]
    fn complete(levels: u32, (fails, shift): (&[[u64; EIGHT]], usize), table: &[u8], leaves: &mut [u8; EIGHT]) {
        let (Some(first), Some(first_leaves)) = (fails.first(), table.first_chunk::<WORD>()) else { return };
        // SAFETY: eight words are read of eight, 64 bytes of 64; at the levels from the seventh on, a place is one of the tree's,
        // of which all words and leaves are there, and seven bytes more
        unsafe {
            let one = _mm512_set1_epi64(1);
            let words = _mm512_loadu_si512(first.as_ptr().cast());
            let words = _mm512_srl_epi64(words, _mm_cvtsi64_si128(shift as i64));
            let mut at = _mm512_setzero_si512();
            for _ in 0..levels.min(6) {
                let bit = _mm512_and_si512(_mm512_srlv_epi64(words, at), one);
                at = _mm512_add_epi64(_mm512_add_epi64(at, at), _mm512_add_epi64(bit, one));
            }
            let rows = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
            for _ in 6..levels {
                let word = _mm512_add_epi64(_mm512_slli_epi64::<3>(_mm512_srli_epi64::<6>(at)), rows);
                let words = _mm512_i64gather_epi64::<8>(word, fails.as_ptr().cast());
                let within = _mm512_and_si512(at, _mm512_set1_epi64(63));
                let bit = _mm512_and_si512(_mm512_srlv_epi64(words, within), one);
                at = _mm512_add_epi64(_mm512_add_epi64(at, at), _mm512_add_epi64(bit, one));
            }
            let place = _mm512_sub_epi64(at, _mm512_set1_epi64((1 << levels) - 1));
            let leaf = if levels <= 6 {
                let table = _mm512_loadu_si512(first_leaves.as_ptr().cast());
                _mm512_permutexvar_epi8(place, table)
            } else {
                _mm512_i64gather_epi64::<1>(place, table.as_ptr().cast())
            };
            _mm_storel_epi64(leaves.as_mut_ptr().cast(), _mm512_cvtepi64_epi8(leaf));
        }
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
            0..=16 => add_single::<1>(sums, trees),
            _ => add_single::<4>(sums, trees),
        }
    }
    #[inline(always)]
    fn add_double(sums: &mut [f64; WORD], trees: &[Leaves<'_, f64>], rows: usize) {
        match rows {
            0..=8 => add_double::<1>(sums, trees),
            9..=16 => add_double::<2>(sums, trees),
            _ => add_double::<8>(sums, trees),
        }
    }
}

/// For the first `16 * GROUPS` rows.
#[inline(always)]
fn add_single<const GROUPS: usize>(sums: &mut [f32; WORD], trees: &[Leaves<'_, f32>]) {
    // SAFETY: 64 numbers are read and written of 64, and 64 leaves of 64; a gathered number is one of the 256 that a
    // byte can name
    unsafe {
        let at = sums.as_mut_ptr();
        let mut sums: [__m512; GROUPS] = std::array::from_fn(|group| _mm512_loadu_ps(at.add(group * 16)));
        for tree in trees {
            let table = tree.table.as_ptr();
            let rows = tree.rows.as_ptr();
            if tree.count <= 32 {
                let [a, b] = std::array::from_fn(|part| _mm512_loadu_ps(table.add(part * 16)));
                for (group, sum) in sums.iter_mut().enumerate() {
                    let leaf = _mm512_cvtepu8_epi32(_mm_loadu_si128(rows.add(group * 16).cast()));
                    *sum = _mm512_add_ps(*sum, _mm512_permutex2var_ps(a, leaf, b));
                }
            } else if tree.count <= 64 {
                let [a, b, c, d] = std::array::from_fn(|part| _mm512_loadu_ps(table.add(part * 16)));
                for (group, sum) in sums.iter_mut().enumerate() {
                    let leaf = _mm512_cvtepu8_epi32(_mm_loadu_si128(rows.add(group * 16).cast()));
                    let low = _mm512_permutex2var_ps(a, leaf, b);
                    let high = _mm512_permutex2var_ps(c, leaf, d);
                    let is_high = _mm512_test_epi32_mask(leaf, _mm512_set1_epi32(32));
                    *sum = _mm512_add_ps(*sum, _mm512_mask_blend_ps(is_high, low, high));
                }
            } else {
                for (group, sum) in sums.iter_mut().enumerate() {
                    let leaf = _mm512_cvtepu8_epi32(_mm_loadu_si128(rows.add(group * 16).cast()));
                    *sum = _mm512_add_ps(*sum, _mm512_i32gather_ps::<4>(leaf, table));
                }
            }
        }
        for (group, sum) in sums.into_iter().enumerate() {
            _mm512_storeu_ps(at.add(group * 16), sum);
        }
    }
}

/// For the first `8 * GROUPS` rows.
#[inline(always)]
fn add_double<const GROUPS: usize>(sums: &mut [f64; WORD], trees: &[Leaves<'_, f64>]) {
    // SAFETY: as in `add_single`
    unsafe {
        let at = sums.as_mut_ptr();
        let mut sums: [__m512d; GROUPS] = std::array::from_fn(|group| _mm512_loadu_pd(at.add(group * 8)));
        for tree in trees {
            let table = tree.table.as_ptr();
            let rows = tree.rows.as_ptr();
            if tree.count <= 16 {
                let [a, b] = std::array::from_fn(|part| _mm512_loadu_pd(table.add(part * 8)));
                for (group, sum) in sums.iter_mut().enumerate() {
                    let leaf = _mm512_cvtepu8_epi64(_mm_loadu_si64(rows.add(group * 8)));
                    *sum = _mm512_add_pd(*sum, _mm512_permutex2var_pd(a, leaf, b));
                }
            } else if tree.count <= 32 {
                let [a, b, c, d] = std::array::from_fn(|part| _mm512_loadu_pd(table.add(part * 8)));
                for (group, sum) in sums.iter_mut().enumerate() {
                    let leaf = _mm512_cvtepu8_epi64(_mm_loadu_si64(rows.add(group * 8)));
                    let low = _mm512_permutex2var_pd(a, leaf, b);
                    let high = _mm512_permutex2var_pd(c, leaf, d);
                    let is_high = _mm512_test_epi64_mask(leaf, _mm512_set1_epi64(16));
                    *sum = _mm512_add_pd(*sum, _mm512_mask_blend_pd(is_high, low, high));
                }
            } else if tree.count <= 64 {
                let table: [__m512d; 8] = std::array::from_fn(|part| _mm512_loadu_pd(table.add(part * 8)));
                for (group, sum) in sums.iter_mut().enumerate() {
                    let leaf = _mm512_cvtepu8_epi64(_mm_loadu_si64(rows.add(group * 8)));
                    *sum = _mm512_add_pd(*sum, pick(&table, leaf));
                }
            } else {
                for (group, sum) in sums.iter_mut().enumerate() {
                    let leaf = _mm256_cvtepu8_epi32(_mm_loadu_si64(rows.add(group * 8)));
                    *sum = _mm512_add_pd(*sum, _mm512_i32gather_pd::<8>(leaf, table));
                }
            }
        }
        for (group, sum) in sums.into_iter().enumerate() {
            _mm512_storeu_pd(at.add(group * 8), sum);
        }
    }
}

/// The numbers of a table of 64 at eight places.
#[inline(always)]
fn pick(table: &[__m512d; 8], at: __m512i) -> __m512d {
    let [a, b, c, d, e, f, g, h] = *table;
    // SAFETY: registers only
    unsafe {
        let fourth = _mm512_test_epi64_mask(at, _mm512_set1_epi64(16));
        let half = _mm512_test_epi64_mask(at, _mm512_set1_epi64(32));
        let low = _mm512_mask_blend_pd(fourth, _mm512_permutex2var_pd(a, at, b), _mm512_permutex2var_pd(c, at, d));
        let high = _mm512_mask_blend_pd(fourth, _mm512_permutex2var_pd(e, at, f), _mm512_permutex2var_pd(g, at, h));
        _mm512_mask_blend_pd(half, low, high)
    }
}
