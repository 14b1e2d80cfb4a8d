//! The two loops in which the time goes, written once over vectors of any length and compiled for each
//! instruction set; which one runs is chosen once, by [`Isa`].
//!
//! Maps lie in blocks of [`BLOCK`] channels, `[blocks][pixels][16]`, whatever the length of a vector: a tile of
//! pixels of one block has no gaps, so its addresses are one pointer and constants.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod brand;
mod depthwise;
mod lanes;
mod peak;
mod product;

#[cfg(target_arch = "x86_64")]
pub use brand::brand;
pub use depthwise::{Depthwise, depthwise};
pub use peak::{CHAINS, Load, busy, lanes};
pub use product::{Product, product};

/// Channels of one block of a map.
pub const BLOCK: usize = 16;

/// The least and the largest value that is stored; what is beyond becomes the bound, and NaN is stored as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamp {
    pub low: f32,
    pub high: f32,
}

impl Clamp {
    /// Stores every value.
    pub const NONE: Clamp = Clamp { low: f32::NEG_INFINITY, high: f32::INFINITY };

    /// `x` as it is stored.
    #[inline(always)]
    pub fn of(self, x: f32) -> f32 {
        let x = if x < self.low { self.low } else { x };
        if x > self.high { self.high } else { x }
    }
}

/// The product of `factors`, a length; `None` when no memory is so long.
#[inline(always)]
fn length<const N: usize>(factors: [usize; N]) -> Option<usize> {
    factors.into_iter().try_fold(1usize, usize::checked_mul)
}

/// Instructions that this machine has been seen to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

impl Isa {
    /// All that this machine has, the fastest first.
    pub fn all() -> Vec<Isa> {
        #[allow(unused_mut)] // where there is nothing faster
        let mut kinds = vec![Kind::Portable];
        // Every processor of this kind has it.
        #[cfg(target_arch = "aarch64")]
        kinds.push(Kind::Neon);
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") {
                kinds.push(Kind::Avx2);
            }
            if has!("avx512f") {
                kinds.push(Kind::Avx512);
            }
        }
        kinds.into_iter().rev().map(Isa).collect()
    }

    /// The fastest that this machine has.
    pub fn best() -> Isa {
        Isa::all()[0]
    }

    /// `avx512`, `avx2`, `neon` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
            Kind::Portable => "portable",
        }
    }

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "NEON",
            Kind::Portable => "portable code",
        }
    }

    /// Blocks of the output channels that [`product`] computes together, in order: they sum up to `blocks`. None
    /// begins at an odd block where there are two of them or more to a panel, so that `blocks` can be cut at any
    /// even number from 4 on.
    pub fn panels(self, blocks: usize) -> Vec<usize> {
        match self.0 {
            // 14 pixels by two vectors fill the registers; nine by three are nearly as good, one vector is not.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 if blocks == 3 => vec![3],
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => (0..blocks).step_by(2).map(|first| (blocks - first).min(2)).collect(),
            _ => vec![1; blocks],
        }
    }

    /// Runs `work` compiled for these instructions; it must be `#[inline(always)]`.
    pub fn compiled<R>(self, work: impl FnOnce() -> R) -> R {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f")]
        fn avx512<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        match self.0 {
            // SAFETY: an Isa of this kind is made only where the processor has these features.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { avx512(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2(work) },
            // What every processor of the target has is always compiled for.
            _ => work(),
        }
    }
}
