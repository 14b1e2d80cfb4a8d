//! Checkpoint files: bytes to named tensors, under canonical names.

mod metadata;

pub use metadata::{Metadata, PreprocessFields, Strides};

use crate::weights::Weights;

/// A checkpoint read into memory: parameters under timm's names, and what the file says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The parameters, in train form or fused, as the file has them.
    pub weights: Weights,
    /// What the file, or the `config.json` beside it, says.
    pub metadata: Metadata,
}
