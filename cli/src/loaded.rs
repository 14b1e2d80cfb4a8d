//! The model that was named, read: its checkpoint, and the network that this makes.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use mobileone::{
    Checkpoint, Error, Form, Model,
    checkpoint::{About, Note, Setting},
    named::{self, Place, locate},
    sample,
};

use crate::{
    args::{ReadArgs, option},
    out::{Stop, note, plain},
};

/// The model that is meant where none is named: the one that is built in.
pub fn model_or_digits(typed: Option<&Path>) -> &Path {
    typed.unwrap_or(Path::new(sample::NAME))
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
