//! The one way from a graph to its shapes: nothing runs on, or is planned for, what was not checked.

use super::{Cost, FEATURES, Graph, LOGITS, Node, NodeId, Op, Output};
use crate::{
    error::{Error, Result},
    tensor::Shape,
    weights::Weights,
};

/// A graph, its parameters and the shape of each node's output, all of which fit one another.
///
/// It borrows graph and weights, so that neither changes while anything relies on it. What it promises:
/// - node 0 is the only [`Op::Input`]; every other node reads as many nodes as its operation takes, all of them earlier;
/// - [`Op::shape`] holds of every node, no map is empty, and no count of its places, padding included, overflows;
/// - every parameter that [`Op::params`] names is in the weights, of exactly that shape;
/// - outputs are nodes, of different names; features and logits are vectors per picture.
///
/// Executors rely on it: loops and shaders that are not checked stay inside their buffers because of it.
#[derive(Clone, Debug)]
pub struct Checked<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    shapes: Vec<Shape>,
}

impl Graph {
    /// Sees that the nodes fit one another, `weights` and an input of `input`.
    ///
    /// # Errors
    /// [`Error::Model`], naming the node, for one that does not fit what it reads; [`Error::Tensor`] for a parameter
    /// that is missing or has another shape than its node takes.
    ///
    /// ```
    /// use mobileone::{Model, Shape, sample};
    ///
    /// let mut model = Model::from_bytes(sample::DIGITS)?;
    /// let input = Shape::new(1, 80, 80, 3);
    /// assert!(model.graph.check(&model.weights, input).is_ok());
    /// model.graph.nodes[1].inputs = vec![7];
    /// let error = model.graph.check(&model.weights, input).unwrap_err();
    /// assert_eq!(error.to_string(), "stem: reads node 7, which is not before it");
    /// # Ok::<(), mobileone::Error>(())
    /// ```
    pub fn check<'a>(&'a self, weights: &'a Weights, input: Shape) -> Result<Checked<'a>> {
        let shapes = self
            .walk(input)
            .map_err(|(known, reason)| Error::Model(format!("{}: {reason}", self.label(known.len()))))?;
        let checked = Checked { graph: self, weights, shapes };
        for (id, node) in self.nodes.iter().enumerate() {
            for (name, shape) in node.op.params(&checked.src(id)) {
                weights.expect(name, &shape).map_err(|error| match error {
                    Error::Tensor { name, reason } => {
                        Error::Tensor { name, reason: format!("{reason}; {} reads it", self.label(id)) }
                    }
                    other => other,
                })?;
            }
        }
        for (at, Output { name, node }) in self.outputs.iter().enumerate() {
            if *node >= self.nodes.len() {
                return Err(Error::Model(format!("{name}: there is no node {node}")));
            }
            if self.outputs[..at].iter().any(|other| other.name == *name) {
                return Err(Error::Model(format!(
                    "{}: two outputs are called \"{name}\"",
                    self.label(*node)
                )));
            }
            if [FEATURES, LOGITS].contains(&name.as_str()) && !checked.is_vector(*node) {
                let (label, shape) = (self.label(*node), checked.shapes[*node]);
                return Err(Error::Model(format!(
                    "{label}: {name} are one vector per picture, found {shape}"
                )));
            }
        }
        Ok(checked)
    }

    /// The first convolution whose kernel is larger than the padded map that it would read from an input of `input`,
    /// where that is the first fault.
    #[cfg(any(feature = "cpu", feature = "gpu", feature = "export"))]
    pub(crate) fn too_small(&self, input: Shape) -> Option<&Node> {
        let (known, _) = self.walk(input).err()?;
        let node = self.nodes.get(known.len())?;
        let src = known.get(*node.inputs.first()?)?;
        match &node.op {
            Op::Conv { conv: super::Conv { src_c, window, .. }, .. } if *src_c == src.c => {
                let small = |axis: usize, len| window.stride[axis] > 0 && window.dst_len(axis, len).is_none();
                (small(0, src.h) || small(1, src.w)).then_some(node)
            }
            _ => None,
        }
    }

    /// The name of a node in messages.
    pub(crate) fn label(&self, id: NodeId) -> String {
        match self.nodes.get(id).map(|node| node.name.as_str()) {
            None | Some("") => format!("node {id}"),
            Some(name) => name.into(),
        }
    }

    /// The shape that each node writes; else those before the first that cannot, and why not.
    fn walk(&self, input: Shape) -> Result<Vec<Shape>, (Vec<Shape>, String)> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        if self.nodes.is_empty() {
            return Err((shapes, "a graph begins with its input, found none".into()));
        }
        for (id, node) in self.nodes.iter().enumerate() {
            match node.shape(id, &shapes, input) {
                Ok(shape) => shapes.push(shape),
                Err(reason) => return Err((shapes, reason)),
            }
        }
        Ok(shapes)
    }
}

impl Node {
    /// What node `id` writes after nodes that write `known`.
    fn shape(&self, id: NodeId, known: &[Shape], input: Shape) -> Result<Shape, String> {
        let is_input = matches!(self.op, Op::Input { .. });
        if is_input != (id == 0) {
            return Err("the first node is the network's input, and no other".into());
        }
        if is_input {
            return match self.inputs.is_empty() {
                true => self.op.shape(&[input]),
                false => Err("the network's input reads no node".into()),
            };
        }
        let read = |&at: &NodeId| {
            known.get(at).copied().ok_or_else(|| format!("reads node {at}, which is not before it"))
        };
        self.op.shape(&self.inputs.iter().map(read).collect::<Result<Vec<_>, _>>()?)
    }
}

impl<'a> Checked<'a> {
    /// The graph.
    pub fn graph(&self) -> &'a Graph {
        self.graph
    }

    /// Its parameters.
    pub fn weights(&self) -> &'a Weights {
        self.weights
    }

    /// The shape that each node writes.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// The shapes that node `id` reads: the network's input for node 0.
    pub fn src(&self, id: NodeId) -> Vec<Shape> {
        match id {
            0 => vec![self.shapes[0]],
            id => self.graph.nodes[id].inputs.iter().map(|&at| self.shapes[at]).collect(),
        }
    }

    /// What each node costs for one picture.
    pub fn costs(&self) -> Vec<Cost> {
        let one = |shape: Shape| shape.with_batch(1);
        let cost = |(id, node): (NodeId, &Node)| {
            let src: Vec<Shape> = self.src(id).into_iter().map(one).collect();
            node.op.cost(&src, one(self.shapes[id]))
        };
        self.graph.nodes.iter().enumerate().map(cost).collect()
    }

    /// Whether node `id` writes one vector per picture.
    pub(crate) fn is_vector(&self, id: NodeId) -> bool {
        self.shapes[id].pixels() == 1
    }
}
