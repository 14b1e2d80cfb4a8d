//! Cameras' pictures, luma and chroma apart, to RGBA on the host.

use super::pixels::{check_size, cropped};
use crate::error::{Error, Result};

/// How luma and chroma were made of red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum YuvMatrix {
    /// ITU-R BT.601: standard definition, JPEG, most webcams.
    Bt601,
    /// ITU-R BT.709: high definition, most phones.
    Bt709,
}

/// Which of the 256 values luma and chroma use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YuvRange {
    /// Luma 16 to 235, chroma 16 to 240.
    Limited,
    /// All of them, as in JPEG.
    Full,
}

/// Where luma and chroma lie.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum YuvPlanes<'a> {
    /// A plane of luma, and a plane of Cb and Cr side by side for every 2x2 pixels.
    Nv12 {
        /// A byte per pixel.
        luma: &'a [u8],
        /// Bytes from one row of luma to the next.
        luma_stride: usize,
        /// Two bytes per two pixels, in half as many rows.
        chroma: &'a [u8],
        /// Bytes from one row of chroma to the next.
        chroma_stride: usize,
    },
    /// Y, Cb, Y, Cr for every two pixels of a row.
    Yuyv {
        /// The rows.
        bytes: &'a [u8],
        /// Bytes from one row to the next.
        stride: usize,
    },
}

/// A camera's picture in memory, borrowed. Pixels that share their chroma have the same, wherever it was sampled.
#[derive(Clone, Copy, Debug)]
pub struct Yuv<'a> {
    /// The bytes; the last row of a plane may end with its last pixel.
    pub planes: YuvPlanes<'a>,
    /// Width and height, in pixels; odd ones have a last chroma of their own.
    pub size: (usize, usize),
    /// Left, top, width and height of the part to convert; all of it if `None`.
    pub crop: Option<[usize; 4]>,
    /// How it was made.
    pub matrix: YuvMatrix,
    /// Which values it uses.
    pub range: YuvRange,
}

/// Bits behind the point.
const FRACTION: u32 = 16;

/// What a step of luma, Cr or Cb adds to a colour, in 1/65536: the numbers of [`Yuv::to_rgba`], for shaders that do the
/// same. Cb and Cr count from 128; sums are rounded to the nearest, halves up, and then clamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YuvWeights {
    /// The luma of black, from which luma counts.
    pub black: i32,
    /// A step of luma, to all three.
    pub luma: i32,
    /// A step of Cr, to red.
    pub red_cr: i32,
    /// A step of Cb, to green.
    pub green_cb: i32,
    /// A step of Cr, to green.
    pub green_cr: i32,
    /// A step of Cb, to blue.
    pub blue_cb: i32,
}

impl YuvWeights {
    /// Those of a matrix and a range.
    pub fn new(matrix: YuvMatrix, range: YuvRange) -> YuvWeights {
        let (kr, kb) = match matrix {
            YuvMatrix::Bt601 => (0.299, 0.114),
            YuvMatrix::Bt709 => (0.2126, 0.0722),
        };
        let (black, luma, chroma) = match range {
            YuvRange::Limited => (16, 255.0 / 219.0, 255.0 / 224.0),
            YuvRange::Full => (0, 1.0, 1.0),
        };
        let kg = 1.0 - kr - kb;
        let fixed = |value: f64| (value * f64::from(1 << FRACTION)).round() as i32;
        YuvWeights {
            black,
            luma: fixed(luma),
            red_cr: fixed(2.0 * (1.0 - kr) * chroma),
            green_cb: fixed(-2.0 * kb * (1.0 - kb) / kg * chroma),
            green_cr: fixed(-2.0 * kr * (1.0 - kr) / kg * chroma),
            blue_cb: fixed(2.0 * (1.0 - kb) * chroma),
        }
    }

    /// What chroma, black and the rounding add to red, green and blue.
    fn tint(&self, cb: u8, cr: u8) -> [i32; 3] {
        let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
        let rest = (1 << (FRACTION - 1)) - self.luma * self.black;
        [rest + self.red_cr * cr, rest + self.green_cb * cb + self.green_cr * cr, rest + self.blue_cb * cb]
    }

    /// Red, green, blue and 255; sums are rounded to the nearest, halves up, and then clamped.
    fn rgba(&self, luma: u8, tint: [i32; 3]) -> [u8; 4] {
        let y = self.luma * i32::from(luma);
        let [r, g, b] = tint.map(|tint| ((y + tint) >> FRACTION).clamp(0, 255) as u8);
        [r, g, b, 255]
    }

    /// Both pixels of a pair.
    fn pair(&self, dst: &mut [u8], [first, second]: [u8; 2], cb: u8, cr: u8) {
        let tint = self.tint(cb, cr);
        dst[..4].copy_from_slice(&self.rgba(first, tint));
        dst[4..8].copy_from_slice(&self.rgba(second, tint));
    }
}

impl Yuv<'_> {
    /// Writes the part to use to `rgba`, rows of 4-byte pixels without gaps, and gives its width and height. What
    /// `rgba` held is lost, its memory is used again.
    ///
    /// The arithmetic is in integers of 16 bits behind the point: a value is within 0.51 of what the matrix gives.
    ///
    /// # Errors
    /// [`Error::Input`] naming what contradicts: a side of 0 or above 65,535, a stride below a row, too few bytes,
    /// a crop that is empty or leaves the picture.
    pub fn to_rgba(&self, rgba: &mut Vec<u8>) -> Result<(usize, usize)> {
        check_size(self.size)?;
        let (width, height) = self.size;
        let [left, top, w, h] = cropped(self.crop, self.size)?;
        let pairs = width.div_ceil(2);
        match self.planes {
            YuvPlanes::Nv12 { luma, luma_stride, chroma, chroma_stride } => {
                check_plane("luma", luma.len(), luma_stride, width, height)?;
                check_plane("chroma", chroma.len(), chroma_stride, 2 * pairs, height.div_ceil(2))?;
            }
            YuvPlanes::Yuyv { bytes, stride } => check_plane("YUYV", bytes.len(), stride, 4 * pairs, height)?,
        }
        let weights = YuvWeights::new(self.matrix, self.range);
        rgba.resize(4 * w * h, 0);
        // The first and the last pixel may have their neighbour of the same chroma outside: they are written apart.
        let odd = left % 2;
        for (y, row) in (top..).zip(rgba.chunks_exact_mut(4 * w)) {
            match self.planes {
                YuvPlanes::Nv12 { luma, luma_stride, chroma, chroma_stride } => {
                    let (luma, chroma) = (&luma[y * luma_stride..], &chroma[y / 2 * chroma_stride..]);
                    let lumas = luma[left + odd..].chunks_exact(2);
                    let chromas = chroma[left + odd..].chunks_exact(2);
                    for ((dst, luma), chroma) in row[4 * odd..].chunks_exact_mut(8).zip(lumas).zip(chromas) {
                        weights.pair(dst, [luma[0], luma[1]], chroma[0], chroma[1]);
                    }
                    for x in [left, left + w - 1] {
                        let at = x / 2 * 2;
                        let tint = weights.tint(chroma[at], chroma[at + 1]);
                        row[4 * (x - left)..][..4].copy_from_slice(&weights.rgba(luma[x], tint));
                    }
                }
                YuvPlanes::Yuyv { bytes, stride } => {
                    let bytes = &bytes[y * stride..];
                    let fours = bytes[2 * (left + odd)..].chunks_exact(4);
                    for (dst, four) in row[4 * odd..].chunks_exact_mut(8).zip(fours) {
                        weights.pair(dst, [four[0], four[2]], four[1], four[3]);
                    }
                    for x in [left, left + w - 1] {
                        let at = x / 2 * 4;
                        let tint = weights.tint(bytes[at + 1], bytes[at + 3]);
                        row[4 * (x - left)..][..4].copy_from_slice(&weights.rgba(bytes[2 * x], tint));
                    }
                }
            }
        }
        Ok((w, h))
    }
}

fn check_plane(name: &str, bytes: usize, stride: usize, row: usize, rows: usize) -> Result<()> {
    let refuse = |reason: String| Err(Error::Input(reason));
    if stride < row {
        return refuse(format!("{name} with stride {stride}: a row needs {row} bytes or more"));
    }
    match stride.checked_mul(rows - 1).and_then(|above| above.checked_add(row)) {
        Some(needed) if bytes >= needed => Ok(()),
        Some(needed) => {
            refuse(format!("{name} of {rows} rows with stride {stride} needs {needed} bytes, found {bytes}"))
        }
        None => refuse(format!("{name} with stride {stride}: {rows} such rows fit no memory")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: [(YuvMatrix, YuvRange); 4] = [
        (YuvMatrix::Bt601, YuvRange::Limited),
        (YuvMatrix::Bt601, YuvRange::Full),
        (YuvMatrix::Bt709, YuvRange::Limited),
        (YuvMatrix::Bt709, YuvRange::Full),
    ];

    /// The plain formula: luma and chroma to -0.5..0.5, and the matrix solved for the colours.
    fn exact(matrix: YuvMatrix, range: YuvRange, [y, cb, cr]: [u8; 3]) -> [f64; 3] {
        let (kr, kb) = if matrix == YuvMatrix::Bt601 { (0.299, 0.114) } else { (0.2126, 0.0722) };
        let [y, cb, cr] = [y, cb, cr].map(f64::from);
        let (y, pb, pr) = match range {
            YuvRange::Limited => ((y - 16.0) / 219.0, (cb - 128.0) / 224.0, (cr - 128.0) / 224.0),
            YuvRange::Full => (y / 255.0, (cb - 128.0) / 255.0, (cr - 128.0) / 255.0),
        };
        let red = y + 2.0 * (1.0 - kr) * pr;
        let blue = y + 2.0 * (1.0 - kb) * pb;
        let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
        [red, green, blue].map(|value| (value * 255.0).clamp(0.0, 255.0))
    }

    #[test]
    fn every_colour_is_the_nearest() {
        for (matrix, range) in WAYS {
            let weights = YuvWeights::new(matrix, range);
            for y in 0..=255 {
                for cb in 0..=255 {
                    // Every third, so that all pairs of remainders come.
                    for cr in ((y as u16 + cb as u16) as u8 % 3..=255).step_by(3) {
                        let found = weights.rgba(y, weights.tint(cb, cr));
                        for (found, exact) in found.iter().zip(exact(matrix, range, [y, cb, cr])) {
                            let off = (f64::from(*found) - exact).abs();
                            assert!(off <= 0.51, "{matrix:?} {range:?} {y} {cb} {cr}: {found} for {exact}");
                        }
                        assert_eq!(found[3], 255);
                    }
                }
            }
        }
    }

    /// Known colours, made by the standards' own formulas: white, black, and full red.
    #[test]
    fn known_colours() {
        let rows = [
            (WAYS[0], [235, 128, 128], [255, 255, 255]),
            (WAYS[0], [16, 128, 128], [0, 0, 0]),
            (WAYS[0], [81, 90, 240], [254, 0, 0]),
            (WAYS[1], [255, 128, 128], [255, 255, 255]),
            (WAYS[1], [76, 85, 255], [254, 0, 0]),
            (WAYS[2], [63, 102, 240], [255, 1, 0]),
            (WAYS[3], [54, 99, 255], [254, 0, 0]),
        ];
        for ((matrix, range), [y, cb, cr], expected) in rows {
            let weights = YuvWeights::new(matrix, range);
            let found = weights.rgba(y, weights.tint(cb, cr));
            assert_eq!(found[..3], expected, "{matrix:?} {range:?} {y} {cb} {cr}");
        }
    }

    /// Pixel by pixel, both layouts, odd sides, strides with gaps, crops, a last row that ends early.
    #[test]
    fn layouts_agree_with_the_formula() {
        let (matrix, range) = WAYS[2];
        let luma = |x: usize, y: usize| (x * 37 + y * 101) as u8;
        let chroma = |x: usize, y: usize, which: usize| (x / 2 * 53 + y * 29 + which * 90) as u8;
        for (size @ (width, height), crop) in [
            ((4usize, 2usize), None),
            ((5, 3), None),
            ((1, 1), None),
            ((7, 6), Some([1, 1, 5, 4])),
            ((7, 5), Some([3, 2, 4, 3])),
            ((6, 6), Some([5, 5, 1, 1])),
        ] {
            let pairs = width.div_ceil(2);
            let (luma_stride, chroma_stride, stride) = (width + 3, 2 * pairs + 5, 4 * pairs + 2);
            let mut y_plane = vec![0; luma_stride * (height - 1) + width];
            let mut c_plane = vec![0; chroma_stride * (height.div_ceil(2) - 1) + 2 * pairs];
            let mut bytes = vec![0; stride * (height - 1) + 4 * pairs];
            for y in 0..height {
                for x in 0..width {
                    y_plane[y * luma_stride + x] = luma(x, y);
                    bytes[y * stride + 2 * x] = luma(x, y);
                    for which in 0..2 {
                        c_plane[y / 2 * chroma_stride + x / 2 * 2 + which] = chroma(x, y / 2, which);
                        bytes[y * stride + x / 2 * 4 + 1 + 2 * which] = chroma(x, y, which);
                    }
                }
            }
            let nv12 = YuvPlanes::Nv12 { luma: &y_plane, luma_stride, chroma: &c_plane, chroma_stride };
            for (planes, rows) in [(nv12, 2), (YuvPlanes::Yuyv { bytes: &bytes, stride }, 1)] {
                let mut rgba = vec![9; 3];
                let found = Yuv { planes, size, crop, matrix, range }.to_rgba(&mut rgba).unwrap();
                let [left, top, w, h] = crop.unwrap_or([0, 0, width, height]);
                assert_eq!(found, (w, h));
                let weights = YuvWeights::new(matrix, range);
                for (at, pixel) in rgba.chunks(4).enumerate() {
                    let (x, y) = (left + at % w, top + at / w);
                    let expected = weights
                        .rgba(luma(x, y), weights.tint(chroma(x, y / rows, 0), chroma(x, y / rows, 1)));
                    assert_eq!(pixel, expected, "{size:?} {crop:?} at {x} {y}");
                }
                assert_eq!(rgba.len(), 4 * w * h);
            }
        }
    }

    #[test]
    fn what_contradicts_is_refused() {
        let bytes = [0u8; 64];
        let nv12 = |luma: usize, luma_stride, chroma: usize, chroma_stride| YuvPlanes::Nv12 {
            luma: &bytes[..luma],
            luma_stride,
            chroma: &bytes[..chroma],
            chroma_stride,
        };
        let yuyv = |len: usize, stride| YuvPlanes::Yuyv { bytes: &bytes[..len], stride };
        let rows = [
            ((4, 4), None, nv12(15, 4, 8, 4), "needs 16 bytes, found 15"),
            ((4, 4), None, nv12(16, 3, 8, 4), "luma with stride 3"),
            ((4, 4), None, nv12(16, 4, 7, 4), "needs 8 bytes, found 7"),
            ((5, 4), None, nv12(20, 5, 12, 5), "chroma with stride 5"),
            ((4, 4), None, nv12(16, usize::MAX, 8, 4), "fit no memory"),
            ((5, 1), None, yuyv(11, 12), "needs 12 bytes, found 11"),
            ((4, 1), None, yuyv(16, 7), "YUYV with stride 7"),
            ((0, 4), None, yuyv(16, 8), "each side must be"),
            ((4, 70_000), None, yuyv(16, 8), "each side must be"),
            ((4, 1), Some([0, 0, 0, 1]), yuyv(16, 8), "crop"),
            ((4, 1), Some([1, 0, 4, 1]), yuyv(16, 8), "crop"),
            ((4, 1), Some([usize::MAX, 0, 4, 1]), yuyv(16, 8), "crop"),
        ];
        for (size, crop, planes, expected) in rows {
            let (matrix, range) = WAYS[0];
            let found = Yuv { planes, size, crop, matrix, range }.to_rgba(&mut Vec::new());
            let said = found.unwrap_err().to_string();
            assert!(said.contains(expected), "{size:?} {crop:?}: {said}");
        }
    }
}
