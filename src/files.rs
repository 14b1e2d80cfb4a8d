//! Files that are written whole or not at all, and what tells damaged ones.

use std::{
    fs::{self, File},
    io::{Error, ErrorKind, Result, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Tells apart the unfinished files of one process.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A new file beside `path`, under a name that no other file has.
fn beside(path: &Path) -> Result<(PathBuf, File)> {
    let name = path.file_name().ok_or(Error::new(ErrorKind::InvalidInput, "no name of a file"))?;
    let (process, serial) = (std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
    let beside = path.with_file_name(format!(".{}.{process}.{serial}.partial", name.display()));
    let file = File::create_new(&beside)?;
    Ok((beside, file))
}

/// Makes the folder of `path`, and tries whether [`write_whole`] can write there.
#[cfg(feature = "gpu")]
pub fn try_write(path: &Path) -> Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    if path.is_dir() {
        return Err(Error::new(ErrorKind::IsADirectory, "a folder"));
    }
    fs::remove_file(beside(path)?.0)
}

/// FNV-1a, of bytes or of wider words: no two files that differ in one of them have the same.
#[cfg(feature = "gpu")]
pub fn sum<T: Into<u64>>(words: impl Iterator<Item = T>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |sum, word| (sum ^ word.into()).wrapping_mul(0x100_0000_01b3))
}

/// Puts a file of `bytes` at `path`: written beside it under another name, then renamed. Whoever reads meanwhile
/// finds the old file or the new one, and a failure leaves the old one only.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let (beside, mut file) = beside(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
        // The first error is the one to tell
        let _ = fs::remove_file(&beside);
    })
}
