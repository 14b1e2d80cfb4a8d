//! Picture files to pixels: JPEG, PNG, WebP, BMP and the first frame of a GIF.
//!
//! Upright (EXIF's orientation is followed), 8 bits per channel (16 are rounded to the nearest 8), alpha laid
//! over white unless it is 0 everywhere, colour profiles ignored. A picture has at most [`MAX_PIXELS`] and
//! [`MAX_SIDE`] per side, and its file at most [`MAX_BYTES`]: decoding then stays below a gigabyte of memory.
//! JPEGs and PNGs of more pixels, up to [`MAX_HALVED_PIXELS`], are read at half their width and height.
//!
//! A file that was cut off is an error, never a picture that is grey from there on. A JPEG that is damaged
//! further inside is an error too, or, where nine tenths and more of it are sound, a picture with a
//! [`Picture::warning`].
//!
//! ```
//! use mobileone::{picture, sample};
//!
//! let (name, file) = sample::PICTURES[0]; // `picture::open` takes a path
//! let picture = picture::decode(file)?;
//! println!("{name}: {}x{}", picture.width, picture.height);
//! assert_eq!(picture.rgba.len(), 4 * picture.width * picture.height);
//! # Ok::<(), mobileone::Error>(())
//! ```

use crate::{
    error::{Error, Result},
    preprocess::{PixelFormat, Pixels, Rotation},
};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbaImage, metadata::Orientation};
use std::{io::Read, path::Path};

mod exif;
mod jpeg;
mod large;
mod mended;

/// Pixels that a picture may have: 64 Mi.
pub const MAX_PIXELS: u64 = 1 << 26;
/// Pixels that a JPEG or a PNG may have which is read at half its width and height: 256 Mi, above what phones make.
pub const MAX_HALVED_PIXELS: u64 = 1 << 28;
/// Columns or rows that a picture may have.
pub const MAX_SIDE: u32 = 32_768;
/// Bytes that a picture's file may have.
pub const MAX_BYTES: u64 = 1 << 28;

/// A decoded picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width, 4]`: red, green, blue, and 255.
    pub rgba: Vec<u8>,
    /// What is wrong with a file that was read all the same: a part of it is missing, and grey here.
    pub warning: Option<String>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Picture({}x{})", self.width, self.height)
    }
}

impl Picture {
    /// All of it, upright.
    pub fn pixels(&self) -> Pixels<'_> {
        Pixels {
            bytes: &self.rgba,
            size: (self.width, self.height),
            stride: self.width * 4,
            format: PixelFormat::Rgba8,
            crop: None,
            rotation: Rotation::None,
        }
    }
}

/// Whether a file in a folder is taken for a picture, by its name alone.
///
/// Formats that cameras write and that are not read here (HEIC, AVIF, JPEG XL, TIFF) count as well, so that
/// they are reported, not passed over. Hidden files do not.
pub fn is_picture_name(path: &Path) -> bool {
    const EXTENSIONS: [&str; 15] = [
        "jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "bmp", "gif", "heic", "heif", "avif", "jxl",
        "tif", "tiff",
    ];
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let known = |extension: &str| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str());
    !hidden && path.extension().and_then(|extension| extension.to_str()).is_some_and(known)
}

/// Reads a picture file.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::File`] when it is not a picture of a format that is read
/// here (with a converter, where the format is known), is damaged, cut off or too large.
pub fn open(path: impl AsRef<Path>) -> Result<Picture> {
    open_after(path.as_ref(), |_| ())
}

/// Reads a picture file as [`open`] does, and before it is decoded calls `wait` with the pixels that its header
/// claims; what this returns is held until the picture is there.
///
/// # Errors
/// Those of [`open`].
#[doc(hidden)]
pub fn open_after<T>(path: &Path, wait: impl FnOnce(u64) -> T) -> Result<Picture> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let refused = |reason| Error::File { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(refused("a folder, not a picture".into()));
    }
    // The beginning first: what is no picture is not read to its end.
    const BEGINNING: u64 = 4096;
    let (mut bytes, mut file) = (Vec::new(), file.take(BEGINNING));
    file.read_to_end(&mut bytes).map_err(failed)?;
    if !bytes.is_empty() {
        format(&bytes).map_err(refused)?;
    }
    file.set_limit(MAX_BYTES + 1 - BEGINNING);
    file.read_to_end(&mut bytes).map_err(failed)?;
    let _held = wait(claimed(&bytes).unwrap_or(0));
    read(&bytes).map_err(refused)
}

/// The pixels that a file's header claims.
fn claimed(bytes: &[u8]) -> Option<u64> {
    let (width, height) = match format(bytes).ok()? {
        ImageFormat::Jpeg => jpeg::size(bytes).map(|(width, height)| (width as u64, height as u64))?,
        format => {
            let reader = ImageReader::with_format(std::io::Cursor::new(bytes), format);
            reader.into_dimensions().map(|(width, height)| (width.into(), height.into())).ok()?
        }
    };
    Some(width * height)
}

/// Reads the bytes of a picture file.
///
/// # Errors
/// [`Error::Input`], for the reasons of [`open`].
pub fn decode(bytes: &[u8]) -> Result<Picture> {
    read(bytes).map_err(|reason| Error::Input(format!("picture: {reason}")))
}

/// The picture, or why there is none.
fn read(bytes: &[u8]) -> Result<Picture, String> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    let format = format(bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("too large: a picture's file may have {} MiB", MAX_BYTES >> 20));
    }
    let name = name(format);
    if format == ImageFormat::Jpeg {
        let jpeg = jpeg::decode(bytes).map_err(|refused| match refused {
            jpeg::Refused::Unread(reason) => reason,
            jpeg::Refused::Damaged(reason) => format!("not a sound JPEG: {reason}"),
        })?;
        let orientation = jpeg.exif.as_deref().and_then(exif::orientation);
        let image = RgbaImage::from_raw(jpeg.width as u32, jpeg.height as u32, jpeg.rgba);
        return Ok(upright(image.expect("four bytes per pixel"), orientation, jpeg.warning));
    }
    let mended = match format {
        ImageFormat::Bmp => mended::os2(bytes)?,
        ImageFormat::Png => mended::ended(bytes),
        _ => None,
    };
    let bytes = mended.as_deref().unwrap_or(bytes);
    if format == ImageFormat::Png && claimed(bytes).is_some_and(|pixels| pixels > MAX_PIXELS) {
        let (image, orientation) = large::halved_png(bytes, Alpha::Filled)?;
        return Ok(upright(image, orientation, None));
    }
    let damaged = |error: image::ImageError| match error {
        image::ImageError::Limits(_) => too_large(),
        error => format!("not a sound {name}: {error}"),
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    let mut reader = ImageReader::with_format(std::io::Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(too_large());
    }
    if width == 0 || height == 0 {
        return Err(format!("not a sound {name}: a picture of {width}x{height}"));
    }
    // What cannot be understood of the EXIF data turns nothing.
    let orientation = decoder.exif_metadata().ok().flatten().as_deref().and_then(exif::orientation);
    let picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    let has_alpha = picture.color().has_alpha();
    let mut image = picture.into_rgba8();
    if has_alpha {
        let pixels = image.as_chunks_mut::<4>().0;
        let alpha = match format {
            // It has no channel of alpha: what is transparent was meant so.
            ImageFormat::Gif => Alpha::Filled,
            _ => Alpha::of(pixels.iter().map(|pixel| pixel[3])),
        };
        alpha.lay_over_white(pixels);
    }
    Ok(upright(image, orientation, None))
}

fn upright(image: RgbaImage, orientation: Option<Orientation>, warning: Option<String>) -> Picture {
    let mut image = DynamicImage::ImageRgba8(image);
    image.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
    let image = image.into_rgba8();
    let (width, height) = (image.width() as usize, image.height() as usize);
    Picture { width, height, rgba: image.into_raw(), warning }
}

fn too_large() -> String {
    format!(
        "too large: a picture may have {} megapixels (a JPEG or a PNG {}), {MAX_SIDE} per side: make it smaller \
         with `magick picture.jpg -resize 8000x8000 smaller.jpg`",
        MAX_PIXELS >> 20,
        MAX_HALVED_PIXELS >> 20
    )
}

/// Whether a picture's channel of alpha was filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpha {
    /// It counts.
    Filled,
    /// It is 0 everywhere, so that nothing at all would be seen, and is ignored.
    Unfilled,
}

impl Alpha {
    /// That of a picture whose pixels have these alphas.
    pub fn of(alphas: impl IntoIterator<Item = u8>) -> Alpha {
        match alphas.into_iter().all(|alpha| alpha == 0) {
            true => Alpha::Unfilled,
            false => Alpha::Filled,
        }
    }

    /// Makes pixels opaque: each becomes the colour that shows where it lies on white, rounded to the nearest.
    pub fn lay_over_white(self, pixels: &mut [[u8; 4]]) {
        for pixel in pixels {
            let alpha = match self {
                Alpha::Filled => u32::from(pixel[3]),
                Alpha::Unfilled => 255,
            };
            // Most pixels are opaque: their colours stay as they are.
            if alpha < 255 {
                for value in pixel.iter_mut() {
                    *value = ((u32::from(*value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
                }
            }
            pixel[3] = 255;
        }
    }
}

/// A format's name for people.
fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Gif => "GIF",
        other => unreachable!("{other:?} is not read"),
    }
}

/// The format that a file's beginning shows, or a line on what it is instead.
fn format(bytes: &[u8]) -> Result<ImageFormat, String> {
    const READ: [(&[u8], ImageFormat); 5] = [
        (b"\xff\xd8\xff", ImageFormat::Jpeg),
        (b"\x89PNG\r\n\x1a\n", ImageFormat::Png),
        (b"GIF87a", ImageFormat::Gif),
        (b"GIF89a", ImageFormat::Gif),
        (b"BM", ImageFormat::Bmp),
    ];
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(ImageFormat::WebP);
    }
    if let Some((_, format)) = READ.iter().find(|(begin, _)| bytes.starts_with(begin)) {
        return Ok(*format);
    }
    let magick = |extension: &str| format!("`magick picture.{extension} picture.png`");
    Err(match foreign(bytes) {
        Some(("HEIC", _)) => format!(
            "HEIC is not read here: convert it with `heif-convert picture.heic picture.jpg` or {}",
            magick("heic")
        ),
        Some(("AVIF", _)) => format!(
            "AVIF is not read here: convert it with `avifdec picture.avif picture.png` or {}",
            magick("avif")
        ),
        Some((name, "")) => format!("{name}, not a picture"),
        Some((name, extension)) => format!("{name} is not read here: convert it with {}", magick(extension)),
        None => "not a picture: JPEG, PNG, WebP, BMP and GIF are read".into(),
    })
}

/// The name of a format that is not read, and the extension of its files; none for what is no picture.
fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const BEGINNINGS: [(&[u8], &str, &str); 15] = [
        (b"\xff\x0a", "JPEG XL", "jxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "jxl"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", "jp2"),
        (b"II*\0", "TIFF", "tiff"),
        (b"MM\0*", "TIFF", "tiff"),
        (b"\0\0\x01\0", "an icon (ICO)", "ico"),
        (b"8BPS", "Photoshop's PSD", "psd"),
        (b"qoif", "QOI", "qoi"),
        (b"\x76\x2f\x31\x01", "OpenEXR", "exr"),
        (b"DDS ", "DDS", "dds"),
        (b"%PDF", "PDF", "pdf"),
        (b"<svg", "SVG", "svg"),
        (b"PK\x03\x04", "a zip file", ""),
        (b"\x1f\x8b", "a gzip file", ""),
        (b"\x1aE\xdf\xa3", "a video", ""),
    ];
    if bytes.get(4..8) == Some(b"ftyp") {
        // The box is its length, `ftyp`, the brand, a version, then the brands that it is compatible with.
        let end = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let brands = bytes.get(8..end.clamp(8, 128).min(bytes.len())).unwrap_or_default();
        let has = |known: &[&[u8]]| brands.chunks(4).any(|brand| known.contains(&brand));
        return Some(if has(&[b"avif", b"avis"]) {
            ("AVIF", "avif")
        } else if has(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) {
            ("HEIC", "heic")
        } else {
            ("a video", "")
        });
    }
    if let Some(&(_, name, extension)) = BEGINNINGS.iter().find(|(begin, ..)| bytes.starts_with(begin)) {
        return Some((name, extension));
    }
    let is_text = bytes.trim_ascii_start().starts_with(b"<");
    let beginning = &bytes[..bytes.len().min(1024)];
    (is_text && beginning.windows(4).any(|tag| tag == b"<svg")).then_some(("SVG", "svg"))
}
