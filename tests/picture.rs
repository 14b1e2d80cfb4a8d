//! Picture files: every format and kind, the lines for those that are not read, and hostile bytes.

use image::{ExtendedColorType, ImageEncoder};
use mobileone::{
    Error,
    picture::{self, Picture},
};
use std::path::{Path, PathBuf};

mod jpeg;
mod others;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/pictures");

/// The committed pictures, each with its file's bytes; all are small.
fn files() -> Vec<(PathBuf, Vec<u8>)> {
    let folders = [PathBuf::from(FOLDER), Path::new(FOLDER).join("jpeg")];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| picture::is_picture_name(path) && !path.ends_with("arithmetic.jpg"));
    paths.sort();
    assert!(paths.len() >= 29, "{paths:?}");
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn pixel(picture: &Picture, x: usize, y: usize) -> [u8; 4] {
    let at = (y * picture.width + x) * 4;
    picture.rgba[at..at + 4].try_into().unwrap()
}

fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn png(width: u32, height: u32, colour: ExtendedColorType, data: &[u8]) -> Vec<u8> {
    encoded(|bytes| {
        image::codecs::png::PngEncoder::new(bytes).write_image(data, width, height, colour).unwrap();
    })
}

/// Numbers without end, the same every time.
fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    }
}

#[test]
fn every_format_has_its_colours() {
    #[derive(serde::Deserialize)]
    struct Expected {
        size: [usize; 2],
        tolerance: i32,
        quadrants: [[i32; 3]; 4],
    }
    let text = std::fs::read_to_string(Path::new(FOLDER).join("pictures.json")).unwrap();
    let rows: std::collections::BTreeMap<String, Expected> = serde_json::from_str(&text).unwrap();
    assert!(rows.len() >= 15);
    for (name, expected) in rows {
        let picture = picture::open(Path::new(FOLDER).join(&name)).unwrap();
        let [w, h] = expected.size;
        assert_eq!((picture.width, picture.height), (w, h), "{name}");
        assert_eq!(picture.rgba.len(), w * h * 4, "{name}");
        assert!(picture.rgba.chunks(4).all(|pixel| pixel[3] == 255), "{name}: not opaque");
        let centres = [(w / 4, h / 4), (w * 3 / 4, h / 4), (w / 4, h * 3 / 4), (w * 3 / 4, h * 3 / 4)];
        for ((x, y), colour) in centres.into_iter().zip(expected.quadrants) {
            let found = pixel(&picture, x, y);
            let off = (0..3).map(|c| (i32::from(found[c]) - colour[c]).abs()).max().unwrap();
            assert!(off <= expected.tolerance, "{name} at ({x}, {y}): expected {colour:?}, found {found:?}");
        }
        assert!(picture.pixels().view().is_ok(), "{name}");
    }
}

#[test]
fn sixteen_bits_are_rounded_to_eight() {
    let values = [0u16, 128, 129, 385, 386, 0x7fff, 0xfffe, 0xffff];
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    let picture = picture::decode(&png(8, 1, ExtendedColorType::L16, &bytes)).unwrap();
    for (x, value) in values.into_iter().enumerate() {
        let expected = (f64::from(value) / 257.0).round() as u8;
        assert_eq!(pixel(&picture, x, 0), [expected, expected, expected, 255], "{value}");
    }
}

#[test]
fn alpha_lies_over_white() {
    let data = [[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 255, 128], [0, 0, 0, 1]];
    let picture = picture::decode(&png(4, 1, ExtendedColorType::Rgba8, data.as_flattened())).unwrap();
    let expected = [[10, 20, 30, 255], [255, 255, 255, 255], [127, 177, 255, 255], [254, 254, 254, 255]];
    assert_eq!(picture.rgba, expected.as_flattened());
}

#[test]
fn four_channels_of_a_jpeg() {
    let cmyk = std::fs::read(Path::new(FOLDER).join("cmyk.jpg")).unwrap();
    let marker = cmyk.windows(7).position(|bytes| bytes == b"\xff\xee\0\x0eAdo").unwrap();
    let mut ycck = cmyk.clone();
    ycck[marker + 15] = 2; // Adobe's transform: the same bytes are read as YCCK
    // What Pillow makes of them.
    let rows = [
        ("CMYK", cmyk, [[245, 53, 34], [63, 215, 80], [55, 105, 255], [127, 127, 127]]),
        ("YCCK", ycck, [[125, 0, 124], [191, 169, 0], [22, 255, 241], [0, 67, 0]]),
    ];
    for (name, bytes, quadrants) in rows {
        let picture = picture::decode(&bytes).unwrap();
        for ((x, y), colour) in [(8, 6), (24, 6), (8, 18), (24, 18)].into_iter().zip(quadrants) {
            let found = pixel(&picture, x, y);
            let near = (0..3).all(|c| found[c].abs_diff(colour[c]) <= 4);
            assert!(near, "{name} at ({x}, {y}): expected {colour:?}, found {found:?}");
        }
    }
}

/// A JPEG of 16x8, red on the left and blue on the right, with EXIF's `orientation`.
fn oriented(orientation: u8) -> Vec<u8> {
    let data: Vec<u8> =
        (0..16 * 8).flat_map(|i| if i % 16 < 8 { [255, 0, 0] } else { [0, 0, 255] }).collect();
    let jpeg = encoded(|bytes| {
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(bytes, 95);
        encoder.write_image(&data, 16, 8, ExtendedColorType::Rgb8).unwrap();
    });
    let mut exif = b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    [&jpeg[..2], &exif, &jpeg[2..]].concat()
}

#[test]
fn orientation_as_any_whole_number() {
    // The type's number, and its value in four bytes from the most significant end.
    let rows: [(u8, [u8; 4]); 6] = [
        (1, [6, 0, 0, 0]),
        (3, [0, 6, 0, 0]),
        (4, [0, 0, 0, 6]),
        (6, [6, 0, 0, 0]),
        (8, [0, 6, 0, 0]),
        (9, [0, 0, 0, 6]),
    ];
    for (kind, value) in rows {
        for little in [false, true] {
            let mut file = oriented(6);
            let at = file.windows(4).position(|bytes| bytes == b"MM\0*").unwrap();
            let mut exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0".to_vec();
            exif.extend([kind, 0, 0, 0, 1]);
            exif.extend(value);
            if little {
                exif = b"II*\0\x08\0\0\0\x01\0\x12\x01".to_vec();
                exif.extend([kind, 0, 1, 0, 0, 0, 6, 0, 0, 0]);
            }
            file[at..at + exif.len()].copy_from_slice(&exif);
            let picture = picture::decode(&file).unwrap();
            assert_eq!((picture.width, picture.height), (8, 16), "type {kind}, little-endian: {little}");
        }
    }
}

#[test]
fn every_orientation() {
    // Where the red half ends up: its columns, rows of the upright picture.
    let (left, right, top, bottom) = ((4, 4), (12, 4), (4, 4), (4, 12));
    #[rustfmt::skip]
    let rows = [(1, left), (2, right), (3, right), (4, left), (5, top), (6, top), (7, bottom), (8, bottom), (9, left), (0, left)];
    for (orientation, (x, y)) in rows {
        let picture = picture::decode(&oriented(orientation)).unwrap();
        let size = if (5..=8).contains(&orientation) { (8, 16) } else { (16, 8) };
        assert_eq!((picture.width, picture.height), size, "orientation {orientation}");
        let [r, _, b, _] = pixel(&picture, x, y);
        assert!(r > 200 && b < 60, "orientation {orientation}");
        let [r, _, b, _] = pixel(&picture, size.0 - 1 - x, size.1 - 1 - y);
        assert!(r < 60 && b > 200, "orientation {orientation}");
    }
}

#[test]
fn what_is_not_read_says_what_it_is() {
    let rows: &[(&[u8], &str)] = &[
        (b"", "empty"),
        (b"x", "not a picture"),
        (b"hello, this is a text", "JPEG, PNG, WebP, BMP and GIF"),
        (&[0; 4096], "not a picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heif-convert"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0avifmif1", "AVIF"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "avifdec"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", "a video, not a picture"),
        (b"\0\0\0\0ftyp", "a video"),
        (b"\xff\x0a\xfa", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "magick picture.jxl"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "magick picture.tiff"),
        (b"%PDF-1.7", "PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"  <?xml version='1.0'?>\n<svg/>", "SVG"),
        (b"<html><body/></html>", "not a picture"),
        (b"PK\x03\x04", "a zip file, not a picture"),
        (b"RIFF\0\0\0\0WAVEfmt ", "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "not a sound PNG"),
        (b"GIF89a", "not a sound GIF"),
        (b"BM", "not a sound BMP"),
        (b"RIFF\x04\0\0\0WEBP", "not a sound WebP"),
        (b"\xff\xd8\xff", "cut off"),
        (b"\xff\xd8\xff\xd9", "not a sound JPEG"),
    ];
    for (bytes, named) in rows {
        let error = picture::decode(bytes).expect_err(named);
        assert!(matches!(&error, Error::Input(reason) if reason.contains(named)), "{named}: {error}");
    }
}

#[test]
fn errors_name_the_file() {
    let folder = std::env::temp_dir().join(format!("mobileone-picture-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let empty = folder.join("empty.jpg");
    std::fs::write(&empty, b"").unwrap();
    // Holes, which take no room on the disk.
    let huge = |name: &str, begin: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, begin).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 34).unwrap();
        path
    };
    let rows = [
        (folder.join("none.png"), "none.png"),
        (folder.clone(), "a folder"),
        (empty, "empty.jpg: the file is empty"),
        (huge("zeros.png", b""), "zeros.png: not a picture"),
        (huge("huge.bmp", b"BM"), "huge.bmp: too large: a picture's file may have 256 MiB"),
    ];
    for (path, named) in rows {
        let error = picture::open(&path).expect_err(named).to_string();
        assert!(error.contains(named) && error.contains(folder.to_str().unwrap()), "{error}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A file of a few bytes that claims to be a picture of `width`x`height`.
fn claims(format: &str, width: u32, height: u32) -> Vec<u8> {
    match format {
        "png" => {
            let mut bytes = png(1, 1, ExtendedColorType::Rgba8, &[0; 4]);
            bytes[16..20].copy_from_slice(&width.to_be_bytes());
            bytes[20..24].copy_from_slice(&height.to_be_bytes());
            let crc = crc32(&bytes[12..29]);
            bytes[29..33].copy_from_slice(&crc.to_be_bytes());
            bytes
        }
        "bmp" => {
            let mut bytes = std::fs::read(Path::new(FOLDER).join("rgb.bmp")).unwrap();
            bytes[18..22].copy_from_slice(&width.to_le_bytes());
            bytes[22..26].copy_from_slice(&height.to_le_bytes());
            bytes
        }
        "gif" => {
            let mut bytes = std::fs::read(Path::new(FOLDER).join("anim.gif")).unwrap();
            bytes[6..8].copy_from_slice(&(width as u16).to_le_bytes());
            bytes[8..10].copy_from_slice(&(height as u16).to_le_bytes());
            bytes
        }
        "jpeg" => {
            let mut bytes = std::fs::read(Path::new(FOLDER).join("progressive.jpg")).unwrap();
            let at = bytes.windows(2).position(|pair| pair == b"\xff\xc2").unwrap();
            bytes[at + 5..at + 7].copy_from_slice(&(height as u16).to_be_bytes());
            bytes[at + 7..at + 9].copy_from_slice(&(width as u16).to_be_bytes());
            bytes
        }
        "webp" => {
            let mut bytes = std::fs::read(Path::new(FOLDER).join("rgb.webp")).unwrap();
            let size = (width - 1) & 0x3fff | ((height - 1) & 0x3fff) << 14;
            bytes[21..25].copy_from_slice(&size.to_le_bytes());
            bytes
        }
        other => panic!("{other}"),
    }
}

/// PNG's checksum.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn bombs_are_refused_before_they_are_unpacked() {
    let rows = [
        ("png", 30_000, 30_000),
        ("png", 1_000_000, 1),
        ("png", 0x7fff_ffff, 0x7fff_ffff),
        ("bmp", 30_000, 30_000),
        ("bmp", 0x7fff_ffff, 0x7fff_ffff),
        ("gif", 65_535, 65_535),
        ("gif", 20_000, 20_000),
        ("jpeg", 65_500, 65_500),
        ("jpeg", 20_000, 20_000),
        ("webp", 16_383, 16_383),
    ];
    for (format, width, height) in rows {
        let error = picture::decode(&claims(format, width, height)).expect_err(format).to_string();
        let sound = error.contains("too large") && !error.contains("not a sound JPEG");
        assert!(sound, "{format} {width}x{height}: {error}");
    }
}

#[test]
fn cut_off_at_every_length() {
    for (path, bytes) in files() {
        let whole = picture::decode(&bytes).unwrap();
        for length in 0..bytes.len() {
            // What follows the pixels (an end marker, further frames) may be missing; nothing of them may.
            if let Ok(picture) = picture::decode(&bytes[..length]) {
                assert!(picture == whole, "{} cut to {length} of {} bytes", path.display(), bytes.len());
            }
        }
        let error = picture::decode(&bytes[..bytes.len() / 2]);
        assert!(error.is_err() || path.ends_with("anim.gif"), "{}", path.display());
    }
}

#[test]
fn flipped_bits_never_panic() {
    let mut random = random(1);
    for (path, bytes) in files() {
        for _ in 0..1500 {
            let mut bytes = bytes.clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                bytes[at] = if random(2) == 0 { bytes[at] ^ 1 << random(8) } else { random(256) as u8 };
            }
            if let Ok(picture) = picture::decode(&bytes) {
                assert_eq!(picture.rgba.len(), picture.width * picture.height * 4, "{}", path.display());
            }
        }
    }
}

#[test]
fn names_of_pictures() {
    for name in ["a.jpg", "b/A.JPEG", "c.Png", "d.webp", "e.bmp", "f.gif", "g.HEIC", "h.avif", "a.b.tiff"] {
        assert!(picture::is_picture_name(Path::new(name)), "{name}");
    }
    for name in ["a", "jpg", ".jpg", "._a.jpg", "a.txt", "a.jpg.txt", "a.mp4", "", "..", "labels.json"] {
        assert!(!picture::is_picture_name(Path::new(name)), "{name}");
    }
}
