//! What is given to the network: pictures of cameras and files, and tensors.

use std::mem::offset_of;

use engine::{
    Pixels, Shape,
    preprocess::{PixelFormat, Rotation, Yuv, YuvMatrix, YuvPlanes, YuvRange},
};

use crate::{
    error::{Failure, MOBILEONE_INPUT, Result},
    structs::{Struct, slice},
};

/// 4 bytes a pixel, red first; the fourth is ignored.
pub const MOBILEONE_FORMAT_RGBA8: u32 = 0;
/// 4 bytes a pixel, blue first; the fourth is ignored.
pub const MOBILEONE_FORMAT_BGRA8: u32 = 1;
/// A plane of luma, and a plane of Cb and Cr side by side for every 2x2 pixels.
pub const MOBILEONE_FORMAT_NV12: u32 = 2;
/// Y, Cb, Y, Cr for every two pixels of a row.
pub const MOBILEONE_FORMAT_YUYV: u32 = 3;
/// The bytes of a picture's file: JPEG, PNG, WebP, BMP, or a GIF's first frame; turned upright as its EXIF data says, alpha
/// laid over white. `width`, `height` and `stride` are 0: the file knows them. One of which a part is damaged is read all the
/// same, and the log has a line. A library that was built without the feature `image` gives MOBILEONE_OPTION.
pub const MOBILEONE_FORMAT_FILE: u32 = 4;

/// The picture is upright.
pub const MOBILEONE_ROTATION_NONE: u32 = 0;
/// A quarter turn clockwise brings it upright.
pub const MOBILEONE_ROTATION_QUARTER: u32 = 1;
/// It is upside down.
pub const MOBILEONE_ROTATION_HALF: u32 = 2;
/// A quarter turn counter-clockwise brings it upright.
pub const MOBILEONE_ROTATION_THREE_QUARTERS: u32 = 3;

/// Standard definition, JPEG, most webcams.
pub const MOBILEONE_MATRIX_BT601: u32 = 0;
/// High definition, most phones.
pub const MOBILEONE_MATRIX_BT709: u32 = 1;

/// Luma is 16 to 235, chroma 16 to 240.
pub const MOBILEONE_RANGE_LIMITED: u32 = 0;
/// Luma and chroma use all 256 values.
pub const MOBILEONE_RANGE_FULL: u32 = 1;

/// A picture in the caller's memory. It is read while the call that takes it runs, and no longer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MobileonePicture {
    /// `sizeof(MobileonePicture)`, set by the caller.
    pub size: u32,
    /// A `MOBILEONE_FORMAT_` number.
    pub format: u32,
    /// Pixels in a row; of a file 0.
    pub width: u32,
    /// Rows; of a file 0.
    pub height: u32,
    /// The rows; of NV12 those of luma. The last one may end with its last pixel. Or the file.
    pub bytes: *const u8,
    /// How many bytes there are.
    pub length: usize,
    /// Bytes from one row to the next; 0 where there are no gaps. A multiple of 4 for 4-byte pixels.
    pub stride: usize,
    /// NV12: the rows of chroma. Null where they follow those of luma in `bytes`.
    pub chroma: *const u8,
    /// NV12: how many bytes there are at `chroma`.
    pub chroma_length: usize,
    /// NV12: bytes from one row of chroma to the next; 0 for the same as those of luma.
    pub chroma_stride: usize,
    /// Left, top, width and height of the part to use, before rotation; all 0 for the whole.
    pub crop: [u32; 4],
    /// A `MOBILEONE_ROTATION_` number.
    pub rotation: u32,
    /// NV12 and YUYV: a `MOBILEONE_MATRIX_` number.
    pub matrix: u32,
    /// NV12 and YUYV: a `MOBILEONE_RANGE_` number.
    pub range: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: repr(C), begins with its size, and numbers and pointers only.
unsafe impl Struct for MobileonePicture {
    const NAME: &str = "MobileonePicture";
    const FIRST: usize = offset_of!(Self, reserved) + size_of::<u32>();
}

pub(crate) fn rotation(number: u32) -> Result<Rotation> {
    match number {
        MOBILEONE_ROTATION_NONE => Ok(Rotation::None),
        MOBILEONE_ROTATION_QUARTER => Ok(Rotation::Quarter),
        MOBILEONE_ROTATION_HALF => Ok(Rotation::Half),
        MOBILEONE_ROTATION_THREE_QUARTERS => Ok(Rotation::ThreeQuarters),
        other => Err(Failure::argument(format!("rotation {other}: use a MOBILEONE_ROTATION_ number"))),
    }
}

pub(crate) fn crop(numbers: [u32; 4]) -> Option<[usize; 4]> {
    (numbers != [0; 4]).then_some(numbers.map(|number| number as usize))
}

impl MobileonePicture {
    /// Its pixels, which lie in the caller's memory, or in `rgba` where they had to be converted.
    ///
    /// # Safety
    /// The pointers are null or lead to as many bytes as the lengths beside them say, while the pixels live.
    pub(crate) unsafe fn pixels<'a>(&self, rgba: &'a mut Vec<u8>) -> Result<Pixels<'a>> {
        // SAFETY: as the caller promises.
        let bytes = unsafe { slice(self.bytes, self.length, "bytes") }?;
        let size @ (width, height) = (self.width as usize, self.height as usize);
        let (crop, rotation) = (crop(self.crop), rotation(self.rotation)?);
        if self.reserved != 0 {
            return Err(Failure::argument("MobileonePicture.reserved must be 0"));
        }
        let stride = |row: usize| if self.stride == 0 { row } else { self.stride };
        let pair = width.div_ceil(2);
        let planes = match self.format {
            MOBILEONE_FORMAT_RGBA8 | MOBILEONE_FORMAT_BGRA8 => {
                let format = match self.format {
                    MOBILEONE_FORMAT_RGBA8 => PixelFormat::Rgba8,
                    _ => PixelFormat::Bgra8,
                };
                return Ok(Pixels { bytes, size, stride: stride(4 * width), format, crop, rotation });
            }
            MOBILEONE_FORMAT_NV12 => {
                let luma_stride = stride(2 * pair);
                let (luma, chroma) = match self.chroma.is_null() {
                    true => {
                        let luma =
                            luma_stride.checked_mul(height).and_then(|luma| bytes.split_at_checked(luma));
                        luma.ok_or_else(|| too_short(bytes.len()))?
                    }
                    // SAFETY: as the caller promises.
                    false => (bytes, unsafe { slice(self.chroma, self.chroma_length, "chroma") }?),
                };
                let chroma_stride = if self.chroma_stride == 0 { luma_stride } else { self.chroma_stride };
                YuvPlanes::Nv12 { luma, luma_stride, chroma, chroma_stride }
            }
            MOBILEONE_FORMAT_YUYV => YuvPlanes::Yuyv { bytes, stride: stride(4 * pair) },
            MOBILEONE_FORMAT_FILE if (width, height, self.stride) != (0, 0, 0) => {
                return Err(Failure::argument(
                    "a file knows its size: its width, height and stride must be 0",
                ));
            }
            MOBILEONE_FORMAT_FILE => {
                let size = decode(bytes, rgba)?;
                let (stride, format) = (4 * size.0, PixelFormat::Rgba8);
                return Ok(Pixels { bytes: rgba, size, stride, format, crop, rotation });
            }
            other => {
                return Err(Failure::argument(format!("format {other}: use a MOBILEONE_FORMAT_ number")));
            }
        };
        let matrix = match self.matrix {
            MOBILEONE_MATRIX_BT601 => YuvMatrix::Bt601,
            MOBILEONE_MATRIX_BT709 => YuvMatrix::Bt709,
            other => {
                return Err(Failure::argument(format!("matrix {other}: use a MOBILEONE_MATRIX_ number")));
            }
        };
        let range = match self.range {
            MOBILEONE_RANGE_LIMITED => YuvRange::Limited,
            MOBILEONE_RANGE_FULL => YuvRange::Full,
            other => return Err(Failure::argument(format!("range {other}: use a MOBILEONE_RANGE_ number"))),
        };
        let size @ (width, _) = Yuv { planes, size, crop, matrix, range }.to_rgba(rgba)?;
        Ok(Pixels { bytes: rgba, size, stride: 4 * width, format: PixelFormat::Rgba8, crop: None, rotation })
    }
}

/// Puts the picture in these bytes of a file into `rgba`, and gives its width and height.
#[cfg(feature = "image")]
fn decode(bytes: &[u8], rgba: &mut Vec<u8>) -> Result<(usize, usize)> {
    let picture = engine::picture::decode(bytes)?;
    if let Some(warning) = &picture.warning {
        log::warn!("{warning}");
    }
    *rgba = picture.rgba;
    Ok((picture.width, picture.height))
}

#[cfg(not(feature = "image"))]
fn decode(_: &[u8], _: &mut Vec<u8>) -> Result<(usize, usize)> {
    let reason = "this library was built without picture files (feature image): decode them, and give pixels";
    Err(Failure::new(crate::error::MOBILEONE_OPTION, reason))
}

fn too_short(length: usize) -> Failure {
    let reason = format!("NV12 whose chroma follows its luma is longer than {length} bytes");
    Failure::new(MOBILEONE_INPUT, reason)
}

/// The shape of a tensor of `count` values that is a whole number of pictures of `one`.
pub(crate) fn shape(one: Shape, count: usize) -> Result<Shape> {
    let values = one.len();
    if count == 0 || !count.is_multiple_of(values) {
        let Shape { h, w, c, .. } = one;
        let reason = format!("a tensor of {count} values: a picture is {h}x{w}x{c}, {values} values");
        return Err(Failure::new(MOBILEONE_INPUT, reason));
    }
    Ok(one.with_batch(count / values))
}
