//! Files that are written whole or not at all, and what tells damaged ones.

use std::{
    fs::{self, File},
    io::{Error, ErrorKind, Result, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Tells apart the unfinished files of one process.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A file in the writing: it appears at its place, as a whole, when it is finished. Dropped before, it leaves what was
/// there.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    beside: PathBuf,
    /// `None` once it is finished.
    file: Option<File>,
}

impl Unfinished {
    /// A file that is to be at `path`, and meanwhile lies beside it under a name that no other file has.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(path: &Path) -> Result<Unfinished> {
        let name = path.file_name().ok_or(Error::new(ErrorKind::InvalidInput, "not the name of a file"))?;
        let (process, serial) = (std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let beside = path.with_file_name(format!(".{}.{process}.{serial}.partial", name.display()));
        let file = Some(File::create_new(&beside)?);
        Ok(Unfinished { path: path.into(), beside, file })
    }

    /// Puts the file at its place. A reader meanwhile finds the old file or the new one.
    ///
    /// # Errors
    /// When it cannot be written; what was there stays.
    pub fn finish(mut self) -> Result<()> {
        let file = self.file.as_ref().expect("not finished yet");
        file.sync_all()?;
        // Some systems rename no open file
        self.file = None;
        fs::rename(&self.beside, &self.path).inspect_err(|_| {
            let _ = fs::remove_file(&self.beside);
        })
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.file.as_mut().expect("not finished yet").write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.as_mut().expect("not finished yet").flush()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            drop(file);
            // What went wrong before is what matters
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// Makes the folder of `path`, and tries whether [`write_whole`] can write there.
///
/// # Errors
/// When it cannot.
#[cfg(feature = "gpu")]
pub fn try_write(path: &Path) -> Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    if path.is_dir() {
        return Err(Error::new(ErrorKind::IsADirectory, "a folder"));
    }
    Unfinished::new(path).map(drop)
}

/// FNV-1a, of bytes or of wider words: no two files that differ in one of them have the same.
#[cfg(feature = "gpu")]
pub fn sum<T: Into<u64>>(words: impl Iterator<Item = T>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |sum, word| (sum ^ word.into()).wrapping_mul(0x100_0000_01b3))
}

/// Puts a file of `bytes` at `path`, as [`Unfinished`] does.
///
/// # Errors
/// When it cannot be written; what was there stays.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = Unfinished::new(path)?;
    file.write_all(bytes)?;
    file.finish()
}
