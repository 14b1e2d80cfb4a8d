//! Networks: parameters to a graph.

pub mod mobileone;

use std::path::Path;

use crate::{
    Result,
    checkpoint::{Checkpoint, Metadata, PreprocessFields},
    graph::Graph,
    preprocess::{CropMode, Interpolation, Preprocess},
    weights::Weights,
};
use mobileone::{Architecture, Variant};

/// A network ready to run: the graph, its parameters, and how to feed and read it.
///
/// ```
/// use mobileone::{Model, sample};
///
/// let model = Model::from_bytes(sample::DIGITS)?; // or `Model::load` of a file
/// assert_eq!(model.graph.classes(), Some(11));
/// assert_eq!(model.preprocess.size, (80, 80));
/// println!("{}: {}", model.name, model.preprocess_source);
/// # Ok::<(), mobileone::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    /// `MobileOne-S0`, or its widths when it is none of the paper's.
    pub name: String,
    /// The nodes.
    pub graph: Graph,
    /// What the nodes name.
    pub weights: Weights,
    /// The classes' names, when the checkpoint gives them; as many as there are classes.
    pub labels: Option<Vec<String>>,
    /// How pictures become inputs.
    pub preprocess: Preprocess,
    /// Where the preprocessing came from, for people: "metadata", "defaults of MobileOne-S0", ...
    pub preprocess_source: String,
    /// Widths, blocks, branches, squeeze-excite, classes and strides.
    pub architecture: Architecture,
    /// Whether the graph keeps the branches.
    pub form: Form,
    /// What the checkpoint said of itself.
    pub metadata: Metadata,
}

/// How the positions of a network run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One convolution each.
    Fused,
    /// Every branch by itself, as in training.
    Train,
}

impl Model {
    /// The network that `checkpoint` holds, to be run in `form`.
    ///
    /// # Errors
    /// [`Error::Tensor`](crate::Error::Tensor) for a tensor that is missing, misshapen, not finite, left over or contradicts another,
    /// and for [`Form::Train`] of a checkpoint without branches; [`Error::Metadata`](crate::Error::Metadata) for strides or labels
    /// that do not fit the tensors.
    pub fn new(checkpoint: Checkpoint, form: Form) -> Result<Model> {
        let network = mobileone::read(&checkpoint)?;
        let (graph, weights) = mobileone::build(&network, &checkpoint.weights, form)?;
        let architecture = network.architecture;
        let (preprocess, preprocess_source) = resolve(&checkpoint.metadata, &architecture);
        let metadata = checkpoint.metadata;
        let labels = metadata.labels.clone();
        if let (Some(labels), Some(classes)) = (&labels, architecture.classes)
            && labels.len() != classes
        {
            let reason = format!("expected {classes}, one per class, found {}", labels.len());
            return Err(metadata.fault("labels", reason));
        }
        let name = architecture.name();
        Ok(Model {
            name,
            graph,
            weights,
            labels,
            preprocess,
            preprocess_source,
            architecture,
            form,
            metadata,
        })
    }

    /// The network in the file at `path`, fused.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and of [`Model::new`].
    pub fn load(path: impl AsRef<Path>) -> Result<Model> {
        Model::new(Checkpoint::open(path)?, Form::Fused)
    }

    /// The network in the bytes of a checkpoint file, fused.
    ///
    /// # Errors
    /// Those of [`Checkpoint::from_bytes`] and of [`Model::new`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
        Model::new(Checkpoint::from_bytes(bytes)?, Form::Fused)
    }

    /// The fused network under timm's names, with all that is known of it in the metadata. Preprocessing that
    /// is only guessed is left out, to be guessed again by whoever reads it.
    ///
    /// # Panics
    /// When the model is in [`Form::Train`], whose normalizations cannot be written as they were.
    pub fn to_checkpoint(&self) -> Checkpoint {
        assert_eq!(self.form, Form::Fused, "only the fused form can be written");
        let variant = self.architecture.variant();
        let guess = default_preprocess(variant);
        let given = &self.metadata.preprocess;
        let Preprocess { size, crop_pct, crop_mode, interpolation, mean, std } = self.preprocess.clone();
        fn known<T: PartialEq>(value: T, guess: T, given: bool) -> Option<T> {
            (given || value != guess).then_some(value)
        }
        let all = variant.is_some();
        let preprocess = PreprocessFields {
            size: known(size, guess.size, all || given.size.is_some()),
            crop_pct: known(crop_pct, guess.crop_pct, all || given.crop_pct.is_some()),
            crop_mode: known(crop_mode, guess.crop_mode, all || given.crop_mode.is_some()),
            interpolation: known(interpolation, guess.interpolation, all || given.interpolation.is_some()),
            mean: known(mean, guess.mean, all || given.mean.is_some()),
            std: known(std, guess.std, all || given.std.is_some()),
        };
        let metadata = Metadata {
            variant: variant.map(|variant| variant.id.into()),
            strides: Some(self.architecture.strides.clone()),
            labels: self.labels.clone(),
            preprocess_source: (preprocess != PreprocessFields::default()).then_some("metadata"),
            preprocess,
            from_config: Vec::new(),
            ..self.metadata.clone()
        };
        Checkpoint { weights: mobileone::fused_weights(&self.weights), metadata, ..Checkpoint::default() }
    }
}

/// How pictures become inputs where nothing is given: as the variant was trained, or a guess.
fn default_preprocess(variant: Option<&Variant>) -> Preprocess {
    Preprocess {
        size: (224, 224),
        crop_pct: variant.map_or(0.9, |variant| variant.crop_pct),
        crop_mode: CropMode::Center,
        interpolation: Interpolation::Bilinear,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    }
}

/// How pictures become inputs, field by field from the metadata, else as the variant was trained, and where
/// that came from.
fn resolve(metadata: &Metadata, architecture: &Architecture) -> (Preprocess, String) {
    let variant = architecture.variant();
    let default = default_preprocess(variant);
    let defaults = match variant {
        Some(variant) => format!("defaults of {}", variant.name),
        None => "a guess: 224 pixels, crop 0.9, ImageNet's mean and std".into(),
    };
    let given = &metadata.preprocess;
    let given_by = metadata.preprocess_source.unwrap_or("metadata");
    let known = [
        given.size.is_some(),
        given.crop_pct.is_some(),
        given.crop_mode.is_some(),
        given.interpolation.is_some(),
        given.mean.is_some(),
        given.std.is_some(),
    ];
    let source = match known.iter().filter(|&&known| known).count() {
        0 => defaults,
        count if count == known.len() => given_by.into(),
        _ => format!("{given_by}, else {defaults}"),
    };
    let preprocess = Preprocess {
        size: given.size.unwrap_or(default.size),
        crop_pct: given.crop_pct.unwrap_or(default.crop_pct),
        crop_mode: given.crop_mode.unwrap_or(default.crop_mode),
        interpolation: given.interpolation.unwrap_or(default.interpolation),
        mean: given.mean.unwrap_or(default.mean),
        std: given.std.unwrap_or(default.std),
    };
    (preprocess, source)
}
