//! What people call a model: a file, a folder, a short name, an id on the hub, the one in the box, or random weights.

use std::path::{Path, PathBuf};

use crate::{
    checkpoint::{Checkpoint, Reading},
    error::{Error, Result},
    models::mobileone::{VARIANTS, synthetic},
};

/// The file of a folder.
const WEIGHTS: &str = "model.safetensors";
/// Before the name of a variant: its network with random weights, for figures that need no trained ones.
const RANDOM: &str = "random:";

/// How far a download is.
#[derive(Clone, Copy, Debug)]
pub struct Fetch<'a> {
    /// The model's id.
    pub id: &'a str,
    /// The server's address.
    pub from: &'a str,
    /// The folder of the cache.
    pub into: &'a Path,
    /// Bytes that have come.
    pub come: u64,
    /// Bytes in all.
    pub all: u64,
}

/// The checkpoint that `name` names: what [`locate`] finds, the built-in `digits` (feature `sample`), or `random:s0`
/// to `random:s4`. What lies on this machine comes first. `progress` hears of a download, if there is one.
///
/// # Errors
/// [`Error::File`] when it names nothing; [`Error::Hub`] when the hub does not give it, or this program was built
/// without the hub (feature `hub`); those of [`Checkpoint::open`].
///
/// ```
/// let model = mobileone::named::open("random:s0", &mut |_| {})?;
/// assert!(model.weights.len() > 0);
/// # Ok::<(), mobileone::Error>(())
/// ```
pub fn open(name: impl AsRef<Path>, progress: &mut dyn FnMut(Fetch)) -> Result<Checkpoint> {
    open_with(name, &Reading::default(), progress)
}

/// The same as `reading` wants it.
///
/// # Errors
/// Those of [`open`]; [`Error::Option`] for a value of `reading` that is not possible.
pub fn open_with(
    name: impl AsRef<Path>,
    reading: &Reading,
    progress: &mut dyn FnMut(Fetch),
) -> Result<Checkpoint> {
    let name = name.as_ref();
    #[cfg(feature = "sample")]
    if name.as_os_str() == crate::sample::NAME && !name.exists() {
        return Checkpoint::from_bytes_with(crate::sample::DIGITS, None, reading);
    }
    if let Some(variant) = name.to_str().and_then(|name| name.strip_prefix(RANDOM)) {
        let variants = (0..).map(|at| format!("s{at}")).zip(&VARIANTS);
        let found = variants.into_iter().find(|(short, _)| short.eq_ignore_ascii_case(variant));
        let (_, variant) = found.ok_or_else(|| {
            Error::Model(format!("{RANDOM}{variant}: random networks are {RANDOM}s0 to s4"))
        })?;
        return Ok(synthetic(variant, 1000, 0));
    }
    match locate(name)? {
        Place::File(path) => Checkpoint::open_with(&path, reading),
        Place::Hub(id) => Checkpoint::open_with(fetch(&id, progress)?, reading),
    }
}

#[cfg(feature = "hub")]
fn fetch(id: &str, progress: &mut dyn FnMut(Fetch)) -> Result<PathBuf> {
    let hub = crate::hub::Hub::from_env()?;
    let (from, into) = (hub.endpoint.as_str(), hub.cache.as_path());
    hub.fetch(id, &mut |come, all| progress(Fetch { id, from, into, come, all }))
}

#[cfg(not(feature = "hub"))]
fn fetch(id: &str, _: &mut dyn FnMut(Fetch)) -> Result<PathBuf> {
    Err(Error::Hub(format!(
        "{id} is on the hub, and this program was built without it (feature hub); give a file"
    )))
}

/// What is meant by the name of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file of this machine.
    File(PathBuf),
    /// An id on the hub.
    Hub(String),
}

/// Where `model` lies: in a file, a folder with a `model.safetensors`, or on the hub by a short name (`s0` to `s4`)
/// or an id.
/// What lies on this machine comes first.
///
/// # Errors
/// [`Error::File`] when it is none of these.
pub fn locate(model: &Path) -> Result<Place> {
    let wrong = |reason: &str| Err(Error::File { path: model.into(), reason: reason.into() });
    if model.is_dir() {
        let file = model.join(WEIGHTS);
        let foreign = |entry: &str, what: &str| {
            let reason = format!("a {what}: give the safetensors or PyTorch checkpoint it was made from");
            model.join(entry).exists().then(|| wrong(&reason))
        };
        if let Some(wrong) = foreign("Manifest.json", "Core ML package")
            .or_else(|| foreign("saved_model.pb", "TensorFlow SavedModel"))
            .or_else(|| foreign("keras_metadata.pb", "Keras model"))
        {
            return wrong;
        }
        return match file.is_file() {
            true => Ok(Place::File(file)),
            false => wrong("a folder without model.safetensors: give the path of the file itself"),
        };
    }
    if model.exists() {
        return Ok(Place::File(model.into()));
    }
    let text = model.to_str().unwrap_or("");
    if let "s0" | "s1" | "s2" | "s3" | "s4" = text {
        return Ok(Place::Hub(format!("timm/mobileone_{text}.apple_in1k")));
    }
    if is_id(text) {
        return Ok(Place::Hub(text.into()));
    }
    wrong(
        "no such file; a model is a file, a folder with model.safetensors, s0 to s4, a hub id such as timm/mobileone_s1.apple_in1k, or the built-in digits",
    )
}

/// Whether `name` ends as files of weights do, in any case: those that [`open`] reads, and others', which it refuses.
///
/// ```
/// use mobileone::named::is_weights_name;
///
/// assert!(is_weights_name("a/model.SAFETENSORS") && !is_weights_name("timm/mobileone_s1.apple_in1k"));
/// ```
pub fn is_weights_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    const ENDS: [&str; 17] = [
        ".safetensors",
        ".pth",
        ".pt",
        ".tar",
        ".bin",
        ".ckpt",
        ".pt2",
        ".onnx",
        ".h5",
        ".keras",
        ".tflite",
        ".pb",
        ".mlmodel",
        ".mlpackage",
        ".gguf",
        ".npy",
        ".npz",
    ];
    ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether `text` reads `owner/name` and not like the path of a weights file.
fn is_id(text: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    !is_weights_name(text) && text.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}
