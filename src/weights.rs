//! Named parameters of a network, under its family's canonical names (timm's).

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
/// (`stages.2.7.reparam_conv.weight`), whatever naming the file had. The file's own names are remembered for
/// errors; equality is of the canonical names and the arrays alone.
///
/// ```
/// use mobileone::Weights;
///
/// let mut weights = Weights::new();
/// weights.insert("head.fc.bias", &[2], vec![0.5, -0.5]);
/// assert_eq!(weights.expect("head.fc.bias", &[2])?, [0.5, -0.5]);
/// println!("{}", weights.get("head.fc.weight").unwrap_err()); // names what is missing
/// # Ok::<(), mobileone::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Weights {
    arrays: BTreeMap<String, Array>,
    /// The file's names by canonical name, where they differ.
    names_in_file: BTreeMap<String, String>,
}

impl PartialEq for Weights {
    fn eq(&self, other: &Weights) -> bool {
        self.arrays == other.arrays
    }
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
        // Counted so that it cannot wrap: executors rely on as many values as the shape says.
        let len = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
        assert_eq!(len, Some(data.len()));
        self.arrays.insert(name.into(), Array { shape: shape.to_vec(), data });
    }

    /// Remembers what the file called the parameter `name`.
    pub fn set_name_in_file(&mut self, name: impl Into<String>, in_file: impl Into<String>) {
        let (name, in_file) = (name.into(), in_file.into());
        if name != in_file {
            self.names_in_file.insert(name, in_file);
        }
    }

    /// All names and values, summed up: other weights have another sum.
    #[cfg(feature = "gpu")]
    pub fn sum(&self) -> u64 {
        let words = |(name, array): (&String, &Array)| {
            crate::files::sum(name.bytes())
                ^ crate::files::sum(array.data.iter().map(|value| value.to_bits()))
        };
        crate::files::sum(self.arrays.iter().map(words))
    }

    /// What the file called the parameter `name`, for errors; `name` itself when that is not known.
    pub fn name_in_file<'a>(&'a self, name: &'a str) -> &'a str {
        self.names_in_file.get(name).map_or(name, String::as_str)
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
            return Err(Error::Tensor { name: self.name_in_file(name).into(), reason });
        }
        Ok(&array.data)
    }

    /// Names and parameters, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.arrays.iter().map(|(name, array)| (name.as_str(), array))
    }

    /// How many parameters there are.
    pub fn len(&self) -> usize {
        self.arrays.len()
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.arrays.is_empty()
    }
}
