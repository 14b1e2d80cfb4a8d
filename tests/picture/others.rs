//! PNG, WebP, BMP and GIF: alpha that is empty, headers of OS/2, and files that are damaged or very large.

use super::{FOLDER, crc32, encoded, pixel, png};
use image::{ExtendedColorType, ImageEncoder};
use mobileone::picture;
use std::path::Path;

/// A BMP of 2x2 with 32 bits per pixel, blue, green, red and alpha, and a mask for each.
fn bmp32(pixels: [[u8; 4]; 4]) -> Vec<u8> {
    let header = 108u32;
    let mut out = b"BM".to_vec();
    for value in [14 + header + 12 + 16, 0, 14 + header + 12, header, 2, 2, 32 << 16 | 1, 3, 16, 0, 0, 0, 0] {
        out.extend(value.to_le_bytes());
    }
    for mask in [0xff_0000u32, 0xff00, 0xff, 0xff00_0000] {
        out.extend(mask.to_le_bytes());
    }
    out.resize(14 + header as usize + 12, 0);
    // From the bottom.
    out.extend([pixels[2], pixels[3], pixels[0], pixels[1]].concat());
    out
}

#[test]
fn alpha_that_is_zero_everywhere_is_none() {
    let rgba = [[10, 20, 30, 0], [250, 0, 0, 0], [0, 100, 255, 0], [1, 2, 3, 0]];
    let data = rgba.as_flattened();
    let webp = encoded(|bytes| {
        let encoder = image::codecs::webp::WebPEncoder::new_lossless(bytes);
        encoder.write_image(data, 2, 2, ExtendedColorType::Rgba8).unwrap();
    });
    let sixteen: Vec<u8> = data.iter().flat_map(|&value| (u16::from(value) * 257).to_ne_bytes()).collect();
    let rows = [
        ("PNG", png(2, 2, ExtendedColorType::Rgba8, data)),
        ("PNG, 16 bits", png(2, 2, ExtendedColorType::Rgba16, &sixteen)),
        ("WebP", webp),
        ("BMP", bmp32(rgba.map(|[r, g, b, a]| [b, g, r, a]))),
    ];
    for (name, bytes) in rows {
        let picture = picture::decode(&bytes).unwrap();
        let expected: Vec<u8> = rgba.iter().flat_map(|[r, g, b, _]| [*r, *g, *b, 255]).collect();
        assert_eq!(picture.rgba, expected, "{name}");
    }
    let grey = picture::decode(&png(2, 1, ExtendedColorType::La8, &[9, 0, 200, 0])).unwrap();
    assert_eq!(grey.rgba, [9, 9, 9, 255, 200, 200, 200, 255]);
    // One pixel that is seen, and the channel means what it says.
    let seen = bmp32([[30, 20, 10, 0], [0, 0, 250, 255], [0; 4], [0; 4]]);
    let picture = picture::decode(&seen).unwrap();
    assert_eq!(pixel(&picture, 0, 0), [255; 4]);
    assert_eq!(pixel(&picture, 1, 0), [250, 0, 0, 255]);
}

#[test]
fn bmps_of_os2() {
    let rows: [[u8; 6]; 2] = [[1, 2, 3, 40, 50, 60], [70, 80, 90, 100, 110, 120]];
    // Blue, green, red, from the bottom, rows filled up to four bytes.
    let data: Vec<u8> = rows.iter().rev().flat_map(|row| [&row[..], &[0, 0]].concat()).collect();
    let file = |header: &[u8], palette: &[u8], data: &[u8]| {
        let offset = 14 + header.len() + palette.len();
        let mut out = b"BM".to_vec();
        for value in [offset + data.len(), 0, offset] {
            out.extend((value as u32).to_le_bytes());
        }
        [&out[..], header, palette, data].concat()
    };
    let core = |bits: u8| [12, 0, 0, 0, 2, 0, 2, 0, 1, 0, bits, 0];
    let second = |size: u8, bits: u8| {
        let mut header = vec![size, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, bits, 0];
        header.resize(usize::from(size), 0);
        header
    };
    for (name, header) in
        [("1.x", core(24).to_vec()), ("2.x", second(64, 24)), ("2.x, short", second(16, 24))]
    {
        let picture = picture::decode(&file(&header, &[], &data)).unwrap();
        let expected = [3, 2, 1, 255, 60, 50, 40, 255, 90, 80, 70, 255, 120, 110, 100, 255];
        assert_eq!(picture.rgba, expected, "OS/2 {name}");
    }
    // A palette of three bytes per colour in 1.x, of four in 2.x.
    let colours = |bytes: usize| -> Vec<u8> {
        (0..256).flat_map(|at| [at as u8, 255 - at as u8, 7, 0][..bytes].to_vec()).collect()
    };
    let data = [20, 30, 0, 0, 0, 10, 0, 0];
    for (header, bytes) in [(core(8).to_vec(), 3), (second(64, 8), 4)] {
        let picture = picture::decode(&file(&header, &colours(bytes), &data)).unwrap();
        let expected: Vec<u8> = [0, 10, 20, 30].iter().flat_map(|&at| [7, 255 - at, at, 255]).collect();
        assert_eq!(picture.rgba, expected, "{bytes} bytes per colour");
    }
    let mut packed = second(64, 24);
    packed[16] = 4;
    let error = picture::decode(&file(&packed, &[], &data)).unwrap_err().to_string();
    assert!(error.contains("OS/2") && error.contains("magick"), "{error}");
}

/// The chunks of a PNG: where each begins, and its name.
fn chunks(bytes: &[u8]) -> Vec<(usize, [u8; 4])> {
    let mut found = Vec::new();
    let mut at = 8;
    while let Some(name) = bytes.get(at + 4..at + 8) {
        found.push((at, name.try_into().unwrap()));
        at += 12 + u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    }
    found
}

#[test]
fn damaged_pngs() {
    let data: Vec<u8> = (0..60 * 40 * 3).map(|at: u32| (at * at / 7) as u8).collect();
    let bytes = png(60, 40, ExtendedColorType::Rgb8, &data);
    let whole = picture::decode(&bytes).unwrap();
    let chunks = chunks(&bytes);
    let end = chunks.iter().find(|(_, name)| name == b"IEND").unwrap().0;
    assert!(picture::decode(&bytes[..end]).unwrap() == whole, "no IEND");
    let (at, _) = *chunks.iter().find(|(_, name)| name == b"IDAT").unwrap();
    let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    // A wrong checksum, of the header and of the pixels.
    for place in [20, at + 8 + length / 2, at + 8 + length] {
        let mut wrong = bytes.clone();
        wrong[place] ^= 0x10;
        assert!(picture::decode(&wrong).is_err(), "a bit at {place}");
    }
    // Half of the pixels' data, with sound checksums and an end.
    let half = &bytes[at + 4..at + 8 + length / 2];
    let short = [
        &bytes[..at],
        &(half.len() as u32 - 4).to_be_bytes(),
        half,
        &crc32(half).to_be_bytes(),
        &bytes[end..],
    ]
    .concat();
    let error = picture::decode(&short).expect_err("half of the pixels").to_string();
    assert!(error.contains("not a sound PNG"), "{error}");
    // Without any.
    assert!(picture::decode(&[&bytes[..at], &bytes[end..]].concat()).is_err());
}

#[test]
fn damaged_webps_and_gifs() {
    // The container's sizes say that the shorter data are all there is.
    for name in ["lossy.webp", "rgb.webp"] {
        let bytes = std::fs::read(Path::new(FOLDER).join(name)).unwrap();
        let whole = picture::decode(&bytes).unwrap();
        let mut chunk = 12;
        while !bytes[chunk..].starts_with(b"VP8") || bytes[chunk + 3] == b'X' {
            chunk += 8 + u32::from_le_bytes(bytes[chunk + 4..chunk + 8].try_into().unwrap())
                .next_multiple_of(2) as usize;
        }
        let length = u32::from_le_bytes(bytes[chunk + 4..chunk + 8].try_into().unwrap()) as usize;
        for kept in 0..length {
            let mut short = [&bytes[..chunk + 8 + kept], &[0][..kept % 2]].concat();
            short[chunk + 4..chunk + 8].copy_from_slice(&(kept as u32).to_le_bytes());
            let all = short.len() as u32 - 8;
            short[4..8].copy_from_slice(&all.to_le_bytes());
            if let Ok(picture) = picture::decode(&short) {
                assert!(picture == whole || picture.warning.is_some(), "{name}: {kept} of {length}");
            }
        }
    }
    let data: Vec<u8> =
        (0..40 * 30 * 4).map(|at: u32| if at % 4 == 3 { 255 } else { (at * at / 91) as u8 }).collect();
    let bytes = encoded(|bytes| {
        let mut encoder = image::codecs::gif::GifEncoder::new(bytes);
        encoder.encode(&data, 40, 30, ExtendedColorType::Rgba8).unwrap();
    });
    let whole = picture::decode(&bytes).unwrap();
    // The data's first part, then an end of the data and of the file.
    let image = (0..bytes.len())
        .rev()
        .find(|&at| bytes[at..].starts_with(&[0x2c, 0, 0, 0, 0, 40, 0, 30, 0]))
        .unwrap();
    let palette = if bytes[image + 9] & 0x80 == 0 { 0 } else { 3 << ((bytes[image + 9] & 7) + 1) };
    let data = image + 10 + palette + 1;
    let first = usize::from(bytes[data]);
    for kept in 1..first {
        let short = [&bytes[..data], &[kept as u8], &bytes[data + 1..data + 1 + kept], &[0, 0x3b]].concat();
        if let Ok(picture) = picture::decode(&short) {
            assert!(picture == whole || picture.warning.is_some(), "GIF: {kept} of {first}");
        }
    }
}

#[test]
fn pngs_above_64_megapixels() {
    // Columns in turns of two values: their means are what a half of it shows.
    let (width, height) = (9_001, 8_000);
    let mut data = vec![0; width * height];
    for (y, row) in data.chunks_exact_mut(width).enumerate() {
        row.iter_mut()
            .enumerate()
            .for_each(|(x, value)| *value = (x / 64 + y / 64 * 3) as u8 / 2 + (x % 2) as u8 * 100);
    }
    let bytes = encoded(|bytes| {
        use image::codecs::png::{CompressionType, FilterType, PngEncoder};
        let encoder = PngEncoder::new_with_quality(bytes, CompressionType::Fast, FilterType::Sub);
        encoder.write_image(&data, width as u32, height as u32, ExtendedColorType::L8).unwrap();
    });
    let picture = picture::decode(&bytes).unwrap();
    assert_eq!((picture.width, picture.height), (4501, 4000));
    for (x, y) in [(0, 0), (1000, 3000), (4499, 3999)] {
        let expected = (x / 32 + y / 32 * 3) as u8 / 2 + 50;
        assert_eq!(pixel(&picture, x, y), [expected, expected, expected, 255], "({x}, {y})");
    }
    assert_eq!(pixel(&picture, 4500, 0)[0], 70, "the last column by itself");
    let error = picture::decode(&bytes[..bytes.len() / 2]).unwrap_err().to_string();
    assert!(error.contains("not a sound PNG"), "{error}");
}
