//! The making of a plan: runs of nodes, their choices, slots by lifetime, dispatches.

use super::*;
use crate::graph::{Conv, Pooling, Window, slots};

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
        let window = self.conv(first).map_or([1, 1], |conv| [conv.window.kernel[0], conv.window.stride[0]]);
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
        let next = graph.reader(id)?;
        let plain = match &graph.nodes[next].op {
            Op::Linear { activation, .. } => *activation == Activation::None,
            _ => false,
        };
        (plain && self.reads(id) == self.dtype).then_some(next)
    }

    /// Which shaders compute the convolution `id`.
    fn kind(&self, id: NodeId) -> Kind {
        let conv = self.conv(id).expect("a convolution");
        let slides = kernels::depthwise::takes(conv).is_ok();
        match () {
            () if conv.is_pointwise() => Kind::Pointwise,
            () if conv.is_depthwise() && slides => Kind::Depthwise,
            () if conv.groups == 1 && conv.src_c <= kernels::stem::MOST && slides => Kind::Stem,
            () => Kind::Conv,
        }
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
                Op::Conv { .. } if self.kind(id) == Kind::Depthwise => {
                    match graph.block(id).map(|next| (next, self.choice(Kind::Block, id, next))) {
                        Some((next, choice)) if choice != Choice::Apart => {
                            Run { nodes: vec![id, next], choice: Some(choice) }
                        }
                        _ => alone(Some(self.choice(Kind::Depthwise, id, id))),
                    }
                }
                Op::Conv { .. } => alone(Some(self.choice(self.kind(id), id, id))),
                Op::Pool { pooling: Pooling::Average | Pooling::PaddedAverage, window: None } => match self
                    .head(id)
                    .map(|next| (next, self.choice(Kind::Head, id, next)))
                {
                    Some((next, Choice::Head)) => Run { nodes: vec![id, next], choice: Some(Choice::Head) },
                    _ => alone(None),
                },
                _ => alone(None),
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
                if place == last || run.choice == Some(Choice::Head) {
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
        // What is bound besides maps; what else is read; what else is written.
        let mut params: Vec<Bound> = Vec::new();
        let (mut read, mut written) = (Vec::new(), None);
        let kernel = match (&node.op, run.choice) {
            (Op::Conv { activation, .. }, Some(choice @ (Choice::Block(..) | Choice::Direct(..)))) => {
                let Op::Conv { conv, activation: middle, .. } = &graph.nodes[first].op else {
                    unreachable!("a block begins with a convolution")
                };
                params.extend(self.bound(last, [1, 2], Packing::Matrix));
                params.extend(self.bound(first, [4, 5], Packing::Depthwise));
                let activations = [*middle, *activation];
                kernels::block::kernel(conv, src, dst, activations, choice, dtype, self.limits.shared)
            }
            (Op::Conv { conv, activation, .. }, choice) => {
                let choice = choice.expect("a convolution has a choice");
                let (kernel, packing) = match choice.kind() {
                    Kind::Pointwise => {
                        let kernel = kernels::pointwise::kernel(src, dst, *activation, choice, dtype);
                        (kernel, kernels::pointwise::packing(choice))
                    }
                    Kind::Depthwise => {
                        let kernel = kernels::depthwise::kernel(conv, src, dst, *activation, choice, dtype);
                        (kernel, Packing::Depthwise)
                    }
                    Kind::Stem => {
                        (kernels::stem::kernel(conv, src, dst, *activation, choice, dtype), Packing::Stem)
                    }
                    _ => {
                        let kernel = kernels::conv::kernel(conv, src, dst, *activation, choice, dtype);
                        (kernel, Packing::Conv(conv.groups))
                    }
                };
                params.extend(self.bound(last, [1, 2], packing));
                kernel
            }
            (Op::Linear { activation, .. }, choice) => {
                // Vectors are f32 whatever the weights are.
                dtype = self.dtype;
                params.extend(self.bound(last, [1, 2], Packing::Matrix));
                written = choice.map(|_| first);
                match choice {
                    Some(_) => kernels::head::kernel(src, dst, dtype),
                    None => kernels::linear::kernel((src, self.reads(first)), dst, *activation, dtype),
                }
            }
            (Op::Affine { activation, .. }, _) => {
                params.extend(self.bound(last, [1, 2], Packing::Vector));
                kernels::affine::kernel(dst, *activation, dtype)
            }
            (Op::Binary { with, activation }, _) => {
                let second = node.inputs[1];
                read.push((DST + 1, second));
                let other = (shapes[second] == dst, self.stored[second]);
                kernels::binary::kernel(dst, *with, other, *activation, dtype)
            }
            (Op::Activate(activation), _) => kernels::activate::kernel(dst, *activation, dtype),
            (Op::Softmax, _) => kernels::softmax::kernel(dst, dtype),
            (Op::TopK { k, .. }, _) if *k > kernels::top::MOST => {
                return Err(self
                    .refuse(last, format_args!("the best {k} of a vector, {} at most", kernels::top::MOST)));
            }
            (Op::TopK { k, softmax }, _) => kernels::top::kernel(src, *k, *softmax, dtype),
            (Op::Pool { pooling: Pooling::Average | Pooling::PaddedAverage, window: None }, _) => {
                kernels::pool::kernel(src, dtype)
            }
            (Op::Pool { pooling, window }, _) => {
                let window = window.unwrap_or(Window { kernel: [src.h, src.w], ..Window::square(1, 1, 0) });
                kernels::pool_window::kernel(*pooling, &window, src, dst, dtype)
            }
            (Op::Resize { filter, .. }, _) => {
                kernels::interpolate::takes(src, dst).map_err(|reason| self.refuse(last, reason))?;
                kernels::interpolate::kernel(*filter, src, dst, dtype)
            }
            (Op::Concat, _) => {
                let most = self.limits.storage_buffers - 1;
                if node.inputs.len() > most {
                    let reason =
                        format_args!("a concatenation of {} inputs, {most} at most here", node.inputs.len());
                    return Err(self.refuse(last, reason));
                }
                read.extend(
                    node.inputs
                        .iter()
                        .enumerate()
                        .skip(1)
                        .map(|(at, &id)| (kernels::concat::binding(at), id)),
                );
                let inputs: Vec<_> = node.inputs.iter().map(|&id| (shapes[id].c, self.stored[id])).collect();
                kernels::concat::kernel(&inputs, dst, dtype)
            }
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
        bindings.extend(read.iter().map(|&(index, id)| plan.read(index, id)));
        bindings.extend(written.map(|id| plan.write(DST + 1, id)));
        let map = |id: NodeId| plan.place(id).bytes() as u64;
        let maps = map(src_id)
            + map(last)
            + read.iter().map(|&(_, id)| map(id)).sum::<u64>()
            + written.map_or(0, map);
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
