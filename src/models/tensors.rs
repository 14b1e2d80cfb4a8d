//! A checkpoint's tensors as a family asks for them: each with the shape that it must have, and none left over.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Error, Result,
    weights::{Array, Weights},
};

/// One side of an expected shape.
#[derive(Clone, Copy)]
pub(super) enum Side {
    /// This length.
    Is(usize),
    /// Any length but zero, called so in errors.
    Any(&'static str),
}

/// A checkpoint's tensors and which of them have been asked for. What it has given exists, has its shape and is finite,
/// and every variance is usable.
pub struct Tensors<'a> {
    pub(super) weights: &'a Weights,
    /// ε of the normalizations.
    pub(super) epsilon: f64,
    family: &'static str,
    names: BTreeSet<&'a str>,
    used: BTreeSet<&'a str>,
}

impl<'a> Tensors<'a> {
    /// The tensors of a network of the family of this name, with `epsilon` in its normalizations.
    pub(super) fn new(weights: &'a Weights, family: &'static str, epsilon: f64) -> Tensors<'a> {
        // A counter of PyTorch's, without meaning here
        let names =
            weights.iter().map(|(name, _)| name).filter(|name| !name.ends_with(".num_batches_tracked"));
        let (names, used) = (names.collect(), BTreeSet::new());
        Tensors { weights, epsilon, family, names, used }
    }

    /// Whether any name begins so.
    pub(super) fn any(&self, prefix: &str) -> bool {
        self.names.range(prefix..).next().is_some_and(|name| name.starts_with(prefix))
    }

    /// Whether any name holds `part`.
    pub(super) fn any_with(&self, part: &str) -> bool {
        self.names.iter().any(|name| name.contains(part))
    }

    /// How many positions each stage has, from the numbers in `stages.2.7`; `main` is the weight that shows there is one.
    ///
    /// # Errors
    /// [`Error::Tensor`] for a gap in the numbers of the stages or of a stage's positions.
    pub(super) fn positions_per_stage(&self, main: impl Fn(&Self, &str) -> String) -> Result<Vec<usize>> {
        let mut stages: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for name in self.names.range("stages."..).take_while(|name| name.starts_with("stages.")) {
            let mut parts = name.split('.').skip(1).map(str::parse);
            if let (Some(Ok(stage)), Some(Ok(index))) = (parts.next(), parts.next()) {
                stages.entry(stage).or_default().insert(index);
            }
        }
        let missing = |stage: usize, index: usize| {
            let name = main(self, &format!("stages.{stage}.{index}"));
            Err(Error::Tensor { name, reason: "missing".into() })
        };
        if stages.is_empty() {
            return missing(0, 0);
        }
        let mut counts = Vec::new();
        for (expected, (stage, indices)) in stages.into_iter().enumerate() {
            if stage != expected {
                return missing(expected, 0);
            }
            if let Some((gap, _)) = indices.iter().enumerate().find(|&(at, &index)| at != index) {
                return missing(stage, gap);
            }
            counts.push(indices.len());
        }
        Ok(counts)
    }

    /// A normalization of `channels`.
    pub(super) fn norm(&mut self, name: &str, channels: usize) -> Result<()> {
        for field in ["weight", "bias", "running_mean", "running_var"] {
            let name = format!("{name}.{field}");
            let array = self.array(&name, &[Side::Is(channels)])?;
            if field == "running_var"
                && let Some(at) = array.data.iter().position(|&variance| variance as f64 <= -self.epsilon)
            {
                let reason = format!("a variance is not negative, found {} at {at}", array.data[at]);
                return Err(self.fault(&name, reason));
            }
        }
        Ok(())
    }

    /// The inner channels of the squeeze-excite at position `name`, if it has one.
    pub(super) fn squeeze(&mut self, name: &str, channels: usize) -> Result<Option<usize>> {
        use Side::{Any, Is};
        if !self.any(&format!("{name}.attn.")) {
            return Ok(None);
        }
        let reduce = format!("{name}.attn.fc1.weight");
        let inner = self.array(&reduce, &[Any("C/16"), Is(channels), Is(1), Is(1)])?.shape[0];
        self.array(&format!("{name}.attn.fc1.bias"), &[Is(inner)])?;
        self.array(&format!("{name}.attn.fc2.weight"), &[channels, inner, 1, 1].map(Is))?;
        self.array(&format!("{name}.attn.fc2.bias"), &[Is(channels)])?;
        Ok(Some(inner))
    }

    /// The classes of the classifier over `features` channels, if there is one.
    pub(super) fn classifier(&mut self, features: usize) -> Result<Option<usize>> {
        if !self.any("head.fc.") {
            return Ok(None);
        }
        let mut shape = vec![Side::Any("classes"), Side::Is(features)];
        // A convolution of 1x1 over the pooled features is the same
        if self.weights.find("head.fc.weight").is_some_and(|array| array.shape.len() == 4) {
            shape.extend([Side::Is(1), Side::Is(1)]);
        }
        let classes = self.array("head.fc.weight", &shape)?.shape[0];
        if self.weights.find("head.fc.bias").is_some() {
            self.array("head.fc.bias", &[Side::Is(classes)])?;
        }
        Ok(Some(classes))
    }

    /// The array `name`, of this shape and finite.
    pub(super) fn array(&mut self, name: &str, shape: &[Side]) -> Result<&'a Array> {
        let array = self.weights.get(name)?;
        let refuse = |reason| Err(self.fault(name, reason));
        let fits = |(&side, &found): (&Side, &usize)| match side {
            Side::Is(length) => length == found,
            Side::Any(_) => found > 0,
        };
        if array.shape.len() != shape.len() || !shape.iter().zip(&array.shape).all(fits) {
            let sides = shape.iter().map(|side| match side {
                Side::Is(length) => length.to_string(),
                Side::Any(name) => name.to_string(),
            });
            let sides: Vec<String> = sides.collect();
            return refuse(format!("expected [{}], found {:?}", sides.join(", "), array.shape));
        }
        if let Some(at) = array.data.iter().position(|value| !value.is_finite()) {
            return refuse(format!(
                "holds {} at {at}: the file is damaged or its training failed",
                array.data[at]
            ));
        }
        self.used.extend(self.names.get(name));
        Ok(array)
    }

    /// Refuses a checkpoint with tensors that nothing has asked for.
    pub(super) fn nothing_left(&self) -> Result<()> {
        match self.names.difference(&self.used).next() {
            Some(&name) => {
                let family = self.family;
                let reason = format!("no place for it in a {family}, or its position is complete without it");
                Err(self.fault(name, reason))
            }
            None => Ok(()),
        }
    }

    /// What is wrong with the tensor `name`, under its name in the file.
    pub(super) fn fault(&self, name: &str, reason: String) -> Error {
        Error::Tensor { name: self.weights.name_in_file(name).into(), reason }
    }
}
