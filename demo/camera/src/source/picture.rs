//! Pictures: one that stays, or a folder's, one after the other.

use super::Stage;
use crate::frame::{Format, Frame};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long a picture of a folder stays.
const STAY: Duration = Duration::from_secs(2);
/// The longest side of a frame; larger pictures are shrunk by a whole number.
const MOST: usize = 4096;
/// Frames per second: a picture is looked at again and again, as a camera would.
const RATE: f64 = 10.0;

/// Plays the pictures of a folder, in the order of their names.
pub fn play_folder(folder: &Path, stage: &Stage) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut pictures: Vec<PathBuf> = paths.filter(|path| mobileone::picture::is_picture_name(path)).collect();
    pictures.sort();
    play(&pictures, stage)
}

/// Plays pictures until it is stopped. Those that cannot be read are told of and passed over.
pub fn play(pictures: &[PathBuf], stage: &Stage) -> Result<(), String> {
    let still =
        Stage { rate: if stage.rate > 0.0 { stage.rate.min(RATE) } else { stage.rate }, ..stage.clone() };
    let mut last = "no picture there".to_string();
    loop {
        let mut played = false;
        for path in pictures {
            let (size, rgba) = match mobileone::picture::open(path) {
                Ok(picture) => shrink((picture.width, picture.height), picture.rgba),
                Err(error) => {
                    last = error.to_string();
                    if pictures.len() > 1 {
                        (stage.tell)(format!("{last}."));
                    }
                    continue;
                }
            };
            played = true;
            let begun = Instant::now();
            let mut before = begun;
            while !stage.stopped() && (pictures.len() == 1 || begun.elapsed() < STAY) {
                let mut bytes = stage.slot.buffer();
                bytes.extend_from_slice(&rgba);
                stage.put(Frame {
                    id: 0,
                    captured: Instant::now(),
                    size,
                    format: Format::Rgba,
                    bytes,
                    truth: None,
                });
                still.pace(&mut before);
            }
            if stage.stopped() {
                return Ok(());
            }
        }
        if !played {
            return Err(last);
        }
    }
}

/// The picture, or the mean of each block of its pixels where it is too large.
fn shrink((width, height): (usize, usize), rgba: Vec<u8>) -> ((usize, usize), Vec<u8>) {
    let by = width.max(height).div_ceil(MOST);
    if by <= 1 {
        return ((width, height), rgba);
    }
    let (w, h) = ((width / by).max(1), (height / by).max(1));
    let mut small = Vec::with_capacity(4 * w * h);
    for at in 0..w * h {
        let (left, top) = (at % w * by, at / w * by);
        for c in 0..4 {
            let rows = top..(top + by).min(height);
            let columns = left..(left + by).min(width);
            let count = (rows.len() * columns.len()) as u32;
            let sum: u32 = rows
                .flat_map(|y| columns.clone().map(move |x| 4 * (y * width + x) + c))
                .map(|at| u32::from(rgba[at]))
                .sum();
            small.push(((sum + count / 2) / count) as u8);
        }
    }
    ((w, h), small)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pictures_are_shrunk() {
        let (size, rgba) = shrink((8192, 3), vec![100; 4 * 8192 * 3]);
        assert_eq!((size, rgba.len(), rgba[5]), ((4096, 1), 4 * 4096, 100));
        assert_eq!(shrink((4097, 1), vec![7; 4 * 4097]).0, (2048, 1));
        assert_eq!(shrink((2, 2), vec![1; 16]), ((2, 2), vec![1; 16]));
    }
}
