//! Pictures: one that stays, or a folder's, one after the other.

use super::Stage;
use crate::frame::{Caption, Format, Frame};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// How long a picture of a folder stays, unless a hand leafs through it.
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
    play(&pictures, true, stage)
}

/// Plays one picture.
pub fn play_one(picture: &Path, stage: &Stage) -> Result<(), String> {
    play(&[picture.into()], false, stage)
}

/// Plays pictures until it is stopped, each with its name where they are a folder's. Those that cannot be read are passed
/// over, forwards or backwards as the hand leafs. What is wrong with one is reported once.
fn play(pictures: &[PathBuf], folder: bool, stage: &Stage) -> Result<(), String> {
    let still =
        Stage { rate: if stage.rate > 0.0 { stage.rate.min(RATE) } else { stage.rate }, ..stage.clone() };
    let leafing = &stage.leafing;
    let (of, mut at, mut way) = (pictures.len(), 0, 1);
    let (mut unread, mut told) = (0, HashSet::new());
    let mut last = "no picture there".to_string();
    while unread < of {
        let path = &pictures[at];
        let (size, rgba) = match mobileone::picture::open(path) {
            Ok(picture) => {
                if let Some(warning) = picture.warning.filter(|_| told.insert(at)) {
                    (stage.tell)(format!("{}: {warning}.", path.display()));
                }
                shrink((picture.width, picture.height), picture.rgba)
            }
            Err(error) => {
                last = error.to_string();
                if of > 1 && told.insert(at) {
                    (stage.tell)(format!("{last}."));
                }
                (unread, at) = (unread + 1, step(at, way, of));
                continue;
            }
        };
        unread = 0;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let caption = folder.then(|| Arc::new(Caption::File { name, at: at + 1, of }));
        let begun = Instant::now();
        let mut before = begun;
        let by = loop {
            if stage.stopped() {
                return Ok(());
            }
            match leafing.by.swap(0, Ordering::AcqRel) {
                // Round, to where it was.
                by if by % of as isize != 0 => break by,
                _ if of > 1 && !leafing.stays.load(Ordering::Acquire) && begun.elapsed() >= STAY => break 1,
                _ => {}
            }
            let (captured, caption, mut bytes) = (Instant::now(), caption.clone(), stage.slot.buffer());
            bytes.extend_from_slice(&rgba);
            stage.put(Frame { id: 0, captured, size, format: Format::Rgba, bytes, truth: None, caption });
            still.pace(&mut before);
        };
        (at, way) = (step(at, by, of), by.signum());
    }
    Err(last)
}

/// The place that is `by` places on from `at` among `of`, or back, round and round.
fn step(at: usize, by: isize, of: usize) -> usize {
    (at as isize + by).rem_euclid(of as isize) as usize
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
    fn pictures_go_round() {
        let rows = [(0, 1, 1), (2, 1, 0), (0, -1, 2), (1, -4, 0), (1, 7, 2)];
        for (at, by, expected) in rows {
            assert_eq!(step(at, by, 3), expected, "{at} {by}");
        }
    }

    #[test]
    fn large_pictures_are_shrunk() {
        let (size, rgba) = shrink((8192, 3), vec![100; 4 * 8192 * 3]);
        assert_eq!((size, rgba.len(), rgba[5]), ((4096, 1), 4 * 4096, 100));
        assert_eq!(shrink((4097, 1), vec![7; 4 * 4097]).0, (2048, 1));
        assert_eq!(shrink((2, 2), vec![1; 16]), ((2, 2), vec![1; 16]));
    }
}
