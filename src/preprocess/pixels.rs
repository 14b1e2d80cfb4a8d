//! Pictures in memory, and the one formula by which their pixels are found.

use crate::error::{Error, Result};

/// The longest side of a picture, in pixels.
const MAX_SIDE: usize = 65_535;

/// The order of the bytes of a pixel; the fourth is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PixelFormat {
    /// Red first.
    Rgba8,
    /// Blue first.
    Bgra8,
}

/// Quarter turns, clockwise, that bring the picture upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// It is upright.
    #[default]
    None,
    /// A quarter turn clockwise.
    Quarter,
    /// Upside down.
    Half,
    /// A quarter turn counter-clockwise.
    ThreeQuarters,
}

/// A picture in memory, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// Rows of 4-byte pixels; the last row may end with its last pixel.
    pub bytes: &'a [u8],
    /// Width and height, in pixels.
    pub size: (usize, usize),
    /// Bytes from one row to the next, a multiple of 4.
    pub stride: usize,
    /// The order of the bytes.
    pub format: PixelFormat,
    /// Left, top, width and height of the part to use, before rotation; all of it if `None`.
    pub crop: Option<[usize; 4]>,
    /// How to turn it upright.
    pub rotation: Rotation,
}

/// How a picture's pixels lie in the bytes that hold it, wherever those are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raster {
    pub size: (usize, usize),
    pub stride: usize,
    pub format: PixelFormat,
    pub crop: Option<[usize; 4]>,
    pub rotation: Rotation,
}

/// The part of a picture that is used: upright pixel (x, y) is the 4 bytes at
/// `first + 4 * (origin + x * step_x + y * step_y)`, inside the picture's bytes for every x and y of `size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The first byte that is read.
    pub first: usize,
    /// Bytes from there to the last that is read; whole pixels.
    pub len: usize,
    /// Width and height, upright.
    pub size: (usize, usize),
    /// The order of the bytes.
    pub format: PixelFormat,
    /// Where the upright picture's upper left pixel lies, in pixels after `first`.
    pub origin: i32,
    /// From a pixel to its right neighbour, in pixels.
    pub step_x: i32,
    /// From a pixel to the one below, in pixels.
    pub step_y: i32,
}

impl View {
    /// What is read of the picture's `bytes`.
    pub fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.first..self.first + self.len]
    }
}

/// Refuses a picture of `width`x`height` that has a side of 0 or above [`MAX_SIDE`].
pub(super) fn check_size((width, height): (usize, usize)) -> Result<()> {
    let side = 1..=MAX_SIDE;
    if side.contains(&width) && side.contains(&height) {
        return Ok(());
    }
    Err(Error::Input(format!("a picture of {width}x{height}: each side must be 1 to {MAX_SIDE} pixels")))
}

/// The part `crop` of a picture of `size`: left, top, width and height.
///
/// # Errors
/// [`Error::Input`] when it is empty or leaves the picture.
pub(crate) fn cropped(crop: Option<[usize; 4]>, (width, height): (usize, usize)) -> Result<[usize; 4]> {
    let [left, top, w, h] = crop.unwrap_or([0, 0, width, height]);
    let inside = |first: usize, len: usize, side: usize| {
        len > 0 && first.checked_add(len).is_some_and(|end| end <= side)
    };
    if inside(left, w, width) && inside(top, h, height) {
        return Ok([left, top, w, h]);
    }
    Err(Error::Input(format!("crop {w}x{h} at ({left}, {top}): not inside a picture of {width}x{height}")))
}

impl Pixels<'_> {
    /// What is left after crop and rotation.
    ///
    /// # Errors
    /// [`Error::Input`] naming what contradicts: a side of 0 or above 65,535, a stride below a row or not of
    /// whole pixels, too few bytes, a crop that is empty or leaves the picture, above 2³¹ pixels.
    pub fn view(&self) -> Result<View> {
        let Pixels { bytes, size, stride, format, crop, rotation } = *self;
        Raster { size, stride, format, crop, rotation }.view(bytes.len() as u64)
    }
}

impl Raster {
    /// As [`Pixels::view`], of a picture that `len` bytes hold.
    pub fn view(&self, len: u64) -> Result<View> {
        let refuse = |reason: String| Err(Error::Input(reason));
        let ((width, height), stride) = (self.size, self.stride);
        check_size(self.size)?;
        if stride < 4 * width || stride % 4 != 0 {
            return refuse(format!(
                "stride {stride}: a row of {width} pixels needs {} bytes or more, a multiple of 4",
                4 * width
            ));
        }
        let Some(needed) = stride.checked_mul(height - 1).and_then(|rows| rows.checked_add(4 * width)) else {
            return refuse(format!("stride {stride}: {height} such rows fit no memory"));
        };
        if len < needed as u64 {
            return refuse(format!(
                "a picture of {width}x{height} with stride {stride} needs {needed} bytes, found {len}"
            ));
        }
        let [left, top, w, h] = cropped(self.crop, self.size)?;
        let row = stride / 4;
        let last = (h - 1) * row + w - 1;
        let (Ok(row), Ok(last)) = (i32::try_from(row), i32::try_from(last)) else {
            return refuse(format!("a picture of {width}x{height} with stride {stride} is too large"));
        };
        let (right, bottom) = (w as i32 - 1, (h as i32 - 1) * row);
        let (size, origin, step_x, step_y) = match self.rotation {
            Rotation::None => ((w, h), 0, 1, row),
            Rotation::Quarter => ((h, w), bottom, -row, 1),
            Rotation::Half => ((w, h), last, -1, -row),
            Rotation::ThreeQuarters => ((h, w), right, row, -1),
        };
        let (first, len) = (top * stride + 4 * left, 4 * (last as usize + 1));
        Ok(View { first, len, size, format: self.format, origin, step_x, step_y })
    }
}
