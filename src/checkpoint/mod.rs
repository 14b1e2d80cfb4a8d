//! Checkpoint files: bytes to named tensors, under canonical names.
//!
//! Two containers are read, told apart by their first bytes: safetensors, memory-mapped, and (feature `pth`)
//! PyTorch's zip form, whose pickle is read by a machine that can make nothing but tensors and containers.
//! Names come in four namings and under any of the usual prefixes; a file may hold the network in train form
//! or fused. Where a file holds an averaged copy (EMA) beside the network, the network itself is taken.
//!
//! Invariants: a file is never believed; what it claims is compared with what it has before memory is asked
//! for, so that reading takes about the file's own size (twice that for 16-bit scalars). Weights that come out
//! are finite, and no variance is negative.

mod foreign;
mod format;
mod json;
#[cfg(feature = "pth")]
mod machine;
mod metadata;
mod names;
mod npy;
#[cfg(feature = "pth")]
mod pickle;
#[cfg(feature = "pth")]
mod pth;
mod raw;
mod safetensors;
mod save;

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{ErrorKind, Read},
    path::Path,
};

pub use metadata::{Metadata, PreprocessFields, Strides};
pub use save::{write_npy, write_tensors};

use self::{
    format::Format,
    names::Role,
    raw::{Content, Raw, Source},
};
use crate::{
    error::{Error, Result},
    weights::{Array, Weights},
};

/// A checkpoint read into memory: parameters under timm's names, and what the file says of itself.
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
}

/// The longest `config.json` read, in bytes.
const MAX_CONFIG: u64 = 8 << 20;

impl Checkpoint {
    /// Reads a safetensors file or a PyTorch checkpoint, and the `config.json` in the same folder if there is
    /// one; the file's own metadata wins over it, field by field.
    ///
    /// The file must not be written to meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened; [`Error::File`] when it is something else or damaged;
    /// [`Error::Tensor`] when a tensor is doubled, of no use, or none of a MobileOne; [`Error::Model`] when it
    /// is another network that is known by its names.
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint> {
        let path = path.as_ref();
        let map = map(path)?;
        let weights = Source { path, bytes: &map };
        let beside = path.with_file_name("config.json");
        match read_config(&beside)? {
            Some(text) => read(&weights, Some((&Source { path: &beside, bytes: &[] }, &text))),
            None => read(&weights, None),
        }
    }

    /// Reads what [`Checkpoint::open`] would read from a file of these bytes, without a `config.json`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`], the file being called `checkpoint`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Checkpoint> {
        read(&Source { path: Path::new("checkpoint"), bytes }, None)
    }

    /// The same with the text of a `config.json`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`], the files being called `checkpoint` and `config.json`.
    pub fn from_bytes_with_config(bytes: &[u8], config: &str) -> Result<Checkpoint> {
        let beside = Source { path: Path::new("config.json"), bytes: &[] };
        read(&Source { path: Path::new("checkpoint"), bytes }, Some((&beside, config)))
    }
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
    tensor(&Source { path, bytes: &map }, name)
}

/// Reads what [`read_tensor`] would read from a file of these bytes.
///
/// # Errors
/// Those of [`read_tensor`], the file being called `tensors`.
pub fn tensor_from_bytes(bytes: &[u8], name: &str) -> Result<Array> {
    tensor(&Source { path: Path::new("tensors"), bytes }, name)
}

fn tensor(source: &Source, name: &str) -> Result<Array> {
    let mut budget = source.bytes.len();
    if source.bytes.starts_with(npy::MAGIC) {
        return decode(&npy::read(source, name)?, &mut budget);
    }
    let (entries, _) = contents(source)?;
    let Some(raw) = entries.iter().find(|raw| raw.name == name) else {
        let names: Vec<&str> = entries.iter().map(|raw| raw.name.as_str()).take(5).collect();
        let reason = format!("is not in {}, which begins with: {}", source.path.display(), names.join(", "));
        return Err(Error::Tensor { name: name.into(), reason });
    };
    decode(raw, &mut budget)
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

/// The text of the `config.json` at `path`, if there is one.
fn read_config(path: &Path) -> Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { path: path.into(), source }),
    };
    let mut text = String::new();
    let read = file.take(MAX_CONFIG + 1).read_to_string(&mut text);
    read.map_err(|source| Error::Io { path: path.into(), source })?;
    if text.len() as u64 > MAX_CONFIG {
        return Err(Error::File {
            path: path.into(),
            reason: "is too long to be a model's: remove it".into(),
        });
    }
    Ok(Some(text))
}

/// All entries of a file, in whichever container, and its metadata.
fn contents<'a>(source: &Source<'a>) -> Result<(Vec<Raw<'a>>, HashMap<String, String>)> {
    match format::recognize(source)? {
        Format::Safetensors => safetensors::read(source).map(|contents| (contents.tensors, contents.metadata)),
        #[cfg(feature = "pth")]
        Format::Zip => pth::read(source).map(|tensors| (tensors, HashMap::new())),
        #[cfg(not(feature = "pth"))]
        Format::Zip => Err(source.fault(
            "is a PyTorch checkpoint, which this build does not read: build with feature `pth`, or convert it to \
             safetensors",
        )),
    }
}

fn read(source: &Source, config: Option<(&Source, &str)>) -> Result<Checkpoint> {
    let (entries, mut own) = contents(source)?;
    let weights = weights(source, &entries)?;
    let mut metadata = match own.remove("mobileone") {
        Some(text) => Metadata::from_own(source, &text)?,
        None => Metadata::default(),
    };
    if let Some((beside, text)) = config {
        metadata = metadata.or(Metadata::from_config(beside, text)?);
    }
    Ok(Checkpoint { weights, metadata })
}

/// The parameters among `entries`, under canonical names.
fn weights(source: &Source, entries: &[Raw]) -> Result<Weights> {
    let (mut network, mut averaged, mut unknown) = (Vec::new(), Vec::new(), None);
    for raw in entries {
        match names::role(&raw.name) {
            Role::Parameter(name) => network.push((name, raw)),
            Role::Averaged(name) => averaged.push((name, raw)),
            Role::Unknown if matches!(raw.content, Content::Array(_)) => unknown = unknown.or(Some(raw)),
            Role::Unknown | Role::Training => {}
        }
    }
    if let Some(raw) = unknown {
        let names = entries.iter().map(|raw| raw.name.as_str());
        return Err(match foreign::by_names(names) {
            Some((network, name)) => refuse(network, name),
            None => fault(raw, "is no part of a MobileOne, in any naming that is known here"),
        });
    }
    let parameters = if network.is_empty() { averaged } else { network };
    if parameters.is_empty() {
        return Err(source.fault("holds no tensors of a network"));
    }

    let mut budget = source.bytes.len();
    let mut weights = Weights::new();
    for (name, raw) in parameters {
        if weights.find(&name).is_some() {
            let reason = match weights.name_in_file(&name) {
                other if other == raw.name => "stands twice in the file".into(),
                other => format!("is the same parameter as \"{other}\": {name}"),
            };
            return Err(fault(raw, reason));
        }
        let array = decode(raw, &mut budget)?;
        check(raw, &name, &array)?;
        weights.set_name_in_file(&*name, &*raw.name);
        weights.insert(name, &array.shape, array.data);
    }
    match foreign::by_shapes(&weights) {
        Some((network, name)) => Err(refuse(network, name)),
        None => Ok(weights),
    }
}

fn refuse(network: &str, name: &str) -> Error {
    Error::Model(format!("not a MobileOne: this is {network}, by its tensor \"{name}\""))
}

fn fault(raw: &Raw, reason: impl Into<String>) -> Error {
    Error::Tensor { name: raw.name.clone(), reason: reason.into() }
}

/// The values of `raw`, whose bytes are taken off `budget`: views that repeat their storage cannot ask for
/// more than the file has.
fn decode(raw: &Raw, budget: &mut usize) -> Result<Array> {
    let view = match &raw.content {
        Content::Array(view) => view,
        Content::Other(reason) => return Err(fault(raw, reason)),
    };
    let left = budget.checked_sub(view.bytes());
    *budget =
        left.ok_or_else(|| fault(raw, "shares its storage with so many that together they exceed the file"))?;
    let data = view.values().map_err(|reason| fault(raw, reason))?;
    Ok(Array { shape: view.shape().to_vec(), data })
}

/// Refuses values that no trained network has.
fn check(raw: &Raw, name: &str, array: &Array) -> Result<()> {
    if array.data.is_empty() {
        return Err(fault(raw, format!("is empty: its shape is {:?}", array.shape)));
    }
    if let Some(at) = array.data.iter().position(|v| !v.is_finite()) {
        let (value, len) = (array.data[at], array.data.len());
        return Err(fault(
            raw,
            format!("holds {value} in f32 (value {at} of {len}): the weights are damaged"),
        ));
    }
    if name.ends_with(".running_var")
        && let Some(value) = array.data.iter().find(|v| **v < 0.0)
    {
        return Err(fault(raw, format!("holds {value}: a variance cannot be negative")));
    }
    Ok(())
}
