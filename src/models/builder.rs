//! Positions that were read as a graph, fused or with their branches kept.

use super::{
    Form,
    position::{Body, Position},
    tensors::Tensors,
};
use crate::{
    Error, Result,
    graph::{Activation, Arithmetic, Conv, FEATURES, Graph, LOGITS, NodeId, Op, Window},
    reparam::{Branch, Norm, affine, merge},
    weights::Weights,
};

/// The graph of `positions` one after another in `form`, their mean and a classifier of so many `classes`, and the
/// parameters that it names, from the checkpoint's `tensors`.
///
/// # Errors
/// [`Error::Tensor`] when branches overflow as they are merged, or are wanted where only their sum is left.
pub fn build(
    positions: &[Position],
    classes: Option<usize>,
    tensors: &Tensors,
    form: Form,
) -> Result<(Graph, Weights)> {
    let (from, epsilon) = (tensors.weights, tensors.epsilon);
    let mut builder = Builder { graph: Graph::default(), from, to: Weights::new(), epsilon };
    let channels = positions[0].conv.src_c;
    let mut src = builder.graph.push("input", Op::Input { channels }, &[]);
    for position in positions {
        src = match form {
            Form::Fused => builder.fused(position, src)?,
            Form::Train => builder.branches(position, src)?,
        };
    }
    let features = builder.graph.push("pool", Op::MEAN, &[src]);
    builder.graph.give(FEATURES, features);
    if let Some(classes) = classes {
        let size = [positions.last().map_or(channels, |last| last.conv.dst_c), classes];
        let logits = builder.linear("head", "head.fc", size, Activation::None, features);
        builder.graph.give(LOGITS, logits);
    }
    Ok((builder.graph, builder.to))
}

/// The parameters of a fused graph in the shapes that PyTorch gives them.
pub fn fused_weights(weights: &Weights) -> Weights {
    let mut timm = Weights::new();
    for (name, array) in weights.iter() {
        let mut shape = array.shape.clone();
        if name.contains(".attn.") && shape.len() == 2 {
            shape.extend([1, 1]);
        }
        timm.insert(name, &shape, array.data.clone());
    }
    timm
}

/// The graph as it grows, and where its parameters come from and go to.
struct Builder<'a> {
    graph: Graph,
    from: &'a Weights,
    to: Weights,
    epsilon: f64,
}

impl<'a> Builder<'a> {
    /// The values of an array that reading has found.
    fn array(&self, name: &str) -> &'a [f32] {
        &self.from.find(name).unwrap_or_else(|| panic!("{name} has been read")).data
    }

    fn norm(&self, name: &str) -> Norm<'a> {
        let [weight, bias, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
            .map(|field| self.array(&format!("{name}.{field}")));
        Norm { weight, bias, mean, variance, epsilon: self.epsilon }
    }

    /// One convolution with bias.
    fn fused(&mut self, position: &Position, src: NodeId) -> Result<NodeId> {
        let Position { name, conv, .. } = position;
        let (weight, bias) = match &position.body {
            Body::Fused => {
                let array = |field| self.array(&format!("{name}.reparam_conv.{field}")).to_vec();
                (array("weight"), array("bias"))
            }
            Body::Branches { convs, scale, identity } => {
                let mut branches = Vec::new();
                for branch in convs {
                    let kernel = self.array(&format!("{branch}.conv.weight"));
                    branches.push(Branch::Conv(kernel, self.norm(&format!("{branch}.bn"))));
                }
                if let Some(scale) = scale {
                    let kernel = self.array(&format!("{scale}.conv.weight"));
                    branches.push(Branch::Scale(kernel, self.norm(&format!("{scale}.bn"))));
                }
                if let Some(identity) = identity {
                    branches.push(Branch::Identity(self.norm(identity)));
                }
                merge(conv, &branches)
            }
        };
        let names = ["weight", "bias"].map(|field| format!("{name}.reparam_conv.{field}"));
        self.insert_finite(&names[0], &conv.weight(), weight, position)?;
        self.insert_finite(&names[1], &[conv.dst_c], bias, position)?;
        let [weight, bias] = names;
        let activation = activation(position);
        let op = Op::Conv { conv: conv.clone(), weight, bias: Some(bias), activation };
        let sum = self.graph.push(name, op, &[src]);
        Ok(self.squeezed(position, sum))
    }

    /// Each branch by itself, and the additions; the last of them bears the position's name.
    fn branches(&mut self, position: &Position, src: NodeId) -> Result<NodeId> {
        let Position { name, conv, .. } = position;
        let Body::Branches { convs, scale, identity } = &position.body else {
            let name = format!("{name}.reparam_conv.weight");
            let reason =
                "is fused already, its branches are gone: the train form needs a checkpoint in train form";
            return Err(Error::Tensor { name: self.from.name_in_file(&name).into(), reason: reason.into() });
        };
        let point = Window { kernel: [1; 2], padding: [[0; 2]; 2], ..conv.window };
        let point = Conv { window: point, ..conv.clone() };
        let branches =
            convs.iter().map(|branch| (branch, conv)).chain(scale.as_ref().map(|scale| (scale, &point)));
        let mut terms = Vec::new();
        for (branch, conv) in branches {
            let weight = format!("{branch}.conv.weight");
            self.to.insert(&weight, &conv.weight(), self.array(&weight).to_vec());
            let op = Op::Conv { conv: conv.clone(), weight, bias: None, activation: Activation::None };
            let product = self.graph.push(format!("{branch}.conv"), op, &[src]);
            terms.push(self.affine(format!("{branch}.bn"), position, product)?);
        }
        if let Some(identity) = identity {
            terms.push(self.affine(identity.clone(), position, src)?);
        }
        let mut sum = terms[0];
        for (index, &term) in terms.iter().enumerate().skip(1) {
            let op = Op::Binary { with: Arithmetic::Add, activation: Activation::None };
            sum = self.graph.push(format!("{name}.add.{index}"), op, &[sum, term]);
        }
        let last = &mut self.graph.nodes[sum];
        last.name = name.clone();
        match &mut last.op {
            Op::Affine { activation, .. } | Op::Binary { activation, .. } => {
                *activation = self::activation(position)
            }
            op => unreachable!("branches end with {op:?}"),
        }
        Ok(self.squeezed(position, sum))
    }

    /// The normalization `name` of `src`.
    fn affine(&mut self, name: String, position: &Position, src: NodeId) -> Result<NodeId> {
        let [scale, shift] = ["scale", "shift"].map(|field| format!("{name}.{field}"));
        let (factors, summands) = affine(&self.norm(&name));
        self.insert_finite(&scale, &[factors.len()], factors, position)?;
        self.insert_finite(&shift, &[summands.len()], summands, position)?;
        let op = Op::Affine { scale, shift, activation: Activation::None };
        Ok(self.graph.push(name, op, &[src]))
    }

    /// Squeeze-excite over `src`, then the ReLU; `src` itself where the position has none.
    fn squeezed(&mut self, position: &Position, src: NodeId) -> NodeId {
        let Some(inner) = position.squeeze else { return src };
        let (name, channels) = (format!("{}.attn", position.name), position.conv.dst_c);
        let pool = self.graph.push(format!("{name}.pool"), Op::MEAN, &[src]);
        let [fc1, fc2] = ["fc1", "fc2"].map(|layer| format!("{name}.{layer}"));
        let reduced = self.linear(&fc1, &fc1, [channels, inner], Activation::Relu, pool);
        let gate = self.linear(&fc2, &fc2, [inner, channels], Activation::Sigmoid, reduced);
        let op = Op::Binary { with: Arithmetic::Mul, activation: Activation::Relu };
        self.graph.push(format!("{name}.scale"), op, &[src, gate])
    }

    /// A matrix over channels, stored as `{array}.weight` and, where it has one, `{array}.bias`.
    fn linear(
        &mut self,
        name: &str,
        array: &str,
        [src_c, dst_c]: [usize; 2],
        activation: Activation,
        src: NodeId,
    ) -> NodeId {
        let [weight, bias] = ["weight", "bias"].map(|field| format!("{array}.{field}"));
        self.to.insert(&weight, &[dst_c, src_c], self.array(&weight).to_vec());
        let summands = self.from.find(&bias).map_or_else(|| vec![0.0; dst_c], |bias| bias.data.clone());
        self.to.insert(&bias, &[dst_c], summands);
        self.graph.push(name, Op::Linear { src_c, dst_c, weight, bias: Some(bias), activation }, &[src])
    }

    /// Adds what re-parameterization has computed for `position`.
    fn insert_finite(
        &mut self,
        name: &str,
        shape: &[usize],
        data: Vec<f32>,
        position: &Position,
    ) -> Result<()> {
        if data.iter().any(|value| !value.is_finite()) {
            let reason = format!("{} overflows f32 when its normalization is folded", position.name);
            return Err(Error::Tensor { name: name.into(), reason });
        }
        self.to.insert(name, shape, data);
        Ok(())
    }
}

/// The ReLU, unless a squeeze-excite stands before it.
fn activation(position: &Position) -> Activation {
    if position.squeeze.is_some() { Activation::None } else { Activation::Relu }
}
