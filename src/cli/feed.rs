//! Many pictures through one session, decoded on threads beside the device.

use std::{
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Mutex, mpsc::sync_channel},
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mobileone::{
    Error, Input, Session, Top,
    picture::{self, Picture},
};

use super::out::{Stop, chain, ms};

/// More threads would hold more decoded pictures, and no device waits for so many.
const THREADS: usize = 4;

/// A picture of more pixels, or a file of more bytes, is decoded while no other such is.
const LARGE: u64 = 1 << 24;

/// What became of one picture.
pub struct Seen<'a> {
    pub path: &'a Path,
    /// The best classes and the engine's milliseconds, or what is wrong with the picture.
    pub found: Result<(Vec<Top>, f64), String>,
    /// What is wrong with a file that was read all the same.
    pub warning: Option<String>,
    pub decode_ms: f64,
}

/// Runs every picture of `paths` through `session` and hands each to `each`, in their order.
///
/// Each thread decodes every n-th picture and holds it until the device takes it, so that one picture per
/// thread is in memory, and the workings of one large decoder.
pub fn feed(
    session: &Session,
    paths: &[PathBuf],
    bar: &Bar,
    mut each: impl FnMut(Seen) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS).min(paths.len());
    let gate = &Mutex::new(());
    thread::scope(|scope| {
        let decoders: Vec<_> = (0..threads)
            .map(|first| {
                let (sender, receiver) = sync_channel(0);
                scope.spawn(move || {
                    for path in paths.iter().skip(first).step_by(threads) {
                        let begun = Instant::now();
                        let picture = decode_or_survive(path, gate);
                        if sender.send((picture, ms(begun))).is_err() {
                            break;
                        }
                    }
                });
                receiver
            })
            .collect();
        for (at, path) in paths.iter().enumerate() {
            let Ok((picture, decode_ms)) = decoders[at % threads].recv() else {
                return Err(Stop::Error(format!("{}: the decoder broke on it", path.display())));
            };
            let warning = picture.as_ref().ok().and_then(|picture| picture.warning.clone());
            let found = match picture.and_then(|picture| classify(session, &picture)) {
                Ok(found) => Ok(found),
                Err(error @ (Error::Io { .. } | Error::File { .. } | Error::Input(_))) => Err(chain(&error)),
                Err(error) => return Err(error.into()),
            };
            bar.step();
            each(Seen { path, found, warning, decode_ms })?;
        }
        Ok(())
    })
}

/// Decodes one picture; a decoder that panics on it costs this picture and no other.
fn decode_or_survive(path: &Path, gate: &Mutex<()>) -> Result<Picture, Error> {
    catch_unwind(AssertUnwindSafe(|| decode(path, gate))).unwrap_or_else(|_| {
        Err(Error::File { path: path.into(), reason: "the decoder broke on it: the file is damaged".into() })
    })
}

fn decode(path: &Path, gate: &Mutex<()>) -> Result<Picture, Error> {
    let length = path.metadata().map_or(0, |file| file.len());
    picture::open_after(path, |pixels| (pixels > LARGE || length > LARGE).then(|| gate.lock()))
}

fn classify(session: &Session, picture: &Picture) -> Result<(Vec<Top>, f64), Error> {
    let begun = Instant::now();
    let answer = session.run(Input::Pixels(picture.pixels()))?;
    Ok((answer.top.into_iter().next().unwrap_or_default(), ms(begun)))
}

/// A progress bar on standard error, where that is a terminal, once the work has taken a second.
pub struct Bar {
    bar: ProgressBar,
    begun: Instant,
}

impl Bar {
    pub fn new(pictures: usize) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(pictures as u64), ProgressDrawTarget::hidden());
        let style = "{pos} of {len} pictures {wide_bar} {eta} left";
        bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
        Bar { bar, begun: Instant::now() }
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    fn step(&self) {
        self.bar.inc(1);
        if self.bar.is_hidden() && self.begun.elapsed() > Duration::from_secs(1) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Prints with the bar out of the way.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The pictures in `folder`, by name; those of folders in it are left out, and so are hidden files.
pub fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    let io = |source| Stop::from(Error::Io { path: folder.into(), source });
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if picture::is_picture_name(&path) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
