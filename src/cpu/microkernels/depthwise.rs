//! The convolution of each channel by itself, channels in lanes, walking along rows.

use std::ops::Range;

use super::{
    BLOCK, Isa, Kind,
    lanes::{Four, Lanes},
};

/// One block of channels, each convolved by itself: `dst[pixel] = act(bias + sum of taps)`.
pub struct Depthwise<'a> {
    /// `[pictures][h][w][16]`.
    pub src: &'a [f32],
    pub h: usize,
    pub w: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    /// `[kernel][kernel][16]`.
    pub taps: &'a [f32],
    /// `[16]`.
    pub bias: &'a [f32],
    pub relu: bool,
    /// `[w][16]` zeros, read where a 3x3 kernel hangs over the map's edge.
    pub zeros: &'a [f32],
}

impl Depthwise<'_> {
    fn dst_len(&self, src: usize) -> usize {
        (src + 2 * self.padding - self.kernel) / self.stride + 1
    }
}

/// Computes the output pixels `pixels`, counted through all pictures, into `dst`, `[pixels][16]`.
///
/// # Panics
/// When a slice does not have the length that its shape says.
pub fn depthwise(isa: Isa, what: &Depthwise, pixels: Range<usize>, dst: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512(what: &Depthwise, pixels: Range<usize>, dst: &mut [f32]) {
        // SAFETY: this function is called only where the processor has the instructions.
        unsafe { rows::<std::arch::x86_64::__m512>(what, pixels, dst) }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(what: &Depthwise, pixels: Range<usize>, dst: &mut [f32]) {
        // SAFETY: as above.
        unsafe { rows::<std::arch::x86_64::__m256>(what, pixels, dst) }
    }
    match isa.0 {
        // SAFETY: an Isa of this kind is made only where the processor has these features.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { avx512(what, pixels, dst) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { avx2(what, pixels, dst) },
        // SAFETY: every processor has the instructions of Four.
        Kind::Portable => unsafe { rows::<Four>(what, pixels, dst) },
    }
}

/// Cuts the pixels into parts of rows, and these into edges and what lies between.
///
/// # Safety
/// The processor must have the instructions of `V`.
#[inline(always)]
unsafe fn rows<V: Lanes>(what: &Depthwise, pixels: Range<usize>, dst: &mut [f32]) {
    let &Depthwise { src, h, w, kernel, stride, padding, zeros, .. } = what;
    let (dst_h, dst_w) = (what.dst_len(h), what.dst_len(w));
    let pictures = src.len() / (h * w * BLOCK);
    assert!(src.len() == pictures * h * w * BLOCK && pixels.end <= pictures * dst_h * dst_w);
    assert!(what.taps.len() == kernel * kernel * BLOCK && what.bias.len() == BLOCK);
    assert!(zeros.len() == w * BLOCK && dst.len() == pixels.len() * BLOCK);
    // Outputs whose kernel lies within a row
    let middle = padding.div_ceil(stride)..match w + padding >= kernel {
        true => (w + padding - kernel) / stride + 1,
        false => 0,
    };
    let (mut at, mut dst) = (pixels.start, dst);
    while at < pixels.end {
        let (row, x) = (at / dst_w, at % dst_w);
        let (picture, y) = (row / dst_h, row % dst_h);
        let end = dst_w.min(x + pixels.end - at);
        at += end - x;
        let (out, rest) = dst.split_at_mut((end - x) * BLOCK);
        dst = rest;
        let picture = &src[picture * h * w * BLOCK..][..h * w * BLOCK];
        let row = |ky: usize| match (y * stride + ky).checked_sub(padding) {
            Some(y) if y < h => &picture[y * w * BLOCK..][..w * BLOCK],
            _ => zeros,
        };
        let (left, right) = (middle.start.clamp(x, end), middle.end.clamp(x, end));
        let (left, right) = if kernel == 3 && stride <= 2 { (left, right.max(left)) } else { (end, end) };
        for half in (0..BLOCK).step_by(V::LANES) {
            // SAFETY: the columns of the middle read within the three rows, each of w pixels; an edge reads the
            // taps that lie within the picture; x..end has end - x pixels in out. The caller vouches for V.
            unsafe {
                edge::<V>(what, picture, y, x..left, half, &mut out[..(left - x) * BLOCK]);
                let strip = &mut out[(left - x) * BLOCK..(right - x) * BLOCK];
                if right > left {
                    let rows = [row(0), row(1), row(2)];
                    match stride {
                        1 => strip_of::<V, 1>(what, rows, left - padding, half, strip),
                        _ => strip_of::<V, 2>(what, rows, left * 2 - padding, half, strip),
                    }
                }
                edge::<V>(what, picture, y, right..end, half, &mut out[(right - x) * BLOCK..]);
            }
        }
    }
}

/// Outputs next to each other that load what they share once.
const STRIP: usize = 4;

/// Outputs of one row of a 3x3 kernel, the first of which reads from column `column` on.
///
/// # Safety
/// All columns read must lie within the rows; the processor must have the instructions of `V`.
#[inline(always)]
unsafe fn strip_of<V: Lanes, const STRIDE: usize>(
    what: &Depthwise,
    rows: [&[f32]; 3],
    column: usize,
    half: usize,
    dst: &mut [f32],
) {
    // SAFETY: the caller's.
    unsafe {
        let bias = V::load(what.bias.as_ptr().add(half));
        let taps: [[V; 3]; 3] = std::array::from_fn(|ky| {
            std::array::from_fn(|kx| V::load(what.taps.as_ptr().add((ky * 3 + kx) * BLOCK + half)))
        });
        let rows = rows.map(|row| row.as_ptr().add(column * BLOCK + half));
        let pixels = dst.len() / BLOCK;
        let dst = dst.as_mut_ptr().add(half);
        let one = |x: usize| {
            let mut sum = bias;
            for (row, taps) in rows.iter().zip(&taps) {
                for (kx, &tap) in taps.iter().enumerate() {
                    sum = sum.plus(V::load(row.add((x * STRIDE + kx) * BLOCK)), tap);
                }
            }
            sum
        };
        let store = |x: usize, sum: V| {
            let sum = if what.relu { sum.relu() } else { sum };
            sum.store(dst.add(x * BLOCK));
        };
        let mut x = 0;
        while x + STRIP <= pixels {
            let mut sums = [bias; STRIP];
            for (row, taps) in rows.iter().zip(&taps) {
                for (kx, &tap) in taps.iter().enumerate() {
                    for (at, sum) in sums.iter_mut().enumerate() {
                        let value = V::load(row.add(((x + at) * STRIDE + kx) * BLOCK));
                        *sum = sum.plus(value, tap);
                    }
                }
            }
            for (at, &sum) in sums.iter().enumerate() {
                store(x + at, sum);
            }
            x += STRIP;
        }
        while x < pixels {
            store(x, one(x));
            x += 1;
        }
    }
}

/// Outputs `columns` of row `y`, of whose kernels any part may lie outside of the picture.
///
/// # Safety
/// The processor must have the instructions of `V`.
#[inline(always)]
unsafe fn edge<V: Lanes>(
    what: &Depthwise,
    picture: &[f32],
    y: usize,
    columns: Range<usize>,
    half: usize,
    dst: &mut [f32],
) {
    let &Depthwise { h, w, kernel, stride, padding, .. } = what;
    let inside = |at: usize, len: usize| {
        padding.saturating_sub(at * stride).min(kernel)
            ..(len + padding).saturating_sub(at * stride).min(kernel)
    };
    for (x, dst) in columns.zip(dst.chunks_exact_mut(BLOCK)) {
        // SAFETY: ky and kx are those whose row and column lie within the picture. The caller vouches for V.
        unsafe {
            let mut sum = V::load(what.bias.as_ptr().add(half));
            for ky in inside(y, h) {
                for kx in inside(x, w) {
                    let from = (y * stride + ky - padding) * w + x * stride + kx - padding;
                    let value = V::load(picture.as_ptr().add(from * BLOCK + half));
                    sum = sum.plus(value, V::load(what.taps.as_ptr().add((ky * kernel + kx) * BLOCK + half)));
                }
            }
            let sum = if what.relu { sum.relu() } else { sum };
            sum.store(dst.as_mut_ptr().add(half));
        }
    }
}
