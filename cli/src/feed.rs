//! Many pictures through one session, decoded on threads beside the device.

use std::{
    io::Read,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        mpsc::{TryRecvError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mobileone::{
    Error, Input, Session, Ticket, Top,
    picture::{self, Picture},
};

use crate::out::{Stop, chain, ms};

/// More threads would hold more decoded pictures, and no device waits for so many.
const THREADS: usize = 4;

/// A picture of more pixels, or a file of more bytes, is decoded while no other such is.
const LARGE: u64 = 1 << 24;

/// The name that means standard input.
pub const STDIN: &str = "-";

/// What became of one picture.
pub struct Seen<'a> {
    pub path: &'a Path,
    /// The best classes and the milliseconds from the decoded picture to its answer, or what is wrong with the picture.
    pub found: Result<(Vec<Top>, f64), String>,
    /// What is wrong with a file that was read all the same.
    pub warning: Option<String>,
    pub decode_ms: f64,
}

/// Runs every picture of `paths` through `session` and hands each to `each`, in their order.
///
/// Each thread decodes every n-th picture and holds it until the device takes it, so that one picture per
/// thread is in memory, and the workings of one large decoder. A picture is prepared while the device computes the one
/// before it.
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
        let mut finish = |flight: Flight| -> Result<(), Stop> {
            let seen = flight.land()?;
            bar.step();
            each(seen)
        };
        // The one before, which the device computes while the next is prepared.
        let mut before: Option<Flight> = None;
        for (at, path) in paths.iter().enumerate() {
            let decoder = &decoders[at % threads];
            let next = match decoder.try_recv() {
                // An answer does not wait for a slow decoder.
                Err(TryRecvError::Empty) => {
                    before.take().map_or(Ok(()), &mut finish)?;
                    decoder.recv().ok()
                }
                other => other.ok(),
            };
            let Some((picture, decode_ms)) = next else {
                return Err(Stop::Error(format!("{}: the decoder broke on it", path.display())));
            };
            let flight = Flight::start(session, path, picture, decode_ms);
            before.replace(flight).map_or(Ok(()), &mut finish)?;
        }
        before.map_or(Ok(()), finish)
    })
}

/// A picture on its way through the session.
struct Flight<'a> {
    path: &'a Path,
    ticket: Result<Ticket, Error>,
    warning: Option<String>,
    decode_ms: f64,
    begun: Instant,
}

impl<'a> Flight<'a> {
    fn start(
        session: &Session,
        path: &'a Path,
        picture: Result<Picture, Error>,
        decode_ms: f64,
    ) -> Flight<'a> {
        let warning = picture.as_ref().ok().and_then(|picture| picture.warning.clone());
        let begun = Instant::now();
        let ticket = picture.and_then(|picture| session.submit(Input::Pixels(picture.pixels())));
        Flight { path, ticket, warning, decode_ms, begun }
    }

    /// Waits for the answer.
    fn land(self) -> Result<Seen<'a>, Stop> {
        let Flight { path, ticket, warning, decode_ms, begun } = self;
        let found = match ticket.and_then(Ticket::wait) {
            Ok(answer) => Ok((answer.top.into_iter().next().unwrap_or_default(), ms(begun))),
            Err(error @ (Error::Io { .. } | Error::File { .. } | Error::Input(_))) => Err(chain(&error)),
            Err(error) => return Err(error.into()),
        };
        Ok(Seen { path, found, warning, decode_ms })
    }
}

/// Decodes one picture; a decoder that panics on it costs this picture and no other.
fn decode_or_survive(path: &Path, gate: &Mutex<()>) -> Result<Picture, Error> {
    catch_unwind(AssertUnwindSafe(|| decode(path, gate))).unwrap_or_else(|_| {
        Err(Error::File { path: path.into(), reason: "the decoder broke on it: the file is damaged".into() })
    })
}

fn decode(path: &Path, gate: &Mutex<()>) -> Result<Picture, Error> {
    if path == Path::new(STDIN) {
        return decode_stdin();
    }
    let length = path.metadata().map_or(0, |file| file.len());
    picture::open_after(path, |pixels| (pixels > LARGE || length > LARGE).then(|| gate.lock()))
}

fn decode_stdin() -> Result<Picture, Error> {
    let path = || PathBuf::from("standard input");
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(picture::MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::Io { path: path(), source })?;
    picture::decode(&bytes).map_err(|error| match error {
        Error::Input(text) => {
            let reason = text.strip_prefix("picture: ").unwrap_or(&text).into();
            Error::File { path: path(), reason }
        }
        other => other,
    })
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

/// What is in a folder.
pub struct Inside {
    /// By name; hidden files are left out.
    pub pictures: Vec<PathBuf>,
    /// How many folders are in it, hidden ones and links left out.
    pub folders: usize,
    /// Folders in it that cannot be read, a line each.
    pub unread: Vec<String>,
}

/// Looks into `folder`; where `deep`, also into the folders in it, but not into hidden ones and links to folders,
/// which may lead in a circle.
pub fn look(folder: &Path, deep: bool) -> Result<Inside, Stop> {
    let io = |path: &Path, source| Error::Io { path: path.into(), source };
    let mut inside = Inside { pictures: Vec::new(), folders: 0, unread: Vec::new() };
    let mut left = entries(folder).map_err(|source| io(folder, source))?;
    while let Some(path) = left.pop() {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_dir() {
            if hidden || path.is_symlink() {
                continue;
            }
            inside.folders += 1;
            match entries(&path) {
                _ if !deep => {}
                Ok(more) => left.extend(more),
                Err(source) => inside.unread.push(chain(&io(&path, source))),
            }
        } else if picture::is_picture_name(&path) && path.is_file() {
            inside.pictures.push(path);
        }
    }
    inside.pictures.sort();
    inside.unread.sort();
    Ok(inside)
}

fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// The pictures in `folder`, by name; those of folders in it are left out, and so are hidden files.
pub fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    look(folder, false).map(|inside| inside.pictures)
}
