//! Tensors as they lie in a file: borrowed, unchecked for meaning, not yet converted.

use std::path::Path;

use ::safetensors::Dtype;
use half::{bf16, f16};

use crate::error::Error;

/// The bytes of a checkpoint and what to call them in errors.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub path: &'a Path,
    pub bytes: &'a [u8],
}

impl Source<'_> {
    /// The error that the file as a whole is wrong.
    pub fn fault(&self, reason: impl Into<String>) -> Error {
        Error::File { path: self.path.into(), reason: reason.into() }
    }
}

/// A tensor's place in a checkpoint.
pub(super) struct Entry {
    /// The keys of the dictionaries around it and its name in the innermost, joined by dots.
    pub path: String,
    /// Where in `path` its name begins.
    pub start: usize,
}

impl Entry {
    /// Its name in the file.
    pub fn name(&self) -> &str {
        &self.path[self.start..]
    }
}

/// A named entry of a checkpoint.
pub(super) struct Raw<'a> {
    /// Its name in the file.
    pub name: String,
    pub content: Content<'a>,
}

/// What an entry is.
#[derive(Clone)]
pub(super) enum Content<'a> {
    Array(View<'a>),
    /// Anything else; the text completes "tensor x: ...", should the entry be needed.
    Other(String),
}

/// A strided view of scalars, proven to lie within its storage.
#[derive(Clone)]
pub(super) struct View<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Scalars from one index to the next, per dimension.
    strides: Vec<usize>,
    /// The storage from the view's first scalar to its last.
    bytes: &'a [u8],
    count: usize,
}

/// More dimensions than any parameter has.
const MAX_DIMENSIONS: usize = 8;

impl<'a> View<'a> {
    /// A view of `shape` that begins `offset` scalars into `storage`; `None` strides are dense ones.
    ///
    /// # Errors
    /// A text that completes "tensor x: ..." when the view does not lie within the storage.
    pub fn new(
        dtype: Dtype,
        shape: Vec<usize>,
        strides: Option<Vec<usize>>,
        offset: usize,
        storage: &'a [u8],
    ) -> Result<View<'a>, String> {
        if shape.len() > MAX_DIMENSIONS {
            return Err(format!("has {} dimensions, a network's have at most 4", shape.len()));
        }
        let size = dtype.bitsize() / 8;
        let outside = || format!("shape {shape:?} does not lie within its {} bytes", storage.len());
        let count = shape.iter().try_fold(1, |n: usize, &side| n.checked_mul(side)).ok_or_else(outside)?;
        let strides = match strides {
            Some(strides) if strides.len() != shape.len() => return Err("has strides of another rank".into()),
            // The stride of a single index is never walked, and may be anything
            Some(strides) => {
                let rows = strides.into_iter().zip(dense(&shape)).zip(&shape);
                rows.map(|((stride, dense), &side)| if side == 1 { dense } else { stride }).collect()
            }
            None => dense(&shape),
        };
        let reach = if count == 0 {
            Some(0)
        } else {
            let last = shape
                .iter()
                .zip(&strides)
                .try_fold(0, |at: usize, (&side, &stride)| at.checked_add((side - 1).checked_mul(stride)?));
            last.and_then(|last| last.checked_add(1))
        };
        let start = offset.checked_mul(size).ok_or_else(outside)?;
        let bytes = storage.get(start..).ok_or_else(outside)?;
        let needed = reach.and_then(|reach| reach.checked_mul(size)).ok_or_else(outside)?;
        let bytes = bytes.get(..needed).ok_or_else(outside)?;
        Ok(View { dtype, shape, strides, bytes, count })
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether its scalars are numbers with a fraction, as weights are.
    pub fn is_float(&self) -> bool {
        matches!(self.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
    }

    /// Whether both show the same scalars, bit by bit.
    pub fn same(&self, other: &View) -> bool {
        let form = |view: &View| (view.dtype, view.bytes.len());
        form(self) == form(other)
            && (&self.shape, &self.strides) == (&other.shape, &other.strides)
            && (std::ptr::eq(self.bytes, other.bytes) || self.bytes == other.bytes)
    }

    /// Bytes of the scalars that it shows; more than its storage has when strides repeat them.
    pub fn bytes(&self) -> usize {
        self.count.saturating_mul(self.dtype.bitsize() / 8)
    }

    /// The values in f32, the last dimension running fastest; f64 is rounded.
    ///
    /// # Errors
    /// A text that completes "tensor x: ..." when the scalars are not floating-point ones.
    pub fn values(&self) -> Result<Vec<f32>, String> {
        match self.dtype {
            Dtype::F32 => Ok(self.gather(f32::from_le_bytes)),
            Dtype::F16 => Ok(self.gather(|b| f16::from_le_bytes(b).to_f32())),
            Dtype::BF16 => Ok(self.gather(|b| bf16::from_le_bytes(b).to_f32())),
            Dtype::F64 => Ok(self.gather(|b| f64::from_le_bytes(b) as f32)),
            other => Err(format!("is of type {other}; F32, F16, BF16 and F64 are read")),
        }
    }

    fn gather<const N: usize>(&self, decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (scalars, _) = self.bytes.as_chunks::<N>();
        // A view of nothing may start at the very end of its storage
        if self.count == 0 {
            return Vec::new();
        }
        if self.strides == dense(&self.shape) {
            return scalars[..self.count].iter().map(|&scalar| decode(scalar)).collect();
        }
        let mut values = Vec::with_capacity(self.count);
        let (mut index, mut at) = (vec![0; self.shape.len()], 0);
        for _ in 0..self.count {
            values.push(decode(scalars[at]));
            for dimension in (0..index.len()).rev() {
                index[dimension] += 1;
                at += self.strides[dimension];
                if index[dimension] < self.shape[dimension] {
                    break;
                }
                at -= self.strides[dimension] * self.shape[dimension];
                index[dimension] = 0;
            }
        }
        values
    }
}

/// The strides of a dense array of `shape`, the last dimension running fastest.
fn dense(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for dimension in (1..shape.len()).rev() {
        strides[dimension - 1] = strides[dimension].saturating_mul(shape[dimension]);
    }
    strides
}
