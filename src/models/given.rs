//! What a checkpoint says of itself beside its tensors, compared with them, and completed by what the network's name or
//! its family shows.

use super::{Architecture, Family, Picture, Variant};
use crate::{
    Error, Result,
    checkpoint::{GivenStrides, Metadata, Note, Setting, Strides},
    preprocess::{Colour, CropMode, Preprocess},
};

/// Classes of the networks of the papers.
const IMAGENET_CLASSES: usize = 1000;

/// Compares what a `config.json` says of the network with its tensors. What they contradict is another network's and
/// gets a note.
pub(super) fn confirm(
    metadata: &Metadata,
    family: &Family,
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
        && family.variants.iter().any(|variant| is_variant(id, variant))
        && !architecture.variant.is_some_and(|variant| is_variant(id, variant))
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
pub(super) enum Maker {
    /// timm, by the name in its `config.json`.
    Timm,
    /// The paper's authors: its widths, and ImageNet's classes.
    Authors,
    /// Somebody else, or somebody who made the network of a name another one.
    Unknown,
}

pub(super) fn maker(metadata: &Metadata, architecture: &Architecture) -> Maker {
    let variant = architecture.variant;
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
pub(super) fn complete(
    strides: &mut GivenStrides,
    architecture: &Architecture,
    maker: Maker,
) -> Option<Note> {
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
pub(super) fn labels(
    metadata: &Metadata,
    classes: Option<usize>,
    notes: &mut Vec<Note>,
) -> Option<Vec<String>> {
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
pub(super) fn preprocess(family: &Family, variant: Option<&Variant>, channels: usize) -> Preprocess {
    let colour = Colour::of(channels).unwrap_or_default();
    let Picture { size, crop_pct, interpolation, mean, std } =
        variant.map_or(family.picture, |variant| variant.picture);
    let (mean, std) = (colour.fit(mean), colour.fit(std));
    Preprocess { size, crop_pct, crop_mode: CropMode::Center, interpolation, mean, std, colour }
}

/// How pictures become inputs, field by field from the metadata, else as the variant was trained; where that came
/// from; and whether some of it is a guess.
pub(super) fn resolve(
    metadata: &Metadata,
    family: &Family,
    architecture: &Architecture,
    channels: usize,
    notes: &mut Vec<Note>,
) -> (Preprocess, String, bool) {
    let variant = architecture.variant;
    let default = preprocess(family, variant, channels);
    let colour = default.colour;
    let defaults = match variant {
        Some(variant) => format!("defaults of {}", variant.name),
        None => guess(&family.picture),
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

/// What is taken for how pictures become inputs, for people.
fn guess(picture: &Picture) -> String {
    let Picture { size: (height, width), crop_pct, mean, std, .. } = *picture;
    let size = if height == width { height.to_string() } else { format!("{height}x{width}") };
    let imagenet = Picture::imagenet(crop_pct);
    let normalized = match (mean, std) == (imagenet.mean, imagenet.std) {
        true => "ImageNet's mean and std".into(),
        false => format!("mean {mean:?}, std {std:?}"),
    };
    format!("a guess: {size} pixels, crop {crop_pct}, {normalized}")
}
