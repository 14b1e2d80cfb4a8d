//! Networks: parameters to a graph. A [`Family`] says what files call its parameters, reads them, and builds the graph;
//! its row in [`FAMILIES`] is all that the rest of the crate knows of it.
//!
//! # How to add a network
//! 1. Write `src/models/NAME.rs` with one `pub static FAMILY: Family`, and here `pub mod NAME;` and a row of
//!    [`FAMILIES`]. `repvgg.rs` is a whole example.
//! 2. `names.modules`: the modules that hold parameters, a column per program that writes such files; `names.namings`:
//!    where they stand, and the column. The first naming is the canonical one, timm's where timm has the network.
//! 3. `names.claims`: from names and shapes, whether parameters are a whole network, a part, or contradict one. Where
//!    another family has the same names, both claims must look at what differs.
//! 4. `names.fixed` and `free`: the arguments of a `config.json` that it has beyond those of all networks.
//! 5. `epsilon`, `picture` and `variants`: what a file leaves open, as the training program has it.
//! 6. `read`: ask the `Tensors` for every array with its shape, push the nodes on a `Graph`, and give it back with its
//!    weights and an [`Architecture`]. A stem and stages of foldable blocks are a `Staged`, which does it all.
//! 7. `random`: a network with random weights of order 1, such as `random:NAME` opens; `Recipe` does it for a `Staged`.
//! 8. Add a narrow network and its logits to `tests/data/make_goldens.py`, and a test that compares both forms.

mod builder;
mod draw;
mod family;
mod given;
pub mod mobileone;
mod open;
mod position;
pub mod repvgg;
mod staged;
mod tensors;

use std::path::Path;

pub use draw::Recipe;
pub use family::{Architecture, Family, Picture, Variant};

use crate::{
    Result,
    checkpoint::{
        Checkpoint, Claims, GivenStrides, Metadata, Note, PreprocessFields, Setting, Shapes, check_epsilon,
        recognize,
    },
    graph::Graph,
    preprocess::Preprocess,
    weights::Weights,
};
use family::Built;
use given::Maker;
use tensors::Tensors;

/// The families of networks that run here. The first is what messages take a file for that is none of theirs.
pub static FAMILIES: &[&Family] = &[&mobileone::FAMILY, &repvgg::FAMILY];

/// The family whose network `weights` are, by their canonical names and shapes.
fn family(weights: &Weights) -> &'static Family {
    let own = |family: &&'static Family| -> Shapes {
        let known = weights.iter().filter(|(name, _)| family.names.is_canonical(name));
        known.map(|(name, array)| (name.to_string(), array.shape.clone())).collect()
    };
    let shapes: Vec<Shapes> = FAMILIES.iter().map(own).collect();
    FAMILIES[recognize(FAMILIES.iter().map(|family| &family.names).zip(&shapes))]
}

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
    /// `MobileOne-S0`, or the family and the widths when it is none of its variants.
    pub name: String,
    /// The family that it is of.
    pub family: &'static Family,
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
    /// Whether some of it is a guess: neither the checkpoint nor a variant's training says it.
    pub preprocess_guessed: bool,
    /// Widths, blocks, branches, squeeze-excite, classes and strides.
    pub architecture: Architecture,
    /// Whether the graph keeps the branches.
    pub form: Form,
    /// What the checkpoint said of itself.
    pub metadata: Metadata,
    /// The strides that are known. Others of `architecture` are a guess: the paper's.
    pub strides: GivenStrides,
    /// What was guessed, passed over or chosen, from the file to the network.
    pub notes: Vec<Note>,
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
    /// and for [`Form::Train`] of a checkpoint without branches; [`Error::Metadata`](crate::Error::Metadata) for strides
    /// that do not fit the tensors, and for what a `config.json` says and this program cannot follow, unless
    /// [`Metadata::pass_over`] has made notes of it.
    pub fn new(checkpoint: Checkpoint, form: Form) -> Result<Model> {
        if let Some(fault) = checkpoint.metadata.faults.first() {
            return Err(fault.error());
        }
        let family = family(&checkpoint.weights);
        let epsilon = checkpoint.metadata.bn_eps.map_or(Ok(family.epsilon), check_epsilon)?;
        let mut tensors = Tensors::new(&checkpoint.weights, family.names.family, epsilon);
        let built = (family.read)(&mut tensors, &checkpoint.metadata, form)?;
        tensors.nothing_left()?;
        let Built { graph, weights, architecture, mut strides } = built;
        let mut metadata = checkpoint.metadata;
        let mut notes = checkpoint.notes;
        notes.extend(std::mem::take(&mut metadata.notes).into_iter().map(Note::warning));
        given::confirm(&metadata, family, &architecture, graph.input_channels(), &mut notes)?;
        let maker = given::maker(&metadata, &architecture);
        notes.extend(given::complete(&mut strides, &architecture, maker));
        // timm makes the network of a name, as the paper has it, with this epsilon; others may have any.
        if maker == Maker::Unknown && architecture.branches.is_some() && metadata.bn_eps.is_none() {
            let (epsilon, name) = (family.epsilon, family.names.family);
            let guess =
                format!("batch norm's epsilon is a guess: {epsilon:e}, {name}'s own; another can be given");
            notes.push(Note::warning(guess).set_by(Setting::Epsilon));
        }
        let (preprocess, preprocess_source, preprocess_guessed) =
            given::resolve(&metadata, family, &architecture, graph.input_channels(), &mut notes);
        let labels = given::labels(&metadata, architecture.classes, &mut notes);
        let name = architecture.name();
        Ok(Model {
            name,
            family,
            graph,
            weights,
            labels,
            preprocess,
            preprocess_source,
            preprocess_guessed,
            architecture,
            form,
            metadata,
            strides,
            notes,
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

    /// The fused network under timm's names, with all that is known of it in the metadata. Preprocessing and strides
    /// that are only guessed are left out, to be guessed again by the reader.
    ///
    /// # Panics
    /// When the model is in [`Form::Train`], whose normalizations cannot be written as they were.
    pub fn to_checkpoint(&self) -> Checkpoint {
        assert_eq!(self.form, Form::Fused, "only the fused form can be written");
        let variant = self.architecture.variant;
        let guess = given::preprocess(self.family, variant, self.graph.input_channels());
        let given = &self.metadata.preprocess;
        let Preprocess { size, crop_pct, crop_mode, interpolation, mean, std, .. } = self.preprocess.clone();
        fn known<T: PartialEq>(value: T, guess: T, given: bool) -> Option<T> {
            (given || value != guess).then_some(value)
        }
        let preprocess = PreprocessFields {
            size: known(size, guess.size, given.size.is_some()),
            crop_pct: known(crop_pct, guess.crop_pct, given.crop_pct.is_some()),
            crop_mode: known(crop_mode, guess.crop_mode, given.crop_mode.is_some()),
            interpolation: known(interpolation, guess.interpolation, given.interpolation.is_some()),
            mean: known(mean, guess.mean, given.mean.is_some()),
            std: known(std, guess.std, given.std.is_some()),
        };
        let metadata = Metadata {
            variant: variant.map(|variant| variant.id.into()),
            strides: Some(self.strides.clone()).filter(|strides| !strides.is_empty()),
            labels: self.labels.clone(),
            preprocess_source: (preprocess != PreprocessFields::default()).then_some("metadata"),
            preprocess,
            from_config: Vec::new(),
            // Folded into the weights
            bn_eps: None,
            strides_asked: false,
            claims: Claims::default(),
            ..self.metadata.clone()
        };
        Checkpoint { weights: builder::fused_weights(&self.weights), metadata, ..Checkpoint::default() }
    }
}
