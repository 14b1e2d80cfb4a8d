//! Judges a device: every dispatch of a plan against the reference.

use crate::{error::Result, models::Model, session::Device, tensor::DType};

/// How far one dispatch, or the logits, stand from the reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The dispatch's label, or `logits`.
    pub label: String,
    /// The largest `|a - b|`.
    pub absolute: f64,
    /// The relative L2 error.
    pub relative: f64,
    /// Whether it is within the bound.
    pub pass: bool,
}

/// Runs `model` at `size` (height, width) on `device` and judges every dispatch, each fed the device's own
/// previous output; the last line is the logits of the whole net.
pub fn verify(_device: &Device, _model: &Model, _dtype: DType, _size: (usize, usize)) -> Result<Vec<Line>> {
    unreachable!()
}
