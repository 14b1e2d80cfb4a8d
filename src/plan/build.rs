//! The making of a plan: runs of nodes, their choices, slots by lifetime, dispatches.

use super::*;
use crate::graph::{Conv, slots};

/// Nodes that are computed at once, the last of which leaves its output.
struct Run {
    nodes: Vec<NodeId>,
    choice: Option<Choice>,
}

/// What a plan is made of. Every index into its graph and every length of its bindings rests on `checked`.
pub(super) struct Source<'a> {
    pub checked: Checked<'a>,
    /// How each node's output is stored.
    pub stored: Vec<DType>,
    pub costs: Vec<Cost>,
    pub dtype: DType,
    pub limits: Limits,
    pub tuning: &'a Tuning,
}

/// A parameter to bind: its binding, its name if it is not zeros, its shape, and how it is packed.
type Bound<'a> = (u32, Option<&'a str>, Vec<usize>, Packing);

impl<'a> Source<'a> {
    /// Everything but the answer.
    pub fn build(&self, plan: &mut Plan) -> Result<()> {
        let runs = self.runs();
        plan.places = self.place(&runs);
        for run in &runs {
            let dispatch = self.dispatch(plan, run)?;
            plan.dispatches.push(dispatch);
        }
        Ok(())
    }

    fn graph(&self) -> &'a Graph {
        self.checked.graph()
    }

    /// How the maps are stored that a run from node `first` on reads.
    fn reads(&self, first: NodeId) -> DType {
        self.stored[self.graph().nodes[first].inputs[0]]
    }

    /// What the nodes from `first` to `last` compute.
    fn layer(&self, kind: Kind, first: NodeId, last: NodeId) -> Layer {
        let shapes = self.checked.shapes();
        let (src, dst) = (shapes[self.graph().nodes[first].inputs[0]], shapes[last]);
        let window = self.conv(first).map_or([1, 1], |conv| [conv.kernel, conv.stride]);
        let dtype = self.reads(first);
        let matrices = dtype == DType::F16 && matches!(kind, Kind::Pointwise | Kind::Block);
        let matrix = if matrices { self.limits.matrix } else { 0 };
        Layer { kind, src, dst, dtype, fast: self.tuning.fast, window, matrix }
    }

    fn choice(&self, kind: Kind, first: NodeId, last: NodeId) -> Choice {
        self.tuning.choice(&self.layer(kind, first, last), &self.limits)
    }

    fn conv(&self, id: NodeId) -> Option<&'a Conv> {
        match &self.graph().nodes[id].op {
            Op::Conv { conv, .. } => Some(conv),
            _ => None,
        }
    }

    /// The classifier that may be computed together with the pool `id`: it alone reads it, and ends without activation.
    fn head(&self, id: NodeId) -> Option<NodeId> {
        let graph = self.graph();
        let next = graph.reader(id).filter(|&next| graph.features == id && graph.logits == Some(next))?;
        let plain = match &graph.nodes[next].op {
            Op::Linear { activation, .. } => match activation {
                Activation::None => true,
                Activation::Relu | Activation::Sigmoid => false,
            },
            _ => false,
        };
        (plain && self.reads(id) == self.dtype).then_some(next)
    }

    /// The one place where kernels are picked: the nodes cut into runs, each with its choice.
    fn runs(&self) -> Vec<Run> {
        let graph = self.graph();
        let mut taken = vec![false; graph.nodes.len()];
        let mut runs = Vec::new();
        for (id, node) in graph.nodes.iter().enumerate().skip(1) {
            if taken[id] {
                continue;
            }
            let alone = |choice| Run { nodes: vec![id], choice };
            let run = match &node.op {
                Op::Conv { conv, .. } if conv.is_depthwise() => {
                    match graph.block(id).map(|next| (next, self.choice(Kind::Block, id, next))) {
                        Some((next, choice)) if choice != Choice::Apart => {
                            Run { nodes: vec![id, next], choice: Some(choice) }
                        }
                        _ => alone(Some(self.choice(Kind::Depthwise, id, id))),
                    }
                }
                Op::Conv { conv, .. } if conv.is_pointwise() => {
                    alone(Some(self.choice(Kind::Pointwise, id, id)))
                }
                Op::Conv { .. } => alone(Some(self.choice(Kind::Stem, id, id))),
                Op::Pool => match self.head(id).map(|next| (next, self.choice(Kind::Head, id, next))) {
                    Some((next, Choice::Head)) => Run { nodes: vec![id, next], choice: Some(Choice::Head) },
                    _ => alone(None),
                },
                Op::Input { .. }
                | Op::Affine { .. }
                | Op::Add { .. }
                | Op::Linear { .. }
                | Op::Scale { .. } => alone(None),
            };
            run.nodes.iter().for_each(|&node| taken[node] = true);
            runs.push(run);
        }
        runs
    }

    /// Where each node's output lies, for the nodes that leave one.
    fn place(&self, runs: &[Run]) -> Vec<Option<Place>> {
        let graph = self.graph();
        let mut places: Vec<Option<Place>> = vec![None; graph.nodes.len()];
        // A step per output, in running order; what a run reads, all its outputs read.
        let mut steps: Vec<NodeId> = vec![0];
        let mut reads: Vec<Vec<usize>> = vec![vec![]];
        for run in runs {
            let outside = |input: &NodeId| !run.nodes.contains(input);
            let inputs = run.nodes.iter().flat_map(|&id| &graph.nodes[id].inputs).filter(|id| outside(id));
            let at = |id: &NodeId| steps.iter().position(|step| step == id).expect("an input was computed");
            let inputs: Vec<usize> = inputs.map(at).collect();
            let last = run.nodes.len() - 1;
            for (place, &id) in run.nodes.iter().enumerate() {
                if place == last || id == graph.features {
                    steps.push(id);
                    reads.push(inputs.clone());
                }
            }
        }
        for &id in &steps {
            let (shape, dtype) = (self.checked.shapes()[id], self.stored[id]);
            places[id] = Some(Place { slot: 0, shape, dtype });
        }
        let kept = |(at, &id): (usize, &NodeId)| (id == 0 || graph.keeps(id)).then_some(at);
        let kept: Vec<usize> = steps.iter().enumerate().filter_map(kept).collect();
        let sizes: Vec<usize> = steps.iter().map(|&id| places[id].map_or(0, |place| place.bytes())).collect();
        let (slots, _) = slots(&reads, &kept, &sizes);
        for (&id, slot) in steps.iter().zip(slots) {
            places[id].iter_mut().for_each(|place| place.slot = slot);
        }
        places
    }

    /// Refuses node `id`, which no shader computes.
    fn refuse(&self, id: NodeId, reason: impl std::fmt::Display) -> Error {
        Error::Model(format!("{}: no shader computes {reason}; use device cpu", self.graph().label(id)))
    }

    /// Whether the shader of node `id`, which writes a map, ends with ReLU.
    fn relu(&self, id: NodeId, activation: Activation) -> Result<bool> {
        match activation {
            Activation::None => Ok(false),
            Activation::Relu => Ok(true),
            Activation::Sigmoid => Err(self.refuse(id, "a sigmoid of a map")),
        }
    }

    /// The parameters of node `id`, at their bindings; a convolution's missing bias is zeros.
    fn bound(&self, id: NodeId, [weight, bias]: [u32; 2], packing: Packing) -> [Bound<'a>; 2] {
        let src = self.checked.src(id);
        let mut params = self.graph().nodes[id].op.params(&src).into_iter();
        let mut next = |index, packing| match params.next() {
            Some((name, shape)) => (index, Some(name), shape, packing),
            None => (index, None, vec![self.checked.shapes()[id].c], packing),
        };
        [next(weight, packing), next(bias, Packing::Vector)]
    }

    /// The dispatch of a run.
    fn dispatch(&self, plan: &mut Plan, run: &Run) -> Result<Dispatch> {
        let (graph, shapes) = (self.graph(), self.checked.shapes());
        let (first, last) = (run.nodes[0], *run.nodes.last().expect("a run has nodes"));
        let node = &graph.nodes[last];
        let src_id = graph.nodes[first].inputs[0];
        let (src, dst) = (shapes[src_id], shapes[last]);
        // Of the maps and, but for linear layers, of the weights.
        let mut dtype = self.reads(first);
        let relu = |activation: &Activation| self.relu(last, *activation);
        // What is bound besides maps; what else is read; what else is written.
        let mut params: Vec<Bound> = Vec::new();
        let (mut read, mut written) = (None, None);
        let kernel = match (&node.op, run.choice) {
            (Op::Conv { activation, .. }, Some(choice @ (Choice::Block(..) | Choice::Direct(..)))) => {
                let Op::Conv { conv, activation: middle, .. } = &graph.nodes[first].op else {
                    unreachable!("a block begins with a convolution")
                };
                kernels::depthwise::takes(conv).map_err(|reason| self.refuse(first, reason))?;
                params.extend(self.bound(last, [1, 2], Packing::Matrix));
                params.extend(self.bound(first, [4, 5], Packing::Depthwise));
                let relu = [self.relu(first, *middle)?, relu(activation)?];
                kernels::block::kernel(conv, src, dst, relu, choice, dtype, self.limits.shared)
            }
            (Op::Conv { conv, activation, .. }, choice) => {
                let relu = relu(activation)?;
                let choice = choice.expect("a convolution has a choice");
                let (kernel, packing) = if conv.is_pointwise() {
                    let kernel = kernels::pointwise::kernel(src, dst, relu, choice, dtype);
                    (kernel, kernels::pointwise::packing(choice))
                } else {
                    kernels::depthwise::takes(conv).map_err(|reason| self.refuse(last, reason))?;
                    if conv.is_depthwise() {
                        let kernel = kernels::depthwise::kernel(conv, src, dst, relu, choice, dtype);
                        (kernel, Packing::Depthwise)
                    } else if conv.groups == 1 && src.c <= kernels::stem::MOST {
                        (kernels::stem::kernel(conv, src, dst, relu, choice, dtype), Packing::Stem)
                    } else {
                        return Err(self.refuse(last, format_args!("the convolution {conv:?}")));
                    }
                };
                params.extend(self.bound(last, [1, 2], packing));
                kernel
            }
            (Op::Linear { activation, .. }, choice) => {
                // Vectors are f32 whatever the weights are.
                dtype = self.dtype;
                params.extend(self.bound(last, [1, 2], Packing::Matrix));
                written = choice.map(|_| graph.features);
                match choice {
                    Some(_) => kernels::head::kernel(src, dst, dtype),
                    None => kernels::linear::kernel(src, dst, *activation, dtype),
                }
            }
            (Op::Affine { activation, .. }, _) => {
                params.extend(self.bound(last, [1, 2], Packing::Vector));
                kernels::affine::kernel(dst, relu(activation)?, dtype)
            }
            (Op::Add { activation }, _) => {
                read = Some(node.inputs[1]);
                kernels::add::kernel(dst, relu(activation)?, dtype)
            }
            (Op::Scale { activation }, _) => {
                read = Some(node.inputs[1]);
                kernels::scale::kernel(dst, relu(activation)?, dtype)
            }
            (Op::Pool, _) => kernels::pool::kernel(src, dtype),
            (Op::Input { .. }, _) => unreachable!("an input is not computed"),
        };
        let mut bindings = vec![plan.read(0, src_id)];
        for (index, name, shape, packing) in params {
            // Biases stay f32.
            let dtype = if packing == Packing::Vector { DType::F32 } else { dtype };
            let param = plan.param(name, &shape, packing, dtype);
            bindings.push(Binding { index, buffer: Buffer::Param(param), written: false });
        }
        bindings.push(plan.write(DST, last));
        bindings.extend(read.map(|id| plan.read(DST + 1, id)));
        bindings.extend(written.map(|id| plan.write(DST + 1, id)));
        let map = |id: NodeId| plan.place(id).bytes() as u64;
        let maps = map(src_id) + map(last) + read.map_or(0, map) + written.map_or(0, map);
        let label = label(&node.name, &kernel, src, dst);
        let macs = run.nodes.iter().map(|&id| self.costs[id].macs).sum();
        let layer = run.choice.map(|choice| self.layer(choice.kind(), first, last));
        Ok(Dispatch {
            label,
            kernel,
            bindings,
            nodes: run.nodes.clone(),
            macs,
            maps,
            choice: run.choice,
            layer,
        })
    }
}

/// `stages.2.7 pointwise 14x14 256->256`.
fn label(name: &str, kernel: &Kernel, src: Shape, dst: Shape) -> String {
    // The shader's first word: its variants are told by their choices.
    let stem = kernel.shader.stem.split('_').next().unwrap_or_default();
    let name = match name.rsplit_once('.') {
        Some((_, last)) if last == stem => name,
        _ if name == stem => name,
        _ => return format!("{name} {stem} {}x{} {}->{}", dst.h, dst.w, src.c, dst.c),
    };
    format!("{name} {}x{} {}->{}", dst.h, dst.w, src.c, dst.c)
}
