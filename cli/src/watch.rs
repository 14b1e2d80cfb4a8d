//! Pictures as they appear in a folder.
//!
//! The folder is looked at again and again: network shares and phones send no notices of what changes there.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use mobileone::Error;

use crate::{feed::look, out::Stop};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// What tells whether a file has changed.
type Stamp = (u64, Option<SystemTime>);

/// A folder and what was seen in it.
pub struct Watch<'a> {
    folder: &'a Path,
    /// Whether the folders in it count.
    deep: bool,
    known: HashMap<PathBuf, Seen>,
}

enum Seen {
    /// It may still be in the writing.
    Fresh(Stamp),
    /// It was handed out, or was there from the beginning.
    Done(Stamp),
}

impl<'a> Watch<'a> {
    /// Looks from now on: what is in `folder` already is left alone. Where `deep`, the folders in it count too.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn new(folder: &'a Path, deep: bool) -> Result<Watch<'a>, Stop> {
        let done = |path: PathBuf| stamp(&path).map(|stamp| (path, Seen::Done(stamp)));
        let known = look(folder, deep)?.pictures.into_iter().filter_map(done).collect();
        Ok(Watch { folder, deep, known })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder
    }

    /// Waits for pictures that are new or have changed, and for each until two looks find the same size and
    /// time: then it is taken to be whole.
    ///
    /// # Errors
    /// When the folder cannot be read any more.
    pub fn next(&mut self) -> Result<Vec<PathBuf>, Stop> {
        loop {
            thread::sleep(PAUSE);
            let whole = self.look()?;
            if !whole.is_empty() {
                return Ok(whole);
            }
        }
    }

    fn look(&mut self) -> Result<Vec<PathBuf>, Stop> {
        let here = look(self.folder, self.deep)?.pictures;
        let (mut known, mut whole) = (HashMap::new(), Vec::new());
        for path in here {
            // One that is gone again between the two calls is forgotten.
            let Some(now) = stamp(&path) else { continue };
            let seen = match self.known.get(&path) {
                Some(Seen::Done(then)) if *then == now => Seen::Done(now),
                Some(Seen::Fresh(then)) if *then == now && now.0 > 0 => {
                    whole.push(path.clone());
                    Seen::Done(now)
                }
                _ => Seen::Fresh(now),
            };
            known.insert(path, seen);
        }
        self.known = known;
        Ok(whole)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let about = path.metadata().ok()?;
    Some((about.len(), about.modified().ok()))
}

/// Refuses what cannot be watched.
///
/// # Errors
/// [`Error::File`] naming it.
pub fn check(folder: &Path) -> Result<(), Stop> {
    let reason = match folder.is_dir() {
        true => return Ok(()),
        false if folder.exists() => "not a folder: --watch takes a folder",
        false => "no such folder",
    };
    Err(Error::File { path: folder.into(), reason: reason.into() }.into())
}
