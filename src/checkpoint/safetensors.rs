//! The safetensors container: a JSON header, then the arrays.

use std::{borrow::Cow, collections::HashMap, fmt};

use ::safetensors::{
    Dtype,
    tensor::{Metadata as Header, TensorInfo, View as Stored},
};
use half::f16;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::raw::{Content, Entry, Source, View};
use crate::{
    error::{Error, Result},
    tensor::DType,
    weights::Array,
};

/// The longest header read, in bytes. A network's of some hundred layers is under 200 kB, thousands of labels included.
const MAX_HEADER: usize = 16 << 20;

/// What stands in a safetensors file.
pub(super) struct Contents<'a> {
    pub entries: Vec<Entry>,
    pub contents: Vec<Content<'a>>,
    /// The header's `__metadata__`.
    pub metadata: HashMap<String, String>,
}

/// The header in the order of the file: a map would silently drop one of two tensors of the same name.
struct Entries {
    tensors: Vec<(String, TensorInfo)>,
    metadata: HashMap<String, String>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Entries, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Entries, A::Error> {
                let mut entries = Entries { tensors: Vec::new(), metadata: HashMap::new() };
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "__metadata__" => entries.metadata = map.next_value()?,
                        _ => {
                            let info =
                                map.next_value().map_err(|e| A::Error::custom(format!("{name:?}: {e}")))?;
                            entries.tensors.push((name, info));
                        }
                    }
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

/// Reads the header and borrows the arrays.
pub(super) fn read<'a>(source: &Source<'a>) -> Result<Contents<'a>> {
    let cut_off = |needed: usize| {
        let found = source.bytes.len();
        source.fault(format!("is cut off: {found} bytes of {needed}; fetch or copy it again"))
    };
    let (length, rest) = source.bytes.split_first_chunk().ok_or_else(|| cut_off(8))?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER as u64 {
        return Err(source.fault(format!("claims a header of {length} bytes; {MAX_HEADER} are read at most")));
    }
    let (header, data) =
        rest.split_at_checked(length as usize).ok_or_else(|| cut_off(8 + length as usize))?;
    let damaged = |e: &dyn fmt::Display| source.fault(format!("has a damaged safetensors header: {e}"));
    let Entries { mut tensors, metadata } = serde_json::from_slice(header).map_err(|e| damaged(&e))?;

    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::Tensor { name: pair[0].0.clone(), reason: "stands twice in the file".into() });
    }
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    // The arrays follow one another without gap or overlap, and fill their shapes
    let header = Header::new(None, tensors.clone()).map_err(|e| damaged(&e))?;
    match header.data_len() {
        needed if needed > data.len() => return Err(cut_off(8 + length as usize + needed)),
        needed if needed < data.len() => return Err(source.fault("holds more bytes than its header names")),
        _ => {}
    }
    let raw = |(path, info): (String, TensorInfo)| {
        let bytes = &data[info.data_offsets.0..info.data_offsets.1];
        let content = match View::new(info.dtype, info.shape, None, 0, bytes) {
            Ok(view) => Content::Array(view),
            Err(reason) => Content::Other(reason),
        };
        (Entry { path, start: 0 }, content)
    };
    let (entries, contents) = tensors.into_iter().map(raw).unzip();
    Ok(Contents { entries, contents, metadata })
}

/// An array as it will be stored.
struct Encoded<'a> {
    dtype: Dtype,
    shape: &'a [usize],
    bytes: Vec<u8>,
}

impl Stored for Encoded<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// The bytes of a safetensors file that holds `arrays` as `dtype`.
///
/// # Errors
/// [`Error::Tensor`] when a finite value does not fit an f16.
pub(super) fn write<'a>(
    arrays: impl Iterator<Item = (&'a str, &'a Array)>,
    metadata: HashMap<String, String>,
    dtype: DType,
) -> Result<Vec<u8>> {
    let encoded = |(name, array): (&'a str, &'a Array)| {
        let (dtype, bytes) = match dtype {
            DType::F32 => (Dtype::F32, array.data.iter().flat_map(|v| v.to_le_bytes()).collect()),
            DType::F16 => {
                if let Some(v) = array.data.iter().find(|v| v.is_finite() && f16::from_f32(**v).is_infinite())
                {
                    let reason = format!("{v} does not fit an f16, whose largest is 65504; store it as f32");
                    return Err(Error::Tensor { name: name.into(), reason });
                }
                let bytes = array.data.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
                (Dtype::F16, bytes)
            }
        };
        Ok((name, Encoded { dtype, shape: &array.shape, bytes }))
    };
    let arrays = arrays.map(encoded).collect::<Result<Vec<_>>>()?;
    // Which map is wanted depends on what other crates ask of safetensors.
    let metadata = Some(metadata.into_iter().collect());
    Ok(::safetensors::serialize(arrays, metadata).expect("arrays fill their shapes"))
}
