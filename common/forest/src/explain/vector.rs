//! Numbers of several rows at once. Every implementation gives the same bits: nothing is fused.

/// A number for each of some rows.
pub(super) trait Vector: Copy {
    /// Rows, and how they stand in memory.
    const ROWS: usize;
    type Lanes: Copy;
    /// A choice for each row.
    type Mask: Copy;
    fn splat(number: f64) -> Self;
    fn load(from: &Self::Lanes) -> Self;
    fn store(self, to: &mut Self::Lanes);
    fn add(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// Of the lowest bits, one a row.
    fn mask(bits: u64) -> Self::Mask;
    fn choose(mask: Self::Mask, yes: f64, no: f64) -> Self;
    /// As they are, or zero.
    fn keep(self, mask: Self::Mask) -> Self;
    /// These where the mask says so, else the others.
    fn or(self, mask: Self::Mask, other: Self) -> Self;
}

/// One row.
impl Vector for f64 {
    const ROWS: usize = 1;
    type Lanes = [f64; 1];
    type Mask = bool;

    #[inline(always)]
    fn splat(number: f64) -> Self {
        number
    }
    #[inline(always)]
    fn load(from: &[f64; 1]) -> Self {
        from[0]
    }
    #[inline(always)]
    fn store(self, to: &mut [f64; 1]) {
        to[0] = self;
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self + other
    }
    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self * other
    }
    #[inline(always)]
    fn mask(bits: u64) -> bool {
        bits & 1 == 1
    }
    #[inline(always)]
    fn choose(mask: bool, yes: f64, no: f64) -> Self {
        if mask { yes } else { no }
    }
    #[inline(always)]
    fn keep(self, mask: bool) -> Self {
        if mask { self } else { 0.0 }
    }
    #[inline(always)]
    fn or(self, mask: bool, other: Self) -> Self {
        if mask { self } else { other }
    }
}

/// Eight rows in plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Plain([f64; 8]);

impl Vector for Plain {
    const ROWS: usize = 8;
    type Lanes = [f64; 8];
    type Mask = u8;

    #[inline(always)]
    fn splat(number: f64) -> Self {
        Self([number; 8])
    }
    #[inline(always)]
    fn load(from: &[f64; 8]) -> Self {
        Self(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut [f64; 8]) {
        *to = self.0;
    }
    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(to, x)| *to += x);
        self
    }
    #[inline(always)]
    fn times(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(to, x)| *to *= x);
        self
    }
    #[inline(always)]
    fn mask(bits: u64) -> u8 {
        bits as u8
    }
    #[inline(always)]
    fn choose(mask: u8, yes: f64, no: f64) -> Self {
        Self::splat(yes).or(mask, Self::splat(no))
    }
    #[inline(always)]
    fn keep(self, mask: u8) -> Self {
        self.or(mask, Self::splat(0.0))
    }
    #[inline(always)]
    fn or(mut self, mask: u8, other: Self) -> Self {
        for (row, (to, x)) in self.0.iter_mut().zip(other.0).enumerate() {
            if mask >> row & 1 == 0 {
                *to = x;
            }
        }
        self
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use wide::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector instructions; used only where the processor was found to have them")]
mod wide {
    use std::arch::x86_64::*;

    use super::Vector;

    /// Eight rows in one register.
    #[derive(Clone, Copy)]
    pub(in crate::explain) struct Avx512(__m512d);

    impl Vector for Avx512 {
        const ROWS: usize = 8;
        type Lanes = [f64; 8];
        type Mask = __mmask8;

        #[inline(always)]
        fn splat(number: f64) -> Self {
            // SAFETY: no memory is touched; as in all of these but `load` and `store`
            Self(unsafe { _mm512_set1_pd(number) })
        }
        #[inline(always)]
        fn load(from: &[f64; 8]) -> Self {
            // SAFETY: eight numbers are read of eight
            Self(unsafe { _mm512_loadu_pd(from.as_ptr()) })
        }
        #[inline(always)]
        fn store(self, to: &mut [f64; 8]) {
            // SAFETY: eight numbers are written of eight
            unsafe { _mm512_storeu_pd(to.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: as in `splat`
            Self(unsafe { _mm512_add_pd(self.0, other.0) })
        }
        #[inline(always)]
        fn times(self, other: Self) -> Self {
            // SAFETY: as in `splat`
            Self(unsafe { _mm512_mul_pd(self.0, other.0) })
        }
        #[inline(always)]
        fn mask(bits: u64) -> __mmask8 {
            bits as u8
        }
        #[inline(always)]
        fn choose(mask: __mmask8, yes: f64, no: f64) -> Self {
            // SAFETY: as in `splat`
            Self(unsafe { _mm512_mask_blend_pd(mask, _mm512_set1_pd(no), _mm512_set1_pd(yes)) })
        }
        #[inline(always)]
        fn keep(self, mask: __mmask8) -> Self {
            // SAFETY: as in `splat`
            Self(unsafe { _mm512_maskz_mov_pd(mask, self.0) })
        }
        #[inline(always)]
        fn or(self, mask: __mmask8, other: Self) -> Self {
            // SAFETY: as in `splat`
            Self(unsafe { _mm512_mask_blend_pd(mask, other.0, self.0) })
        }
    }

    /// Eight rows in two registers.
    #[derive(Clone, Copy)]
    pub(in crate::explain) struct Avx2(__m256d, __m256d);

    impl Vector for Avx2 {
        const ROWS: usize = 8;
        type Lanes = [f64; 8];
        type Mask = (__m256d, __m256d);

        #[inline(always)]
        fn splat(number: f64) -> Self {
            // SAFETY: no memory is touched; as in all of these but `load` and `store`
            unsafe { Self(_mm256_set1_pd(number), _mm256_set1_pd(number)) }
        }
        #[inline(always)]
        fn load(from: &[f64; 8]) -> Self {
            // SAFETY: twice four numbers are read of eight
            unsafe { Self(_mm256_loadu_pd(from.as_ptr()), _mm256_loadu_pd(from.as_ptr().add(4))) }
        }
        #[inline(always)]
        fn store(self, to: &mut [f64; 8]) {
            // SAFETY: twice four numbers are written of eight
            unsafe {
                _mm256_storeu_pd(to.as_mut_ptr(), self.0);
                _mm256_storeu_pd(to.as_mut_ptr().add(4), self.1);
            }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: as in `splat`
            unsafe { Self(_mm256_add_pd(self.0, other.0), _mm256_add_pd(self.1, other.1)) }
        }
        #[inline(always)]
        fn times(self, other: Self) -> Self {
            // SAFETY: as in `splat`
            unsafe { Self(_mm256_mul_pd(self.0, other.0), _mm256_mul_pd(self.1, other.1)) }
        }
        #[inline(always)]
        fn mask(bits: u64) -> (__m256d, __m256d) {
            // SAFETY: as in `splat`
            unsafe {
                let bits = _mm256_set1_epi64x(bits.cast_signed());
                let set = |places| _mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_and_si256(bits, places), places));
                (set(_mm256_setr_epi64x(1, 2, 4, 8)), set(_mm256_setr_epi64x(16, 32, 64, 128)))
            }
        }
        #[inline(always)]
        fn choose(mask: (__m256d, __m256d), yes: f64, no: f64) -> Self {
            Self::splat(yes).or(mask, Self::splat(no))
        }
        #[inline(always)]
        fn keep(self, mask: (__m256d, __m256d)) -> Self {
            // SAFETY: as in `splat`
            unsafe { Self(_mm256_and_pd(self.0, mask.0), _mm256_and_pd(self.1, mask.1)) }
        }
        #[inline(always)]
        fn or(self, mask: (__m256d, __m256d), other: Self) -> Self {
            // SAFETY: as in `splat`
            unsafe { Self(_mm256_blendv_pd(other.0, self.0, mask.0), _mm256_blendv_pd(other.1, self.1, mask.1)) }
        }
    }
}
