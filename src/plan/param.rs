//! Parameters as they are bound: packed, padded, in the plan's scalars.

use half::f16;

use crate::{
    error::{Error, Result},
    kernels::Packing,
    tensor::DType,
    weights::Weights,
};

/// A parameter as it is bound.
#[derive(Clone, Debug, PartialEq)]
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
