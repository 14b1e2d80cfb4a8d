//! The product of pixels with a matrix: a tile of pixels by a panel of output channels, its sums in registers.

use super::{
    BLOCK, Clamp, Isa, Kind,
    lanes::{Four, Lanes},
    length,
};

/// `dst[pixel] = act(bias + src[pixel] weight)` over one panel of output channels.
///
/// The inputs of a pixel are `runs` runs of `run` scalars, each run in blocks of its own, the last of which may
/// be filled in part.
pub struct Product<'a> {
    /// `[runs][ceil(run / 16)][src_pixels][16]`.
    pub src: &'a [f32],
    /// Pixels of a block of `src`.
    pub src_pixels: usize,
    /// The pixel of `src` that the first of `dst` is computed from.
    pub first: usize,
    pub runs: usize,
    pub run: usize,
    /// `[runs][run][panel * 16]`.
    pub weight: &'a [f32],
    /// `[panel * 16]`.
    pub bias: &'a [f32],
    pub clamp: Clamp,
}

/// Computes the blocks `dst` of one panel, each `[pixels][16]`.
///
/// # Panics
/// When a slice does not have the length that its shape says.
pub fn product(isa: Isa, what: &Product, dst: &mut [&mut [f32]]) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512(what: &Product, dst: &mut [&mut [f32]]) {
        use std::arch::x86_64::__m512;
        // SAFETY: this function is called only where the processor has the instructions.
        unsafe {
            match dst.len() {
                1 => tiles::<__m512, 1>(what, dst),
                2 => tiles::<__m512, 2>(what, dst),
                3 => tiles::<__m512, 3>(what, dst),
                other => unreachable!("a panel of {other} blocks"),
            }
        }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(what: &Product, dst: &mut [&mut [f32]]) {
        // SAFETY: as above.
        unsafe { tiles::<std::arch::x86_64::__m256, 2>(what, dst) }
    }
    match isa.0 {
        // SAFETY: an Isa of this kind is made only where the processor has these features.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { avx512(what, dst) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { avx2(what, dst) },
        // SAFETY: every processor of this target has the instructions.
        #[cfg(target_arch = "aarch64")]
        Kind::Neon => unsafe { tiles::<std::arch::aarch64::float32x4_t, 4>(what, dst) },
        // SAFETY: every processor has the instructions of Four.
        Kind::Portable => unsafe { tiles::<Four, 4>(what, dst) },
    }
}

/// Cuts the pixels into tiles of about the same size, the largest that the registers hold.
///
/// # Safety
/// The processor must have the instructions of `V`.
#[inline(always)]
unsafe fn tiles<V: Lanes, const N: usize>(what: &Product, dst: &mut [&mut [f32]]) {
    let pixels = dst[0].len() / BLOCK;
    assert_eq!(dst.len() * BLOCK, N * V::LANES);
    assert!(dst.iter().all(|dst| dst.len() == pixels * BLOCK));
    // The lengths are counted so that none wraps.
    let src = length([what.runs, what.run.div_ceil(BLOCK), what.src_pixels, BLOCK]);
    assert!(what.runs > 0 && what.run > 0 && src.is_some_and(|len| len <= what.src.len()));
    assert!(what.first.checked_add(pixels).is_some_and(|end| end <= what.src_pixels));
    assert_eq!(length([what.runs, what.run, N, V::LANES]), Some(what.weight.len()));
    assert_eq!(what.bias.len(), N * V::LANES);
    let tiles = pixels.div_ceil(V::SUMS / N);
    let mut at = 0;
    for tile in 0..tiles {
        let count = (pixels - at).div_ceil(tiles - tile);
        macro_rules! of {
            ($($pixels:literal)*) => {
                match count {
                    // SAFETY: by the assertions the tile lies within every slice; the caller vouches for V.
                    $($pixels if $pixels * N <= V::SUMS => unsafe { tile_of::<V, $pixels, N>(what, at, dst) },)*
                    other => unreachable!("a tile of {other} pixels"),
                }
            };
        }
        of!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28);
        at += count;
    }
}

/// Inputs whose weights are asked of the outer caches ahead of time.
const AHEAD: usize = 32;

/// `P` pixels from `at` on by `N` vectors.
///
/// # Safety
/// The tile must lie within the slices, and the processor must have the instructions of `V`.
#[inline(always)]
unsafe fn tile_of<V: Lanes, const P: usize, const N: usize>(
    what: &Product,
    at: usize,
    dst: &mut [&mut [f32]],
) {
    // SAFETY: the caller's. A block of src has src_pixels * 16 scalars, of which the tile's are P * 16 from
    // pixel first + at; the weights go on by N vectors for each input.
    unsafe {
        let mut sums = [[V::load(what.bias.as_ptr()); N]; P];
        for n in 1..N {
            let bias = V::load(what.bias.as_ptr().add(n * V::LANES));
            for sums in &mut sums {
                sums[n] = bias;
            }
        }
        let mut weight = what.weight.as_ptr();
        let mut block = what.src.as_ptr().add((what.first + at) * BLOCK);
        for _ in 0..what.runs {
            let mut left = what.run;
            while left > 0 {
                let count = left.min(BLOCK);
                let mut src = block;
                for _ in 0..count {
                    let mut weights = [V::load(weight); N];
                    for (n, weights) in weights.iter_mut().enumerate() {
                        *weights = V::load(weight.add(n * V::LANES));
                    }
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let value = V::splat(src.add(p * BLOCK));
                        for (sum, &weight) in sums.iter_mut().zip(&weights) {
                            *sum = sum.plus(value, weight);
                        }
                    }
                    for n in 0..N {
                        V::prefetch(weight.wrapping_add((AHEAD * N + n) * V::LANES));
                    }
                    weight = weight.add(N * V::LANES);
                    src = src.add(1);
                }
                block = block.wrapping_add(what.src_pixels * BLOCK);
                left -= count;
            }
        }
        let (low, high) = (V::splat(&what.clamp.low), V::splat(&what.clamp.high));
        for (p, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let dst = dst.get_unchecked_mut(n * V::LANES / BLOCK).as_mut_ptr();
                sum.clamp(low, high).store(dst.add((at + p) * BLOCK + n * V::LANES % BLOCK));
            }
        }
    }
}
