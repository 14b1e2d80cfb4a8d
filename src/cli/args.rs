//! Arguments that several commands take.

use std::{
    num::NonZero,
    path::{Path, PathBuf},
};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use mobileone::{
    Checkpoint, Device, Form, Model, Options, Outputs, Preprocess, Session,
    labels::{IMAGENET_CLASSES, Labels},
    named::{self, Place, locate},
    preprocess::{CropMode, Interpolation},
    sample,
};
use serde::Serialize;

use super::{
    opened::{DeviceArgs, session, summary},
    out::{Stop, detail, note, plain},
};

/// The model that is meant where none is named: the one that is built in.
pub fn model_or_digits(typed: Option<&Path>) -> &Path {
    typed.unwrap_or(Path::new(sample::NAME))
}

#[derive(clap::Args)]
pub struct PictureArgs {
    /// A line per class, or JSON: ["cat", ...] or {"0": "cat", ...}
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Height and width of the input: 224, or 192x256
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub size: Option<(usize, usize)>,
    /// The share of the resized picture that the crop keeps, such as 0.9
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub crop_pct: Option<f64>,
    /// How the picture is made to fit: its middle, both sides squeezed, or all of it with a border
    #[arg(long, value_name = "MODE", value_parser = one_of(CROP_MODES))]
    pub crop_mode: Option<CropMode>,
    /// The filter of the resize
    #[arg(long, value_name = "FILTER", value_parser = one_of(INTERPOLATIONS))]
    pub interpolation: Option<Interpolation>,
    /// Subtracted from red, green and blue (0 to 1): 0.485,0.456,0.406
    #[arg(long, value_name = "R,G,B", value_parser = triple, allow_hyphen_values = true)]
    pub mean: Option<[f32; 3]>,
    /// Divides red, green and blue: 0.229,0.224,0.225
    #[arg(long, value_name = "R,G,B", value_parser = triple)]
    pub std: Option<[f32; 3]>,
}

impl PictureArgs {
    /// Height and width of the input.
    pub fn size(&self, model: &Model) -> (usize, usize) {
        self.size.unwrap_or(model.preprocess.size)
    }

    /// What `model` wants, with what was typed in its place.
    pub fn chosen(&self, model: &Model) -> Result<Preprocess, Stop> {
        let of = model.preprocess.clone();
        let preprocess = Preprocess {
            size: self.size(model),
            crop_pct: self.crop_pct.unwrap_or(of.crop_pct),
            crop_mode: self.crop_mode.unwrap_or(of.crop_mode),
            interpolation: self.interpolation.unwrap_or(of.interpolation),
            mean: self.mean.unwrap_or(of.mean),
            std: self.std.unwrap_or(of.std),
            ..of
        };
        preprocess.check()?;
        Ok(preprocess)
    }

    /// The same, said in detail; warns of a guess.
    pub fn preprocess(&self, model: &Model) -> Result<Preprocess, Stop> {
        let preprocess = self.chosen(model)?;
        detail(&format!("preprocessing: {} ({})", describe(&preprocess), plain(&self.source(model))));
        let typed =
            self.size.is_some() && self.crop_pct.is_some() && self.mean.is_some() && self.std.is_some();
        if model.preprocess_source.contains("a guess") && !typed {
            note(&format!(
                "warning: preprocessing: {}; --size, --crop-pct, --mean and --std set it",
                plain(&self.source(model))
            ));
        }
        Ok(preprocess)
    }

    /// Where the preprocessing came from, for people.
    pub fn source(&self, model: &Model) -> String {
        let typed = [
            ("--size", self.size.is_some()),
            ("--crop-pct", self.crop_pct.is_some()),
            ("--crop-mode", self.crop_mode.is_some()),
            ("--interpolation", self.interpolation.is_some()),
            ("--mean", self.mean.is_some()),
            ("--std", self.std.is_some()),
        ];
        let typed = typed.iter().filter(|(_, typed)| *typed).map(|(name, _)| format!("{name}, "));
        typed.collect::<String>() + &model.preprocess_source
    }

    /// A session of `model` on `device` that brings back the `top` best classes of pictures; says in a line what runs
    /// where. `asked` is the model's name as it was typed.
    pub fn session(
        &self,
        device: &Device,
        model: &Model,
        args: &DeviceArgs,
        top: usize,
        asked: Option<&Path>,
    ) -> Result<Session, Stop> {
        let outputs = Outputs { top_k: top.min(model.graph.classes().unwrap_or(0)), ..Outputs::default() };
        let preprocess = self.preprocess(model)?;
        let size = preprocess.size;
        let options = args.options(device, Options { preprocess, outputs, ..Options::of(model) });
        let session = session(device, model, &options)?;
        let name = match asked {
            Some(_) => &model.name,
            None => "digits (built in; --model s1 has ImageNet's classes)",
        };
        summary(name, device, &args.dtype_name(), size, self.assumed_labels(model));
        Ok(session)
    }

    /// The names of the classes of `model`, which must have a classifier.
    pub fn labels(&self, model: &Model) -> Result<Labels, Stop> {
        let Some(classes) = model.graph.classes() else {
            return Err(Stop::Error(format!(
                "{}: the model has no classifier, so there is nothing to name; `run` writes its features",
                model.name
            )));
        };
        let labels = Labels::choose(self.labels.as_deref(), model.labels.as_deref(), classes)?;
        detail(&format!("labels: {}", plain(labels.source())));
        Ok(labels)
    }

    /// The names that stand in for those of a model that brings none.
    fn assumed_labels(&self, model: &Model) -> Option<&'static str> {
        let classes = model.graph.classes()?;
        let own = model.labels.as_ref().is_some_and(|labels| labels.len() == classes);
        match classes {
            _ if own || self.labels.is_some() => None,
            IMAGENET_CLASSES => Some("ImageNet's labels (assumed)"),
            _ => Some("classes by number"),
        }
    }
}

/// Preprocessing for programs.
#[derive(Serialize)]
pub struct Preprocessing {
    size: [usize; 2],
    crop_pct: f64,
    crop_mode: &'static str,
    interpolation: &'static str,
    mean: [f32; 3],
    std: [f32; 3],
    source: String,
}

impl Preprocessing {
    /// `preprocess`, and where it came from.
    pub fn new(preprocess: &Preprocess, source: String) -> Preprocessing {
        let Preprocess { size: (h, w), crop_pct, crop_mode, interpolation, mean, std } = *preprocess;
        let crop_mode = name_of(CROP_MODES, crop_mode);
        let interpolation = name_of(INTERPOLATIONS, interpolation);
        Preprocessing { size: [h, w], crop_pct, crop_mode, interpolation, mean, std, source }
    }

    /// How a picture is made to fit, `224x224, center crop 0.9, bilinear`, and how its colours are normalized.
    pub fn words(&self) -> (String, String) {
        let Preprocessing { size: [h, w], crop_pct, crop_mode, interpolation, mean, std, .. } = self;
        (
            format!("{h}x{w}, {crop_mode} crop {crop_pct}, {interpolation}"),
            format!("mean {mean:?}, std {std:?}"),
        )
    }
}

const CROP_MODES: &[(&str, CropMode)] =
    &[("center", CropMode::Center), ("squash", CropMode::Squash), ("border", CropMode::Border)];

const INTERPOLATIONS: &[(&str, Interpolation)] =
    &[("bilinear", Interpolation::Bilinear), ("bicubic", Interpolation::Bicubic)];

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, named)| *named == value).map_or("other", |(name, _)| name)
}

/// Reads one of `names`.
fn one_of<T: Copy + Send + Sync + 'static>(
    names: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let value = |text: String| names.iter().find(|(name, _)| *name == text).expect("a possible value").1;
    PossibleValuesParser::new(names.iter().map(|(name, _)| name)).map(value)
}

/// `224x224, center crop 0.9, bilinear, mean ..., std ...`.
pub fn describe(preprocess: &Preprocess) -> String {
    let (fit, normalized) = Preprocessing::new(preprocess, String::new()).words();
    format!("{fit}, {normalized}")
}

/// Refuses to write over a file that is read.
pub fn keep(output: &Path, read: &[&Path]) -> Result<(), Stop> {
    let Ok(place) = output.canonicalize() else { return Ok(()) };
    for path in read {
        let file = match locate(path) {
            Ok(Place::File(file)) => file,
            _ => path.to_path_buf(),
        };
        if file.canonicalize().ok().as_ref() == Some(&place) {
            let output = output.display();
            return Err(Stop::Error(format!("{output}: this file is read: give the output another name")));
        }
    }
    Ok(())
}

/// The network that `spec` names, in a certain form.
pub fn load(spec: &Path, form: Form) -> Result<Model, Stop> {
    Model::new(open(spec)?, form).map_err(|error| Stop::about(&spec.display().to_string(), error))
}

/// The checkpoint that `spec` names; a bar shows how its download goes on.
pub fn open(spec: &Path) -> Result<Checkpoint, Stop> {
    let bar = ProgressBar::no_length();
    let style = "{bytes} of {total_bytes} {wide_bar} {bytes_per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    let mut told = false;
    let opened = named::open(spec, &mut |fetch| {
        if !std::mem::replace(&mut told, true) {
            note(&format!("fetching {} from {} into {}", fetch.id, fetch.from, fetch.into.display()));
        }
        bar.set_length(fetch.all);
        bar.set_position(fetch.come);
    });
    bar.finish_and_clear();
    opened.map_err(|error| Stop::about(&spec.display().to_string(), error))
}

/// The least height and width of an input: below it, the last maps shrink to nothing.
pub const LEAST: usize = 32;

/// A height and a width, or both at once.
pub fn size(text: &str) -> Result<(usize, usize), String> {
    let (h, w) = text.split_once(['x', '×']).unwrap_or((text, text));
    match (h.trim().parse(), w.trim().parse()) {
        (Ok(h), Ok(w)) if h >= LEAST && w >= LEAST => Ok((h, w)),
        _ => Err(format!("expected a height and a width from {LEAST}, such as 224 or 192x256")),
    }
}

/// A count of threads that a system can give.
pub fn threads(text: &str) -> Result<NonZero<usize>, String> {
    let count = text.trim().parse().ok().filter(|count: &NonZero<usize>| count.get() <= 1024);
    count.ok_or("expected a number from 1 to 1024".into())
}

fn share(text: &str) -> Result<f64, String> {
    match text.trim().parse() {
        Ok(share) if (0.1..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0.1 to 1, such as 0.875".into()),
    }
}

/// A probability.
pub fn probability(text: &str) -> Result<f32, String> {
    match text.trim().parse() {
        Ok(probability) if (0.0..=1.0).contains(&probability) => Ok(probability),
        _ => Err("expected a probability from 0 to 1, such as 0.5".into()),
    }
}

fn triple(text: &str) -> Result<[f32; 3], String> {
    let numbers: Result<Vec<f32>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    let wrong = "expected three numbers such as 0.485,0.456,0.406";
    numbers.ok().and_then(|numbers| numbers.try_into().ok()).ok_or(wrong.into())
}
