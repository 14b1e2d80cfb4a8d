//! PyTorch's zip form: a pickle that describes tensors, and a member per storage.

use std::{collections::HashMap, io::Cursor};

use ::safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive, result::ZipError};

use super::{
    pickle::{Id, Node, Pickle},
    raw::{Content, Raw, Source, View},
};
use crate::error::{Error, Result};

/// The longest pickle read, in bytes. A MobileOne's, optimizer included, is under 1 MB.
const MAX_PICKLE: usize = 32 << 20;

/// The most members of an archive. A MobileOne, optimizer included, has some 3,000 storages.
const MAX_MEMBERS: usize = 1 << 16;

/// Under which keys training scripts keep the state dict, best first: averaged copies only when there is
/// nothing else.
const WRAPPERS: [&str; 13] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "state_dict_ema",
    "ema_state_dict",
    "ema_model_state_dict",
    "model_ema",
    "ema",
];

/// Reads the state dict of the archive `source`.
pub(super) fn read<'a>(source: &Source<'a>) -> Result<Vec<Raw<'a>>> {
    let mut archive = Archive::open(source)?;
    let description = archive.member("data.pkl")?.ok_or_else(|| source.fault(NOT_TORCH))?;
    if description.len() > MAX_PICKLE {
        return Err(source
            .fault(format!("holds a pickle of {} bytes: too long to be a MobileOne's", description.len())));
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
    let entries = state_dict(&pickle).map_err(|reason| source.fault(reason))?;
    let mut raw = Vec::new();
    for &(key, value) in entries {
        // Other keys cannot be parameters
        let &Node::Text(name) = pickle.node(key) else { continue };
        let name = name.to_string();
        let content = match pickle.node(value) {
            Node::Tensor { .. } => tensor(&mut archive, &pickle, value, &name)?,
            Node::Made(module, function) => {
                Content::Other(format!("is made by {module}.{function}, which is never called here"))
            }
            _ => Content::Other("is no tensor".into()),
        };
        raw.push(Raw { name, content });
    }
    Ok(raw)
}

const NOT_TORCH: &str = "is a zip archive without a data.pkl: no PyTorch checkpoint";

/// The entries of the dictionary of tensors, which may lie in wrappers.
///
/// # Errors
/// What the pickle holds instead, and what to do.
fn state_dict<'p>(pickle: &'p Pickle) -> Result<&'p [(Id, Id)], String> {
    let entries = |id: Id| match pickle.node(id) {
        Node::Dict(entries) => Some(entries.as_slice()),
        _ => None,
    };
    let named = |entries: &[(Id, Id)], wanted: &str| {
        let is_wanted = |key: Id| matches!(pickle.node(key), Node::Text(key) if *key == wanted);
        entries.iter().rfind(|(key, _)| is_wanted(*key)).map(|(_, value)| *value)
    };
    let is_tensor = |&(_, value): &(Id, Id)| matches!(pickle.node(value), Node::Tensor { .. });
    let made = |&(key, value): &(Id, Id)| match (pickle.node(key), pickle.node(value)) {
        (&Node::Text(key), &Node::Made(module, name)) => Some((key, module, name)),
        _ => None,
    };
    // A dictionary under a wrapper's name may also be settings
    let leads_on = |entries: &&[(Id, Id)]| {
        entries.iter().any(|entry| is_tensor(entry) || made(entry).is_some())
            || WRAPPERS.iter().any(|key| named(entries, key).is_some())
    };

    let top = pickle.top();
    let mut found = match (entries(top), pickle.node(top)) {
        (Some(found), _) => found,
        (None, Node::Made(module, name)) => {
            return Err(format!("is made by {module}.{name}, {NEVER_CALLED}"));
        }
        (None, _) => return Err(NO_STATE_DICT.into()),
    };
    // No script wraps deeper, and a cycle would never end
    for _ in 0..4 {
        match WRAPPERS.iter().filter_map(|key| entries(named(found, key)?)).find(leads_on) {
            Some(inner) => found = inner,
            None => break,
        }
    }
    match found.iter().find_map(made) {
        _ if found.iter().any(is_tensor) => Ok(found),
        Some((key, module, name)) => {
            Err(format!("holds no plain tensors: \"{key}\" is made by {module}.{name}, {NEVER_CALLED}"))
        }
        None => Err(NO_STATE_DICT.into()),
    }
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
                source.fault(format!("is a zip archive of more than {MAX_MEMBERS} members: no MobileOne's"))
            );
        }
        let zip = ZipArchive::new(Cursor::new(source.bytes)).map_err(damaged)?;
        if zip.has_duplicate_names() {
            return Err(source.fault("is a zip archive with two members of one name"));
        }
        let names: Vec<&[u8]> = zip.file_names_raw().collect();
        let folder = names.iter().find_map(|name| name.strip_suffix(b"data.pkl"));
        let folder = folder.filter(|folder| folder.is_empty() || folder.ends_with(b"/"));
        let folder = std::str::from_utf8(folder.ok_or_else(|| source.fault(NOT_TORCH))?);
        let folder = folder.map_err(|_| source.fault(NOT_TORCH))?.to_string();
        if names.contains(&format!("{folder}constants.pkl").as_bytes()) {
            return Err(source
                .fault("is a TorchScript archive: load it with torch.jit.load and save its state_dict()"));
        }
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
