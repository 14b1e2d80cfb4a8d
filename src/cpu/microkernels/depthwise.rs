//! The convolution of each channel by itself, channels in lanes, walking along rows.

use std::{array::from_fn, ops::Range};

use super::{
    BLOCK, Isa, Kind,
    lanes::{Four, Lanes},
    length,
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
    /// Outputs of `src` rows or columns; `None` when the kernel is longer than they are.
    fn dst_len(&self, src: usize) -> Option<usize> {
        let padded = src.checked_add(self.padding.checked_mul(2)?)?;
        Some(padded.checked_sub(self.kernel)? / self.stride + 1)
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
        // SAFETY: every processor of this target has the instructions.
        #[cfg(target_arch = "aarch64")]
        Kind::Neon => unsafe { rows::<std::arch::aarch64::float32x4_t>(what, pixels, dst) },
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
    // The lengths are counted so that none wraps.
    let (dst_h, dst_w) = (what.dst_len(h).expect("an output"), what.dst_len(w).expect("an output"));
    let pictures = src.len() / length([h, w, BLOCK]).expect("a length");
    assert!(src.len() == pictures * h * w * BLOCK);
    assert!(length([pictures, dst_h, dst_w]).is_some_and(|end| pixels.end <= end));
    assert!(kernel > 0 && length([kernel, kernel, BLOCK]) == Some(what.taps.len()));
    assert!(what.bias.len() == BLOCK && zeros.len() == w * BLOCK);
    assert_eq!(length([pixels.len(), BLOCK]), Some(dst.len()));
    // Outputs of a 3x3 kernel that lies within a row
    let middle = 1..w.saturating_sub(2) / stride + 1;
    for half in (0..BLOCK).step_by(V::LANES) {
        // SAFETY: there are 16 of each tap and of the bias. The caller vouches for V.
        let (taps, bias) = unsafe {
            let tap = |at: usize| V::load(what.taps.as_ptr().add(at.min(kernel * kernel - 1) * BLOCK + half));
            let taps: [[V; 3]; 3] = from_fn(|ky| from_fn(|kx| tap(ky * 3 + kx)));
            (taps, V::load(what.bias.as_ptr().add(half)))
        };
        let few = Few { taps, bias, relu: what.relu };
        let (mut at, mut dst) = (pixels.start, &mut *dst);
        while at < pixels.end {
            let (row, x) = (at / dst_w, at % dst_w);
            let (picture, y) = (row / dst_h, row % dst_h);
            let end = dst_w.min(x + pixels.end - at);
            at += end - x;
            let (out, rest) = dst.split_at_mut((end - x) * BLOCK);
            dst = rest;
            let picture = &src[picture * h * w * BLOCK..][..h * w * BLOCK];
            if kernel != 3 || padding != 1 || w < 2 || stride > 2 {
                // SAFETY: x..end has end - x pixels in out. The caller vouches for V.
                unsafe { edge::<V>(what, picture, y, x..end, half, out) };
                continue;
            }
            let rows: [&[f32]; 3] = from_fn(|ky| match (y * stride + ky).checked_sub(1) {
                Some(y) if y < h => &picture[y * w * BLOCK..][..w * BLOCK],
                _ => zeros,
            });
            let (left, right) = (middle.start.clamp(x, end), middle.end.clamp(x, end).max(x.max(1).min(end)));
            // SAFETY: before the middle is the output 0, of whose taps all but the first column lie within the
            // rows of w pixels; in the middle all do; behind it is one output, with all but the last column.
            // x..end has end - x pixels in out. The caller vouches for V.
            unsafe {
                let out = out.as_mut_ptr().add(half);
                let rows = rows.map(|row| row.as_ptr().add(half));
                if x < left {
                    few.outputs::<1, 1, 1, 3>(rows, out);
                }
                let from = |x: usize| rows.map(|row| row.add((x * stride - 1) * BLOCK));
                let to = |at: usize| out.add((at - x) * BLOCK);
                let mut at = left;
                while at + STRIP <= right {
                    match stride {
                        1 => few.outputs::<1, STRIP, 0, 3>(from(at), to(at)),
                        _ => few.outputs::<2, STRIP, 0, 3>(from(at), to(at)),
                    }
                    at += STRIP;
                }
                while at < right {
                    few.outputs::<1, 1, 0, 3>(from(at), to(at));
                    at += 1;
                }
                if at < end {
                    few.outputs::<1, 1, 0, 2>(from(at), to(at));
                }
            }
        }
    }
}

/// Outputs next to each other that load what they share once.
const STRIP: usize = 4;

/// A 3x3 kernel of a vector of channels.
struct Few<V> {
    taps: [[V; 3]; 3],
    bias: V,
    relu: bool,
}

impl<V: Lanes> Few<V> {
    /// `P` outputs, `STRIDE` columns apart, of the kernel's columns `FROM..TO`, of which the first reads from the
    /// beginning of `rows` on.
    ///
    /// # Safety
    /// All that is read must lie within the rows, and all that is written, 16 scalars apart, within `dst`; the
    /// processor must have the instructions of `V`.
    #[inline(always)]
    unsafe fn outputs<const STRIDE: usize, const P: usize, const FROM: usize, const TO: usize>(
        &self,
        rows: [*const f32; 3],
        dst: *mut f32,
    ) {
        let mut sums = [self.bias; P];
        for (row, taps) in rows.iter().zip(&self.taps) {
            for (kx, &tap) in taps[FROM..TO].iter().enumerate() {
                for (at, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the caller's.
                    *sum = unsafe { sum.plus(V::load(row.add((at * STRIDE + kx) * BLOCK)), tap) };
                }
            }
        }
        for (at, &sum) in sums.iter().enumerate() {
            // SAFETY: the caller's.
            unsafe { if self.relu { sum.relu() } else { sum }.store(dst.add(at * BLOCK)) };
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
