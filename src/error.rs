//! The library's one error: each variant names the thing that is wrong.

use std::path::{Path, PathBuf};

/// What can go wrong, each variant naming the thing and what to do about it where that is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("{}: {source}", shown(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what its name or its beginning says, or is damaged.
    #[error("{}: {reason}", shown(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Which weights of a file to take must be chosen: [`Reading::weights`](crate::checkpoint::Reading::weights).
    #[error("{}: {reason}", shown(path))]
    Weights {
        /// The file.
        path: PathBuf,
        /// What stands beside what in it.
        reason: String,
        /// The network that may be meant; none where it may be any.
        network: Option<String>,
    },
    /// One tensor of a checkpoint is missing, doubled, misshapen or contradicts another.
    #[error("tensor \"{name}\": {reason}")]
    Tensor {
        /// The tensor's name as it stands in the file; timm's name of one that is missing there.
        name: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// What a checkpoint says of itself does not fit its tensors.
    #[error("{place} \"{field}\": {reason}")]
    Metadata {
        /// Where it stands: the file's own `metadata`, the `config.json` beside it, or the `reading` asked for.
        place: &'static str,
        /// The field.
        field: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// The checkpoint holds a network that this program does not run, or one that no shader computes.
    #[error("{0}")]
    Model(String),
    /// The model cannot be had from the hub.
    #[error("{0}")]
    Hub(String),
    /// An input does not fit the session that it was given to.
    #[error("input: {0}")]
    Input(String),
    /// An option has a value that is not known or not possible here.
    #[error("{0}")]
    Option(String),
    /// No device answers the description.
    #[error("device \"{wanted}\": {reason}")]
    Device {
        /// The device asked for.
        wanted: String,
        /// Why it is not to be had, and what there is.
        reason: String,
    },
    /// The device failed, or gave an answer that cannot be one.
    #[error("device failure on {device}: {reason}")]
    DeviceFailure {
        /// The device.
        device: String,
        /// What happened.
        reason: String,
    },
    /// All frames are in flight: take a ticket's answer first.
    #[error("all frames are in flight: wait for a ticket before submitting another")]
    Busy,
    /// What was under way ended because its caller wanted it to.
    #[error("stopped, as it was asked to")]
    Stopped,
}

/// `std::result::Result` with this library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A path in a message: one that is empty would not be seen.
fn shown(path: &Path) -> String {
    match path.as_os_str().is_empty() {
        true => "\"\"".into(),
        false => path.display().to_string(),
    }
}
