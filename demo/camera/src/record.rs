//! Drawn frames as files: PNGs, and an animated PNG of them.

use std::{
    collections::HashMap,
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
};

/// Writes a picture (RGBA, without gaps) as PNG. The file appears whole.
///
/// # Errors
/// A line when it cannot be written.
pub fn write(path: &Path, size: [u32; 2], rgba: &[u8]) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let part = path.with_extension("part");
    let file = BufWriter::new(File::create(&part).map_err(|error| failed(&error))?);
    let mut encoder = png::Encoder::new(file, size[0], size[1]);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    let rgb: Vec<u8> =
        rgba.as_chunks::<4>().0.iter().flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let mut writer = encoder.write_header().map_err(|error| failed(&error))?;
    writer.write_image_data(&rgb).map_err(|error| failed(&error))?;
    writer.finish().map_err(|error| failed(&error))?;
    std::fs::rename(&part, path).map_err(|error| failed(&error))
}

/// How an animation is made.
#[derive(Clone, Copy, Debug)]
pub struct Animation {
    /// Columns; rows follow.
    pub width: u32,
    /// Frames per second.
    pub rate: f64,
}

/// Colours of an animation, besides the one that stands for what stays as it was.
const COLOURS: usize = 255;
/// How much a pixel has to change, summed over its channels, before it is written again.
const CHANGE: u32 = 12;

/// Makes the PNGs of a folder, in the order of their names, one animated PNG: a palette for all of it, and only
/// what changes from frame to frame.
///
/// # Errors
/// A line when a file cannot be read or written.
pub fn animate(folder: &Path, file: &Path, animation: Animation) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(|error| failed(&error))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "png"));
    paths.sort();
    let mut frames = Vec::with_capacity(paths.len());
    for path in &paths {
        let picture = image::open(path).map_err(|error| format!("{}: {error}", path.display()))?.into_rgb8();
        let height = (picture.height() * animation.width).div_ceil(picture.width()).max(1);
        frames.push(image::imageops::resize(
            &picture,
            animation.width,
            height,
            image::imageops::FilterType::Triangle,
        ));
    }
    let Some(first) = frames.first() else { return Err(format!("{}: no PNG there", folder.display())) };
    let size = (first.width(), first.height());
    if frames.iter().any(|frame| frame.dimensions() != size) {
        return Err(format!("{}: frames of several sizes", folder.display()));
    }
    let palette = palette(&frames);
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let out = BufWriter::new(File::create(file).map_err(|error| failed(&error))?);
    let mut encoder = png::Encoder::new(out, size.0, size.1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let mut colours = vec![0, 0, 0];
    colours.extend(palette.iter().flatten());
    encoder.set_palette(colours);
    encoder.set_trns(vec![0]);
    encoder.set_animated(frames.len() as u32, 0).map_err(|error| failed(&error))?;
    encoder.set_frame_delay(100, (100.0 * animation.rate).round() as u16).map_err(|error| failed(&error))?;
    encoder.set_blend_op(png::BlendOp::Over).map_err(|error| failed(&error))?;
    let mut writer = encoder.write_header().map_err(|error| failed(&error))?;
    let mut nearest = HashMap::new();
    let mut before: Vec<[u8; 3]> = Vec::new();
    for frame in &frames {
        let pixels = frame.as_raw().as_chunks::<3>().0;
        let mut indices = Vec::with_capacity(pixels.len());
        for (at, pixel) in pixels.iter().enumerate() {
            let stays = before.get(at).is_some_and(|before| apart(*before, *pixel) < CHANGE);
            indices.push(if stays {
                0
            } else {
                *nearest.entry(*pixel).or_insert_with(|| closest(&palette, *pixel))
            });
        }
        match before.is_empty() {
            true => before = indices.iter().map(|&index| palette[usize::from(index) - 1]).collect(),
            false => {
                let changed = indices.iter().zip(&mut before).filter(|(index, _)| **index > 0);
                changed.for_each(|(&index, before)| *before = palette[usize::from(index) - 1]);
            }
        }
        // Only the rows and columns between the first and the last change are written.
        let width = size.0 as usize;
        let changed = |at: &usize| indices[*at] > 0;
        let rows = (0..indices.len()).find(changed).unwrap_or(0) / width
            ..(0..indices.len()).rev().find(changed).unwrap_or(0) / width + 1;
        let column = |x: &usize| rows.clone().any(|y| indices[y * width + x] > 0);
        let columns = (0..width).find(column).unwrap_or(0)..(0..width).rev().find(column).unwrap_or(0) + 1;
        writer.reset_frame_position().map_err(|error| failed(&error))?;
        writer
            .set_frame_dimension(columns.len() as u32, rows.len() as u32)
            .map_err(|error| failed(&error))?;
        writer.set_frame_position(columns.start as u32, rows.start as u32).map_err(|error| failed(&error))?;
        let cut: Vec<u8> = rows
            .flat_map(|y| &indices[y * width + columns.start..y * width + columns.end])
            .copied()
            .collect();
        writer.write_image_data(&cut).map_err(|error| failed(&error))?;
    }
    writer.finish().map_err(|error| failed(&error))
}

fn apart(a: [u8; 3], b: [u8; 3]) -> u32 {
    (0..3).map(|c| u32::from(a[c].abs_diff(b[c]))).sum()
}

/// The place in the file's palette, whose first colour stands for what stays, of the closest colour.
fn closest(palette: &[[u8; 3]], pixel: [u8; 3]) -> u8 {
    let distance =
        |colour: &[u8; 3]| (0..3).map(|c| u32::from(colour[c].abs_diff(pixel[c])).pow(2)).sum::<u32>();
    let best = palette.iter().enumerate().min_by_key(|(_, colour)| distance(colour));
    best.map_or(1, |(at, _)| at as u8 + 1)
}

/// Colours for all frames: boxes of colours are halved where they reach farthest, and each gives its mean.
fn palette(frames: &[image::RgbImage]) -> Vec<[u8; 3]> {
    // Every few frames and pixels, in 5 bits per channel with their counts.
    let mut counts: HashMap<[u8; 3], ([u64; 3], u64)> = HashMap::new();
    for frame in frames.iter().step_by(frames.len().div_ceil(24)) {
        for pixel in frame.as_raw().as_chunks::<3>().0.iter().step_by(3) {
            let (sum, count) = counts.entry(pixel.map(|value| value >> 3)).or_default();
            (0..3).for_each(|c| sum[c] += u64::from(pixel[c]));
            *count += 1;
        }
    }
    let colours = counts.into_values().map(|(sum, count)| (sum.map(|sum| (sum / count) as u8), count));
    let mut boxes = vec![colours.collect::<Vec<([u8; 3], u64)>>()];
    let reach = |colours: &Vec<([u8; 3], u64)>| {
        let channel = |c: usize| {
            let values = || colours.iter().map(|(colour, _)| colour[c]);
            (values().max().unwrap_or(0) - values().min().unwrap_or(0), c)
        };
        (0..3).map(channel).max().unwrap_or((0, 0))
    };
    while boxes.len() < COLOURS {
        // Populous boxes count for more.
        let weight = |colours: &Vec<([u8; 3], u64)>| {
            let count: u64 = colours.iter().map(|(_, count)| count).sum();
            (f64::from(reach(colours).0) * (count as f64).powf(0.3) * 1e3) as u64
        };
        let Some(at) =
            (0..boxes.len()).filter(|&at| boxes[at].len() > 1).max_by_key(|&at| weight(&boxes[at]))
        else {
            break;
        };
        let mut colours = boxes.swap_remove(at);
        let channel = reach(&colours).1;
        colours.sort_by_key(|(colour, _)| colour[channel]);
        let upper = colours.split_off(colours.len() / 2);
        boxes.extend([colours, upper]);
    }
    let mean = |colours: &Vec<([u8; 3], u64)>| {
        let count: u64 = colours.iter().map(|(_, count)| count).sum();
        [0, 1, 2]
            .map(|c| (colours.iter().map(|(colour, n)| u64::from(colour[c]) * n).sum::<u64>() / count) as u8)
    };
    let mut means: Vec<[u8; 3]> = boxes.iter().map(mean).collect();
    means.sort_unstable();
    means
}
