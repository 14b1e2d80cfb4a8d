//! What a session is asked to do.

use std::path::PathBuf;

use crate::{
    graph::{FEATURES, Graph, LOGITS},
    models::Model,
    plan::Tuning,
    preprocess::Preprocess,
    tensor::DType,
};

/// The most pixels of an input.
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub(crate) const MOST_PIXELS: usize = 1 << 26;

/// What a session computes and brings back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Outputs of the network, and the [`PROBABILITIES`](crate::tasks::classify::PROBABILITIES) of its classes, by name.
    pub names: Vec<String>,
    /// So many best classes, all of them at most.
    pub top_k: usize,
}

impl Outputs {
    /// The outputs of these names: `logits`, `features`, `probabilities`, and what else the network gives.
    pub fn named<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Outputs {
        Outputs { names: names.into_iter().map(Into::into).collect(), top_k: 0 }
    }

    /// All that `graph` gives, but for the features that a classifier reads.
    pub fn of(graph: &Graph) -> Outputs {
        let classifies = graph.output(LOGITS).is_some();
        let own = graph.outputs.iter().map(|output| output.name.as_str());
        Outputs::named(own.filter(|name| !(classifies && *name == FEATURES)))
    }

    /// These, and so many best classes.
    pub fn and_best(self, top_k: usize) -> Outputs {
        Outputs { top_k, ..self }
    }
}

/// What a session is made for. More may come to be asked: end a literal of it, and of what it is made of, with `..`.
///
/// ```
/// use mobileone::{Model, Options, Outputs, sample};
///
/// let model = Model::from_bytes(sample::DIGITS)?;
/// // As the model wants it, but for three things.
/// let mut options = Options { batch: 8, frames: 3, ..Options::of(&model) };
/// options.outputs = Outputs::named(["probabilities", "features"]).and_best(5);
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
    /// One picture at a time, in f32, prepared as `model` wants it; the five best classes come back, or all
    /// that the network gives where there is no classifier.
    pub fn of(model: &Model) -> Options {
        let outputs = match model.graph.classes() {
            Some(_) => Outputs::default().and_best(5),
            None => Outputs::of(&model.graph),
        };
        Options {
            preprocess: model.preprocess.clone(),
            batch: 1,
            dtype: DType::F32,
            outputs,
            frames: 2,
            tuning: Tuning::default(),
            checked: false,
            cache: None,
        }
    }
}
