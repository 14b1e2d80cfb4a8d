//! What a checkpoint says of itself beside its tensors.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::{json::Keys, raw::Source, reading::EPSILON_RANGE};
use crate::{
    error::{Error, Result},
    preprocess::{CropMode, Interpolation},
    reparam::EPSILONS,
};

/// What is known of a checkpoint beside its tensors; every field may be absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// The variant's name, such as `mobileone_s0`.
    pub variant: Option<String>,
    /// Strides, which a fused file's tensors do not show.
    pub strides: Option<Strides>,
    /// ε of every batch normalization, which no tensor shows; a fused file needs none.
    pub bn_eps: Option<f64>,
    /// The classes' names, in order. Whether there is one per class is not known here: whoever knows the
    /// classifier compares.
    pub labels: Option<Vec<String>>,
    /// How pictures become inputs.
    pub preprocess: PreprocessFields,
    /// Where [`Metadata::preprocess`] came from, for people; `None` when none of it was given.
    pub preprocess_source: Option<&'static str>,
    /// How the network was trained: any JSON, kept as it is.
    pub training: Option<Value>,
    /// The terms under which the weights are given.
    pub license: Option<String>,
    /// Which of `strides` and `labels` the `config.json` gave, for errors.
    pub from_config: Vec<&'static str>,
}

/// The strides of the network's positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strides {
    /// Of the stem.
    pub stem: usize,
    /// Of each stage's first block.
    pub stages: Vec<usize>,
}

impl Strides {
    /// The strides that a position may have.
    pub(crate) const KNOWN: RangeInclusive<usize> = 1..=2;
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

const CROP_MODES: [(&str, CropMode); 3] =
    [("center", CropMode::Center), ("squash", CropMode::Squash), ("border", CropMode::Border)];
const INTERPOLATIONS: [(&str, Interpolation); 2] =
    [("bilinear", Interpolation::Bilinear), ("bicubic", Interpolation::Bicubic)];

impl Metadata {
    /// Reads our own metadata: the JSON text under `mobileone` in a safetensors header, as
    /// [`Metadata::to_json`] writes it. Keys that it does not know are passed over.
    pub(super) fn from_own(source: &Source, text: &str) -> Result<Metadata> {
        let root = parse(source, text, "metadata key \"mobileone\"")?;
        let keys = Keys::new(source, "metadata key", "mobileone", &root)?;
        let picture = keys.object("preprocess")?;
        let size = |keys: &Keys| {
            keys.numbers::<_, 2>("size", "[height, width], each from 1 to 4096", side)
                .map(|size| size.map(pair))
        };
        let preprocess = match &picture {
            Some(picture) => preprocess(picture, size(picture)?)?,
            None => PreprocessFields::default(),
        };
        Ok(Metadata {
            variant: keys.text("variant")?,
            strides: strides(&keys)?,
            bn_eps: epsilon(&keys)?,
            labels: keys.texts("labels")?,
            preprocess_source: (preprocess != PreprocessFields::default()).then_some("metadata"),
            preprocess,
            training: keys.get("training").cloned(),
            license: keys.text("license")?,
            from_config: Vec::new(),
        })
    }

    /// Reads a `config.json`, timm's or the hub's: `architecture`, `label_names` or `id2label`, and the fields
    /// of `pretrained_cfg`, there or at the top; also our own `strides`.
    pub(super) fn from_config(source: &Source, text: &str) -> Result<Metadata> {
        let root = parse(source, text, "the file")?;
        let top = Keys::new(source, "key", "", &root)?;
        let inner = top.object("pretrained_cfg")?;
        let mut metadata = from_config_level(&top)?;
        if let Some(inner) = inner {
            metadata = from_config_level(&inner)?.or(metadata);
        }
        // What the network was made with outranks the rest
        if let Some(args) = top.get("model_args").filter(|args| args.is_object()) {
            let args = Keys::new(source, "key", "model_args", args)?;
            metadata.bn_eps = epsilon(&args)?.or(metadata.bn_eps);
        }
        let given = metadata.preprocess != PreprocessFields::default();
        metadata.preprocess_source = given.then_some("config.json");
        let found = [("strides", metadata.strides.is_some()), ("labels", metadata.labels.is_some())];
        metadata.from_config = found.iter().filter(|(_, found)| *found).map(|(field, _)| *field).collect();
        Ok(metadata)
    }

    /// Takes from `other` what is absent here, field by field.
    pub(super) fn or(self, other: Metadata) -> Metadata {
        let (own, rest) = (self.preprocess, other.preprocess);
        let preprocess = PreprocessFields {
            size: own.size.or(rest.size),
            crop_pct: own.crop_pct.or(rest.crop_pct),
            crop_mode: own.crop_mode.or(rest.crop_mode),
            interpolation: own.interpolation.or(rest.interpolation),
            mean: own.mean.or(rest.mean),
            std: own.std.or(rest.std),
        };
        let both = preprocess != own && self.preprocess_source.is_some();
        let mut from_config = other.from_config;
        from_config.retain(|&field| match field {
            "strides" => self.strides.is_none(),
            _ => self.labels.is_none(),
        });
        from_config.extend(self.from_config);
        Metadata {
            variant: self.variant.or(other.variant),
            strides: self.strides.or(other.strides),
            bn_eps: self.bn_eps.or(other.bn_eps),
            labels: self.labels.or(other.labels),
            preprocess_source: if both {
                Some("metadata and config.json")
            } else {
                self.preprocess_source.or(other.preprocess_source)
            },
            preprocess,
            training: self.training.or(other.training),
            license: self.license.or(other.license),
            from_config,
        }
    }

    /// The error that `field`, `strides` or `labels`, does not fit the tensors.
    pub(crate) fn fault(&self, field: &'static str, reason: String) -> Error {
        let place = if self.from_config.contains(&field) { "config.json" } else { "metadata" };
        Error::Metadata { place, field: field.into(), reason }
    }

    /// The JSON text that [`Checkpoint::save`](crate::Checkpoint::save) writes under the key `mobileone`:
    ///
    /// ```json
    /// {"variant": "mobileone_s0", "labels": ["cat", "dog"],
    ///  "preprocess": {"size": [224, 224], "crop_pct": 0.875, "crop_mode": "center",
    ///                 "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    ///  "strides": {"stem": 2, "stages": [2, 2, 2, 2]}, "training": {}, "license": "MIT"}
    /// ```
    ///
    /// `bn_eps`, a number, stands there too in a file that still has normalizations. What is absent here is absent
    /// there.
    pub fn to_json(&self) -> String {
        let fields = &self.preprocess;
        let mut preprocess = json!({
            "size": fields.size.map(|(h, w)| [h, w]),
            "crop_pct": fields.crop_pct,
            "crop_mode": fields.crop_mode.map(|mode| name(&CROP_MODES, mode)),
            "interpolation": fields.interpolation.map(|filter| name(&INTERPOLATIONS, filter)),
            "mean": fields.mean.map(|mean| mean.map(shortest)),
            "std": fields.std.map(|std| std.map(shortest)),
        });
        drop_nulls(&mut preprocess);
        let mut root = json!({
            "variant": self.variant,
            "labels": self.labels,
            "preprocess": (*fields != PreprocessFields::default()).then_some(preprocess),
            "strides": self.strides.as_ref().map(|s| json!({ "stem": s.stem, "stages": s.stages })),
            "bn_eps": self.bn_eps,
            "training": self.training,
            "license": self.license,
        });
        drop_nulls(&mut root);
        root.to_string()
    }
}

/// What a `config.json` says at its top, or in its `pretrained_cfg`.
fn from_config_level(keys: &Keys) -> Result<Metadata> {
    let expected = "[3, height, width], the sides from 1 to 4096";
    let valid = |value: &Value, at: usize| if at == 0 { (value == 3).then_some(3) } else { side(value, at) };
    let size = keys.numbers::<_, 3>("input_size", expected, valid)?;
    let labels = match keys.get("label_names") {
        Some(Value::Object(_)) => keys.numbered_texts("label_names")?,
        _ => keys.texts("label_names")?,
    };
    Ok(Metadata {
        variant: keys.text("architecture")?,
        strides: strides(keys)?,
        bn_eps: epsilon(keys)?,
        labels: labels.map_or_else(|| keys.numbered_texts("id2label"), |labels| Ok(Some(labels)))?,
        preprocess: preprocess(keys, size.map(|[_, h, w]| (h, w)))?,
        license: keys.text("license")?,
        ..Metadata::default()
    })
}

fn parse(source: &Source, text: &str, what: &str) -> Result<Value> {
    serde_json::from_str(text)
        .map_err(|e| source.fault(format!("{what} is not JSON: {e}; mend or remove it")))
}

fn preprocess(keys: &Keys, size: Option<(usize, usize)>) -> Result<PreprocessFields> {
    let finite = |value: &Value, _| value.as_f64().map(|v| v as f32).filter(|v| v.is_finite());
    let positive = |value: &Value, _| finite(value, 0).filter(|&v| v > 0.0);
    let share = |value: &Value| value.as_f64().filter(|v| (0.1..=1.0).contains(v));
    Ok(PreprocessFields {
        size,
        crop_pct: keys.read("crop_pct", "a number from 0.1 to 1", share)?,
        crop_mode: keys.one_of("crop_mode", &CROP_MODES)?,
        interpolation: keys.one_of("interpolation", &INTERPOLATIONS)?,
        mean: keys.numbers("mean", "3 numbers", finite)?,
        std: keys.numbers("std", "3 numbers above 0", positive)?,
    })
}

fn epsilon(keys: &Keys) -> Result<Option<f64>> {
    keys.read("bn_eps", EPSILON_RANGE, |value| value.as_f64().filter(|value| EPSILONS.contains(value)))
}

fn strides(keys: &Keys) -> Result<Option<Strides>> {
    let Some(keys) = keys.object("strides")? else { return Ok(None) };
    let stride = |value: &Value| value.as_u64().map(|v| v as usize).filter(|v| Strides::KNOWN.contains(v));
    let all = |value: &Value| value.as_array().filter(|a| a.len() <= 64)?.iter().map(stride).collect();
    let stem = keys.read("stem", "1 or 2", stride)?;
    let stages = keys.read("stages", "a list of 1 or 2 per stage", all)?;
    match (stem, stages) {
        (Some(stem), Some(stages)) => Ok(Some(Strides { stem, stages })),
        (None, _) => Err(keys.fault("stem", "is missing")),
        (_, None) => Err(keys.fault("stages", "is missing")),
    }
}

/// One side of the input, in pixels.
fn side(value: &Value, _at: usize) -> Option<usize> {
    value.as_u64().filter(|side| (1..=4096).contains(side)).map(|side| side as usize)
}

fn pair([a, b]: [usize; 2]) -> (usize, usize) {
    (a, b)
}

/// The shortest decimal that is read as `value` again.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().expect("a number as Rust writes it")
}

fn name<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, v)| *v == value).expect("every value has a name").0
}

fn drop_nulls(value: &mut Value) {
    value.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
}
