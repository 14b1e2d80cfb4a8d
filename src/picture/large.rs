//! PNGs that are read at half their width and height: row by row, so that the whole is never in memory.

use super::{Alpha, MAX_HALVED_PIXELS, MAX_SIDE, exif, too_large};
use image::{RgbaImage, metadata::Orientation};
use png::{BitDepth, Decoder, Transformations};
use std::io::Cursor;

/// The picture, each of its pixels the mean of four, and its orientation. Its alpha is taken as `alpha`, and read anew
/// where that proves wrong.
pub fn halved_png(bytes: &[u8], alpha: Alpha) -> Result<(RgbaImage, Option<Orientation>), String> {
    let damaged = |error: png::DecodingError| format!("not a sound PNG: {error}");
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    if info.width.div_ceil(2).max(info.height.div_ceil(2)) > MAX_SIDE
        || u64::from(info.width) * u64::from(info.height) > MAX_HALVED_PIXELS
    {
        return Err(too_large());
    }
    if info.interlaced {
        return Err(format!("an interlaced PNG; {}", too_large()));
    }
    let orientation = info.exif_metadata.as_deref().and_then(exif::orientation);
    let (colour, depth) = reader.output_color_type();
    let (channels, wide) = (colour.samples(), depth == BitDepth::Sixteen);
    let has_alpha = matches!(channels, 2 | 4);
    let (columns, rows) = (width.div_ceil(2), height.div_ceil(2));
    let mut rgba = Vec::with_capacity(columns * rows * 4);
    let mut sums = vec![[0u32; 3]; columns];
    let mut seen = false;
    for y in 0..height {
        let row = reader.next_row().map_err(damaged)?.ok_or("not a sound PNG: rows are missing")?;
        let sample = |at: usize| match wide {
            false => row.data()[at],
            true => {
                let value = u16::from_be_bytes([row.data()[2 * at], row.data()[2 * at + 1]]);
                ((u32::from(value) + 128) / 257) as u8
            }
        };
        for x in 0..width {
            let at = x * channels;
            let mut pixel = match channels {
                1 | 2 => [sample(at); 4],
                _ => [sample(at), sample(at + 1), sample(at + 2), 255],
            };
            pixel[3] = if has_alpha { sample(at + channels - 1) } else { 255 };
            seen |= pixel[3] > 0;
            alpha.lay_over_white(std::slice::from_mut(&mut pixel));
            (0..3).for_each(|c| sums[x / 2][c] += u32::from(pixel[c]));
        }
        if y % 2 == 1 || y + 1 == height {
            let down = 1 + y as u32 % 2;
            for (x, sum) in sums.iter_mut().enumerate() {
                let count = down * if 2 * x + 1 < width { 2 } else { 1 };
                let mean = sum.map(|sum| ((sum + count / 2) / count) as u8);
                rgba.extend([mean[0], mean[1], mean[2], 255]);
                *sum = [0; 3];
            }
        }
    }
    if !seen && alpha == Alpha::Filled {
        return halved_png(bytes, Alpha::Unfilled);
    }
    Ok((RgbaImage::from_raw(columns as u32, rows as u32, rgba).expect("four bytes per pixel"), orientation))
}
