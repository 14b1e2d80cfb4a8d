//! A graph becomes a plan: which kernels run, in which order, on which buffers.
//!
//! A plan is plain data. It names parameters and how each is packed and never holds their bytes; it knows
//! of no GPU library, and two plans of the same inputs are equal.

mod limits;

pub use crate::kernels::answer::Outputs;
pub use limits::{GUARD, Limits};

use crate::{
    error::{Error, Result},
    graph::{Activation, Graph, Node, NodeId, Op},
    kernels::{self, Kernel, Packing, answer::Layout},
    tensor::{DType, Shape},
    weights::Weights,
};

/// The tile sizes of the kernels that have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    /// Pixels per invocation, pointwise.
    pub pointwise: usize,
    /// Outputs per invocation, depthwise.
    pub depthwise: usize,
    /// Outputs per invocation, stem.
    pub stem: usize,
}

impl Default for Tiles {
    fn default() -> Tiles {
        Tiles { pointwise: 4, depthwise: 2, stem: 2 }
    }
}

/// A buffer of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// An activation buffer.
    Slot(usize),
    /// A packed parameter.
    Param(usize),
}

/// A buffer bound to a shader: `@binding(index)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The number in the shader.
    pub index: u32,
    /// The buffer.
    pub buffer: Buffer,
}

/// One dispatch. It writes the slot at binding 3 and reads all its others.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// `stages.2.7 pointwise 14x14 256->256`: the name in the plan, in errors, in profiles, on the device.
    pub label: String,
    /// What runs.
    pub kernel: Kernel,
    /// On what.
    pub bindings: Vec<Binding>,
    /// The nodes that are finished by it; none for the answer.
    pub nodes: Vec<NodeId>,
    /// Multiply-adds for one picture.
    pub macs: u64,
}

/// The binding that every kernel writes.
pub const DST: u32 = 3;

/// A parameter as it is bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name in the graph's weights; a convolution without bias has a parameter of zeros, without name.
    pub name: Option<String>,
    /// How it is packed.
    pub packing: Packing,
    /// How it is stored.
    pub dtype: DType,
    /// Scalars, padding included.
    pub len: usize,
}

/// Where a node's output lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The slot.
    pub slot: usize,
    /// The shape for one picture.
    pub shape: Shape,
    /// How it is stored; the vectors from the pool on are f32 always.
    pub dtype: DType,
}

impl Place {
    /// Bytes for one picture, channels padded to a multiple of 4.
    pub fn bytes(&self) -> usize {
        self.shape.pixels() * self.shape.c4() * 4 * self.dtype.size()
    }
}

/// What to run for one batch: dispatches over slots and parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In running order.
    pub dispatches: Vec<Dispatch>,
    /// Bytes of each activation buffer, for one picture.
    pub slots: Vec<usize>,
    /// The parameters.
    pub params: Vec<Param>,
    /// Where each node's output lies.
    pub places: Vec<Place>,
    /// The pooled features' node.
    pub features: NodeId,
    /// The logits' node.
    pub logits: Option<NodeId>,
    /// The slot of the answers.
    pub answer: usize,
    /// What stands where in an answer.
    pub layout: Layout,
    /// Pictures that one submit may hold on the device that the plan was made for.
    pub max_batch: usize,
}

impl Plan {
    /// Plans `graph` for one picture of `input` (its batch is ignored).
    ///
    /// # Errors
    /// [`Error::Option`] when the device's limits are too low for even one picture, or when more best classes
    /// are wanted than there are; [`Error::Tensor`] when a parameter is missing.
    pub fn new(
        graph: &Graph,
        weights: &Weights,
        input: Shape,
        dtype: DType,
        outputs: Outputs,
        limits: Limits,
        tiles: Tiles,
    ) -> Result<Plan> {
        let shapes = graph.shapes(input.with_batch(1));
        let costs = graph.costs(input);
        let layout = Layout::of(graph, outputs);
        let places = place(graph, &shapes, dtype);
        let mut plan = Plan {
            dispatches: Vec::new(),
            slots: Vec::new(),
            params: Vec::new(),
            places,
            features: graph.features,
            logits: graph.logits,
            answer: 0,
            layout,
            max_batch: 0,
        };
        for (id, node) in graph.nodes.iter().enumerate() {
            if matches!(node.op, Op::Input { .. }) {
                continue;
            }
            let dispatch = plan.dispatch(id, node, weights, dtype, tiles, costs[id].macs)?;
            plan.dispatches.push(dispatch);
        }
        plan.answer = plan.places.iter().map(|place| place.slot + 1).max().unwrap_or(0);
        plan.slots = vec![0; plan.answer + 1];
        for place in &plan.places {
            plan.slots[place.slot] = plan.slots[place.slot].max(place.bytes());
        }
        plan.slots[plan.answer] = layout.words() * 4;
        plan.finish();
        plan.max_batch = limits.batch(&plan, costs.iter().map(|cost| cost.macs).sum())?;
        Ok(plan)
    }

    /// The dispatch of one node: the one place where kernels are picked.
    fn dispatch(
        &mut self,
        id: NodeId,
        node: &Node,
        weights: &Weights,
        dtype: DType,
        tiles: Tiles,
        macs: u64,
    ) -> Result<Dispatch> {
        let src = self.places[node.inputs[0]].shape;
        let dst = self.places[id].shape;
        let relu = |activation: &Activation| {
            assert_ne!(*activation, Activation::Sigmoid, "maps have no sigmoid");
            *activation == Activation::Relu
        };
        let (kernel, packing, names) = match &node.op {
            Op::Input { .. } => unreachable!("an input is not computed"),
            Op::Conv { conv, weight, bias, activation } => {
                let relu = relu(activation);
                let (kernel, packing) = if conv.is_depthwise() {
                    let kernel = kernels::depthwise::kernel(conv, src, dst, relu, tiles.depthwise, dtype);
                    (kernel, Packing::Depthwise)
                } else if conv.is_pointwise() {
                    let kernel = kernels::pointwise::kernel(src, dst, relu, tiles.pointwise, dtype);
                    (kernel, Packing::Matrix)
                } else if conv.groups == 1 && src.c <= 3 {
                    (kernels::stem::kernel(conv, src, dst, relu, tiles.stem, dtype), Packing::Stem)
                } else {
                    let reason = format!("no shader runs the convolution {conv:?} of {}", node.name);
                    return Err(Error::Model(reason));
                };
                (kernel, packing, vec![Some(weight), bias.as_ref()])
            }
            Op::Affine { scale, shift, activation } => {
                let kernel = kernels::affine::kernel(dst, relu(activation), dtype);
                (kernel, Packing::Vector, vec![Some(scale), Some(shift)])
            }
            Op::Add { activation } => {
                (kernels::add::kernel(dst, relu(activation), dtype), Packing::Vector, vec![])
            }
            Op::Scale { activation } => {
                (kernels::scale::kernel(dst, relu(activation), dtype), Packing::Vector, vec![])
            }
            Op::Pool => (kernels::pool::kernel(src, dtype), Packing::Vector, vec![]),
            Op::Linear { weight, bias, activation, .. } => {
                let kernel = kernels::linear::kernel(src, dst, *activation, dtype);
                (kernel, Packing::Matrix, vec![Some(weight), Some(bias)])
            }
        };
        let mut bindings = vec![bind(0, Buffer::Slot(self.places[node.inputs[0]].slot))];
        for (at, name) in names.into_iter().enumerate() {
            // A convolution's weight comes first and has its own packing; the second is always a vector.
            let matrix = at == 0 && packing != Packing::Vector;
            let (packing, dtype) = if matrix { (packing, dtype) } else { (Packing::Vector, DType::F32) };
            let param = self.param(name, packing, dtype, dst.c, weights)?;
            bindings.push(bind(at as u32 + 1, Buffer::Param(param)));
        }
        bindings.push(bind(DST, Buffer::Slot(self.places[id].slot)));
        if let Some(&second) = node.inputs.get(1) {
            bindings.push(bind(DST + 1, Buffer::Slot(self.places[second].slot)));
        }
        let label = label(&node.name, &kernel, src, dst);
        Ok(Dispatch { label, kernel, bindings, nodes: vec![id], macs })
    }

    /// The dispatch that ends the plan.
    fn finish(&mut self) {
        let features = self.places[self.features];
        let kernel = kernels::answer::kernel(features.shape.c, self.layout);
        let logits = self.places[self.logits.unwrap_or(self.features)];
        let bindings = vec![
            bind(0, Buffer::Slot(features.slot)),
            bind(DST, Buffer::Slot(self.answer)),
            bind(DST + 1, Buffer::Slot(logits.slot)),
        ];
        let label = format!("answer {}", self.layout.classes);
        self.dispatches.push(Dispatch { label, kernel, bindings, nodes: vec![], macs: 0 });
    }

    /// The index of a parameter, which is added where it is new.
    fn param(
        &mut self,
        name: Option<&String>,
        packing: Packing,
        dtype: DType,
        dst_c: usize,
        weights: &Weights,
    ) -> Result<usize> {
        let len = match name {
            Some(name) => packing.len(&weights.get(name)?.shape),
            None => packing.len(&[dst_c]),
        };
        let param = Param { name: name.cloned(), packing, dtype, len };
        if let Some(at) = self.params.iter().position(|known| *known == param) {
            return Ok(at);
        }
        self.params.push(param);
        Ok(self.params.len() - 1)
    }

    /// Bytes of all activation buffers for one picture.
    pub fn activation_bytes(&self) -> usize {
        self.slots.iter().sum()
    }

    /// Bytes of all parameters as they lie on the device.
    pub fn param_bytes(&self) -> usize {
        self.params.iter().map(|param| param.len * param.dtype.size()).sum()
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        for (at, dispatch) in self.dispatches.iter().enumerate() {
            let head = dispatch.kernel.head.iter();
            let tile = head.clone().find(|(name, _)| *name == "TILE");
            let tile = tile.map_or(String::new(), |(_, value)| format!("  tile {value}"));
            let dst = dispatch.bindings.iter().find(|binding| binding.index == DST);
            let slot = match dst.map(|binding| binding.buffer) {
                Some(Buffer::Slot(slot)) => slot,
                other => unreachable!("a dispatch writes {other:?}"),
            };
            writeln!(
                f,
                "{at:3}  {:<44} {:>6} workgroups  {:>11} MACs  slot {slot}{tile}",
                dispatch.label, dispatch.kernel.workgroups, dispatch.macs
            )?;
        }
        Ok(())
    }
}

/// `stages.2.7 pointwise 14x14 256->256`.
fn label(name: &str, kernel: &Kernel, src: Shape, dst: Shape) -> String {
    let name = match name.rsplit_once('.') {
        Some((_, last)) if last == kernel.shader.stem => name,
        _ if name == kernel.shader.stem => name,
        _ => return format!("{name} {} {}x{} {}->{}", kernel.shader.stem, dst.h, dst.w, src.c, dst.c),
    };
    format!("{name} {}x{} {}->{}", dst.h, dst.w, src.c, dst.c)
}

fn bind(index: u32, buffer: Buffer) -> Binding {
    Binding { index, buffer }
}

/// Where each node's output lies.
fn place(graph: &Graph, shapes: &[Shape], dtype: DType) -> Vec<Place> {
    let place = |(node, &shape): (&Node, &Shape)| {
        let vector = matches!(node.op, Op::Pool | Op::Linear { .. });
        Place { slot: 0, shape, dtype: if vector { DType::F32 } else { dtype } }
    };
    let mut places: Vec<Place> = graph.nodes.iter().zip(shapes).map(place).collect();
    let sizes: Vec<usize> = places.iter().map(Place::bytes).collect();
    let (slots, _) = graph.slots(&sizes);
    places.iter_mut().zip(slots).for_each(|(place, slot)| place.slot = slot);
    places
}
