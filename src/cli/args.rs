//! Arguments that several commands take.

use std::{
    num::NonZero,
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};
use mobileone::{
    Checkpoint, Device, Form, Model, Options, Outputs, Preprocess, Session,
    checkpoint::{Found, Metadata, Reading, Which},
    labels::Labels,
    named::{self, Place, locate},
};

use super::{
    opened::{DeviceArgs, session},
    out::{Stop, note, plain},
};

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
    /// Subtracted from red, green and blue (0 to 1): 0.485,0.456,0.406
    #[arg(long, value_name = "R,G,B", value_parser = triple, allow_hyphen_values = true)]
    pub mean: Option<[f32; 3]>,
    /// Divides red, green and blue: 0.229,0.224,0.225
    #[arg(long, value_name = "R,G,B", value_parser = triple)]
    pub std: Option<[f32; 3]>,
}

/// How a model's file is read, where it leaves that open.
#[derive(clap::Args, Default)]
pub struct ReadArgs {
    /// Of a file with several networks: raw, ema (averaged, the default where there is one), or the key or prefix of
    /// the one to take
    #[arg(long, value_name = "WHICH")]
    weights: Option<Which>,
    /// Epsilon of batch norms in a file with branches: 1e-5, unless config.json or the file says otherwise
    #[arg(long, value_name = "EPS")]
    bn_eps: Option<f64>,
}

impl ReadArgs {
    fn reading(&self) -> Reading {
        Reading { weights: self.weights.clone().unwrap_or_default(), bn_eps: self.bn_eps }
    }
}

impl PictureArgs {
    /// Height and width of the input.
    pub fn size(&self, model: &Model) -> (usize, usize) {
        self.size.unwrap_or(model.preprocess.size)
    }

    /// What `model` wants, with what was typed in its place; says where it came from.
    pub fn preprocess(&self, model: &Model) -> Result<Preprocess, Stop> {
        let of = model.preprocess.clone();
        let preprocess = Preprocess {
            size: self.size(model),
            crop_pct: self.crop_pct.unwrap_or(of.crop_pct),
            mean: self.mean.unwrap_or(of.mean),
            std: self.std.unwrap_or(of.std),
            ..of
        };
        preprocess.check()?;
        let typed = [
            ("--size", self.size.is_some()),
            ("--crop-pct", self.crop_pct.is_some()),
            ("--mean", self.mean.is_some()),
            ("--std", self.std.is_some()),
        ];
        let typed: String =
            typed.iter().filter(|(_, typed)| *typed).map(|(name, _)| format!("{name}, ")).collect();
        let source = plain(&model.preprocess_source);
        note(&format!("preprocessing: {} ({typed}{source})", describe(&preprocess)));
        Ok(preprocess)
    }

    /// A session of `model` on `device` that brings back the `top` best classes of pictures.
    pub fn session(
        &self,
        device: &Device,
        model: &Model,
        args: &DeviceArgs,
        top: usize,
    ) -> Result<Session, Stop> {
        let outputs = Outputs { top_k: top.min(model.graph.classes().unwrap_or(0)), ..Outputs::default() };
        let options = Options { preprocess: self.preprocess(model)?, outputs, ..Options::of(model) };
        Ok(session(device, model, &args.options(device, options))?)
    }

    /// The names of the classes of `model`, which must have a classifier; says where they came from.
    pub fn labels(&self, model: &Model) -> Result<Labels, Stop> {
        let Some(classes) = model.graph.classes() else {
            return Err(Stop::Error(format!(
                "{}: the model has no classifier, so there is nothing to name; `run` writes its features",
                model.name
            )));
        };
        let labels = Labels::choose(self.labels.as_deref(), model.labels.as_deref(), classes)?;
        note(&format!("labels: {}", plain(labels.source())));
        Ok(labels)
    }
}

/// `224x224, crop 0.9, bilinear`.
pub fn describe(preprocess: &Preprocess) -> String {
    let Preprocess { size: (h, w), crop_pct, crop_mode, interpolation, mean, std } = preprocess;
    let mode = format!("{crop_mode:?}").to_lowercase();
    let filter = format!("{interpolation:?}").to_lowercase();
    format!("{h}x{w}, {mode} crop {crop_pct}, {filter}, mean {mean:?}, std {std:?}")
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
pub fn load(spec: &Path, form: Form, args: &ReadArgs) -> Result<Model, Stop> {
    let checkpoint = open(spec, args)?;
    let Metadata { bn_eps, variant, .. } = &checkpoint.metadata;
    if has_norms(&checkpoint) && bn_eps.is_none() && variant.is_none() {
        note("warning: batch norm's epsilon is a guess: 1e-5, MobileOne's own; --bn-eps gives another");
    }
    Model::new(checkpoint, form).map_err(|error| Stop::about(&spec.display().to_string(), error))
}

/// The same once more, without the lines on what was chosen.
pub fn load_again(spec: &Path, form: Form, args: &ReadArgs) -> Result<Model, Stop> {
    Model::new(read(spec, args)?, form).map_err(|error| Stop::about(&spec.display().to_string(), error))
}

/// The checkpoint that `spec` names; a bar shows how its download goes on. What was chosen or left out is said.
pub fn open(spec: &Path, args: &ReadArgs) -> Result<Checkpoint, Stop> {
    let checkpoint = read(spec, args)?;
    remarks(&checkpoint, args).iter().for_each(|line| note(&plain(&format!("warning: {line}"))));
    Ok(checkpoint)
}

fn read(spec: &Path, args: &ReadArgs) -> Result<Checkpoint, Stop> {
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
    opened.map_err(|error| Stop::about(&spec.display().to_string(), error))
}

/// Whether normalizations are still to be folded.
fn has_norms(checkpoint: &Checkpoint) -> bool {
    checkpoint.weights.iter().any(|(name, _)| name.ends_with(".running_var"))
}

/// What was chosen or left out as `checkpoint` was read, a line each.
fn remarks(checkpoint: &Checkpoint, args: &ReadArgs) -> Vec<String> {
    let mut lines = Vec::new();
    let name = |found: &Found| match found.name.as_str() {
        "" => "the weights at the top".into(),
        name => format!("\"{name}\""),
    };
    let (taken, left): (Vec<_>, Vec<_>) = checkpoint.networks.iter().partition(|found| found.taken);
    if let (Some(taken), None) = (taken.first(), &args.weights) {
        let kind = if taken.averaged { ", the averaged weights" } else { "" };
        let left: Vec<String> = left.iter().map(|found| name(found)).collect();
        let other =
            if taken.averaged { "--weights raw takes the others" } else { "--weights NAME takes another" };
        lines.push(format!("took {}{kind}, not {} ({other})", name(taken), left.join(", ")));
    }
    let passed = &checkpoint.passed_over;
    if !passed.is_empty() {
        let shown = passed.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if passed.len() > 4 { format!(" and {} more", passed.len() - 4) } else { String::new() };
        let tensors = if passed.len() == 1 { "1 tensor" } else { &format!("{} tensors", passed.len()) };
        lines.push(format!("passed over {tensors} that inference does not need: {shown}{more}"));
    }
    let normalizes =
        |name: &&String| [".mean", ".std", "_mean", "_std"].iter().any(|end| name.ends_with(end));
    if let Some(name) = passed.iter().find(normalizes) {
        lines.push(format!(
            "if the network normalizes pictures with {name}, give those values to --mean and --std"
        ));
    }
    if args.bn_eps.is_some() && !has_norms(checkpoint) {
        lines.push("--bn-eps changes nothing: the model is fused already".into());
    }
    lines.extend(checkpoint.notes.iter().cloned());
    lines
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

fn triple(text: &str) -> Result<[f32; 3], String> {
    let numbers: Result<Vec<f32>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    let wrong = "expected three numbers such as 0.485,0.456,0.406";
    numbers.ok().and_then(|numbers| numbers.try_into().ok()).ok_or(wrong.into())
}
