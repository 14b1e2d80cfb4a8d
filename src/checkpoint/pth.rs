//! PyTorch's zip form: a pickle that describes tensors, and a member per storage.

use std::{collections::HashMap, io::Cursor};

use ::safetensors::Dtype;
use serde_json::Value;
use zip::{
    CompressionMethod, ZipArchive,
    read::{ArchiveOffset, Config},
    result::ZipError,
};

use super::{
    format::save_with,
    naming::Names,
    node::{Id, Node},
    pickle::Pickle,
    raw::{Content, Entry, Source, View},
    tree::Tree,
};
use crate::error::{Error, Result};

/// The longest pickle read, in bytes. That of a network of some hundred layers, optimizer included, is under 1 MB.
const MAX_PICKLE: usize = 32 << 20;

/// The most members of an archive. A network of some hundred layers, optimizer included, has some 3,000 storages.
const MAX_MEMBERS: usize = 1 << 16;

/// What an archive describes.
pub(super) struct Torch<'a> {
    archive: Archive<'a>,
    pickle: Pickle<'a>,
    tree: Tree,
}

/// Reads the description of the tensors of the archive `source`, in which networks of `families` may stand.
pub(super) fn read<'a>(source: &Source<'a>, families: &[&'static Names]) -> Result<(Torch<'a>, Described)> {
    let mut archive = Archive::open(source)?;
    let description = archive.member("data.pkl")?.ok_or_else(|| source.fault(NOT_TORCH))?;
    if description.len() > MAX_PICKLE {
        return Err(source
            .fault(format!("holds a pickle of {} bytes: too long to be a network's", description.len())));
    }
    let endian = archive.member("byteorder")?;
    if let Some(endian) = endian.filter(|endian| endian.trim_ascii() != b"little") {
        let endian = String::from_utf8_lossy(&endian[..endian.len().min(16)]).into_owned();
        return Err(
            source.fault(format!("has byte order {endian:?}: write it again on a little-endian machine"))
        );
    }
    let pickle =
        Pickle::read(description).map_err(|reason| source.fault(format!("damaged pickle, {reason}")))?;
    let mut tree = Tree::of(&pickle, families).map_err(|reason| source.fault(reason))?;
    let described = Described {
        entries: std::mem::take(&mut tree.entries),
        settings: std::mem::take(&mut tree.settings),
        mmengine: tree.mmengine,
    };
    Ok((Torch { archive, pickle, tree }, described))
}

/// What a pickle says beside its tensors' scalars.
pub(super) struct Described {
    pub entries: Vec<Entry>,
    pub settings: Vec<(String, Value)>,
    pub mmengine: bool,
}

const NOT_TORCH: &str = "is a zip archive without a data.pkl: no PyTorch checkpoint";

impl<'a> Torch<'a> {
    /// The entry at `at`, which is called `name`.
    pub fn content(&mut self, at: usize, name: &str) -> Result<Content<'a>> {
        let value = self.tree.values[at];
        match self.pickle.node(value) {
            Node::Tensor { .. } => tensor(&mut self.archive, &self.pickle, value, name),
            Node::Made(module, function) => {
                Ok(Content::Other(format!("is made by {module}.{function}, which is never called here")))
            }
            _ => Ok(Content::Other("is not a tensor".into())),
        }
    }

    /// The shape of the entry at `at`, if it is a tensor; its scalars are not looked at.
    pub fn shape(&self, at: usize) -> Option<Vec<usize>> {
        match *self.pickle.node(self.tree.values[at]) {
            Node::Tensor { shape, .. } => self.pickle.sizes(shape),
            _ => None,
        }
    }

    /// Why there are no tensors.
    pub fn nothing(&self) -> String {
        if let Some(keys) = self.tree.modules.first() {
            let keys: String = keys.iter().map(|key| format!("[{}]", python_key(key))).collect();
            let load = |path: &str| {
                format!("torch.load({path}, map_location='cpu', weights_only=False){keys}.state_dict()")
            };
            return format!(
                "holds a whole module, whose code is never run here: if you trust the file, {}",
                save_with(&self.archive.source, &load)
            );
        }
        match (self.pickle.node(self.pickle.top()), &self.tree.made) {
            (Node::Made(module, name), _) => format!("is made by {module}.{name}, {NEVER_CALLED}"),
            (_, Some((key, module, name))) => {
                format!("holds no plain tensors: \"{key}\" is made by {module}.{name}, {NEVER_CALLED}")
            }
            _ => NO_STATE_DICT.into(),
        }
    }
}

/// A key as Python writes it.
fn python_key(key: &str) -> String {
    if key.bytes().all(|byte| byte.is_ascii_digit()) {
        return key.into();
    }
    let plain = key.chars().all(|c| c.is_alphanumeric() || "_-. /".contains(c));
    format!("'{}'", if plain { key } else { "model" })
}

const NO_STATE_DICT: &str =
    "holds no state dict: save model.state_dict(), or a dict with it under \"state_dict\"";
const NEVER_CALLED: &str =
    "which is never called here: load it where it was written and save model.state_dict()";

/// The tensor `id`, over its storage in the archive.
fn tensor<'a>(archive: &mut Archive<'a>, pickle: &Pickle<'a>, id: Id, name: &str) -> Result<Content<'a>> {
    let fault = |reason: &str| Error::Tensor { name: name.into(), reason: reason.into() };
    let &Node::Tensor { storage, offset, shape, strides } = pickle.node(id) else {
        unreachable!("only tensors are asked for")
    };
    let &Node::Storage { kind, key, len } = pickle.node(storage) else {
        return Err(fault("has no storage"));
    };
    let Some(dtype) = dtype(kind) else {
        return Ok(Content::Other(format!("is a torch.{kind}, which is not read")));
    };
    let offset = usize::try_from(offset).map_err(|_| fault("has a negative offset"))?;
    let sizes =
        |id| pickle.sizes(id).ok_or_else(|| fault("has a shape or strides that are no list of sizes"));
    let (shape, strides) = (sizes(shape)?, sizes(strides)?);
    let bytes =
        archive.storage(key)?.ok_or_else(|| fault("has a storage that is missing from the archive"))?;
    if len.checked_mul(dtype.bitsize() / 8) != Some(bytes.len()) {
        return Err(fault(&format!("claims a storage of {len} {dtype}, found {} bytes", bytes.len())));
    }
    View::new(dtype, shape, Some(strides), offset, bytes).map(Content::Array).map_err(|reason| fault(&reason))
}

/// The scalars of a storage class.
fn dtype(kind: &str) -> Option<Dtype> {
    Some(match kind {
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "DoubleStorage" => Dtype::F64,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        _ => return None,
    })
}

/// What a zip archive with members of these `names` is, if it is one that people mistake for a checkpoint.
fn other_archive(source: &Source, names: &[&[u8]]) -> Option<String> {
    let any = |ends: &[&str]| {
        let is_one = |name: &&&[u8], end: &str| {
            let whole = name.len() == end.len() || name[..name.len() - end.len()].ends_with(b"/");
            name.ends_with(end.as_bytes()) && (whole || end.starts_with('.'))
        };
        ends.iter()
            .any(|end| names.iter().filter(|name| name.len() >= end.len()).any(|name| is_one(&name, end)))
    };
    if any(&["archive_format", "serialized_exported_program.json", "models/model.json"]) {
        let load = |path: &str| format!("torch.export.load({path}).state_dict");
        return Some(format!("is an exported program (.pt2): {}", save_with(source, &load)));
    }
    if any(&["constants.pkl"]) {
        let load = |path: &str| format!("torch.jit.load({path}, map_location='cpu').state_dict()");
        return Some(format!("is a TorchScript archive: {}", save_with(source, &load)));
    }
    if any(&["data.pkl"]) {
        return None;
    }
    let what = if any(&[".npy"]) {
        "is a NumPy archive (.npz): save one array as .npy for an input; checkpoints are safetensors or PyTorch files"
    } else if any(&["model.weights.h5", ".h5", "keras_metadata.pb"]) {
        "is a Keras model: checkpoints are safetensors or PyTorch files"
    } else if any(&[".mlmodel", "coremldata.bin"]) {
        "is a Core ML model: give the safetensors or PyTorch checkpoint it was made from"
    } else if any(&[".pth", ".pt", ".ckpt", ".safetensors", ".bin", ".tar"]) {
        "is a zip archive: unpack it and give the checkpoint inside"
    } else {
        return None;
    };
    Some(what.into())
}

/// A zip archive whose members lie uncompressed in `source`.
struct Archive<'a> {
    source: Source<'a>,
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder of `data.pkl`, with its slash.
    folder: String,
    /// The storages read so far.
    storages: HashMap<String, &'a [u8]>,
    /// Bytes of members read. Together they fit the file, unless they overlap.
    total: usize,
}

impl<'a> Archive<'a> {
    fn open(source: &Source<'a>) -> Result<Archive<'a>> {
        let damaged = |e: ZipError| {
            source
                .fault(format!("has a damaged or cut off zip directory ({e}): fetch or copy the file again"))
        };
        // The directory in memory is several times as large as in the file
        let entries = source.bytes.windows(4).filter(|bytes| bytes == b"PK\x01\x02");
        if entries.take(MAX_MEMBERS + 1).count() > MAX_MEMBERS {
            return Err(
                source.fault(format!("is a zip archive of more than {MAX_MEMBERS} members: no network's"))
            );
        }
        // It begins with the first member. A search for the beginning takes a second entry for the first where a
        // name's length makes the entry as long as the record at the end
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, Cursor::new(source.bytes)).map_err(damaged)?;
        if zip.has_duplicate_names() {
            return Err(source.fault("is a zip archive with two members of one name"));
        }
        let names: Vec<&[u8]> = zip.file_names_raw().collect();
        if let Some(what) = other_archive(source, &names) {
            return Err(source.fault(what));
        }
        let folder = names.iter().find_map(|name| name.strip_suffix(b"data.pkl"));
        let folder = folder.filter(|folder| folder.is_empty() || folder.ends_with(b"/"));
        let folder = std::str::from_utf8(folder.ok_or_else(|| source.fault(NOT_TORCH))?);
        let folder = folder.map_err(|_| source.fault(NOT_TORCH))?.to_string();
        Ok(Archive { source: *source, zip, folder, storages: HashMap::new(), total: 0 })
    }

    /// The scalars of the storage `key`, checked once.
    fn storage(&mut self, key: &str) -> Result<Option<&'a [u8]>> {
        if let Some(&bytes) = self.storages.get(key) {
            return Ok(Some(bytes));
        }
        let Some(bytes) = self.member(&format!("data/{key}"))? else { return Ok(None) };
        self.storages.insert(key.into(), bytes);
        Ok(Some(bytes))
    }

    /// The bytes of the member `name` of the folder, where they lie, if there is such a member.
    fn member(&mut self, name: &str) -> Result<Option<&'a [u8]>> {
        let source = self.source;
        let fault = |reason: &str| source.fault(format!("zip member \"{name}\" {reason}"));
        let member = match self.zip.by_name(&format!("{}{name}", self.folder)) {
            Ok(member) => member,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(ZipError::CompressionMethodNotSupported(_)) => return Err(fault(COMPRESSED)),
            Err(e) => return Err(fault(&format!("is damaged: {e}"))),
        };
        if member.compression() != CompressionMethod::Stored || member.encrypted() {
            return Err(fault(COMPRESSED));
        }
        let range = || {
            let start = usize::try_from(member.data_start()?).ok()?;
            Some(start..start.checked_add(usize::try_from(member.size()).ok()?)?)
        };
        let bytes = range().and_then(|range| source.bytes.get(range)).ok_or_else(|| fault("is cut off"))?;
        self.total += bytes.len();
        if self.total > source.bytes.len() {
            return Err(fault("overlaps others"));
        }
        // PyTorch writes 0 when it is told to write no checksums
        if member.crc32() != 0 && crc32fast::hash(bytes) != member.crc32() {
            return Err(fault("does not fit its checksum: the file is damaged, fetch or copy it again"));
        }
        Ok(Some(bytes))
    }
}

const COMPRESSED: &str =
    "is compressed or encrypted, as PyTorch never writes it: write it again with torch.save";
