//! Named parameters of a network, under the canonical names (timm's).

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// One parameter: a dense f32 array in PyTorch's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Its values, the last dimension running fastest.
    pub data: Vec<f32>,
}

/// Named parameters.
///
/// The names are timm's, in train form (`stages.2.7.conv_kxk.0.conv.weight`) or fused
/// (`stages.2.7.reparam_conv.weight`), whatever naming the file had.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    arrays: BTreeMap<String, Array>,
}

impl Weights {
    /// No parameters.
    pub fn new() -> Weights {
        Weights::default()
    }

    /// Adds or replaces one parameter.
    ///
    /// # Panics
    /// When `data` does not fill `shape`: a broken invariant of the caller.
    pub fn insert(&mut self, name: impl Into<String>, shape: &[usize], data: Vec<f32>) {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        self.arrays.insert(name.into(), Array { shape: shape.to_vec(), data });
    }

    /// The parameter called `name`, if there is one.
    pub fn find(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// The parameter called `name`.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing.
    pub fn get(&self, name: &str) -> Result<&Array> {
        self.find(name).ok_or_else(|| Error::Tensor { name: name.into(), reason: "missing".into() })
    }

    /// The values of the parameter called `name`, whose shape must be `shape`.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing or has another shape.
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        let array = self.get(name)?;
        if array.shape != shape {
            let reason = format!("expected {shape:?}, found {:?}", array.shape);
            return Err(Error::Tensor { name: name.into(), reason });
        }
        Ok(&array.data)
    }

    /// Names and parameters, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.arrays.iter().map(|(name, array)| (name.as_str(), array))
    }
}
