//! The making of a plan: runs of nodes, their choices, slots by lifetime, dispatches.

use super::*;
use crate::graph::{Conv, slots};

/// Nodes that are computed at once, the last of which leaves its output.
struct Run {
    nodes: Vec<NodeId>,
    choice: Option<Choice>,
}

/// What a plan is made of.
pub(super) struct Source<'a> {
    pub graph: &'a Graph,
    pub weights: &'a Weights,
    pub shapes: Vec<Shape>,
    pub costs: Vec<Cost>,
    pub dtype: DType,
    pub limits: Limits,
    pub tuning: &'a Tuning,
}

impl Source<'_> {
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

    /// What the nodes from `first` to `last` compute.
    fn layer(&self, kind: Kind, first: NodeId, last: NodeId) -> Layer {
        let (src, dst) = (self.shapes[self.graph.nodes[first].inputs[0]], self.shapes[last]);
        let window = self.conv(first).map_or([1, 1], |conv| [conv.kernel, conv.stride]);
        let matrices = self.dtype == DType::F16 && matches!(kind, Kind::Pointwise | Kind::Block);
        let matrix = if matrices { self.limits.matrix } else { 0 };
        Layer { kind, src, dst, dtype: self.dtype, fast: self.tuning.fast, window, matrix }
    }

    fn choice(&self, kind: Kind, first: NodeId, last: NodeId) -> Choice {
        self.tuning.choice(&self.layer(kind, first, last), &self.limits)
    }

    fn conv(&self, id: NodeId) -> Option<&Conv> {
        match &self.graph.nodes[id].op {
            Op::Conv { conv, .. } => Some(conv),
            _ => None,
        }
    }

    /// The only node that reads `id`, which nothing else wants.
    fn reader(&self, id: NodeId) -> Option<NodeId> {
        let nodes = self.graph.nodes.iter().enumerate();
        let mut readers = nodes.filter(|(_, node)| node.inputs.contains(&id)).map(|(at, _)| at);
        let first = readers.next();
        first.filter(|_| readers.next().is_none() && self.graph.logits != Some(id))
    }

    /// The one place where kernels are picked: the nodes cut into runs, each with its choice.
    fn runs(&self) -> Vec<Run> {
        let graph = self.graph;
        let mut taken = vec![false; graph.nodes.len()];
        let mut runs = Vec::new();
        for (id, node) in graph.nodes.iter().enumerate().skip(1) {
            if taken[id] {
                continue;
            }
            let alone = |choice| Run { nodes: vec![id], choice };
            let run = match &node.op {
                Op::Conv { conv, .. } if conv.is_depthwise() => {
                    let next = self.reader(id).filter(|_| graph.features != id);
                    let next = next.filter(|&next| self.conv(next).is_some_and(Conv::is_pointwise));
                    match next.map(|next| (next, self.choice(Kind::Block, id, next))) {
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
                Op::Pool
                    if graph.features == id
                        && self.reader(id).is_some()
                        && self.reader(id) == graph.logits =>
                {
                    let next = graph.logits.expect("the reader is the classifier");
                    match self.choice(Kind::Head, id, next) {
                        Choice::Head => Run { nodes: vec![id, next], choice: Some(Choice::Head) },
                        _ => alone(None),
                    }
                }
                _ => alone(None),
            };
            run.nodes.iter().for_each(|&node| taken[node] = true);
            runs.push(run);
        }
        runs
    }

    /// Where each node's output lies, for the nodes that leave one.
    fn place(&self, runs: &[Run]) -> Vec<Option<Place>> {
        let graph = self.graph;
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
            let vector = matches!(graph.nodes[id].op, Op::Pool | Op::Linear { .. });
            let dtype = if vector { DType::F32 } else { self.dtype };
            places[id] = Some(Place { slot: 0, shape: self.shapes[id], dtype });
        }
        let kept = |(at, &id): (usize, &NodeId)| {
            (id == 0 || id == graph.features || Some(id) == graph.logits).then_some(at)
        };
        let kept: Vec<usize> = steps.iter().enumerate().filter_map(kept).collect();
        let sizes: Vec<usize> = steps.iter().map(|&id| places[id].map_or(0, |place| place.bytes())).collect();
        let (slots, _) = slots(&reads, &kept, &sizes);
        for (&id, slot) in steps.iter().zip(slots) {
            places[id].iter_mut().for_each(|place| place.slot = slot);
        }
        places
    }

    /// The dispatch of a run.
    fn dispatch(&self, plan: &mut Plan, run: &Run) -> Result<Dispatch> {
        let Source { graph, shapes, dtype, limits, .. } = self;
        let dtype = *dtype;
        let (first, last) = (run.nodes[0], *run.nodes.last().expect("a run has nodes"));
        let node = &graph.nodes[last];
        let src_id = graph.nodes[first].inputs[0];
        let (src, dst) = (shapes[src_id], shapes[last]);
        let relu = |activation: &Activation| {
            assert_ne!(*activation, Activation::Sigmoid, "maps have no sigmoid");
            *activation == Activation::Relu
        };
        // Weights and biases, in the order of their bindings; what else is read; what else is written.
        let (kernel, params, read, written) = match (&node.op, run.choice) {
            (
                Op::Conv { weight, bias, activation, .. },
                Some(choice @ (Choice::Block(..) | Choice::Direct(..))),
            ) => {
                let Op::Conv { conv, weight: taps, bias: lift, activation: middle } = &graph.nodes[first].op
                else {
                    unreachable!("a block begins with a convolution")
                };
                let relu = [relu(middle), relu(activation)];
                let kernel = kernels::block::kernel(conv, src, dst, relu, choice, dtype, limits.shared);
                let params = vec![
                    (1, Some(weight), Packing::Matrix, dst.c),
                    (2, bias.as_ref(), Packing::Vector, dst.c),
                    (4, Some(taps), Packing::Depthwise, src.c),
                    (5, lift.as_ref(), Packing::Vector, src.c),
                ];
                (kernel, params, None, None)
            }
            (Op::Conv { conv, weight, bias, activation }, choice) => {
                let relu = relu(activation);
                let choice = choice.expect("a convolution has a choice");
                let (kernel, packing) = if conv.is_depthwise() {
                    (kernels::depthwise::kernel(conv, src, dst, relu, choice, dtype), Packing::Depthwise)
                } else if conv.is_pointwise() {
                    (
                        kernels::pointwise::kernel(src, dst, relu, choice, dtype),
                        kernels::pointwise::packing(choice),
                    )
                } else if conv.groups == 1 && src.c <= kernels::stem::MOST {
                    (kernels::stem::kernel(conv, src, dst, relu, choice, dtype), Packing::Stem)
                } else {
                    let reason = format!("no shader runs the convolution {conv:?} of {}", node.name);
                    return Err(Error::Model(reason));
                };
                let params =
                    vec![(1, Some(weight), packing, dst.c), (2, bias.as_ref(), Packing::Vector, dst.c)];
                (kernel, params, None, None)
            }
            (Op::Linear { weight, bias, activation, .. }, choice) => {
                let kernel = match choice {
                    Some(_) => kernels::head::kernel(src, dst, dtype),
                    None => kernels::linear::kernel(src, dst, *activation, dtype),
                };
                let params =
                    vec![(1, Some(weight), Packing::Matrix, dst.c), (2, Some(bias), Packing::Vector, dst.c)];
                (kernel, params, None, choice.map(|_| graph.features))
            }
            (Op::Affine { scale, shift, activation }, _) => {
                let params =
                    vec![(1, Some(scale), Packing::Vector, dst.c), (2, Some(shift), Packing::Vector, dst.c)];
                (kernels::affine::kernel(dst, relu(activation), dtype), params, None, None)
            }
            (Op::Add { activation }, _) => {
                (kernels::add::kernel(dst, relu(activation), dtype), vec![], Some(node.inputs[1]), None)
            }
            (Op::Scale { activation }, _) => {
                (kernels::scale::kernel(dst, relu(activation), dtype), vec![], Some(node.inputs[1]), None)
            }
            (Op::Pool, _) => (kernels::pool::kernel(src, dtype), vec![], None, None),
            (Op::Input { .. }, _) => unreachable!("an input is not computed"),
        };
        let mut bindings = vec![plan.read(0, src_id)];
        for (index, name, packing, c) in params {
            // Biases stay f32.
            let dtype = if packing == Packing::Vector { DType::F32 } else { dtype };
            let param = plan.param(name, packing, dtype, c, self.weights)?;
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
