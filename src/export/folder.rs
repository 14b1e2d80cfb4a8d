//! A folder that is written whole or not at all.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use super::{FORMAT, PLAN};
use crate::error::{Error, Result};

/// Puts `files` into `folder`: written beside it under another name, then renamed, so that whoever reads finds all of
/// them or none.
pub fn write(folder: &Path, files: &[(String, Vec<u8>)], force: bool) -> Result<()> {
    let io = |source| Error::Io { path: folder.into(), source };
    if folder.as_os_str().is_empty() {
        return Err(Error::Option("name the folder to export to".into()));
    }
    // A link stays a link, to a folder that is replaced.
    let place = match folder.canonicalize() {
        Ok(place) => place,
        Err(error) if error.kind() == ErrorKind::NotFound => std::path::absolute(folder).map_err(io)?,
        Err(error) => return Err(io(error)),
    };
    let replaced = occupied(folder, &place, force)?;
    let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
        return Err(Error::File {
            path: folder.into(),
            reason: "give a folder that can be made anew".into(),
        });
    };
    fs::create_dir_all(parent).map_err(io)?;
    let beside = |ending: &str| parent.join(format!(".{}.{}.{ending}", name.display(), std::process::id()));
    let (new, old) = (beside("partial"), beside("old"));
    fs::create_dir(&new).map_err(io)?;
    let done = fill(&new, files).and_then(|()| swap(&new, &place, replaced.then_some(&old)));
    done.map_err(|error| {
        // The first error is the one to tell.
        let _ = fs::remove_dir_all(&new);
        match error.kind() {
            ErrorKind::ResourceBusy => Error::File {
                path: folder.into(),
                reason: "cannot be put in another folder's place (a mount point?): name a folder below it"
                    .into(),
            },
            _ => io(error),
        }
    })
}

fn fill(folder: &Path, files: &[(String, Vec<u8>)]) -> io::Result<()> {
    for (name, bytes) in files {
        let mut file = File::create_new(folder.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Puts the folder `new` in the place of `place`, which goes by way of `old` where it is not empty.
fn swap(new: &Path, place: &Path, old: Option<&PathBuf>) -> io::Result<()> {
    match old {
        Some(old) => {
            fs::rename(place, old)?;
            if let Err(error) = fs::rename(new, place) {
                fs::rename(old, place)?;
                return Err(error);
            }
            fs::remove_dir_all(old)
        }
        None => {
            match fs::remove_dir(place) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::rename(new, place)
        }
    }
}

/// Whether there is an older export at `place`, which is called `folder`.
///
/// # Errors
/// When there is anything else, or `force` does not hold.
fn occupied(folder: &Path, place: &Path, force: bool) -> Result<bool> {
    let io = |source| Error::Io { path: folder.into(), source };
    let refuse = |reason: String| Err(Error::File { path: folder.into(), reason });
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return refuse("a file, where a folder is to be made".into());
        }
        Err(error) => return Err(io(error)),
    };
    let mut names =
        entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>().map_err(io)?;
    if names.is_empty() {
        return Ok(false);
    }
    if !force {
        return refuse(
            "the folder is not empty; name another, or replace an older export with --force".into(),
        );
    }
    names.sort();
    let known = older(place);
    match names.iter().find(|name| !known.iter().any(|known| name.as_os_str() == known.as_str())) {
        Some(other) => {
            refuse(format!("\"{}\" in it is no file of an export; name another folder", other.display()))
        }
        None => Ok(true),
    }
}

/// The files of the export at `place`; none where there is no export.
fn older(place: &Path) -> Vec<String> {
    let plan = fs::read(place.join(PLAN))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let plan = plan.filter(|plan| plan["format"] == FORMAT);
    let files = plan.as_ref().and_then(|plan| plan["files"].as_array());
    let files = files.into_iter().flatten().filter_map(|file| file.as_str().map(String::from));
    plan.iter().map(|_| PLAN.to_string()).chain(files).collect()
}
