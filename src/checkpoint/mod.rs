//! Checkpoint files: bytes to named tensors, under canonical names.
//!
//! Two containers are read, told apart by their first bytes: safetensors, memory-mapped, and (feature `pth`)
//! PyTorch's zip form, whose pickle is read by a machine that can make nothing but tensors and containers.
//! Which names make a network, the caller says: a table of families, each with the namings of its parameters. Names come
//! under any prefix and in any wrapper; a file may hold several networks, of several families. Where a file holds an
//! averaged copy (EMA) beside the network, that is taken, as timm does on loading, unless [`Reading`] says otherwise.
//! Tensors that inference does not need are passed over and named.
//!
//! Invariants: a file is never believed; what it claims is compared with what it has before memory is asked
//! for, so that reading takes about the file's own size (twice that for 16-bit scalars). Weights that come out
//! are finite, and no variance is negative.

mod args;
mod candidate;
mod classes;
mod config;
mod foreign;
mod format;
mod head;
mod json;
#[cfg(feature = "pth")]
mod machine;
mod metadata;
mod names;
mod naming;
#[cfg(feature = "pth")]
mod node;
mod note;
mod npy;
#[cfg(feature = "pth")]
mod pickle;
#[cfg(feature = "pth")]
mod pth;
mod raw;
mod reading;
mod safetensors;
mod save;
mod select;
mod strides;
#[cfg(feature = "pth")]
mod tree;

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{ErrorKind, Read},
    path::Path,
};

pub use metadata::{About, Claims, Fault, Metadata, PreprocessFields};
pub use naming::{CONV, Claim, LINEAR, Module, NORM, Names, Naming, Shapes};
pub use note::{Note, Setting};
pub use reading::{Found, Reading, Which};
pub use save::{write_npy, write_tensors};
pub use strides::{GivenStrides, Strides};

pub(crate) use naming::recognize;
pub(crate) use reading::check_epsilon;

use serde_json::Value;

use self::{
    classes::Settings,
    format::Format,
    raw::{Content, Entry, Raw, Source},
    select::{Selected, select},
};
use crate::{
    error::{Error, Result},
    weights::{Array, Weights},
};

/// A checkpoint read into memory: parameters under their family's canonical names, which are timm's, and what the file
/// says of itself.
///
/// ```
/// use mobileone::{Checkpoint, Form, Model, sample};
///
/// let checkpoint = Checkpoint::from_bytes(sample::DIGITS)?; // or `Checkpoint::open` of a file
/// let stem = checkpoint.weights.get("stem.reparam_conv.weight")?;
/// assert_eq!(stem.shape[1..], [3, 3, 3]);
/// println!("{:?}", checkpoint.metadata.license);
/// let model = Model::new(checkpoint, Form::Fused)?;
/// # Ok::<(), mobileone::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The parameters, in train form or fused, as the file has them.
    pub weights: Weights,
    /// What the file, or the `config.json` beside it, says.
    pub metadata: Metadata,
    /// The names, in the file, of tensors that inference does not need, such as a loss's.
    pub passed_over: Vec<String>,
    /// The networks that the file holds, when they are several.
    pub networks: Vec<Found>,
    /// What was chosen and passed over, in sentences for people; [`Model::notes`](crate::Model::notes) has them too.
    pub notes: Vec<Note>,
}

/// The longest `config.json` read, in bytes.
const MAX_CONFIG: u64 = 8 << 20;

/// The network of `families` in the file at `path`, read with the `config.json` beside it, as `reading` wants it. The
/// first of the families is what messages take a file for that is none of theirs.
pub(crate) fn open(path: &Path, reading: &Reading, families: &[&'static Names]) -> Result<Checkpoint> {
    let map = map(path)?;
    let weights = Source { path, bytes: &map };
    let beside = path.with_file_name("config.json");
    match read_config(&beside)? {
        Some(text) => read(&weights, Some((&Source { path: &beside, bytes: &[] }, &text)), reading, families),
        None => read(&weights, None, reading, families),
    }
}

/// The same of the `bytes` of a file and the text of a `config.json`.
pub(crate) fn from_bytes(
    bytes: &[u8],
    config: Option<&str>,
    reading: &Reading,
    families: &[&'static Names],
) -> Result<Checkpoint> {
    let beside = Source { path: Path::new("config.json"), bytes: &[] };
    let source = Source { path: Path::new("checkpoint"), bytes };
    read(&source, config.map(|text| (&beside, text)), reading, families)
}

/// Reads the tensor called `name`, such as an input, from a safetensors file or a PyTorch checkpoint; from NumPy's
/// `.npy`, the one array in it. Its values are not looked at: they may be NaN.
///
/// # Errors
/// [`Error::Io`] and [`Error::File`] as for [`Checkpoint::open`]; [`Error::Tensor`] when there is no such
/// tensor or its scalars are not floating-point ones.
pub fn read_tensor(path: impl AsRef<Path>, name: &str) -> Result<Array> {
    let path = path.as_ref();
    let map = map(path)?;
    tensor(Source { path, bytes: &map }, name)
}

/// Reads what [`read_tensor`] would read from a file of these bytes.
///
/// # Errors
/// Those of [`read_tensor`], the file being called `tensors`.
pub fn tensor_from_bytes(bytes: &[u8], name: &str) -> Result<Array> {
    tensor(Source { path: Path::new("tensors"), bytes }, name)
}

fn tensor(source: Source, name: &str) -> Result<Array> {
    let mut budget = source.bytes.len();
    if source.bytes.starts_with(npy::MAGIC) {
        return decode(&npy::read(&source, name)?, &mut budget);
    }
    let mut file = contents(source, &[])?;
    let Some(at) = file.entries.iter().position(|entry| entry.name() == name) else {
        let names: Vec<&str> = file.entries.iter().map(Entry::name).take(5).collect();
        if names.is_empty() {
            return Err(file.nothing());
        }
        let reason = format!("is not in {}, which begins with: {}", source.path.display(), names.join(", "));
        return Err(Error::Tensor { name: name.into(), reason });
    };
    decode(&file.raw(at)?, &mut budget)
}

/// Maps a regular file into memory.
fn map(path: &Path) -> Result<memmap2::Mmap> {
    let io = |source| Error::Io { path: path.into(), source };
    // Asked before opening: to open a pipe is to wait for its writer
    let kind = fs::metadata(path).map_err(io)?;
    let fault = |reason: &str| Error::File { path: path.into(), reason: reason.into() };
    if kind.is_dir() {
        return Err(fault("is a folder: give the weights file in it"));
    }
    if !kind.is_file() {
        return Err(fault("is no regular file: copy it to one"));
    }
    let file = File::open(path).map_err(io)?;
    // SAFETY: the map is only read, and lives no longer than the call of `open` or `read_tensor` that asked for
    // it. Any byte is a valid u8; whoever changes the file in that time breaks the documented contract.
    #[expect(unsafe_code)]
    unsafe { memmap2::Mmap::map(&file) }.map_err(io)
}

/// The text of the `config.json` at `path`, if there is one; what is not UTF-8 in it is replaced.
fn read_config(path: &Path) -> Result<Option<String>> {
    let io = |source| Error::Io { path: path.into(), source };
    // Asked before opening: to open a pipe is to wait for its writer
    match fs::metadata(path) {
        Ok(kind) if kind.is_file() => {}
        Ok(_) => return Ok(None),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io(source)),
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(MAX_CONFIG + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_CONFIG {
        return Err(Error::File {
            path: path.into(),
            reason: "is too long to be a model's: remove it".into(),
        });
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// What a file holds, in whichever container.
struct Opened<'a> {
    source: Source<'a>,
    entries: Vec<Entry>,
    container: Container<'a>,
    /// The header's texts by key.
    metadata: HashMap<String, String>,
    /// Names of classes and the like, by path.
    settings: Vec<(String, Value)>,
    /// Whether mmengine wrote it.
    mmengine: bool,
    /// The families whose networks may stand in it.
    families: &'a [&'static Names],
}

enum Container<'a> {
    Safetensors(Vec<Content<'a>>),
    #[cfg(feature = "pth")]
    Torch(Box<pth::Torch<'a>>),
}

impl<'a> Opened<'a> {
    /// What the entry at `at` is.
    fn content(&mut self, at: usize) -> Result<Content<'a>> {
        match &mut self.container {
            Container::Safetensors(contents) => Ok(contents[at].clone()),
            #[cfg(feature = "pth")]
            Container::Torch(torch) => torch.content(at, self.entries[at].name()),
        }
    }

    /// The shape of the entry at `at`, if it is a tensor.
    fn shape(&self, at: usize) -> Option<Vec<usize>> {
        match &self.container {
            Container::Safetensors(contents) => match &contents[at] {
                Content::Array(view) => Some(view.shape().to_vec()),
                Content::Other(_) => None,
            },
            #[cfg(feature = "pth")]
            Container::Torch(torch) => torch.shape(at),
        }
    }

    fn raw(&mut self, at: usize) -> Result<Raw<'a>> {
        Ok(Raw { name: self.entries[at].name().into(), content: self.content(at)? })
    }

    /// The error that there are no tensors.
    fn nothing(&self) -> Error {
        let none = || "holds no tensors of a network".to_string();
        self.source.fault(match &self.container {
            #[cfg(feature = "pth")]
            Container::Torch(torch) if self.entries.is_empty() => torch.nothing(),
            _ => none(),
        })
    }
}

/// Opens the file of `source`.
fn contents<'a>(source: Source<'a>, families: &'a [&'static Names]) -> Result<Opened<'a>> {
    match format::recognize(&source)? {
        Format::Safetensors => {
            let safetensors::Contents { entries, contents, metadata } = safetensors::read(&source)?;
            let settings = metadata.iter().filter(|(key, _)| classes::is_setting(key));
            let settings = settings.map(|(key, text)| (key.clone(), Value::String(text.clone()))).collect();
            let container = Container::Safetensors(contents);
            Ok(Opened { source, entries, container, metadata, settings, mmengine: false, families })
        }
        #[cfg(feature = "pth")]
        Format::Zip => {
            let (torch, described) = pth::read(&source, families)?;
            let pth::Described { entries, settings, mmengine } = described;
            let container = Container::Torch(Box::new(torch));
            Ok(Opened { source, entries, container, metadata: HashMap::new(), settings, mmengine, families })
        }
        #[cfg(not(feature = "pth"))]
        Format::Zip => Err(source.fault(
            "is a PyTorch checkpoint, which this build does not read: build with feature `pth`, or convert it to \
             safetensors",
        )),
    }
}

fn read(
    source: &Source,
    config: Option<(&Source, &str)>,
    reading: &Reading,
    families: &[&'static Names],
) -> Result<Checkpoint> {
    let epsilon = reading.bn_eps.map(check_epsilon).transpose()?;
    let mut file = contents(*source, families)?;
    let Selected { names, parameters, passed_over, networks } = select(&mut file, &reading.weights)?;
    let weights = weights(&mut file, &parameters)?;
    let mut notes: Vec<Note> = reading::chosen(&networks, reading).into_iter().collect();
    notes.extend(reading::left_out(&passed_over));
    if epsilon.is_some() && !weights.iter().any(|(name, _)| name.ends_with(".running_var")) {
        notes.push(Note::warning("the epsilon that was given changes nothing: the model is fused already"));
    }
    let mut metadata = match file.metadata.remove("mobileone") {
        Some(text) => Metadata::from_own(source, &text)?,
        None => Metadata::default(),
    };
    let classes = weights.find("head.fc.weight").and_then(|array| array.shape.first().copied());
    let mut settings = Settings::default();
    if metadata.labels.is_none() {
        settings = Settings::read(&file.settings, classes);
        metadata.labels = settings.labels.take();
    }
    if let Some((beside, text)) = config {
        metadata = metadata.beside(config::read(beside, text, names)?);
    }
    if let (None, None, Some((value, path))) = (epsilon, metadata.bn_eps, settings.bn_eps) {
        let value = check_epsilon(value).map_err(|e| source.fault(format!("\"{path}\": {e}")))?;
        settings.notes.push(Note::fact(format!(
            "batch norm's epsilon is {value}, as \"{path}\" in the checkpoint says"
        )));
        metadata.bn_eps = Some(value);
    }
    notes.extend(settings.notes);
    metadata.follow(reading)?;
    Ok(Checkpoint { weights, metadata, passed_over, networks, notes })
}

/// The `parameters`, by canonical name and place in the file.
fn weights(file: &mut Opened, parameters: &[(String, usize)]) -> Result<Weights> {
    let mut budget = file.source.bytes.len();
    let mut weights = Weights::new();
    let mut in_order: Vec<_> = parameters.iter().collect();
    in_order.sort_by_key(|(_, at)| *at);
    for (name, at) in in_order {
        let raw = file.raw(*at)?;
        if weights.find(name).is_some() {
            let reason = match weights.name_in_file(name) {
                other if other == raw.name => "stands twice in the file".into(),
                other => format!("is the same parameter as \"{other}\": {name}"),
            };
            return Err(fault(&raw.name, reason));
        }
        let array = decode(&raw, &mut budget)?;
        check(&raw, name, &array)?;
        weights.set_name_in_file(&**name, &*raw.name);
        weights.insert(name, &array.shape, array.data);
    }
    Ok(weights)
}

fn refuse(family: &str, network: &str, name: &str) -> Error {
    Error::Model(format!("not a {family}: this is {network}, by its tensor \"{name}\""))
}

fn fault(name: &str, reason: impl Into<String>) -> Error {
    Error::Tensor { name: name.into(), reason: reason.into() }
}

/// The values of `raw`, whose bytes are taken off `budget`: views that repeat their storage cannot ask for
/// more than the file has.
fn decode(raw: &Raw, budget: &mut usize) -> Result<Array> {
    let view = match &raw.content {
        Content::Array(view) => view,
        Content::Other(reason) => return Err(fault(&raw.name, reason)),
    };
    let left = budget.checked_sub(view.bytes());
    *budget = left.ok_or_else(|| {
        fault(&raw.name, "shares its storage with so many that together they exceed the file")
    })?;
    let data = view.values().map_err(|reason| fault(&raw.name, reason))?;
    Ok(Array { shape: view.shape().to_vec(), data })
}

/// Refuses values that no trained network has.
fn check(raw: &Raw, name: &str, array: &Array) -> Result<()> {
    if array.data.is_empty() {
        return Err(fault(&raw.name, format!("is empty: its shape is {:?}", array.shape)));
    }
    if let Some(at) = array.data.iter().position(|v| !v.is_finite()) {
        let (value, len) = (array.data[at], array.data.len());
        return Err(fault(
            &raw.name,
            format!("holds {value} in f32 (value {at} of {len}): the weights are damaged"),
        ));
    }
    if name.ends_with(".running_var")
        && let Some(value) = array.data.iter().find(|v| **v < 0.0)
    {
        return Err(fault(&raw.name, format!("holds {value}: a variance cannot be negative")));
    }
    Ok(())
}
