//! The way from a file to a checkpoint: the reader, and the families that it knows.

use std::path::Path;

use super::FAMILIES;
use crate::{
    Result,
    checkpoint::{self, Checkpoint, Names, Reading},
};

/// What the reader of files knows of each family.
fn names() -> Vec<&'static Names> {
    FAMILIES.iter().map(|family| &family.names).collect()
}

impl Checkpoint {
    /// Reads a safetensors file or a PyTorch checkpoint, and the `config.json` in the same folder if there is
    /// one. The file's own metadata wins over it, field by field, but for epsilon, and for strides that no branches
    /// have shown: those the `config.json` decides.
    ///
    /// The file must not be written to meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when it cannot be opened; [`Error::File`](crate::Error::File) when it is
    /// something else or damaged; [`Error::Weights`](crate::Error::Weights) when it holds several networks of which none
    /// is preferred; [`Error::Tensor`](crate::Error::Tensor) when a tensor is doubled, of no use, or has no place in the
    /// network; [`Error::Model`](crate::Error::Model) when it is a network of none of the [`FAMILIES`] that is known by
    /// its names.
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint> {
        Checkpoint::open_with(path, &Reading::default())
    }

    /// The same as `reading` wants it.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`]; [`Error::Option`](crate::Error::Option) for a value of `reading` that is not
    /// possible.
    pub fn open_with(path: impl AsRef<Path>, reading: &Reading) -> Result<Checkpoint> {
        checkpoint::open(path.as_ref(), reading, &names())
    }

    /// Reads what [`Checkpoint::open`] would read from a file of these bytes, without a `config.json`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`], the file being called `checkpoint`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Checkpoint> {
        Checkpoint::from_bytes_with(bytes, None, &Reading::default())
    }

    /// The same with the text of a `config.json`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`], the files being called `checkpoint` and `config.json`.
    pub fn from_bytes_with_config(bytes: &[u8], config: &str) -> Result<Checkpoint> {
        Checkpoint::from_bytes_with(bytes, Some(config), &Reading::default())
    }

    /// The same with or without the text of a `config.json`, as `reading` wants it.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open_with`], the files being called `checkpoint` and `config.json`.
    pub fn from_bytes_with(bytes: &[u8], config: Option<&str>, reading: &Reading) -> Result<Checkpoint> {
        checkpoint::from_bytes(bytes, config, reading, &names())
    }
}
