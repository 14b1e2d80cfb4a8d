//! What a checkpoint says of itself beside its tensors.

use serde_json::{Value, json};

use super::{
    json::Keys,
    raw::Source,
    reading::{EPSILON_RANGE, Reading, check_epsilon},
    strides::{GivenStrides, stage_strides, stride},
};
use crate::{
    error::{Error, Result},
    preprocess::{CropMode, Interpolation, units},
    reparam::EPSILONS,
};

/// What is known of a checkpoint beside its tensors; every field may be absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// The variant's name, such as `mobileone_s0`.
    pub variant: Option<String>,
    /// Strides, which a fused file's tensors do not show.
    pub strides: Option<GivenStrides>,
    /// ε of every batch normalization, which no tensor shows; a fused file needs none.
    pub bn_eps: Option<f64>,
    /// The classes' names, in order; one that is empty is not known. Whether there is one per class is not known
    /// here: [`Model::new`](crate::Model::new), which knows the classifier, compares.
    pub labels: Option<Vec<String>>,
    /// How pictures become inputs.
    pub preprocess: PreprocessFields,
    /// Where [`Metadata::preprocess`] came from, for people; `None` when none of it was given.
    pub preprocess_source: Option<&'static str>,
    /// How the network was trained: any JSON, kept as it is.
    pub training: Option<Value>,
    /// The terms under which the weights are given.
    pub license: Option<String>,
    /// Which of `variant`, `strides` and `labels` the `config.json` gave.
    pub from_config: Vec<&'static str>,
    /// Whether the strides are those of [`Reading::strides`](super::Reading::strides).
    pub strides_asked: bool,
    /// What the `config.json` says of the network that only its tensors can confirm.
    pub claims: Claims,
    /// What the `config.json` says and this program cannot follow. [`Model::new`](crate::Model::new) refuses the
    /// first; see [`Metadata::pass_over`].
    pub faults: Vec<Fault>,
    /// What was passed over, or read in a way worth knowing: a line each, for people.
    pub notes: Vec<String>,
}

/// What a `config.json` says of the network that its tensors confirm or not: the key, and the number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Classes.
    pub classes: Option<(String, u64)>,
    /// Channels of the input.
    pub channels: Option<(String, u64)>,
    /// The key that says that the last map is not pooled.
    pub unpooled: Option<String>,
}

/// A value that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it is about.
    pub about: About,
    /// The key, such as `pretrained_cfg.mean`.
    pub field: String,
    /// The value, and what was expected.
    pub reason: String,
}

impl Fault {
    /// The error that it is where nothing takes its place.
    pub fn error(&self) -> Error {
        Error::Metadata { place: CONFIG, field: self.field.clone(), reason: self.reason.clone() }
    }
}

/// What a [`Fault`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum About {
    /// The input's height and width.
    Size,
    /// The share that the crop keeps.
    CropPct,
    /// How the picture is made to fit.
    CropMode,
    /// The resize's filter.
    Interpolation,
    /// The mean per channel.
    Mean,
    /// The standard deviation per channel.
    Std,
    /// The order of the channels.
    Order,
    /// The network's strides.
    Strides,
    /// What the network computes.
    Network,
    /// ε of its batch normalizations.
    Epsilon,
}

impl About {
    /// Whether it concerns how pictures become inputs, and not what becomes of an input.
    pub fn is_picture(self) -> bool {
        !matches!(self, About::Strides | About::Network | About::Epsilon)
    }
}

/// Where a `config.json`'s values stand, in errors.
pub(super) const CONFIG: &str = "config.json";

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
        let mut notes = Vec::new();
        let preprocess = match &picture {
            Some(picture) => preprocess(picture, size(picture)?, &mut notes)?,
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
            notes,
            ..Metadata::default()
        })
    }

    /// The file's own metadata with what the `config.json` beside it says: the file's counts, field by field, except for
    /// epsilon and for strides that no branches have shown. Those were not measured: the program that wrote the file may
    /// have guessed them.
    pub(super) fn beside(mut self, mut config: Metadata) -> Metadata {
        let (own, theirs) = (self.strides.take(), config.strides.take());
        let given = theirs.is_some();
        self.strides = match (own, theirs) {
            (Some(own), Some(theirs)) => {
                let (mut all, differ) = theirs.or(&own);
                if own.proven {
                    all = GivenStrides { stem: all.stem, ..own.or(&theirs).0 };
                }
                if differ {
                    let taken = all.complete().map_or_else(String::new, |all| format!(", taken as {all}"));
                    self.notes.push(format!(
                        "the strides of {CONFIG} are not those of the file's metadata{taken}: {CONFIG}'s count, but \
                         where branches of training have shown a stride"
                    ));
                }
                Some(all)
            }
            (own, theirs) => own.or(theirs),
        };
        if let (Some(own), Some(theirs)) = (self.bn_eps, config.bn_eps) {
            if own != theirs {
                self.notes.push(format!(
                    "batch norm's epsilon is {theirs} in {CONFIG} and {own} in the file's metadata: {CONFIG}'s counts"
                ));
            }
            self.bn_eps = None;
        }
        let named = config.variant.is_some() && config.variant == self.variant;
        let mut all = self.or(config);
        if named {
            all.from_config.push("variant");
        }
        if given {
            all.from_config.push("strides");
        }
        all
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
            "variant" => self.variant.is_none(),
            _ => self.labels.is_none(),
        });
        from_config.extend(self.from_config);
        let (mut faults, mut notes) = (self.faults, self.notes);
        for fault in other.faults {
            let given = match fault.about {
                About::Size => own.size.is_some(),
                About::CropPct => own.crop_pct.is_some(),
                About::CropMode => own.crop_mode.is_some(),
                About::Interpolation => own.interpolation.is_some(),
                About::Mean => own.mean.is_some(),
                About::Std => own.std.is_some(),
                About::Epsilon => self.bn_eps.is_some(),
                About::Strides | About::Order | About::Network => false,
            };
            if given {
                notes.push(format!("{}: passed over, as it is given elsewhere", fault.error()));
            } else {
                faults.push(fault);
            }
        }
        notes.extend(other.notes);
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
            strides_asked: self.strides_asked,
            claims: Claims {
                classes: self.claims.classes.or(other.claims.classes),
                channels: self.claims.channels.or(other.claims.channels),
                unpooled: self.claims.unpooled.or(other.claims.unpooled),
            },
            faults,
            notes,
        }
    }

    /// Takes what `reading` asks for, in place of what was found.
    ///
    /// # Errors
    /// [`Error::Option`] for an epsilon that is not possible.
    pub(crate) fn follow(&mut self, reading: &Reading) -> Result<()> {
        let epsilon = reading.bn_eps.map(check_epsilon).transpose()?;
        self.bn_eps = epsilon.or(self.bn_eps);
        if let Some(strides) = &reading.strides {
            self.strides = Some(strides.clone().into());
            self.strides_asked = true;
        }
        self.pass_over(|about| match about {
            About::Strides => reading.strides.as_ref().map(|_| "as strides are given".into()),
            About::Epsilon => epsilon.map(|_| "as an epsilon is given".into()),
            _ => None,
        });
        Ok(())
    }

    /// Makes notes of the faults that `instead` gives a reason to pass over, such as "as a mean is given".
    pub fn pass_over(&mut self, instead: impl Fn(About) -> Option<String>) {
        let faults = std::mem::take(&mut self.faults);
        for fault in faults {
            match instead(fault.about) {
                Some(reason) => self.notes.push(format!("{}: passed over, {reason}", fault.error())),
                None => self.faults.push(fault),
            }
        }
    }

    /// The error that `field`, `strides` or `labels`, does not fit the tensors.
    pub(crate) fn fault(&self, field: &'static str, reason: String) -> Error {
        let place = match field {
            "strides" if self.strides_asked => "reading",
            field if self.from_config.contains(&field) => CONFIG,
            _ => "metadata",
        };
        Error::Metadata { place, field: field.into(), reason }
    }

    /// The JSON text that [`Checkpoint::save`](crate::Checkpoint::save) writes under the key `mobileone`:
    ///
    /// ```json
    /// {"variant": "mobileone_s0", "labels": ["cat", "dog"],
    ///  "preprocess": {"size": [224, 224], "crop_pct": 0.875, "crop_mode": "center",
    ///                 "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    ///  "strides": {"stem": 2, "stages": [2, 2, null, 2], "proven": true}, "training": {}, "license": "MIT"}
    /// ```
    ///
    /// `bn_eps`, a number, stands there too in a file that still has normalizations. What is absent here is absent
    /// there, and so are notes and faults.
    pub fn to_json(&self) -> String {
        let fields = &self.preprocess;
        let mut preprocess = json!({
            "size": fields.size.map(|(h, w)| [h, w]),
            "crop_pct": fields.crop_pct,
            "crop_mode": fields.crop_mode.map(CropMode::name),
            "interpolation": fields.interpolation.map(Interpolation::name),
            "mean": fields.mean.map(|mean| mean.map(shortest)),
            "std": fields.std.map(|std| std.map(shortest)),
        });
        drop_nulls(&mut preprocess);
        let mut root = json!({
            "variant": self.variant,
            "labels": self.labels,
            "preprocess": (*fields != PreprocessFields::default()).then_some(preprocess),
            "strides": self.strides.as_ref().filter(|strides| !strides.is_empty()).map(|strides| {
                let mut keys = json!({ "stem": strides.stem, "stages": strides.stages });
                if strides.stages.is_empty() {
                    keys["stages"] = Value::Null;
                }
                keys["proven"] = strides.proven.then_some(true).into();
                drop_nulls(&mut keys);
                keys
            }),
            "bn_eps": self.bn_eps,
            "training": self.training,
            "license": self.license,
        });
        drop_nulls(&mut root);
        root.to_string()
    }
}

fn parse(source: &Source, text: &str, what: &str) -> Result<Value> {
    serde_json::from_str(text)
        .map_err(|e| source.fault(format!("{what} is not JSON: {e}; mend or remove it")))
}

fn preprocess(
    keys: &Keys,
    size: Option<(usize, usize)>,
    notes: &mut Vec<String>,
) -> Result<PreprocessFields> {
    let number = |value: &Value| value.as_f64().filter(|v| (*v as f32).is_finite());
    let positive = |value: &Value| number(value).filter(|&v| v > 0.0);
    let mean: Option<[f64; 3]> = keys.numbers("mean", "3 numbers", number)?;
    let std: Option<[f64; 3]> = keys.numbers("std", "3 numbers above 0", positive)?;
    let units = units(mean, std).map_err(|reason| keys.fault("mean", &reason))?;
    notes.extend(units.note("mean and std of the metadata"));
    Ok(PreprocessFields {
        size,
        crop_pct: keys.read("crop_pct", SHARE, share)?,
        crop_mode: keys.one_of("crop_mode", CropMode::NAMES)?,
        interpolation: keys.one_of("interpolation", Interpolation::NAMES)?,
        mean: units.mean,
        std: units.std,
    })
}

fn epsilon(keys: &Keys) -> Result<Option<f64>> {
    keys.read("bn_eps", EPSILON_RANGE, within)
}

/// An ε that networks are trained with.
pub(super) fn within(value: &Value) -> Option<f64> {
    value.as_f64().filter(|value| EPSILONS.contains(value))
}

/// What a `crop_pct` is.
pub(super) const SHARE: &str = "a number from 0.1 to 1";

pub(super) fn share(value: &Value) -> Option<f64> {
    value.as_f64().filter(|v| (0.1..=1.0).contains(v))
}

fn strides(keys: &Keys) -> Result<Option<GivenStrides>> {
    let Some(keys) = keys.object("strides")? else { return Ok(None) };
    let stem = keys.read("stem", "1 or 2", stride)?;
    let stages = keys.read("stages", "a list of 1 or 2 per stage", stage_strides)?.unwrap_or_default();
    let proven = keys.read("proven", "true or false", Value::as_bool)?.unwrap_or(false);
    let given = GivenStrides { stem, stages, proven };
    Ok((!given.is_empty()).then_some(given))
}

/// One side of the input, in pixels.
pub(super) fn side(value: &Value) -> Option<usize> {
    value.as_u64().filter(|side| (1..=4096).contains(side)).map(|side| side as usize)
}

fn pair([a, b]: [usize; 2]) -> (usize, usize) {
    (a, b)
}

/// The shortest decimal that is read as `value` again.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().expect("a number as Rust writes it")
}

fn drop_nulls(value: &mut Value) {
    value.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
}
