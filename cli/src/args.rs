//! Arguments that several commands take.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use mobileone::{
    Checkpoint, Device, Error, Form, Model, Options, Outputs, Preprocess, Session,
    checkpoint::{About, Note, Reading, Setting, Strides, Which},
    labels::{IMAGENET_CLASSES, Labels},
    named::{self, Place, locate},
    preprocess::{Colour, CropMode, Interpolation, Units, units},
    sample,
};
use serde::Serialize;

use crate::{
    opened::{DeviceArgs, session, summary},
    out::{Stop, detail, note, plain},
};

/// The model that is meant where none is named: the one that is built in.
pub fn model_or_digits(typed: Option<&Path>) -> &Path {
    typed.unwrap_or(Path::new(sample::NAME))
}

#[derive(clap::Args)]
pub struct PictureArgs {
    /// The classes' names: a line per class, JSON or YAML; numbers in it decide the order
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Height and width of the input: 224, or 192x256
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub size: Option<(usize, usize)>,
    /// The share of the resized picture that the crop keeps, such as 0.9
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub crop_pct: Option<f64>,
    /// How the picture is made to fit: its middle, both sides squeezed, or all of it with a border
    #[arg(long, value_name = "MODE", value_parser = one_of(CropMode::NAMES))]
    pub crop_mode: Option<CropMode>,
    /// The filter of the resize
    #[arg(long, value_name = "FILTER", value_parser = one_of(Interpolation::NAMES))]
    pub interpolation: Option<Interpolation>,
    /// Subtracted from red, green and blue: 0.485,0.456,0.406, or of bytes, 123.675,116.28,103.53
    #[arg(long, value_name = "R,G,B", value_parser = triple, allow_hyphen_values = true)]
    pub mean: Option<[f64; 3]>,
    /// Divides red, green and blue: 0.229,0.224,0.225, or of bytes, 58.395,57.12,57.375
    #[arg(long, value_name = "R,G,B", value_parser = triple)]
    pub std: Option<[f64; 3]>,
}

/// How a model's file is read, where its tensors leave that open.
#[derive(clap::Args, Default)]
pub struct ReadArgs {
    /// Of a file with several networks: raw, ema (averaged, the default where there is one), or the key or prefix of
    /// the one to take
    #[arg(long, value_name = "WHICH")]
    weights: Option<Which>,
    /// Epsilon of batch norms in a file with branches: 1e-5, unless config.json or the file says otherwise
    #[arg(long, value_name = "EPS")]
    bn_eps: Option<f64>,
    /// Strides (1 or 2) of the stem and of each stage: 1,2,2,2,2
    #[arg(long, value_name = "S,S,...")]
    strides: Option<Strides>,
}

impl ReadArgs {
    fn reading(&self) -> Reading {
        Reading {
            weights: self.weights.clone().unwrap_or_default(),
            bn_eps: self.bn_eps,
            strides: self.strides.clone(),
        }
    }
}

impl PictureArgs {
    /// Height and width of the input.
    pub fn size(&self, model: &Model) -> (usize, usize) {
        self.size.unwrap_or(model.preprocess.size)
    }

    /// The network that `spec` names, whose `config.json` need not be right where an option stands in for it.
    pub fn load(&self, spec: &Path, args: &ReadArgs) -> Result<Model, Stop> {
        load(spec, Form::Fused, args, |about| {
            let name = option(about).filter(|_| self.typed().contains(&about))?;
            Some(format!("as {name} is given"))
        })
    }

    /// What was typed of how pictures become inputs.
    fn typed(&self) -> Vec<About> {
        let all = [
            (About::Size, self.size.is_some()),
            (About::CropPct, self.crop_pct.is_some()),
            (About::CropMode, self.crop_mode.is_some()),
            (About::Interpolation, self.interpolation.is_some()),
            (About::Mean, self.mean.is_some()),
            (About::Std, self.std.is_some()),
        ];
        all.into_iter().filter(|(_, typed)| *typed).map(|(about, _)| about).collect()
    }

    /// The mean and std that were typed, for colours from 0 to 1.
    fn units(&self) -> Result<Units, Stop> {
        units(self.mean, self.std).map_err(|reason| Stop::Error(format!("--mean, --std: {reason}")))
    }

    /// What `model` wants, with what was typed in its place.
    pub fn chosen(&self, model: &Model) -> Result<Preprocess, Stop> {
        let units = self.units()?;
        let of = model.preprocess.clone();
        let preprocess = Preprocess {
            size: self.size(model),
            crop_pct: self.crop_pct.unwrap_or(of.crop_pct),
            crop_mode: self.crop_mode.unwrap_or(of.crop_mode),
            interpolation: self.interpolation.unwrap_or(of.interpolation),
            mean: units.mean.map_or(of.mean, |mean| of.colour.fit(mean)),
            std: units.std.map_or(of.std, |std| of.colour.fit(std)),
            ..of
        };
        preprocess.check()?;
        Ok(preprocess)
    }

    /// The same, said in detail; warns of a guess.
    pub fn preprocess(&self, model: &Model) -> Result<Preprocess, Stop> {
        let preprocess = self.chosen(model)?;
        if let Some(line) = self.units()?.note("--mean, --std") {
            note(&format!("warning: {line}"));
        }
        detail(&format!("preprocessing: {} ({})", describe(&preprocess), plain(&self.source(model))));
        let typed = self.typed();
        let all = [About::Size, About::CropPct, About::Mean, About::Std];
        if model.preprocess_guessed && !all.iter().all(|about| typed.contains(about)) {
            note(&format!(
                "warning: preprocessing: {}; --size, --crop-pct, --mean and --std set it",
                plain(&self.source(model))
            ));
        }
        Ok(preprocess)
    }

    /// Where the preprocessing came from, for people.
    pub fn source(&self, model: &Model) -> String {
        let typed = self.typed().into_iter().filter_map(option).map(|name| format!("{name}, "));
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
        let channels = model.graph.input_channels();
        if Colour::of(channels).is_none() {
            let name = &model.name;
            return Err(Stop::Error(format!(
                "{name}: the network reads {channels} channels, which no picture has here; `run` gives it tensors"
            )));
        }
        let outputs = Outputs { top_k: top.min(model.graph.classes().unwrap_or(0)), ..Outputs::default() };
        let preprocess = self.preprocess(model)?;
        let size = preprocess.size;
        let options = args.options(device, Options { preprocess, outputs, ..Options::of(model) });
        let session = session(device, model, &options)?;
        let name = match asked {
            Some(_) => &model.name,
            None => "digits (built in; --model s1 knows ImageNet)",
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
        if let (Some(path), Some(line)) = (&self.labels, labels.note()) {
            note(&plain(&format!("warning: {}: {line}", path.display())));
        }
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
    colour: &'static str,
    source: String,
}

impl Preprocessing {
    /// `preprocess`, and where it came from.
    pub fn new(preprocess: &Preprocess, source: String) -> Preprocessing {
        let Preprocess { size: (h, w), crop_pct, crop_mode, interpolation, mean, std, colour } = *preprocess;
        let (crop_mode, interpolation) = (crop_mode.name(), interpolation.name());
        let colour = if colour == Colour::Grey { "grey" } else { "rgb" };
        Preprocessing { size: [h, w], crop_pct, crop_mode, interpolation, mean, std, colour, source }
    }

    /// How a picture is made to fit, `224x224, center crop 0.9, bilinear`, and how its colours are normalized.
    pub fn words(&self) -> (String, String) {
        let Preprocessing { size: [h, w], crop_pct, crop_mode, interpolation, mean, std, colour, .. } = self;
        let grey = if *colour == "grey" { ", grey" } else { "" };
        (
            format!("{h}x{w}{grey}, {crop_mode} crop {crop_pct}, {interpolation}"),
            format!("mean {mean:?}, std {std:?}"),
        )
    }
}

/// The option that stands in for what a `config.json` says of this.
fn option(about: About) -> Option<&'static str> {
    Some(match about {
        About::Size => "--size",
        About::CropPct => "--crop-pct",
        About::CropMode => "--crop-mode",
        About::Interpolation => "--interpolation",
        About::Mean => "--mean",
        About::Std => "--std",
        About::Strides => "--strides",
        About::Epsilon => "--bn-eps",
        _ => return None,
    })
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

/// The network that `spec` names, in a certain form; says what of it was guessed, passed over or chosen. A fault of its
/// `config.json` is passed over where `instead` gives a reason.
pub fn load(
    spec: &Path,
    form: Form,
    args: &ReadArgs,
    instead: impl Fn(About) -> Option<String>,
) -> Result<Model, Stop> {
    built(spec, open(spec, args)?, form, args, instead)
}

/// The same of a checkpoint that was opened.
pub fn built(
    spec: &Path,
    checkpoint: Checkpoint,
    form: Form,
    args: &ReadArgs,
    instead: impl Fn(About) -> Option<String>,
) -> Result<Model, Stop> {
    let model = build(spec, checkpoint, form, args, instead)?;
    // The note on preprocessing is printed by what reads pictures.
    model.notes.iter().filter(|note| note.setting != Some(Setting::Preprocess)).for_each(remark);
    Ok(model)
}

/// Says what was guessed, passed over or chosen, with the option that decides otherwise.
fn remark(said: &Note) {
    let option = match said.setting {
        Some(Setting::Weights) if said.warning => " (--weights NAME takes another)",
        Some(Setting::Weights) => " (--weights raw takes the others)",
        Some(Setting::Strides) => " (--strides)",
        Some(Setting::Epsilon) => " (--bn-eps)",
        Some(Setting::Normalization) => " (--mean, --std)",
        _ => "",
    };
    let warning = if said.warning { "warning: " } else { "" };
    note(&plain(&format!("{warning}{said}{option}")));
}

/// The network of a file that was loaded before, without pictures and without the lines on what was chosen.
pub fn load_again(spec: &Path, args: &ReadArgs) -> Result<Model, Stop> {
    build(spec, open(spec, args)?, Form::Fused, args, without_pictures)
}

fn build(
    spec: &Path,
    mut checkpoint: Checkpoint,
    form: Form,
    args: &ReadArgs,
    instead: impl Fn(About) -> Option<String>,
) -> Result<Model, Stop> {
    let spec = spec.display().to_string();
    checkpoint.metadata.pass_over(instead);
    if let Some(fault) = checkpoint.metadata.faults.first() {
        let instead = option(fault.about).map_or_else(String::new, |name| format!(", or give {name}"));
        return Err(Stop::Error(plain(&format!("{spec}: {}{instead}", fault.error()))));
    }
    Model::new(checkpoint, form).map_err(|error| match &error {
        Error::Metadata { field, reason, .. } if field == "strides" && args.strides.is_some() => {
            Stop::Error(format!("--strides: {reason}"))
        }
        _ => Stop::about(&spec, error),
    })
}

/// Where no picture is read, how pictures become inputs does not matter.
pub fn without_pictures(about: About) -> Option<String> {
    about.is_picture().then(|| "as no picture is read".into())
}

/// The checkpoint that `spec` names; a bar shows how its download goes on.
pub fn open(spec: &Path, args: &ReadArgs) -> Result<Checkpoint, Stop> {
    let bar = ProgressBar::no_length();
    let style = "{bytes} of {total_bytes} {wide_bar} {bytes_per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    let mut told = false;
    let opened = named::open_with(spec, &args.reading(), &mut |fetch| {
        if !std::mem::replace(&mut told, true) {
            note(&format!("fetching {} from {} into {}", fetch.id, fetch.from, fetch.into.display()));
        }
        bar.set_length(fetch.all);
        bar.set_position(fetch.come);
    });
    bar.finish_and_clear();
    opened.map_err(|error| {
        let option = match &error {
            Error::Weights { network: Some(name), .. } => format!(" with --weights {name}"),
            Error::Weights { network: None, .. } => " with --weights NAME".into(),
            _ => String::new(),
        };
        match Stop::about(&spec.display().to_string(), error) {
            Stop::Error(line) => Stop::Error(line + &option),
            stop => stop,
        }
    })
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

fn triple(text: &str) -> Result<[f64; 3], String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    match numbers.unwrap_or_default()[..] {
        [one] => Ok([one; 3]),
        [r, g, b] => Ok([r, g, b]),
        _ => Err("expected three numbers such as 0.485,0.456,0.406, or one for all".into()),
    }
}
