//! What a session is asked to do.

use std::path::PathBuf;

use crate::{
    models::Model,
    plan::{Outputs, Tuning},
    preprocess::Preprocess,
    tensor::DType,
};

/// The most pixels of an input.
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub(crate) const MOST_PIXELS: usize = 1 << 26;

/// What a session is made for. More may come to be asked: end a literal of it, and of what it is made of, with `..`.
///
/// ```
/// use mobileone::{Model, Options, Outputs, sample};
///
/// let model = Model::from_bytes(sample::DIGITS)?;
/// // As the model wants it, but for three things.
/// let mut options = Options { batch: 8, frames: 3, ..Options::of(&model) };
/// options.outputs = Outputs { probabilities: true, features: true, ..options.outputs };
/// assert_eq!(options.outputs.top_k, 5);
/// # Ok::<(), mobileone::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How pictures become inputs; its `size` is the size of every input.
    pub preprocess: Preprocess,
    /// The largest batch that is expected; a larger one runs in chunks.
    pub batch: usize,
    /// Storage of weights and activations.
    pub dtype: DType,
    /// What to bring back.
    pub outputs: Outputs,
    /// Inferences that may be in flight at once.
    pub frames: usize,
    /// Which forms of the shaders run, before those that suit the device's class.
    pub tuning: Tuning,
    /// Whether shaders check their indices and loops as they run, on a GPU; slower by a tenth and more.
    pub checked: bool,
    /// A file for compiled pipelines, where the backend can keep them (Vulkan): read when a session is made, written
    /// when it made new ones; one that is damaged is left aside, and written anew: the session's `cache_fault` says so.
    pub cache: Option<PathBuf>,
}

impl Options {
    /// One picture at a time, in f32, prepared as `model` wants it; the five best classes come back, or the
    /// features where there is no classifier.
    pub fn of(model: &Model) -> Options {
        let classifies = model.graph.logits.is_some();
        Options {
            preprocess: model.preprocess.clone(),
            batch: 1,
            dtype: DType::F32,
            outputs: Outputs {
                top_k: if classifies { 5 } else { 0 },
                features: !classifies,
                ..Outputs::default()
            },
            frames: 2,
            tuning: Tuning::default(),
            checked: false,
            cache: None,
        }
    }
}
