//! How a checkpoint is to be read, where a file leaves it open.

use std::{convert::Infallible, str::FromStr};

use crate::{
    error::{Error, Result},
    reparam,
};

/// What a reader may be asked for beside the file.
///
/// ```
/// use mobileone::{Checkpoint, checkpoint::{Reading, Which}, sample};
///
/// let reading = Reading { weights: Which::Raw, bn_eps: Some(1e-3) };
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

    /// `raw`, `ema`, or a name.
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
