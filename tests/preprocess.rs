//! Preprocessing against timm over PIL (the goldens), the host against the shaders, and hostile pictures.

#[cfg(feature = "gpu")]
mod gpu;

use mobileone::preprocess::{Colour, CropMode, Interpolation, PixelFormat, Rotation};
use mobileone::{Error, Pixels, Preprocess};

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The preprocessing of a golden's name: `1333x1000_center_bilinear_224x224_0.875`.
fn preprocess(mode: &str, filter: &str, size: (usize, usize), crop_pct: f64) -> Preprocess {
    let crop_mode = match mode {
        "center" => CropMode::Center,
        "squash" => CropMode::Squash,
        "border" => CropMode::Border,
        other => panic!("crop mode {other}"),
    };
    let interpolation = match filter {
        "bilinear" => Interpolation::Bilinear,
        "bicubic" => Interpolation::Bicubic,
        other => panic!("filter {other}"),
    };
    Preprocess { size, crop_pct, crop_mode, interpolation, mean: MEAN, std: STD, colour: Colour::Rgb }
}

/// Source (width, height) and preprocessing that a golden's name tells.
fn parse(key: &str) -> ((usize, usize), Preprocess) {
    let pair = |text: &str| -> (usize, usize) {
        let (a, b) = text.split_once('x').expect(key);
        (a.parse().expect(key), b.parse().expect(key))
    };
    let parts: Vec<&str> = key.split('_').collect();
    let [source, mode, filter, size, pct] = parts[..] else { panic!("golden {key}") };
    (pair(source), preprocess(mode, filter, pair(size), pct.parse().expect(key)))
}

/// The goldens' picture, RGBA: a gradient with hashed noise, the fourth byte noise alone.
fn picture(width: usize, height: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(width * height * 4);
    for y in 0..height as u32 {
        for x in 0..width as u32 {
            for c in 0..4u32 {
                let h = x.wrapping_mul(374761393).wrapping_add(y.wrapping_mul(668265263));
                let h = h.wrapping_add(c.wrapping_mul(2246822519));
                let h = (h ^ (h >> 13)).wrapping_mul(1274126177);
                let h = h ^ (h >> 16);
                bytes.push((x.wrapping_mul(5).wrapping_add(y * 3 + c * 85).wrapping_add(h & 63) & 255) as u8);
            }
        }
    }
    bytes
}

/// All of a dense RGBA picture, upright.
fn whole(bytes: &[u8], size: (usize, usize)) -> Pixels<'_> {
    let (format, rotation) = (PixelFormat::Rgba8, Rotation::None);
    Pixels { bytes, size, stride: size.0 * 4, format, crop: None, rotation }
}

/// What 8-bit values become.
fn normalized(bytes: &[u8]) -> Vec<f32> {
    let value = |(i, &byte): (usize, &u8)| (f32::from(byte) / 255.0 - MEAN[i % 3]) / STD[i % 3];
    bytes.iter().enumerate().map(value).collect()
}

/// A picture whose rows, stride, order of bytes, crop and rotation are not the plain ones.
struct Odd {
    bytes: Vec<u8>,
    size: (usize, usize),
    stride: usize,
    format: PixelFormat,
    crop: Option<[usize; 4]>,
    rotation: Rotation,
}

impl Odd {
    fn pixels(&self) -> Pixels<'_> {
        let Odd { ref bytes, size, stride, format, crop, rotation } = *self;
        Pixels { bytes, size, stride, format, crop, rotation }
    }

    /// The same picture dense, upright and RGBA, moved pixel by pixel, and its size.
    fn plain(&self) -> (Vec<u8>, (usize, usize)) {
        let [left, top, w, h] = self.crop.unwrap_or([0, 0, self.size.0, self.size.1]);
        let upright = match self.rotation {
            Rotation::None | Rotation::Half => (w, h),
            Rotation::Quarter | Rotation::ThreeQuarters => (h, w),
        };
        let mut plain = vec![0; w * h * 4];
        for y in 0..h {
            for x in 0..w {
                let at = (top + y) * self.stride + (left + x) * 4;
                let mut pixel: [u8; 4] = self.bytes[at..at + 4].try_into().unwrap();
                if self.format == PixelFormat::Bgra8 {
                    pixel.swap(0, 2);
                }
                let (x, y) = match self.rotation {
                    Rotation::None => (x, y),
                    Rotation::Quarter => (h - 1 - y, x),
                    Rotation::Half => (w - 1 - x, h - 1 - y),
                    Rotation::ThreeQuarters => (y, w - 1 - x),
                };
                let to = (y * upright.0 + x) * 4;
                plain[to..to + 4].copy_from_slice(&pixel);
            }
        }
        (plain, upright)
    }
}

/// Every rotation and order of bytes, with and without a crop and a long stride.
fn odd_pictures() -> Vec<Odd> {
    let size = (61, 45);
    let mut odd = Vec::new();
    for rotation in [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters] {
        for format in [PixelFormat::Rgba8, PixelFormat::Bgra8] {
            for (crop, spare) in
                [(None, 0), (None, 20), (Some([7, 3, 40, 41]), 12), (Some([60, 44, 1, 1]), 0)]
            {
                let stride = size.0 * 4 + spare;
                let mut bytes = picture(stride / 4, size.1);
                bytes.truncate(stride * (size.1 - 1) + size.0 * 4); // the last row ends with its last pixel
                odd.push(Odd { bytes, size, stride, format, crop, rotation });
            }
        }
    }
    odd
}

fn goldens() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/pictures.golden.safetensors");
    std::fs::read(path).expect(path)
}

#[test]
fn equals_timm_byte_for_byte() {
    let bytes = goldens();
    let goldens = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert!(goldens.len() >= 40, "{} goldens", goldens.len());
    for (key, golden) in goldens.iter() {
        let (size, preprocess) = parse(key);
        let input = preprocess.run(&whole(&picture(size.0, size.1), size)).expect(key);
        let expected = normalized(golden.data());
        let differing = input.data().iter().zip(&expected).filter(|(a, b)| a != b).count();
        assert_eq!((input.data().len(), differing), (expected.len(), 0), "{key}");
    }
}

#[test]
fn refuses_what_timm_refuses() {
    let bytes = goldens();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let cases = &header.metadata().as_ref().expect("metadata")["cases"];
    let cases: std::collections::HashMap<String, Vec<String>> = serde_json::from_str(cases).unwrap();
    let refused = cases["refused"].clone();
    assert!(!refused.is_empty());
    for key in refused {
        let (size, preprocess) = parse(&key);
        let error = preprocess.run(&whole(&picture(size.0, size.1), size)).expect_err(&key);
        assert!(matches!(&error, Error::Input(reason) if reason.contains("too narrow")), "{key}: {error}");
    }
}

#[test]
fn geometry() {
    type Row = (&'static str, (usize, usize), f64, (usize, usize), (usize, usize), (i32, i32), [u8; 3]);
    #[rustfmt::skip]
    let rows: &[Row] = &[
        // mode, target (h, w), pct, source (w, h), resized, offset, fill
        ("center", (224, 224), 0.875, (640, 480), (341, 256), (58, 16), [0; 3]),
        ("center", (224, 224), 0.9,   (480, 640), (248, 330), (12, 53), [0; 3]),
        ("center", (224, 224), 0.9,   (1, 65_535), (248, 16_252_680), (12, 8_126_228), [0; 3]),
        ("center", (32, 32),   1.0,   (32, 32), (32, 32), (0, 0), [0; 3]),
        ("center", (32, 32),   0.97,  (50, 51), (32, 32), (0, 0), [0; 3]),       // 32 * 51 / 50 is cut to 32
        ("center", (32, 32),   1.0,   (32, 33), (32, 33), (0, 0), [0; 3]),       // half of 1 goes to the even 0
        ("center", (32, 32),   1.0,   (32, 35), (32, 35), (0, 2), [0; 3]),       // half of 3 goes to the even 2
        ("center", (33, 33),   2.0,   (40, 40), (16, 16), (-8, -8), [0; 3]),     // of 17 columns, 8 before, 9 after
        ("center", (48, 32),   0.9,   (640, 480), (71, 53), (20, 2), [0; 3]),
        ("squash", (48, 32),   0.9,   (640, 480), (35, 53), (2, 2), [0; 3]),
        ("border", (32, 32),   1.0,   (640, 480), (32, 24), (0, -4), [124, 116, 104]),
        ("border", (32, 32),   0.875, (480, 640), (27, 36), (-2, 2), [124, 116, 104]),
    ];
    for &(mode, target, pct, source, resized, offset, fill) in rows {
        let geometry = preprocess(mode, "bilinear", target, pct).geometry(source).unwrap();
        assert_eq!(
            (geometry.resized, geometry.offset, geometry.fill),
            (resized, offset, fill),
            "{mode} {source:?}"
        );
    }
}

#[test]
fn crop_rotation_stride_and_order_of_bytes() {
    for mode in ["center", "border"] {
        for filter in ["bilinear", "bicubic"] {
            let preprocess = preprocess(mode, filter, (20, 31), 0.9);
            for (case, odd) in odd_pictures().iter().enumerate() {
                let (plain, size) = odd.plain();
                let expected = preprocess.run(&whole(&plain, size)).unwrap();
                let found = preprocess.run(&odd.pixels()).unwrap();
                assert!(expected == found, "{mode} {filter}, picture {case}");
            }
        }
    }
}

#[test]
fn scratch_is_reused() {
    let (large, small) = (picture(200, 150), picture(30, 40));
    let preprocess = preprocess("border", "bicubic", (32, 32), 0.9);
    let (mut scratch, mut dst) = (Default::default(), vec![f32::NAN; 32 * 32 * 3]);
    for (bytes, size) in [(&large, (200, 150)), (&small, (30, 40)), (&large, (200, 150))] {
        preprocess.run_into(&whole(bytes, size), &mut scratch, &mut dst).unwrap();
        assert!(preprocess.run(&whole(bytes, size)).unwrap().data() == dst, "{size:?}");
    }
    let error = preprocess.run_into(&whole(&small, (30, 40)), &mut scratch, &mut dst[1..]).unwrap_err();
    assert!(error.to_string().contains("3071"), "{error}");
}

#[test]
fn extreme_pictures() {
    for (w, h) in [(1, 65_535), (65_535, 1), (65_535, 3), (2, 40_000), (1, 1)] {
        let bytes = picture(w, h);
        for mode in ["center", "squash"] {
            for (filter, pct) in [("bilinear", 0.875), ("bicubic", 1.0), ("bicubic", 3.0)] {
                let input = preprocess(mode, filter, (64, 48), pct).run(&whole(&bytes, (w, h))).unwrap();
                assert!(input.data().iter().all(|v| v.is_finite()), "{w}x{h} {mode} {filter} {pct}");
            }
        }
    }
}

#[test]
fn pictures_that_contradict_themselves() {
    let bytes = vec![0; 40 * 10];
    let good = whole(&bytes, (10, 10));
    assert!(good.view().is_ok());
    #[rustfmt::skip]
    let rows = [
        (Pixels { size: (0, 10), ..good }, "0x10"),
        (Pixels { size: (10, 0), ..good }, "10x0"),
        (Pixels { size: (65_536, 1), ..good }, "65536x1"),
        (Pixels { size: (usize::MAX, usize::MAX), ..good }, "each side"),
        (Pixels { stride: 39, ..good }, "stride 39"),
        (Pixels { stride: 36, ..good }, "stride 36"),
        (Pixels { stride: 42, ..good }, "a multiple of 4"),
        (Pixels { stride: usize::MAX - 3, ..good }, "stride"),
        (Pixels { bytes: &bytes[..399], ..good }, "needs 400 bytes, found 399"),
        (Pixels { bytes: &[], ..good }, "found 0"),
        (Pixels { stride: 44, ..good }, "needs 436 bytes, found 400"),
        (Pixels { crop: Some([0, 0, 0, 5]), ..good }, "crop 0x5"),
        (Pixels { crop: Some([0, 0, 5, 0]), ..good }, "crop 5x0"),
        (Pixels { crop: Some([6, 0, 5, 5]), ..good }, "crop 5x5 at (6, 0)"),
        (Pixels { crop: Some([0, 6, 5, 5]), ..good }, "crop 5x5 at (0, 6)"),
        (Pixels { crop: Some([usize::MAX, 0, 5, 5]), ..good }, "not inside a picture of 10x10"),
    ];
    let preprocess = preprocess("center", "bilinear", (32, 32), 0.875);
    for (pixels, named) in rows {
        let error = preprocess.run(&pixels).expect_err(named);
        assert!(matches!(&error, Error::Input(_)) && error.to_string().contains(named), "{named}: {error}");
    }
}

#[test]
fn values_that_cannot_be_followed() {
    let good = preprocess("center", "bilinear", (32, 32), 0.875);
    let with = |change: fn(&mut Preprocess)| {
        let mut preprocess = good.clone();
        change(&mut preprocess);
        preprocess
    };
    let rows = [
        (with(|p| p.size = (0, 32)), "input size 0x32"),
        (with(|p| p.size = (32, 1 << 40)), "input size 32x"),
        (with(|p| p.crop_pct = 0.0), "crop_pct 0"),
        (with(|p| p.crop_pct = -0.9), "crop_pct -0.9"),
        (with(|p| p.crop_pct = f64::NAN), "crop_pct NaN"),
        (with(|p| p.crop_pct = 1e-300), "crop_pct"),
        (with(|p| p.crop_pct = 33.0), "crop_pct 33"),
        (with(|p| p.mean[1] = f32::NAN), "mean"),
        (with(|p| p.std[2] = 0.0), "std"),
        (with(|p| p.std[0] = f32::INFINITY), "std"),
    ];
    let bytes = picture(4, 4);
    for (preprocess, named) in rows {
        let error = preprocess.run(&whole(&bytes, (4, 4))).expect_err(named);
        assert!(matches!(&error, Error::Option(_)) && error.to_string().contains(named), "{named}: {error}");
    }
    assert!(matches!(good.geometry((0, 5)), Err(Error::Input(_))));
    assert!(matches!(good.geometry((usize::MAX, 5)), Err(Error::Input(_))));
}

/// Grey is PIL's "L" of the picture, resized as colours are.
#[test]
fn grey_is_luma_before_the_resize() {
    // As Image.convert("L") gives them.
    let rows = [
        ([255, 0, 0], 76),
        ([0, 255, 0], 150),
        ([0, 0, 255], 29),
        ([255, 255, 255], 255),
        ([1, 2, 3], 2),
        ([200, 100, 50], 124),
    ];
    let of = |(mode, filter)| preprocess(mode, filter, (20, 31), 0.9);
    let grey = |preprocess: Preprocess| Preprocess {
        mean: [0.25; 3],
        std: [0.5; 3],
        colour: Colour::Grey,
        ..preprocess
    };
    for ([r, g, b], luma) in rows {
        let bytes = [r, g, b, 9].repeat(40 * 40);
        let input = grey(of(("center", "bilinear"))).run(&whole(&bytes, (40, 40))).unwrap();
        assert_eq!(input.shape().to_string(), "[1, 20, 31, 1]");
        let expected = (f32::from(luma as u8) / 255.0 - 0.25) / 0.5;
        assert!(input.data().iter().all(|&value| value == expected), "{r} {g} {b}: {:?}", &input.data()[..3]);
    }
    for odd in odd_pictures() {
        let (mut plain, size) = odd.plain();
        for pixel in plain.chunks_mut(4) {
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            pixel[..3].fill(((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8);
        }
        for mode in [("center", "bilinear"), ("border", "bicubic"), ("squash", "bilinear")] {
            let colours = Preprocess { colour: Colour::Rgb, ..grey(of(mode)) };
            let expected = colours.run(&whole(&plain, size)).unwrap();
            let expected: Vec<f32> = expected.data().chunks(3).map(|pixel| pixel[0]).collect();
            assert_eq!(grey(of(mode)).run(&odd.pixels()).unwrap().data(), expected, "{mode:?}");
        }
    }
}

#[test]
fn nothing_outside_the_region_counts() {
    let sizes = [(224, 224), (640, 480), (480, 640), (1333, 1000), (31, 500), (1, 1), (3, 2), (60, 59)];
    let mut cut = 0;
    for mode in ["center", "squash", "border"] {
        for (filter, input, pct) in
            [("bicubic", (224, 224), 0.9), ("bilinear", (80, 80), 1.0), ("bicubic", (96, 160), 0.875)]
        {
            for size @ (width, height) in sizes {
                let preprocess = preprocess(mode, filter, input, pct);
                let [left, top, w, h] = preprocess.region(size).unwrap();
                assert!(w > 0 && h > 0 && left + w <= width && top + h <= height, "{mode} {size:?}");
                let bytes = picture(width, height);
                let mut other = bytes.clone();
                for (at, pixel) in other.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let (x, y) = (at % width, at / width);
                    if !(left..left + w).contains(&x) || !(top..top + h).contains(&y) {
                        *pixel = pixel.map(|value| !value);
                    }
                }
                cut += usize::from(other != bytes);
                let run = |bytes| preprocess.run(&whole(bytes, size)).unwrap();
                assert_eq!(run(&bytes).data(), run(&other).data(), "{mode} {filter} {input:?} {size:?}");
            }
        }
    }
    assert!(cut > 10, "{cut} pictures have an outside");
    let narrow = preprocess("center", "bicubic", (224, 224), 0.9).region((70_000, 1));
    assert!(matches!(narrow, Err(Error::Input(_))));
}
