//! Writing safetensors and NumPy files, whole or not at all.

use std::{collections::HashMap, fs, path::Path};

use super::{Checkpoint, npy, safetensors};
use crate::{
    error::{Error, Result},
    files::write_whole,
    tensor::DType,
    weights::Array,
};

impl Checkpoint {
    /// Writes a safetensors file with the parameters as `dtype` under timm's names, and the metadata. What
    /// stood at `path` is replaced at the end in one step: a full disk or a kill leaves it as it was.
    ///
    /// # Errors
    /// [`Error::Tensor`] when a value does not fit an f16; [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>, dtype: DType) -> Result<()> {
        replace(path.as_ref(), &self.to_bytes(dtype)?)
    }

    /// What [`Checkpoint::save`] writes, for [`Checkpoint::from_bytes`] to read.
    ///
    /// # Errors
    /// [`Error::Tensor`] when a value does not fit an f16.
    pub fn to_bytes(&self, dtype: DType) -> Result<Vec<u8>> {
        // One entry only: the order of several would differ from file to file.
        let metadata = HashMap::from([("mobileone".to_string(), self.metadata.to_json())]);
        safetensors::write(self.weights.iter(), metadata, dtype)
    }
}

/// Writes tensors, such as outputs, under the names given, in f32, as [`Checkpoint::save`] writes a file.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written.
///
/// # Panics
/// When an array's data does not fill its shape: a broken invariant of the caller.
pub fn write_tensors<'a>(
    path: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (&'a str, &'a Array)>,
) -> Result<()> {
    replace(path.as_ref(), &safetensors::write(tensors.into_iter(), HashMap::new(), DType::F32)?)
}

/// Writes one array as NumPy's `.npy`, in f32, as [`Checkpoint::save`] writes a file.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written.
///
/// # Panics
/// When the array's data does not fill its shape: a broken invariant of the caller.
pub fn write_npy(path: impl AsRef<Path>, array: &Array) -> Result<()> {
    replace(path.as_ref(), &npy::write(array))
}

/// Puts a file of `bytes` at `path`, where a regular file or none stands.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    // A link stays, and its target is replaced
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.into());
    if fs::metadata(path).is_ok_and(|kind| !kind.is_file()) {
        let reason = "not a regular file, so it will not be overwritten: choose another name".into();
        return Err(Error::File { path: path.clone(), reason });
    }
    if path.file_name().is_none() {
        return Err(Error::File { path: path.clone(), reason: "is no name of a file".into() });
    }
    write_whole(path, bytes).map_err(|source| Error::Io { path: path.clone(), source })
}
