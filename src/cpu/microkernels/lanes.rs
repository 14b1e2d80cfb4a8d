//! Vectors of f32: what the loops are written with.

use super::Clamp;

/// A vector of f32.
///
/// # Safety
/// `load` and `store` need `LANES` scalars behind the pointer, `splat` one; every method needs a processor that
/// has the instructions of its type.
pub trait Lanes: Copy {
    /// Scalars of a vector, a divisor of [`BLOCK`].
    const LANES: usize;
    /// Vectors of sums that the registers hold beside the operands.
    const SUMS: usize;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn splat(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `self + a * b`.
    unsafe fn plus(self, a: Self, b: Self) -> Self;
    /// `min(max(self, low), high)`, NaN of `self` kept.
    unsafe fn clamp(self, low: Self, high: Self) -> Self;
    /// Asks for what lies at `at`, if anything does.
    fn prefetch(at: *const f32);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lanes;
    use std::arch::x86_64::*;

    macro_rules! lanes {
        ($vector:ty, $lanes:literal, $sums:literal, $load:ident, $splat:ident, $store:ident, $fma:ident, $min:ident, $max:ident) => {
            impl Lanes for $vector {
                const LANES: usize = $lanes;
                const SUMS: usize = $sums;
                // SAFETY (each): the caller's, as the trait says.
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn splat(from: *const f32) -> Self {
                    unsafe { $splat(*from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn plus(self, a: Self, b: Self) -> Self {
                    unsafe { $fma(a, b, self) }
                }
                // The second operand is what comes of NaN.
                #[inline(always)]
                unsafe fn clamp(self, low: Self, high: Self) -> Self {
                    unsafe { $min(high, $max(low, self)) }
                }
                // SAFETY: a prefetch of any address is sound.
                #[inline(always)]
                fn prefetch(at: *const f32) {
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
                }
            }
        };
    }
    lanes!(
        __m512,
        16,
        28,
        _mm512_loadu_ps,
        _mm512_set1_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_min_ps,
        _mm512_max_ps
    );
    lanes!(
        __m256,
        8,
        12,
        _mm256_loadu_ps,
        _mm256_set1_ps,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_min_ps,
        _mm256_max_ps
    );
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use super::Lanes;
    use std::arch::aarch64::*;

    impl Lanes for float32x4_t {
        const LANES: usize = 4;
        const SUMS: usize = 24;
        // SAFETY (each): the caller's, as the trait says.
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { vld1q_f32(from) }
        }
        #[inline(always)]
        unsafe fn splat(from: *const f32) -> Self {
            unsafe { vld1q_dup_f32(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { vst1q_f32(to, self) }
        }
        #[inline(always)]
        unsafe fn plus(self, a: Self, b: Self) -> Self {
            unsafe { vfmaq_f32(self, a, b) }
        }
        #[inline(always)]
        unsafe fn clamp(self, low: Self, high: Self) -> Self {
            unsafe { vminq_f32(vmaxq_f32(self, low), high) }
        }
        #[inline(always)]
        fn prefetch(_: *const f32) {}
    }
}

/// Four lanes that every compiler knows how to place in a register.
#[derive(Clone, Copy)]
pub struct Four([f32; 4]);

impl Lanes for Four {
    const LANES: usize = 4;
    const SUMS: usize = 8;
    // SAFETY: the caller's, as the trait says.
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Four(unsafe { from.cast::<[f32; 4]>().read() })
    }
    // SAFETY: as above.
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        Four([unsafe { *from }; 4])
    }
    // SAFETY: as above.
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 4]>().write(self.0) }
    }
    #[inline(always)]
    unsafe fn plus(self, a: Self, b: Self) -> Self {
        Four(std::array::from_fn(|lane| self.0[lane] + a.0[lane] * b.0[lane]))
    }
    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        Four(std::array::from_fn(|lane| Clamp { low: low.0[lane], high: high.0[lane] }.of(self.0[lane])))
    }
    #[inline(always)]
    fn prefetch(_: *const f32) {}
}
