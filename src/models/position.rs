//! One position of a re-parameterized network: a convolution that is the sum of its branches.

use std::ops::RangeInclusive;

use super::tensors::{
    Side::{Any, Is},
    Tensors,
};
use crate::{
    Result,
    graph::{Conv, Window},
};

/// Channels that an input may have: one pixel is four scalars on a device.
const CHANNELS: RangeInclusive<usize> = 1..=4;
/// Rows and columns of all kernels but the pointwise ones.
pub(super) const KERNEL: usize = 3;

/// One convolution of the network, with all that stands for it in the checkpoint.
pub(super) struct Position {
    /// `stem` or `stages.2.7`: the beginning of its tensors' names.
    pub name: String,
    /// The geometry of the sum of its branches.
    pub conv: Conv,
    /// How the checkpoint stores it.
    pub body: Body,
    /// Channels between the two layers of its squeeze-excite, if it has one.
    pub squeeze: Option<usize>,
}

/// How a checkpoint stores one position.
pub(super) enum Body {
    /// One convolution with bias, under `reparam_conv`.
    Fused,
    /// Its branches, by their names: a convolution under `conv` and its normalization under `bn`, but for the identity.
    Branches {
        /// Convolutions of the position's kernel.
        convs: Vec<String>,
        /// The 1x1 branch.
        scale: Option<String>,
        /// The branch of normalization only.
        identity: Option<String>,
    },
}

impl Position {
    /// Its convolutions of the position's kernel, unless they are fused.
    pub fn branches(&self) -> Option<usize> {
        match &self.body {
            Body::Fused => None,
            Body::Branches { convs, .. } => Some(convs.len()),
        }
    }
}

/// What a family calls the branches of a position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scheme {
    /// The convolutions of the position's kernel; `#` is the number of each, and without it there is one.
    pub conv: &'static str,
    /// The 1x1 branch beside a larger kernel.
    pub scale: &'static str,
}

impl Scheme {
    /// The convolution `index` of the position `name`.
    pub fn conv(&self, name: &str, index: usize) -> String {
        format!("{name}.{}", self.conv.replace('#', &index.to_string()))
    }

    /// The 1x1 branch of the position `name`.
    pub fn scale(&self, name: &str) -> String {
        format!("{name}.{}", self.scale)
    }

    /// The weight that shows the geometry of the position `name`.
    pub fn main_weight(&self, tensors: &Tensors, name: &str) -> String {
        let fused = tensors.any(&format!("{name}.reparam_conv."))
            || !tensors.any(&format!("{name}.")) && tensors.any("stem.reparam_conv.");
        match fused {
            true => format!("{name}.reparam_conv.weight"),
            false => format!("{}.conv.weight", self.conv(name, 0)),
        }
    }
}

/// The kinds of positions.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// 3x3 over all channels, without squeeze-excite.
    Stem,
    /// 3x3 over each channel.
    Depthwise,
    /// 1x1 over all channels.
    Pointwise,
    /// 3x3 over all channels, or over as many as its weight has.
    Dense,
}

impl Kind {
    /// What messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Stem => "stem",
            Kind::Depthwise => "depthwise",
            Kind::Pointwise => "pointwise",
            Kind::Dense => "convolution",
        }
    }

    /// Rows and columns of its kernel.
    pub fn kernel(self) -> usize {
        if matches!(self, Kind::Pointwise) { 1 } else { KERNEL }
    }
}

/// What is known of a stride before the tensors are looked at.
#[derive(Clone, Copy)]
pub(super) enum Stride {
    /// The network's plan or the metadata says so.
    Given(usize),
    /// 2, unless an identity branch proves 1.
    Unsaid,
}

impl Stride {
    pub fn of(given: Option<usize>) -> Stride {
        given.map_or(Stride::Unsaid, Stride::Given)
    }
}

/// The channels of the input, as the stem reads them.
pub(super) fn channels(tensors: &Tensors, scheme: &Scheme) -> Result<usize> {
    let name = scheme.main_weight(tensors, "stem");
    let shape = &tensors.weights.get(&name)?.shape;
    match shape[..] {
        [_, channels, _, _] if CHANNELS.contains(&channels) => Ok(channels),
        [_, _, KERNEL, KERNEL] => {
            let reason = format!("expected [C, 1 to 4, {KERNEL}, {KERNEL}], found {shape:?}");
            Err(tensors.fault(&name, reason))
        }
        // The error that says what a stem is.
        _ => Ok(3),
    }
}

/// The position `name`, which reads `src_c` channels.
pub(super) fn read(
    tensors: &mut Tensors,
    scheme: &Scheme,
    name: &str,
    kind: Kind,
    src_c: usize,
    stride: Stride,
) -> Result<Position> {
    let main = scheme.main_weight(tensors, name);
    let fused = main.ends_with(".reparam_conv.weight");
    let kernel = kind.kernel();
    let depth = match kind {
        Kind::Stem | Kind::Pointwise => src_c,
        Kind::Depthwise => 1,
        Kind::Dense => {
            let found = tensors.weights.find(&main).and_then(|array| array.shape.get(1).copied());
            found.filter(|&depth| depth > 0 && src_c.is_multiple_of(depth)).unwrap_or(src_c)
        }
    };
    let groups = src_c / depth;
    let channels = if matches!(kind, Kind::Depthwise) { Is(src_c) } else { Any("C") };
    let dst_c = tensors.array(&main, &[channels, Is(depth), Is(kernel), Is(kernel)])?.shape[0];
    if !dst_c.is_multiple_of(groups) {
        return Err(tensors.fault(&main, format!("{dst_c} channels in {groups} groups")));
    }

    let identity = format!("{name}.identity");
    let has_identity = !fused && tensors.any(&format!("{identity}."));
    let stride = match stride {
        Stride::Given(stride) => stride,
        Stride::Unsaid if has_identity => 1,
        Stride::Unsaid => 2,
    };
    let window = Window::square(kernel, stride, kernel / 2);
    let conv = Conv { src_c, dst_c, groups, window };

    let body = if fused {
        tensors.array(&format!("{name}.reparam_conv.bias"), &[Is(dst_c)])?;
        Body::Fused
    } else {
        let mut convs = Vec::new();
        let mut next = Some(scheme.conv(name, 0));
        while let Some(branch) = next {
            tensors.array(&format!("{branch}.conv.weight"), &[dst_c, depth, kernel, kernel].map(Is))?;
            tensors.norm(&format!("{branch}.bn"), dst_c)?;
            convs.push(branch);
            let another = scheme.conv(name, convs.len());
            next = (!convs.contains(&another) && tensors.any(&format!("{another}."))).then_some(another);
        }
        // Where the kernel is 1x1 already, no scale branch exists: its tensors would be left over
        let scale = scheme.scale(name);
        let scale = Some(scale).filter(|scale| kernel > 1 && tensors.any(&format!("{scale}.")));
        if let Some(scale) = &scale {
            tensors.array(&format!("{scale}.conv.weight"), &[dst_c, depth, 1, 1].map(Is))?;
            tensors.norm(&format!("{scale}.bn"), dst_c)?;
        }
        if has_identity {
            read_identity(tensors, &identity, &conv)?;
        }
        Body::Branches { convs, scale, identity: has_identity.then_some(identity) }
    };
    let squeeze = match kind {
        Kind::Stem => None,
        Kind::Depthwise | Kind::Pointwise | Kind::Dense => tensors.squeeze(name, dst_c)?,
    };
    Ok(Position { name: name.into(), conv, body, squeeze })
}

/// An identity branch, which only a position that changes neither channels nor size can have.
fn read_identity(tensors: &mut Tensors, name: &str, conv: &Conv) -> Result<()> {
    let refuse = |reason| Err(tensors.fault(&format!("{name}.weight"), reason));
    if conv.src_c != conv.dst_c {
        let (src_c, dst_c) = (conv.src_c, conv.dst_c);
        return refuse(format!("an identity branch where {src_c} channels become {dst_c}"));
    }
    if conv.window.stride != [1, 1] {
        let stride = conv.window.stride[0];
        return refuse(format!("an identity branch proves stride 1, what is given is {stride}"));
    }
    tensors.norm(name, conv.dst_c)
}
