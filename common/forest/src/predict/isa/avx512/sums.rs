//! Adds leaves to the sums of rows, which stand in registers.
#![expect(unsafe_code, reason = "vector instructions; each block says why it is sound")]

use std::arch::x86_64::*;

use super::super::{Leaves, WORD};

/// For the first `16 * GROUPS` rows.
#[inline(always)]
pub(super) fn add_single<const GROUPS: usize>(sums: &mut [f32; WORD], trees: &[Leaves<'_, f32>]) {
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
pub(super) fn add_double<const GROUPS: usize>(sums: &mut [f64; WORD], trees: &[Leaves<'_, f64>]) {
    // SAFETY: as in `add_single`
    unsafe {
        let at = sums.as_mut_ptr();
        let mut sums: [__m512d; GROUPS] = std::array::from_fn(|group| _mm512_loadu_pd(at.add(group * 8)));
        for tree in trees {
            let rows = tree.rows.as_ptr();
            for (group, sum) in sums.iter_mut().enumerate() {
                let leaf = _mm512_cvtepu8_epi64(_mm_loadu_si64(rows.add(group * 8)));
                *sum = _mm512_add_pd(*sum, look_up(tree.table.as_ptr(), tree.count, leaf));
            }
        }
        for (group, sum) in sums.into_iter().enumerate() {
            _mm512_storeu_pd(at.add(group * 8), sum);
        }
    }
}

/// The numbers at eight places below `count` of a table of 256.
#[inline(always)]
pub(super) unsafe fn look_up(table: *const f64, count: usize, at: __m512i) -> __m512d {
    // SAFETY: at most 64 numbers are read of the first, and else those at the places
    unsafe {
        if count > 64 {
            return _mm512_i64gather_pd::<8>(at, table);
        }
        let first = sixteen(table, at);
        if count <= 16 {
            return first;
        }
        let odd = _mm512_test_epi64_mask(at, _mm512_set1_epi64(16));
        let low = _mm512_mask_blend_pd(odd, first, sixteen(table.add(16), at));
        if count <= 32 {
            return low;
        }
        let high = _mm512_mask_blend_pd(odd, sixteen(table.add(32), at), sixteen(table.add(48), at));
        _mm512_mask_blend_pd(_mm512_test_epi64_mask(at, _mm512_set1_epi64(32)), low, high)
    }
}

/// Of the 16 numbers there, those at eight places.
#[inline(always)]
unsafe fn sixteen(table: *const f64, at: __m512i) -> __m512d {
    // SAFETY: 16 numbers are read
    unsafe { _mm512_permutex2var_pd(_mm512_loadu_pd(table), at, _mm512_loadu_pd(table.add(8))) }
}
