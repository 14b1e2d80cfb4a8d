//! How a checkpoint is to be read, where a file leaves it open.

use std::{convert::Infallible, str::FromStr};

use super::{Note, Setting, Strides};
use crate::{
    error::{Error, Result},
    reparam,
};

/// What a reader may be asked for beside the file. More may come to be asked: end a literal with `..`.
///
/// ```
/// use mobileone::{Checkpoint, checkpoint::{Reading, Which}, sample};
///
/// let reading = Reading { weights: Which::Raw, bn_eps: Some(1e-3), ..Reading::default() };
/// let checkpoint = Checkpoint::from_bytes_with(sample::DIGITS, None, &reading)?;
/// assert_eq!(checkpoint.metadata.bn_eps, Some(1e-3));
/// # Ok::<(), mobileone::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Which network of a file is taken.
    pub weights: Which,
    /// ε of every normalization, whatever the file and its `config.json` say.
    pub bn_eps: Option<f64>,
    /// The strides, whatever the file and its `config.json` say.
    pub strides: Option<Strides>,
}

/// Which network of a file is taken, where a file has several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// The averaged weights (EMA, SWA) where there are some, else the raw ones.
    #[default]
    Averaged,
    /// The weights as training left them.
    Raw,
    /// The averaged weights, and no others.
    Ema,
    /// Those under this name: a key of the file, or what stands before the tensors' names.
    Named(String),
}

impl FromStr for Which {
    type Err = Infallible;

    /// `raw`, `ema`, or a name: dots at its ends do not count.
    fn from_str(text: &str) -> Result<Which, Infallible> {
        Ok(match text {
            "raw" => Which::Raw,
            "ema" => Which::Ema,
            name => Which::Named(name.trim_matches('.').into()),
        })
    }
}

/// A network that a file holds beside others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it stands: the keys around it and what its tensors' names begin with; empty at the top.
    pub name: String,
    /// Whether its weights are averages over training.
    pub averaged: bool,
    /// Whether it is the one that was read.
    pub taken: bool,
}

/// What was taken of several networks, where `reading` does not say which.
pub(super) fn chosen(networks: &[Found], reading: &Reading) -> Option<Note> {
    let name = |found: &Found| match found.name.as_str() {
        "" => "the weights at the top".into(),
        name => format!("\"{name}\""),
    };
    let (taken, left): (Vec<_>, Vec<_>) = networks.iter().partition(|found| found.taken);
    let taken = taken.first().filter(|_| reading.weights == Which::default())?;
    let kind = if taken.averaged { ", the averaged weights" } else { "" };
    let names: Vec<String> = left.iter().map(|found| name(found)).collect();
    let text = format!("took {}{kind}, not {}", name(taken), names.join(", "));
    // The average of what stands beside it is what people want of a file; between others it is a guess.
    let usual = taken.averaged && left.iter().all(|found| !found.averaged);
    let note = if usual { Note::fact(text) } else { Note::warning(text) };
    Some(note.set_by(Setting::Weights))
}

/// What of a file was left out, by the names of its tensors.
pub(super) fn left_out(passed_over: &[String]) -> Vec<Note> {
    const MOST: usize = 4;
    let shown = passed_over.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    let (tensors, more) = match passed_over.len() {
        0 => return Vec::new(),
        1 => ("1 tensor".into(), String::new()),
        count if count <= MOST => (format!("{count} tensors"), String::new()),
        count => (format!("{count} tensors"), format!(" and {} more", count - MOST)),
    };
    let left = Note::warning(format!("passed over {tensors} that inference does not need: {shown}{more}"));
    let normalizes =
        |name: &&String| [".mean", ".std", "_mean", "_std"].iter().any(|end| name.ends_with(end));
    let own = passed_over.iter().find(normalizes).map(|name| {
        let text =
            format!("if the network normalizes pictures with {name}, give those values as mean and std");
        Note::warning(text).set_by(Setting::Normalization)
    });
    std::iter::once(left).chain(own).collect()
}

/// `value` as an ε of batch normalization.
///
/// # Errors
/// [`Error::Option`] when no network was trained with it.
pub(crate) fn check_epsilon(value: f64) -> Result<f64> {
    match reparam::EPSILONS.contains(&value) {
        true => Ok(value),
        false => Err(Error::Option(format!("a batch norm's epsilon is {EPSILON_RANGE}, found {value}"))),
    }
}

/// What [`reparam::EPSILONS`] holds, for people.
pub(crate) const EPSILON_RANGE: &str = "a number above 0 and at most 0.1, such as 0.001";
