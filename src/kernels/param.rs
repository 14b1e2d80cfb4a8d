//! Parameters as they are bound: packed, padded, in a device's scalars.

use half::f16;

use super::{conv, depthwise, pointwise, stem};
use crate::{
    error::{Error, Result},
    tensor::DType,
    weights::Weights,
};

/// How a parameter lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Packing {
    /// One value per channel, padded to a multiple of 4.
    Vector,
    /// `[SRC_C4, 4, DST_C4]` vec4s: pointwise and linear.
    Matrix,
    /// `[OUTS, SRC_C4, 4, LANES]` vec4s, so many lanes: pointwise, in subgroups.
    Panels(usize),
    /// `[KERNEL, KERNEL, C4]` vec4s.
    Depthwise,
    /// `[KERNEL, KERNEL, 3, DST_C4]` vec4s.
    Stem,
    /// `[KERNEL_H, KERNEL_W, DEPTH, 4, DST_C4]` vec4s, of so many groups: any convolution.
    Conv(usize),
}

impl Packing {
    /// The parameter's values in this order, padding zero.
    pub fn pack(self, shape: &[usize], data: &[f32]) -> Vec<f32> {
        match self {
            Packing::Vector => {
                let mut packed = data.to_vec();
                packed.resize(data.len().next_multiple_of(4), 0.0);
                packed
            }
            Packing::Matrix => pointwise::pack(shape[0], shape[1], data),
            Packing::Panels(lanes) => pointwise::pack_panels(shape[0], shape[1], lanes, data),
            Packing::Depthwise => depthwise::pack(shape[0], shape[2], data),
            Packing::Stem => stem::pack(shape, data),
            Packing::Conv(groups) => conv::pack(shape, groups, data),
        }
    }

    /// Scalars that [`Packing::pack`] makes of a parameter of `shape`.
    pub fn len(self, shape: &[usize]) -> usize {
        let c4 = |c: usize| c.next_multiple_of(4);
        match self {
            Packing::Vector => c4(shape[0]),
            Packing::Matrix => c4(shape[0]) * c4(shape[1]),
            Packing::Panels(lanes) => shape[0].next_multiple_of(4 * lanes) * c4(shape[1]),
            Packing::Depthwise => c4(shape[0]) * shape[2] * shape[3],
            Packing::Conv(groups) => conv::len(shape, groups),
            Packing::Stem => c4(shape[0]) * stem::channels(shape[1]) * shape[2] * shape[3],
        }
    }
}

/// A parameter as it is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Param {
    /// Its name in the graph's weights; a convolution without bias has a parameter of zeros, without name.
    pub name: Option<String>,
    /// How it is packed.
    pub packing: Packing,
    /// How it is stored.
    pub dtype: DType,
    /// Scalars, padding included.
    pub len: usize,
}

impl Param {
    /// Bytes of it.
    pub fn size(&self) -> usize {
        self.len * self.dtype.size()
    }

    /// The bytes that are bound, little-endian, made of the values in `weights`.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing, or holds a value that f16 cannot.
    pub fn bytes(&self, weights: &Weights) -> Result<Vec<u8>> {
        let packed = match &self.name {
            Some(name) => {
                let array = weights.get(name)?;
                self.check(name, &array.data)?;
                self.packing.pack(&array.shape, &array.data)
            }
            None => vec![0.0; self.len],
        };
        assert_eq!(packed.len(), self.len, "packing makes what it promised");
        let mut bytes = vec![0; self.size()];
        match self.dtype {
            DType::F32 => {
                for (bytes, value) in bytes.as_chunks_mut().0.iter_mut().zip(&packed) {
                    *bytes = value.to_le_bytes();
                }
            }
            DType::F16 => {
                for (bytes, &value) in bytes.as_chunks_mut().0.iter_mut().zip(&packed) {
                    *bytes = f16::from_f32(value).to_le_bytes();
                }
            }
        }
        Ok(bytes)
    }

    fn check(&self, name: &str, values: &[f32]) -> Result<()> {
        match values.iter().find(|value| self.dtype == DType::F16 && value.abs() > f16::MAX.to_f32()) {
            Some(value) => Err(Error::Tensor {
                name: name.into(),
                reason: format!("{value} is too large for f16; use f32"),
            }),
            None => Ok(()),
        }
    }
}
