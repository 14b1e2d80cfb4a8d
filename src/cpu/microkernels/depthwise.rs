//! The convolution of each channel by itself, channels in lanes, walking along rows.

use std::{array::from_fn, ops::Range};

use super::{
    BLOCK, Clamp, Isa, Kind,
    lanes::{Four, Lanes},
    length,
};
use crate::graph::Window;

/// One block of channels, each convolved by itself: `dst[pixel] = act(bias + sum of taps)`.
pub struct Depthwise<'a> {
    /// `[pictures][h][w][16]`.
    pub src: &'a [f32],
    pub h: usize,
    pub w: usize,
    pub window: Window,
    /// `[rows of the kernel][its columns][16]`.
    pub taps: &'a [f32],
    /// `[16]`.
    pub bias: &'a [f32],
    pub clamp: Clamp,
    /// `[w][16]` zeros, read where the kernel hangs over the map's edge.
    pub zeros: &'a [f32],
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
    let &Depthwise { src, h, w, window, zeros, .. } = what;
    // The lengths are counted so that none wraps.
    let [dst_h, dst_w] = [(0, h), (1, w)].map(|(axis, src)| window.dst_len(axis, src).expect("an output"));
    let area = length(window.kernel).expect("a length");
    let pictures = src.len() / length([h, w, BLOCK]).expect("a length");
    assert!(src.len() == pictures * h * w * BLOCK);
    assert!(length([pictures, dst_h, dst_w]).is_some_and(|end| pixels.end <= end));
    assert!(area > 0 && length([area, BLOCK]) == Some(what.taps.len()));
    assert!(what.bias.len() == BLOCK && zeros.len() == w * BLOCK);
    assert_eq!(length([pixels.len(), BLOCK]), Some(dst.len()));
    // The stride of a 3x3 kernel without gaps that begins one pixel before the map and ends at most one past it.
    let few_by = match window.as_square() {
        Some([3, stride @ (1 | 2), 1]) if w >= 2 => Some(stride),
        _ => None,
    };
    // Outputs of such a kernel that lies within a row
    let middle = 1..w.saturating_sub(2) / few_by.unwrap_or(1) + 1;
    for half in (0..BLOCK).step_by(V::LANES) {
        // SAFETY: there are 16 of each tap and of the bias. The caller vouches for V.
        let (taps, bias) = unsafe {
            let tap = |at: usize| V::load(what.taps.as_ptr().add(at.min(area - 1) * BLOCK + half));
            let taps: [[V; 3]; 3] = from_fn(|ky| from_fn(|kx| tap(ky * 3 + kx)));
            (taps, V::load(what.bias.as_ptr().add(half)))
        };
        // SAFETY: each splat reads one scalar. The caller vouches for V.
        let (low, high) = unsafe { (V::splat(&what.clamp.low), V::splat(&what.clamp.high)) };
        let few = Few { taps, bias, low, high };
        let (mut at, mut dst) = (pixels.start, &mut *dst);
        while at < pixels.end {
            let (row, x) = (at / dst_w, at % dst_w);
            let (picture, y) = (row / dst_h, row % dst_h);
            let end = dst_w.min(x + pixels.end - at);
            at += end - x;
            let (out, rest) = dst.split_at_mut((end - x) * BLOCK);
            dst = rest;
            let picture = &src[picture * h * w * BLOCK..][..h * w * BLOCK];
            let Some(stride) = few_by else {
                // SAFETY: the picture has h rows of w pixels, the outputs x..end of row y exist and have end - x
                // pixels in out; taps, bias and zeros have the lengths asserted above. The caller vouches for V.
                unsafe { strips::<V>(what, picture, y, x..end, half, out) };
                continue;
            };
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
    low: V,
    high: V,
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
            unsafe { sum.clamp(self.low, self.high).store(dst.add(at * BLOCK)) };
        }
    }
}

/// The most outputs of [`strip`].
const LONG: usize = 8;

/// Outputs `columns` of row `y`, of any kernel, any part of which may lie outside of the picture.
///
/// # Safety
/// `picture` must be `[h][w][16]`, the outputs must exist, `dst` must have 16 scalars for each of them, and `taps`, `bias`
/// and `zeros` must have the lengths that [`Depthwise`] says; the processor must have the instructions of `V`.
#[inline(always)]
unsafe fn strips<V: Lanes>(
    what: &Depthwise,
    picture: &[f32],
    y: usize,
    columns: Range<usize>,
    half: usize,
    dst: &mut [f32],
) {
    let &Depthwise { w, window: Window { kernel, stride, dilation, padding }, .. } = what;
    let parts = columns.len().div_ceil(LONG);
    let mut at = columns.start;
    for part in 0..parts {
        let count = (columns.end - at).div_ceil(parts - part);
        let first = at * stride[1];
        let last = (at + count - 1) * stride[1] + (kernel[1] - 1) * dilation[1];
        let inside = first >= padding[1][0] && last - padding[1][0] < w;
        let dst = &mut dst[(at - columns.start) * BLOCK..][..count * BLOCK];
        macro_rules! of {
            ($($outputs:literal)*) => {
                match (count, inside) {
                    // SAFETY: the outputs exist and fill dst, and those that are inside read no column outside of
                    // the row; the rest is the caller's.
                    $(($outputs, true) => unsafe { strip::<V, $outputs, true>(what, picture, y, at, half, dst) },
                    ($outputs, false) => unsafe { strip::<V, $outputs, false>(what, picture, y, at, half, dst) },)*
                    other => unreachable!("a strip of {other:?}"),
                }
            };
        }
        of!(1 2 3 4 5 6 7 8);
        at += count;
    }
}

/// `P` outputs of row `y`, the first of which is `x`; `INSIDE` says that no column of theirs is outside of the picture.
/// Rows outside are left out, columns outside are zeros.
///
/// # Safety
/// As [`strips`].
#[inline(always)]
unsafe fn strip<V: Lanes, const P: usize, const INSIDE: bool>(
    what: &Depthwise,
    picture: &[f32],
    y: usize,
    x: usize,
    half: usize,
    dst: &mut [f32],
) {
    let &Depthwise { h, w, window: Window { kernel, stride, dilation, padding }, .. } = what;
    // SAFETY: rows are those whose number is below h, columns those whose number is below w, which is so of all where
    // INSIDE is true; zeros, taps, bias and dst have 16 scalars for all that is read and written. V is the caller's.
    unsafe {
        let zeros = what.zeros.as_ptr().add(half);
        let mut sums = [V::load(what.bias.as_ptr().add(half)); P];
        for ky in 0..kernel[0] {
            let Some(row) = what.window.under(0, y, ky, h) else { continue };
            let row = picture.as_ptr().add(row * w * BLOCK + half);
            let mut tap = what.taps.as_ptr().add(ky * kernel[1] * BLOCK + half);
            for kx in 0..kernel[1] {
                let weight = V::load(tap);
                for (p, sum) in sums.iter_mut().enumerate() {
                    let place = (x + p) * stride[1] + kx * dilation[1];
                    let column = place.wrapping_sub(padding[1][0]);
                    let from = if INSIDE || column < w { row.add(column * BLOCK) } else { zeros };
                    *sum = sum.plus(V::load(from), weight);
                }
                tap = tap.wrapping_add(BLOCK);
            }
        }
        let (low, high) = (V::splat(&what.clamp.low), V::splat(&what.clamp.high));
        for (p, &sum) in sums.iter().enumerate() {
            sum.clamp(low, high).store(dst.as_mut_ptr().add(p * BLOCK + half));
        }
    }
}
