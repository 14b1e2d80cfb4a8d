//! How pictures become a model's inputs, and what its classes are called: what was typed, else what the model brings.

use std::path::Path;

use mobileone::{
    Form, Model, Options, Outputs, Preprocess, Session,
    checkpoint::About,
    labels::{IMAGENET_CLASSES, Labels},
    preprocess::{Colour, Units, units},
};
use serde::Serialize;

use crate::{
    args::{PictureArgs, ReadArgs, option},
    loaded,
    opened::Settled,
    out::{Stop, detail, note, plain},
};

/// Height and width of the input.
pub fn size(args: &PictureArgs, model: &Model) -> (usize, usize) {
    args.size.unwrap_or(model.preprocess.size)
}

/// The network that `spec` names, whose `config.json` need not be right where an option stands in for it.
pub fn load(args: &PictureArgs, spec: &Path, read: &ReadArgs) -> Result<Model, Stop> {
    loaded::load(spec, Form::Fused, read, |about| {
        let name = option(about).filter(|_| args.given().contains(&about))?;
        Some(format!("as {name} is given"))
    })
}

/// The mean and std that were typed, for colours from 0 to 1.
fn given_units(args: &PictureArgs) -> Result<Units, Stop> {
    units(args.mean, args.std).map_err(|reason| Stop::Error(format!("--mean, --std: {reason}")))
}

/// What `model` wants, with what was typed in its place.
pub fn chosen(args: &PictureArgs, model: &Model) -> Result<Preprocess, Stop> {
    let units = given_units(args)?;
    let of = model.preprocess.clone();
    let preprocess = Preprocess {
        size: size(args, model),
        crop_pct: args.crop_pct.unwrap_or(of.crop_pct),
        crop_mode: args.crop_mode.unwrap_or(of.crop_mode),
        interpolation: args.interpolation.unwrap_or(of.interpolation),
        mean: units.mean.map_or(of.mean, |mean| of.colour.fit(mean)),
        std: units.std.map_or(of.std, |std| of.colour.fit(std)),
        ..of
    };
    preprocess.check()?;
    Ok(preprocess)
}

/// The same, said in detail; warns of a guess.
pub fn preprocess(args: &PictureArgs, model: &Model) -> Result<Preprocess, Stop> {
    let preprocess = chosen(args, model)?;
    if let Some(line) = given_units(args)?.note("--mean, --std") {
        note(&format!("warning: {line}"));
    }
    detail(&format!("preprocessing: {} ({})", describe(&preprocess), plain(&source(args, model))));
    let given = args.given();
    let all = [About::Size, About::CropPct, About::Mean, About::Std];
    if model.preprocess_guessed && !all.iter().all(|about| given.contains(about)) {
        note(&format!(
            "warning: preprocessing: {}; --size, --crop-pct, --mean and --std set it",
            plain(&source(args, model))
        ));
    }
    Ok(preprocess)
}

/// Where the preprocessing came from, for people.
pub fn source(args: &PictureArgs, model: &Model) -> String {
    let given = args.given().into_iter().filter_map(option).map(|name| format!("{name}, "));
    given.collect::<String>() + &model.preprocess_source
}

/// A session of `model` that brings back the `top` best classes of pictures; says in a line what runs
/// where. `asked` is the model's name as it was typed.
pub fn session(
    args: &PictureArgs,
    on: &Settled,
    model: &Model,
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
    let outputs = Outputs::default().and_best(top.min(model.graph.classes().unwrap_or(0)));
    let preprocess = preprocess(args, model)?;
    let size = preprocess.size;
    let session = on.session(model, &on.options(Options { preprocess, outputs, ..Options::of(model) }))?;
    let name = match asked {
        Some(_) => &model.name,
        None => "digits (built in; --model s1 knows ImageNet)",
    };
    on.summary(name, size, assumed_labels(args, model));
    Ok(session)
}

/// The names of the classes of `model`, which must have a classifier.
pub fn labels(args: &PictureArgs, model: &Model) -> Result<Labels, Stop> {
    let Some(classes) = model.graph.classes() else {
        return Err(Stop::Error(format!(
            "{}: the model has no classifier, so there is nothing to name; `run` writes its features",
            model.name
        )));
    };
    let labels = Labels::choose(args.labels.as_deref(), model.labels.as_deref(), classes)?;
    detail(&format!("labels: {}", plain(labels.source())));
    if let (Some(path), Some(line)) = (&args.labels, labels.note()) {
        note(&plain(&format!("warning: {}: {line}", path.display())));
    }
    Ok(labels)
}

/// The names that stand in for those of a model that brings none.
fn assumed_labels(args: &PictureArgs, model: &Model) -> Option<&'static str> {
    let classes = model.graph.classes()?;
    let own = model.labels.as_ref().is_some_and(|labels| labels.len() == classes);
    match classes {
        _ if own || args.labels.is_some() => None,
        IMAGENET_CLASSES => Some("ImageNet's labels (assumed)"),
        _ => Some("classes by number"),
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

/// `224x224, center crop 0.9, bilinear, mean ..., std ...`.
pub fn describe(preprocess: &Preprocess) -> String {
    let (fit, normalized) = Preprocessing::new(preprocess, String::new()).words();
    format!("{fit}, {normalized}")
}
