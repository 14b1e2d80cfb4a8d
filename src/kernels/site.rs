//! Where a kernel stands: all that it is made of.

use super::{Packing, Param, Port};
use crate::{
    graph::{Activation, Checked, Conv, NodeId, Op},
    limits::Limits,
    tensor::{DType, Shape},
};

/// A run of nodes that is computed at once, in its network and on its device.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The network.
    pub checked: &'a Checked<'a>,
    /// How each node's output is stored.
    pub stored: &'a [DType],
    /// The storage of the plan, which linear layers' weights have whatever they read.
    pub dtype: DType,
    /// What the device allows.
    pub limits: &'a Limits,
    /// The run: each node but the first reads the one before it, which nothing else reads.
    pub nodes: &'a [NodeId],
}

impl<'a> Site<'a> {
    /// The first node.
    pub fn first(&self) -> NodeId {
        self.nodes[0]
    }

    /// The last node, which leaves its output.
    pub fn last(&self) -> NodeId {
        self.nodes[self.nodes.len() - 1]
    }

    /// The nodes that node `id` reads.
    pub fn inputs(&self, id: NodeId) -> &'a [NodeId] {
        &self.checked.graph().nodes[id].inputs
    }

    /// The shape of what node `id` writes, for one picture.
    pub fn shape(&self, id: NodeId) -> Shape {
        self.checked.shapes()[id]
    }

    /// The shape of what the run reads first.
    pub fn src(&self) -> Shape {
        self.shape(self.inputs(self.first())[0])
    }

    /// The shape of what the run writes.
    pub fn dst(&self) -> Shape {
        self.shape(self.last())
    }

    /// How the maps are stored that the run reads and writes, and a convolution's weights.
    pub fn scalar(&self) -> DType {
        self.stored[self.inputs(self.first())[0]]
    }

    /// What node `id` computes.
    pub fn op(&self, id: NodeId) -> &'a Op {
        &self.checked.graph().nodes[id].op
    }

    /// The geometry of node `id`.
    ///
    /// # Errors
    /// Where it is not a convolution.
    pub fn conv(&self, id: NodeId) -> Result<&'a Conv, String> {
        match self.op(id) {
            Op::Conv { conv, .. } => Ok(conv),
            other => Err(format!("{other:?} as a convolution")),
        }
    }

    /// What node `id` applies last.
    pub fn activation(&self, id: NodeId) -> Activation {
        self.op(id).activation().unwrap_or(Activation::None)
    }

    /// The input `at` of the first node, to be read.
    pub fn read(&self, at: usize) -> Port {
        Port::Read(self.inputs(self.first())[at])
    }

    /// The output, to be written.
    pub fn write(&self) -> Port {
        Port::Write(self.last())
    }

    /// The weight (or factor) of node `id`; a vector is f32 always.
    pub fn weight(&self, id: NodeId, packing: Packing) -> Port {
        self.param(id, 0, packing)
    }

    /// The bias (or summand) of node `id`; zeros where it has none.
    pub fn bias(&self, id: NodeId) -> Port {
        self.param(id, 1, Packing::Vector)
    }

    /// What the shaders of layers bind in common: what the run reads, weight and bias of node `id`, what the run writes.
    pub(super) fn layer(&self, id: NodeId, packing: Packing) -> Vec<(u32, Port)> {
        vec![(0, self.read(0)), (1, self.weight(id, packing)), (2, self.bias(id)), (3, self.write())]
    }

    fn param(&self, id: NodeId, at: usize, packing: Packing) -> Port {
        let op = self.op(id);
        let (name, shape) = match op.params(&self.checked.src(id)).into_iter().nth(at) {
            Some((name, shape)) => (Some(name.to_string()), shape),
            None => (None, vec![self.shape(id).c]),
        };
        let dtype = match (packing, op) {
            (Packing::Vector, _) => DType::F32,
            (_, Op::Linear { .. }) => self.dtype,
            _ => self.scalar(),
        };
        Port::Param(Param { name, packing, dtype, len: packing.len(&shape) })
    }
}
