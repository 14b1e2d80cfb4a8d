//! Reads the architecture off a checkpoint's tensors, and refuses what does not fit together.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use super::{Architecture, Body, Network, Position};
use crate::{
    Error, Result,
    checkpoint::{Checkpoint, GivenStrides, Strides, check_epsilon},
    graph::{Conv, Window},
    reparam::EPSILON,
    weights::{Array, Weights},
};

/// Channels that an input may have: one pixel is four scalars on a device.
const CHANNELS: RangeInclusive<usize> = 1..=4;
/// Rows and columns of the stem's and the depthwise kernels.
const KERNEL: usize = 3;

/// The network that `checkpoint` holds. Afterwards every array that it names exists, has its shape and is
/// finite, every variance is usable, and nothing is left over.
pub fn read(checkpoint: &Checkpoint) -> Result<Network> {
    let epsilon = checkpoint.metadata.bn_eps.map_or(Ok(EPSILON), check_epsilon)?;
    let mut tensors = Tensors::new(&checkpoint.weights, epsilon);
    let stages = tensors.positions_per_stage()?;
    let mut given = checkpoint.metadata.strides.clone().unwrap_or_default();
    check_strides(&given, stages.len()).map_err(|reason| checkpoint.metadata.fault("strides", reason))?;
    given.stages.resize(stages.len(), None);

    let stem = tensors.position("stem", Kind::Dense, tensors.channels()?, Stride::of(given.stem))?;
    let mut src_c = stem.conv.dst_c;
    let mut architecture = Architecture {
        stem: src_c,
        widths: Vec::new(),
        blocks: stages.iter().map(|positions| positions / 2).collect(),
        branches: None,
        squeezed: Vec::new(),
        classes: None,
        strides: Strides { stem: stem.conv.window.stride[0], stages: Vec::new() },
    };
    let mut known = given.clone();
    // A depthwise has the branch exactly where its stride is 1, in a network that has them at all.
    let has_identities = tensors.names.iter().any(|name| name.contains(".identity."));
    known.proven |= has_identities;
    let mut positions = vec![stem];
    for (stage, count) in stages.into_iter().enumerate() {
        let first = positions.len();
        for index in 0..count {
            let name = format!("stages.{stage}.{index}");
            let (kind, stride) = match index {
                0 => (Kind::Depthwise, Stride::of(given.stages[stage])),
                _ if index % 2 == 0 => (Kind::Depthwise, Stride::Given(1)),
                _ => (Kind::Pointwise, Stride::Given(1)),
            };
            positions.push(tensors.position(&name, kind, src_c, stride)?);
            src_c = positions[first + index].conv.dst_c;
        }
        let squeezed = (0..count).filter(|index| positions[first + index].squeeze.is_some());
        architecture.squeezed.push(squeezed.collect());
        architecture.widths.push(src_c);
        let (stride, branches) =
            (positions[first].conv.window.stride[0], positions[first].branches().is_some());
        architecture.strides.stages.push(stride);
        if branches && has_identities {
            known.stages[stage] = Some(stride);
        }
        known.proven &= branches || given.proven;
    }
    architecture.branches = positions.iter().filter_map(Position::branches).max();
    architecture.classes = tensors.classifier(src_c)?;
    tensors.nothing_left()?;
    Ok(Network {
        positions,
        classes: architecture.classes,
        features: src_c,
        architecture,
        strides: known,
        epsilon,
    })
}

fn check_strides(strides: &GivenStrides, stages: usize) -> Result<(), String> {
    if !strides.stages.is_empty() && strides.stages.len() != stages {
        return Err(format!(
            "expected {stages} after the stem's, one per stage, found {}",
            strides.stages.len()
        ));
    }
    let mut all = std::iter::once(strides.stem).chain(strides.stages.iter().copied()).flatten();
    match all.find(|stride| !Strides::KNOWN.contains(stride)) {
        Some(stride) => Err(format!("a stride is 1 or 2, found {stride}")),
        None => Ok(()),
    }
}

/// The three kinds of positions.
#[derive(Clone, Copy)]
enum Kind {
    Dense,
    Depthwise,
    Pointwise,
}

/// What is known of a stride before the tensors are looked at.
#[derive(Clone, Copy)]
enum Stride {
    /// The network's plan or the metadata says so.
    Given(usize),
    /// 2, unless an identity branch proves 1.
    Unsaid,
}

impl Stride {
    fn of(given: Option<usize>) -> Stride {
        given.map_or(Stride::Unsaid, Stride::Given)
    }
}

impl Position {
    fn branches(&self) -> Option<usize> {
        match self.body {
            Body::Fused => None,
            Body::Branches { convs, .. } => Some(convs),
        }
    }
}

/// One side of an expected shape.
#[derive(Clone, Copy)]
enum Side {
    Is(usize),
    /// Any length but zero, called so in errors.
    Any(&'static str),
}

/// A checkpoint's tensors and which of them have been asked for.
struct Tensors<'a> {
    weights: &'a Weights,
    names: BTreeSet<&'a str>,
    used: BTreeSet<&'a str>,
    epsilon: f64,
}

impl<'a> Tensors<'a> {
    fn new(weights: &'a Weights, epsilon: f64) -> Tensors<'a> {
        // A counter of PyTorch's, without meaning here
        let names =
            weights.iter().map(|(name, _)| name).filter(|name| !name.ends_with(".num_batches_tracked"));
        Tensors { weights, names: names.collect(), used: BTreeSet::new(), epsilon }
    }

    /// Whether any name begins so.
    fn any(&self, prefix: &str) -> bool {
        self.names.range(prefix..).next().is_some_and(|name| name.starts_with(prefix))
    }

    /// Positions in each stage, from the indices in the names; stages and positions without gaps.
    fn positions_per_stage(&self) -> Result<Vec<usize>> {
        let mut stages: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for name in self.names.range("stages."..).take_while(|name| name.starts_with("stages.")) {
            let mut parts = name.split('.').skip(1).map(str::parse);
            if let (Some(Ok(stage)), Some(Ok(index))) = (parts.next(), parts.next()) {
                stages.entry(stage).or_default().insert(index);
            }
        }
        let missing = |stage: usize, index: usize, why: &str| {
            let name = format!("stages.{stage}.{index}");
            let name = self.main_weight(&name);
            Err(Error::Tensor { name, reason: format!("missing{why}") })
        };
        if stages.is_empty() {
            return missing(0, 0, "");
        }
        let mut counts = Vec::new();
        for (expected, (stage, indices)) in stages.into_iter().enumerate() {
            if stage != expected {
                return missing(expected, 0, "");
            }
            let count = indices.len();
            if let Some((gap, _)) = indices.iter().enumerate().find(|&(at, &index)| at != index) {
                return missing(stage, gap, "");
            }
            if count % 2 == 1 {
                return missing(stage, count, ": the depthwise before it has no pointwise");
            }
            counts.push(count);
        }
        Ok(counts)
    }

    /// The weight that shows the geometry of the position `name`.
    fn main_weight(&self, name: &str) -> String {
        let fused = self.any(&format!("{name}.reparam_conv."))
            || !self.any(&format!("{name}.")) && self.any("stem.reparam_conv.");
        format!("{name}.{}.weight", if fused { "reparam_conv" } else { "conv_kxk.0.conv" })
    }

    /// The channels of the input, as the stem reads them.
    fn channels(&self) -> Result<usize> {
        let name = self.main_weight("stem");
        let shape = &self.weights.get(&name)?.shape;
        match shape[..] {
            [_, channels, _, _] if CHANNELS.contains(&channels) => Ok(channels),
            [_, _, KERNEL, KERNEL] => {
                let reason = format!("expected [C, 1 to 4, {KERNEL}, {KERNEL}], found {shape:?}");
                Err(self.fault(&name, reason))
            }
            // The error that says what a stem is.
            _ => Ok(3),
        }
    }

    /// The position `name`, which reads `src_c` channels.
    fn position(&mut self, name: &str, kind: Kind, src_c: usize, stride: Stride) -> Result<Position> {
        use Side::{Any, Is};
        let main = self.main_weight(name);
        let fused = main.ends_with(".reparam_conv.weight");
        let (kernel, depth) = match kind {
            Kind::Dense => (KERNEL, src_c),
            Kind::Depthwise => (KERNEL, 1),
            Kind::Pointwise => (1, src_c),
        };
        let channels = if matches!(kind, Kind::Depthwise) { Is(src_c) } else { Any("C") };
        let dst_c = self.array(&main, &[channels, Is(depth), Is(kernel), Is(kernel)])?.shape[0];

        let identity = format!("{name}.identity.");
        let has_identity = !fused && self.any(&identity);
        let stride = match stride {
            Stride::Given(stride) => stride,
            Stride::Unsaid if has_identity => 1,
            Stride::Unsaid => 2,
        };
        let window = Window::square(kernel, stride, kernel / 2);
        let conv = Conv { src_c, dst_c, groups: src_c / depth, window };

        let body = if fused {
            self.array(&format!("{name}.reparam_conv.bias"), &[Is(dst_c)])?;
            Body::Fused
        } else {
            let mut convs = 0;
            while convs == 0 || self.any(&format!("{name}.conv_kxk.{convs}.")) {
                let branch = format!("{name}.conv_kxk.{convs}");
                let shape = [dst_c, depth, kernel, kernel].map(Is);
                self.array(&format!("{branch}.conv.weight"), &shape)?;
                self.norm(&format!("{branch}.bn"), dst_c)?;
                convs += 1;
            }
            // Where the kernel is 1x1 already, no scale branch exists: its tensors would be left over
            let scale = kernel > 1 && self.any(&format!("{name}.conv_scale."));
            if scale {
                self.array(&format!("{name}.conv_scale.conv.weight"), &[dst_c, depth, 1, 1].map(Is))?;
                self.norm(&format!("{name}.conv_scale.bn"), dst_c)?;
            }
            if has_identity {
                self.identity(&identity, &conv)?;
            }
            Body::Branches { convs, scale, identity: has_identity }
        };
        let squeeze = match kind {
            Kind::Dense => None,
            Kind::Depthwise | Kind::Pointwise => self.squeeze(name, dst_c)?,
        };
        Ok(Position { name: name.into(), conv, body, squeeze })
    }

    /// An identity branch, which only a position that changes neither channels nor size can have.
    fn identity(&mut self, prefix: &str, conv: &Conv) -> Result<()> {
        let refuse = |reason| Err(self.fault(&format!("{prefix}weight"), reason));
        if conv.src_c != conv.dst_c {
            let (src_c, dst_c) = (conv.src_c, conv.dst_c);
            return refuse(format!("an identity branch where {src_c} channels become {dst_c}"));
        }
        if conv.window.stride != [1, 1] {
            let stride = conv.window.stride[0];
            return refuse(format!("an identity branch proves stride 1, what is given is {stride}"));
        }
        self.norm(prefix.trim_end_matches('.'), conv.dst_c)
    }

    /// A normalization of `channels`.
    fn norm(&mut self, name: &str, channels: usize) -> Result<()> {
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
    fn squeeze(&mut self, name: &str, channels: usize) -> Result<Option<usize>> {
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
    fn classifier(&mut self, features: usize) -> Result<Option<usize>> {
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
    fn array(&mut self, name: &str, shape: &[Side]) -> Result<&'a Array> {
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
    fn nothing_left(&self) -> Result<()> {
        match self.names.difference(&self.used).next() {
            Some(&name) => {
                let reason = "no place for it in a MobileOne, or its position is complete without it";
                Err(self.fault(name, reason.into()))
            }
            None => Ok(()),
        }
    }

    /// What is wrong with the tensor `name`, under its name in the file.
    fn fault(&self, name: &str, reason: String) -> Error {
        Error::Tensor { name: self.weights.name_in_file(name).into(), reason }
    }
}
