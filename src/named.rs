//! What people call a model: a file, a folder, a short name, an id on the hub, the one in the box, or random weights.

use std::path::{Path, PathBuf};

pub use crate::hub::is_weights_name;
pub use crate::near::nearest;
use crate::{
    checkpoint::{Checkpoint, Note, Reading},
    error::{Error, Result},
    home,
    hub::{self, Id},
    models::{FAMILIES, Family, Variant},
    near,
};

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
/// to `random:s4`, or `random:` before another variant's id, such as `random:repvgg_a0`. What lies on this machine
/// comes first. `progress` hears of a download, if there is one.
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
        let (family, variant) = random(variant)?;
        let mut random = (family.random)(variant, 1000, 0);
        random.metadata.follow(reading)?;
        return Ok(random);
    }
    match locate(name)? {
        Place::File(path) => Checkpoint::open_with(&path, reading),
        Place::Hub(id) => {
            let (file, unknown) = fetch(&id, progress).map_err(|error| with_path(error, name))?;
            let mut checkpoint = Checkpoint::open_with(file, reading)?;
            checkpoint.notes.extend(unknown.map(|reason| {
                Note::warning(format!(
                    "{id}: its config.json is not in the cache ({reason}), so preprocessing and labels are a guess \
                     where the weights do not say"
                ))
            }));
            Ok(checkpoint)
        }
    }
}

/// The variant that is called `name`: by its id, such as `repvgg_a0`, or MobileOne's by `s0` to `s4`.
fn random(name: &str) -> Result<(&'static Family, &'static Variant)> {
    let called = |variant: &Variant| {
        let short = variant.id.strip_prefix("mobileone_").unwrap_or(variant.id);
        [variant.id, short].iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    let all = || FAMILIES.iter().flat_map(|family| family.variants.iter().map(|variant| (*family, variant)));
    all().find(|(_, variant)| called(variant)).ok_or_else(|| {
        let ids = all().map(|(_, variant)| variant.id).filter(|id| !id.starts_with("mobileone_"));
        let others: Vec<String> = ids.map(|id| format!("{RANDOM}{id}")).collect();
        Error::Model(format!("{RANDOM}{name}: random networks are {RANDOM}s0 to s4, {}", others.join(", ")))
    })
}

/// The file of weights, and why nobody knows whether it has a `config.json`.
#[cfg(feature = "hub")]
fn fetch(id: &Id, progress: &mut dyn FnMut(Fetch)) -> Result<(PathBuf, Option<String>)> {
    let hub = hub::Hub::from_env()?;
    let (from, into, id_text) = (hub.endpoint.as_str(), hub.cache.as_path(), id.to_string());
    let fetched = hub.fetch(id, &mut |come, all| progress(Fetch { id: &id_text, from, into, come, all }))?;
    Ok((fetched.file, fetched.unknown))
}

#[cfg(not(feature = "hub"))]
fn fetch(id: &Id, _: &mut dyn FnMut(Fetch)) -> Result<(PathBuf, Option<String>)> {
    Err(Error::Hub(format!(
        "{id} is on the hub, and this program was built without it (feature hub); give a file"
    )))
}

/// The hub's error, with the file or folder here that may have been meant.
fn with_path(error: Error, name: &Path) -> Error {
    match (error, near_path(name)) {
        (Error::Hub(line), Some(path)) => Error::Hub(format!("{line}; did you mean \"{}\"?", path.display())),
        (error, _) => error,
    }
}

/// What is meant by the name of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file of this machine.
    File(PathBuf),
    /// A model on the hub.
    Hub(Id),
}

/// Where `model` lies: in a file, a folder that holds weights, or on the hub, by a short name (`s0` to `s4`), an id or
/// an address. What lies on this machine comes first; `~` is the home folder where no shell has said so.
///
/// # Errors
/// [`Error::File`] when it is none of these, or a folder in which nothing decides; [`Error::Hub`] when it begins as an
/// address or an id does and goes on as none; [`Error::Io`] when a folder cannot be listed.
pub fn locate(model: &Path) -> Result<Place> {
    let at_home = home::expand(model);
    let path = if model.exists() { model } else { &at_home };
    let wrong = |reason: &str| Err(Error::File { path: path.into(), reason: reason.into() });
    if path.is_dir() {
        return folder(path);
    }
    if path.exists() {
        return Ok(Place::File(path.into()));
    }
    let text = model.to_str().unwrap_or("");
    match Id::parse(text) {
        Ok(Some(id)) => return Ok(Place::Hub(id)),
        Ok(None) => {}
        Err(reason) => return Err(Error::Hub(reason)),
    }
    if let Some(path) = near_path(path) {
        return wrong(&format!("no such file; did you mean \"{}\"?", path.display()));
    }
    let known = |name: &str| format!("no such file; did you mean \"{name}\"?");
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_prefix("mobileone_").unwrap_or(&lower).strip_prefix('s');
    if number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())) {
        return wrong("no such file, and no such variant: MobileOne has s0 to s4");
    }
    let short = hub::VARIANTS.map(|variant| format!("mobileone_{variant}"));
    let names = ["digits"].into_iter().chain(short.iter().map(String::as_str));
    if let Some(name) = near::nearest(text, names) {
        return wrong(&known(name));
    }
    wrong(
        "no such file; a model is a file, a folder with model.safetensors, s0 to s4, a hub id such as \
         timm/mobileone_s1.apple_in1k, or the built-in digits",
    )
}

/// The weights of a folder, which may also be a repository in the hub's cache.
fn folder(path: &Path) -> Result<Place> {
    let wrong = |reason: String| Err(Error::File { path: path.into(), reason });
    const OTHERS: [(&str, &str); 3] = [
        ("Manifest.json", "Core ML package"),
        ("saved_model.pb", "TensorFlow SavedModel"),
        ("keras_metadata.pb", "Keras model"),
    ];
    if let Some((_, what)) = OTHERS.iter().find(|(entry, _)| path.join(entry).exists()) {
        return wrong(format!("a {what}: give the safetensors or PyTorch checkpoint it was made from"));
    }
    let entries = std::fs::read_dir(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let files = entries.flatten().filter(|entry| entry.path().is_file());
    let names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    match hub::pick(&names) {
        Ok(name) => Ok(Place::File(path.join(name))),
        Err(several) if !several.is_empty() => wrong(format!(
            "a folder with several files of weights ({}): give the path of one",
            several.join(", ")
        )),
        Err(_) => {
            let commit = std::fs::read_to_string(path.join("refs/main")).unwrap_or_default();
            let snapshot = path.join("snapshots").join(commit.trim());
            match !commit.trim().is_empty() && snapshot.is_dir() {
                true => folder(&snapshot),
                false => wrong(
                    "a folder without model.safetensors or other weights: give the path of the file itself"
                        .into(),
                ),
            }
        }
    }
}

/// The file of weights, or folder, whose name is near that of `path`, in the same folder.
fn near_path(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let beside =
        path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    let entries = std::fs::read_dir(beside).ok()?.flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| is_weights_name(&entry.file_name().to_string_lossy()) || entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    near::nearest(name, names.iter().map(String::as_str)).map(|near| path.with_file_name(near))
}
