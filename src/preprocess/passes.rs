//! What is computed for one picture, as plain numbers: two passes of the resize, then the normalization.
//!
//! The structs are the uniforms of `shaders/resize.wgsl` and `shaders/normalize.wgsl`, and what the host
//! follows as well: another picture is other numbers, never another program.

use super::{Colour, Geometry, Interpolation, PixelFormat, Preprocess, View};
use crate::error::Result;

/// One pass of the resize along one axis, over pixels of 4 bytes.
///
/// Pixel (x, y) of `dst` (`[height, width]`, dense) is output `start + along` of line `across`, where
/// `(along, across)` is `(y, x)` in a vertical pass and `(x, y)` in a horizontal one. Tap `t` of that line is
/// `src[origin + t * step_along + across * step_across]`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Pass {
    /// Columns of `dst`.
    pub width: u32,
    /// Rows of `dst`.
    pub height: u32,
    /// 1 when the resize is along y, else 0.
    pub vertical: u32,
    /// 1 for the bicubic filter, 0 for the bilinear one.
    pub cubic: u32,
    /// 1 when red and blue change places on the way, else 0.
    pub swap: u32,
    /// Where tap 0 of line 0 would lie in `src`, in pixels; may lie before its beginning.
    pub origin: i32,
    /// From a tap to the next, in pixels.
    pub step_along: i32,
    /// From a line to the next, in pixels.
    pub step_across: i32,
    /// Pixels of the source along the axis.
    pub length: u32,
    /// Pixels of the whole resized picture along the axis.
    pub resized: u32,
    /// The first of them that is computed.
    pub start: u32,
    /// The centre of `start` in the source is at `whole + rest / (2 * resized)`, in pixels.
    pub whole: u32,
    /// See `whole`.
    pub rest: u32,
    /// Not 0 when a pixel is read as its luma, with zeros beside it: 1 with red first, 2 with blue first.
    pub grey: u32,
    /// To the multiple of 16 bytes that a uniform takes.
    pub padding: [u32; 2],
}

/// From the crop's 8-bit pixels to the network's input.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Normalize {
    /// Columns of the input.
    pub width: u32,
    /// Rows of the input.
    pub height: u32,
    /// Columns of padding on the left.
    pub left: u32,
    /// Rows of padding above.
    pub top: u32,
    /// Columns of `src`.
    pub columns: u32,
    /// Rows of `src`.
    pub rows: u32,
    /// The padding's colour, packed as pixels are: red in the low byte.
    pub fill: u32,
    /// The pixel of `dst` at which the picture begins: `width * height` times its place in the batch.
    pub start: u32,
    /// Subtracted from value / 255; the fourth is 0.
    pub mean: [f32; 4],
    /// Divides each channel last; the fourth is 1.
    pub std: [f32; 4],
}

/// All that is computed for one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passes {
    /// From the bytes of a [`View`] to the intermediate picture, in running order.
    pub first: Pass,
    /// From the intermediate picture to the crop.
    pub second: Pass,
    /// From the crop to the input.
    pub normalize: Normalize,
}

/// One axis of the resize.
#[derive(Clone, Copy)]
struct Axis {
    /// Pixels of the source, and of the whole resized picture.
    length: usize,
    resized: usize,
    /// The part of the resized picture that the crop shows.
    start: usize,
    len: usize,
    /// Pixels of the input before it.
    padding: usize,
}

impl Axis {
    fn new(length: usize, resized: usize, offset: i32, target: usize) -> Axis {
        let start = offset.max(0) as usize;
        let padding = offset.min(0).unsigned_abs() as usize;
        Axis { length, resized, start, len: (resized - start).min(target - padding), padding }
    }

    /// The source pixels that the shown part may read, one to spare on each side: where a bound is a
    /// whole number, f64 and a device's integers may differ by a tap (of weight 0).
    fn reach(self, interpolation: Interpolation) -> std::ops::Range<usize> {
        let taps = |i| super::resample::taps(self.length, self.resized, i, interpolation);
        let (first, last) = (taps(self.start), taps(self.start + self.len - 1));
        first.start.saturating_sub(1)..(last.end + 1).min(self.length)
    }

    /// The pass along this axis over `across` lines.
    fn pass(self, vertical: bool, across: usize, [origin, step_along, step_across]: [i64; 3]) -> Pass {
        let (width, height) = if vertical { (across, self.len) } else { (self.len, across) };
        let centre = (2 * self.start as u64 + 1) * self.length as u64;
        let unit = 2 * self.resized as u64;
        let address = |pixels: i64| i32::try_from(pixels).expect("a view's pixels are addressed by i32");
        Pass {
            width: width as u32,
            height: height as u32,
            vertical: vertical.into(),
            cubic: 0,
            swap: 0,
            origin: address(origin),
            step_along: address(step_along),
            step_across: address(step_across),
            length: self.length as u32,
            resized: self.resized as u32,
            start: self.start as u32,
            whole: (centre / unit) as u32,
            rest: (centre % unit) as u32,
            grey: 0,
            padding: [0; 2],
        }
    }
}

impl Preprocess {
    /// What is read of a picture of `size` (width, height), as it stands after crop and rotation: left, top, width and
    /// height. The pixels around it may hold anything.
    ///
    /// # Errors
    /// As [`Preprocess::geometry`].
    pub fn region(&self, size: (usize, usize)) -> Result<[usize; 4]> {
        let Geometry { resized, offset, .. } = self.geometry(size)?;
        let reach = |length, resized, offset, target| {
            Axis::new(length, resized, offset, target).reach(self.interpolation)
        };
        let x = reach(size.0, resized.0, offset.0, self.size.1);
        let y = reach(size.1, resized.1, offset.1, self.size.0);
        Ok([x.start, y.start, x.len(), y.len()])
    }
}

impl Passes {
    /// What makes the input of `preprocess` from a picture.
    ///
    /// # Errors
    /// As [`Preprocess::geometry`].
    pub fn new(preprocess: &Preprocess, view: &View) -> Result<Passes> {
        let Geometry { resized, offset, fill } = preprocess.geometry(view.size)?;
        let (height, width) = preprocess.size;
        let x = Axis::new(view.size.0, resized.0, offset.0, width);
        let y = Axis::new(view.size.1, resized.1, offset.1, height);

        // The order decides what is rounded and clipped in between, so it is PIL's.
        let shrink = |axis: Axis| axis.length as i64 - axis.resized as i64;
        let vertical = shrink(y) > 0 && shrink(y) > 2 * shrink(x);
        let [origin, step_x, step_y] = [view.origin, view.step_x, view.step_y].map(i64::from);
        let ((a, step_a), (b, step_b)) =
            if vertical { ((y, step_y), (x, step_x)) } else { ((x, step_x), (y, step_y)) };
        let lines = b.reach(preprocess.interpolation);
        let skipped = lines.start as i64;

        let cubic = u32::from(preprocess.interpolation == Interpolation::Bicubic);
        let blue_first = view.format == PixelFormat::Bgra8;
        let (swap, grey) = match preprocess.colour {
            Colour::Rgb => (blue_first.into(), 0),
            Colour::Grey => (0, 1 + u32::from(blue_first)),
        };
        let first = a.pass(vertical, lines.len(), [origin + skipped * step_b, step_a, step_b]);
        let row = i64::from(first.width);
        let source = if vertical { [-skipped, 1, row] } else { [-skipped * row, row, 1] };
        let second = b.pass(!vertical, a.len, source);

        // What lies beside grey is 0, and stays 0.
        let beside = |values: [f32; 3], beside: f32| match preprocess.colour {
            Colour::Rgb => values,
            Colour::Grey => [values[0], beside, beside],
        };
        let ([mr, mg, mb], [sr, sg, sb]) = (beside(preprocess.mean, 0.0), beside(preprocess.std, 1.0));
        let fill = match preprocess.colour {
            Colour::Rgb => fill,
            Colour::Grey => [fill[0], 0, 0],
        };
        let normalize = Normalize {
            width: width as u32,
            height: height as u32,
            left: x.padding as u32,
            top: y.padding as u32,
            columns: x.len as u32,
            rows: y.len as u32,
            fill: u32::from_le_bytes([fill[0], fill[1], fill[2], 255]),
            start: 0,
            mean: [mr, mg, mb, 0.0],
            std: [sr, sg, sb, 1.0],
        };
        Ok(Passes { first: Pass { cubic, swap, grey, ..first }, second: Pass { cubic, ..second }, normalize })
    }

    /// Pixels (of 4 bytes) of the intermediate picture.
    pub fn intermediate(&self) -> usize {
        self.first.pixels()
    }

    /// Pixels (of 4 bytes) of the crop, padding excluded.
    pub fn crop(&self) -> usize {
        self.second.pixels()
    }

    /// Whether both passes may be one dispatch, in which an invocation reads all the taps behind its pixel: for a
    /// picture up to about three times the input's height and width, or one and a half times where the filter is
    /// cubic. The taps grow with the product of both ways, and those of two passes with the sum.
    pub fn at_once(&self) -> bool {
        self.first.most_taps() * self.second.most_taps() <= 64
    }

    /// Invocations of the three dispatches: one per pixel that is written.
    pub fn invocations(&self) -> [usize; 3] {
        [self.intermediate(), self.crop(), self.normalize.width as usize * self.normalize.height as usize]
    }

    /// Workgroups of the three dispatches, of 64 invocations each, folded to at most `limit` per dimension.
    pub fn grids(&self, limit: u32) -> [[u32; 3]; 3] {
        self.invocations().map(|invocations| {
            let groups = invocations.div_ceil(64);
            let rows = groups.div_ceil(limit as usize).max(1);
            [groups.div_ceil(rows) as u32, rows as u32, 1]
        })
    }
}

impl Pass {
    /// Pixels of `dst`.
    pub fn pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// The most taps of one output.
    pub fn most_taps(&self) -> usize {
        let reach = if self.cubic == 1 { 2 } else { 1 };
        2 * reach * self.length.max(self.resized) as usize / self.resized as usize + 2
    }

    /// A pixel's luma as PIL has it, and zeros beside it; the pixel itself where it is not asked for.
    pub(super) fn luma(&self, [r, g, b, a]: [u8; 4]) -> [u8; 4] {
        let (r, b) = match self.grey {
            0 => return [r, g, b, a],
            1 => (r, b),
            _ => (b, r),
        };
        let sum = 19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000;
        [(sum >> 16) as u8, 0, 0, 0]
    }

    /// The filter.
    pub fn interpolation(&self) -> Interpolation {
        if self.cubic == 1 { Interpolation::Bicubic } else { Interpolation::Bilinear }
    }
}
