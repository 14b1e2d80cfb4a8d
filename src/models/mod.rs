//! Networks: parameters to a graph.

pub mod mobileone;

use std::path::Path;

use crate::{
    Error, Result,
    checkpoint::{Checkpoint, Claims, GivenStrides, Metadata, Note, PreprocessFields, Setting, Strides},
    graph::Graph,
    preprocess::{Colour, CropMode, Interpolation, Preprocess},
    weights::Weights,
};
use mobileone::{Architecture, VARIANTS, Variant};

/// Classes of the networks of the paper.
const IMAGENET_CLASSES: usize = 1000;

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
    /// [`Error::Tensor`] for a tensor that is missing, misshapen, not finite, left over or contradicts another,
    /// and for [`Form::Train`] of a checkpoint without branches; [`Error::Metadata`] for strides
    /// that do not fit the tensors, and for what a `config.json` says and this program cannot follow, unless
    /// [`Metadata::pass_over`] has made notes of it.
    pub fn new(checkpoint: Checkpoint, form: Form) -> Result<Model> {
        if let Some(fault) = checkpoint.metadata.faults.first() {
            return Err(fault.error());
        }
        let network = mobileone::read(&checkpoint)?;
        let (graph, weights) = mobileone::build(&network, &checkpoint.weights, form)?;
        let (architecture, mut strides) = (network.architecture, network.strides);
        let mut metadata = checkpoint.metadata;
        let mut notes = checkpoint.notes;
        notes.extend(std::mem::take(&mut metadata.notes).into_iter().map(Note::warning));
        confirm(&metadata, &architecture, graph.input_channels(), &mut notes)?;
        let maker = maker(&metadata, &architecture);
        notes.extend(complete(&mut strides, &architecture, maker));
        // timm makes the network of a name, as the paper has it, with this epsilon; others may have any.
        if maker == Maker::Unknown && architecture.branches.is_some() && metadata.bn_eps.is_none() {
            let guess = "batch norm's epsilon is a guess: 1e-5, MobileOne's own; another can be given";
            notes.push(Note::warning(guess).set_by(Setting::Epsilon));
        }
        let (preprocess, preprocess_source, preprocess_guessed) =
            resolve(&metadata, &architecture, graph.input_channels(), &mut notes);
        let labels = labels(&metadata, architecture.classes, &mut notes);
        let name = architecture.name();
        Ok(Model {
            name,
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
        let variant = self.architecture.variant();
        let guess = default_preprocess(variant, self.graph.input_channels());
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
        Checkpoint { weights: mobileone::fused_weights(&self.weights), metadata, ..Checkpoint::default() }
    }
}

/// Compares what a `config.json` says of the network with its tensors. What they contradict is another network's and
/// gets a note.
fn confirm(
    metadata: &Metadata,
    architecture: &Architecture,
    channels: usize,
    notes: &mut Vec<Note>,
) -> Result<()> {
    let claims = &metadata.claims;
    let mut compare = |claim: &Option<(String, u64)>, found: usize, what: &str| {
        if let Some((key, claimed)) = claim
            && *claimed != found as u64
        {
            notes.push(Note::warning(format!(
                "config.json \"{key}\" is {claimed}, the tensors have {found} {what}: it may be about another model"
            )));
        }
    };
    compare(&claims.channels, channels, "channels of the input");
    if let Some(classes) = architecture.classes {
        compare(&claims.classes, classes, "classes");
    }
    // Features are pooled here, whatever their file says; a classifier over each pixel is another one.
    if let (Some(key), Some(_)) = (&claims.unpooled, architecture.classes) {
        let reason = "\"\" is not run here, only avg".into();
        return Err(Error::Metadata { place: "config.json", field: key.clone(), reason });
    }
    if metadata.from_config.contains(&"variant")
        && let Some(id) = &metadata.variant
        && VARIANTS.iter().any(|variant| is_variant(id, variant))
        && !architecture.variant().is_some_and(|variant| is_variant(id, variant))
    {
        let name = architecture.name();
        notes.push(Note::warning(format!(
            "config.json \"architecture\" is {id}, the tensors are {name}: it may be about another model"
        )));
    }
    Ok(())
}

/// Whether `id`, as timm's `config.json` has it, names `variant`.
fn is_variant(id: &str, variant: &Variant) -> bool {
    id.split('.').next().is_some_and(|name| name.eq_ignore_ascii_case(variant.id))
}

/// Who makes networks of a checkpoint's tensors, as far as that shows.
#[derive(Clone, Copy, PartialEq)]
enum Maker {
    /// timm, by the name in its `config.json`.
    Timm,
    /// The paper's authors: its widths, and ImageNet's classes.
    Authors,
    /// Somebody else, or somebody who made the network of a name another one.
    Unknown,
}

fn maker(metadata: &Metadata, architecture: &Architecture) -> Maker {
    let variant = architecture.variant();
    let id = metadata.variant.as_ref().filter(|_| metadata.from_config.contains(&"variant"));
    match variant {
        Some(variant) if id.is_some_and(|id| is_variant(id, variant)) => Maker::Timm,
        Some(_) if architecture.classes == Some(IMAGENET_CLASSES) && papers(&architecture.strides) => {
            Maker::Authors
        }
        _ => Maker::Unknown,
    }
}

/// Whether these strides, given or taken, are the paper's.
fn papers(strides: &Strides) -> bool {
    strides.stem == 2 && strides.stages.iter().all(|&stride| stride == 2)
}

/// Makes known the strides that the network's name shows; the note that others are a guess.
fn complete(strides: &mut GivenStrides, architecture: &Architecture, maker: Maker) -> Option<Note> {
    // timm makes the network again from its name, with the strides that are taken here.
    if maker == Maker::Timm {
        let all = &architecture.strides;
        strides.stem = strides.stem.or(Some(all.stem));
        for (known, &taken) in strides.stages.iter_mut().zip(&all.stages) {
            *known = known.or(Some(taken));
        }
    }
    let stages: Vec<usize> = (0..strides.stages.len()).filter(|&at| strides.stages[at].is_none()).collect();
    if maker == Maker::Authors || strides.stem.is_some() && stages.is_empty() {
        return None;
    }
    let stages = match &stages[..] {
        [] => None,
        [stage] => Some(format!("of stage {stage}")),
        all if all.len() == strides.stages.len() => Some("of all stages".into()),
        all => Some(format!("of stages {}", all.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))),
    };
    let stem = strides.stem.is_none().then(|| "of the stem".into());
    let unknown: Vec<String> = [stem, stages].into_iter().flatten().collect();
    let text = format!(
        "strides {} (stem, stages) are a guess, the paper's: nothing in the file shows those {}; others can be given in \
         config.json, or here",
        architecture.strides,
        unknown.join(" and ")
    );
    Some(Note::warning(text).set_by(Setting::Strides))
}

/// The names of the classes, when there is one per class; names that are another network's get a note.
fn labels(metadata: &Metadata, classes: Option<usize>, notes: &mut Vec<Note>) -> Option<Vec<String>> {
    let mut labels = metadata.labels.clone()?;
    let Some(classes) = classes else { return Some(labels) };
    let place = if metadata.from_config.contains(&"labels") { "config.json" } else { "metadata" };
    let gaps = labels.iter().filter(|name| name.is_empty()).count();
    let found = labels.len();
    if found > classes || found < classes && gaps == 0 {
        notes.push(Note::warning(format!("{place} has {found} labels for {classes} classes: passed over")));
        return None;
    }
    if found < classes || gaps > 0 {
        let named = found - gaps;
        notes.push(Note::warning(format!(
            "{place} names {named} of {classes} classes: the others are numbered"
        )));
        labels.resize(classes, String::new());
    }
    for (class, name) in labels.iter_mut().enumerate().filter(|(_, name)| name.is_empty()) {
        *name = format!("class {class}");
    }
    Some(labels)
}

/// How pictures become inputs where nothing is given: as the variant was trained, or a guess.
fn default_preprocess(variant: Option<&Variant>, channels: usize) -> Preprocess {
    let colour = Colour::of(channels).unwrap_or_default();
    Preprocess {
        size: (224, 224),
        crop_pct: variant.map_or(0.9, |variant| variant.crop_pct),
        crop_mode: CropMode::Center,
        interpolation: Interpolation::Bilinear,
        mean: colour.fit([0.485, 0.456, 0.406]),
        std: colour.fit([0.229, 0.224, 0.225]),
        colour,
    }
}

/// How pictures become inputs, field by field from the metadata, else as the variant was trained; where that came
/// from; and whether some of it is a guess.
fn resolve(
    metadata: &Metadata,
    architecture: &Architecture,
    channels: usize,
    notes: &mut Vec<Note>,
) -> (Preprocess, String, bool) {
    let variant = architecture.variant();
    let default = default_preprocess(variant, channels);
    let colour = default.colour;
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
        mean: given.mean.map_or(default.mean, |mean| colour.fit(mean)),
        std: given.std.map_or(default.std, |std| colour.fit(std)),
        colour,
    };
    let (mean, std) = (preprocess.mean, preprocess.std);
    if given.mean.is_some_and(|given| given != mean) || given.std.is_some_and(|given| given != std) {
        notes.push(Note::warning(format!(
            "a grey network with a mean and std of colours: their means are taken, {} and {}",
            mean[0], std[0]
        )));
    }
    let guessed = variant.is_none() && known.contains(&false);
    if guessed {
        notes.push(Note::warning(format!("preprocessing: {source}")).set_by(Setting::Preprocess));
    }
    (preprocess, source, guessed)
}
