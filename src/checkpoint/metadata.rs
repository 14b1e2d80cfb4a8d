//! What a checkpoint says of itself beside its tensors.

use crate::preprocess::{CropMode, Interpolation};

/// What is known of a checkpoint beside its tensors; every field may be absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// The variant's name, such as `mobileone_s0`.
    pub variant: Option<String>,
    /// Strides, which a fused file's tensors do not show.
    pub strides: Option<Strides>,
    /// The classes' names, in order.
    pub labels: Option<Vec<String>>,
    /// How pictures become inputs.
    pub preprocess: PreprocessFields,
}

/// The strides of the network's positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strides {
    /// Of the stem.
    pub stem: usize,
    /// Of each stage's first block.
    pub stages: Vec<usize>,
}

/// The fields of a [`Preprocess`](crate::Preprocess) that the file gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PreprocessFields {
    /// Height and width of the input.
    pub size: Option<(usize, usize)>,
    /// The share that the crop keeps.
    pub crop_pct: Option<f64>,
    /// How the picture is made to fit.
    pub crop_mode: Option<CropMode>,
    /// The resize's filter.
    pub interpolation: Option<Interpolation>,
    /// Mean per channel.
    pub mean: Option<[f32; 3]>,
    /// Standard deviation per channel.
    pub std: Option<[f32; 3]>,
}
