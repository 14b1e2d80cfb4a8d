//! Strides of a network: those it has, and those that somebody gives.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde_json::Value;

use crate::error::{Error, Result};

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

impl FromStr for Strides {
    type Err = Error;

    /// `2,2,2,2,2`: the stem's, then the stages'.
    ///
    /// # Errors
    /// [`Error::Option`] for anything else.
    fn from_str(text: &str) -> Result<Strides> {
        let stride = |text: &str| text.trim().parse().ok().filter(|stride| Strides::KNOWN.contains(stride));
        let all: Option<Vec<usize>> = text.split(',').map(stride).collect();
        match all.as_deref() {
            Some([stem, stages @ ..]) if !stages.is_empty() => {
                Ok(Strides { stem: *stem, stages: stages.to_vec() })
            }
            _ => Err(Error::Option(
                "expected 1 or 2 for the stem and for each stage, such as 1,2,2,2,2".into(),
            )),
        }
    }
}

impl fmt::Display for Strides {
    /// `2,2,2,2,2`: the stem's, then the stages'.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.stem)?;
        self.stages.iter().try_for_each(|stride| write!(f, ",{stride}"))
    }
}

/// The strides that somebody gives; `None` where nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenStrides {
    /// Of the stem.
    pub stem: Option<usize>,
    /// Of each stage's first block; empty when none is known.
    pub stages: Vec<Option<usize>>,
    /// Whether the branches of training showed those of the stages, so that no `config.json` knows better.
    pub proven: bool,
}

impl From<Strides> for GivenStrides {
    fn from(strides: Strides) -> GivenStrides {
        let Strides { stem, stages } = strides;
        GivenStrides { stem: Some(stem), stages: stages.into_iter().map(Some).collect(), proven: false }
    }
}

impl GivenStrides {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        self.stem.is_none() && self.stages.iter().all(Option::is_none)
    }

    /// All of them, when all are known.
    pub fn complete(&self) -> Option<Strides> {
        let stages: Option<Vec<usize>> = self.stages.iter().copied().collect();
        Some(Strides { stem: self.stem?, stages: stages.filter(|stages| !stages.is_empty())? })
    }

    /// Those of `self`, else those of `other`, and whether the two differ anywhere.
    pub(super) fn or(&self, other: &GivenStrides) -> (GivenStrides, bool) {
        let differ = |(a, b): (Option<usize>, Option<usize>)| a.is_some() && b.is_some() && a != b;
        let count = self.stages.len().max(other.stages.len());
        let at = |strides: &GivenStrides, stage| strides.stages.get(stage).copied().flatten();
        let pairs: Vec<_> = (0..count).map(|stage| (at(self, stage), at(other, stage))).collect();
        let both = GivenStrides {
            stem: self.stem.or(other.stem),
            stages: pairs.iter().map(|(a, b)| a.or(*b)).collect(),
            proven: self.proven,
        };
        (both, differ((self.stem, other.stem)) || pairs.into_iter().any(differ))
    }
}

pub(super) fn stride(value: &Value) -> Option<usize> {
    value.as_u64().map(|v| v as usize).filter(|v| Strides::KNOWN.contains(v))
}

pub(super) fn stage_strides(value: &Value) -> Option<Vec<Option<usize>>> {
    let one = |value: &Value| if value.is_null() { Some(None) } else { stride(value).map(Some) };
    value.as_array().filter(|list| list.len() <= 64)?.iter().map(one).collect()
}
