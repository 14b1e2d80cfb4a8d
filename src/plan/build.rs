//! The making of a plan: runs of nodes, their choices, slots by lifetime, dispatches.

use super::*;
use crate::{
    graph::{Arithmetic, Conv, Node, slots},
    kernels::{Port, Site},
};

/// Nodes that are computed at once, the last of which leaves its output.
struct Run {
    nodes: Vec<NodeId>,
    choice: Option<Choice>,
}

impl Run {
    /// Whether every node leaves its output: what a classifier reads is an answer of its own.
    fn leaves_all(&self) -> bool {
        self.choice.is_some_and(|choice| choice.kind() == Kind::Head)
    }
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

    fn conv(&self, id: NodeId) -> Option<&'a Conv> {
        match &self.graph().nodes[id].op {
            Op::Conv { conv, .. } => Some(conv),
            _ => None,
        }
    }

    /// What `nodes` compute at once.
    fn layer(&self, kind: Kind, nodes: &[NodeId]) -> Layer {
        let (first, last) = (nodes[0], nodes[nodes.len() - 1]);
        let (shapes, read) = (self.checked.shapes(), self.graph().nodes[first].inputs[0]);
        let window = self.conv(first).map_or([1, 1], |conv| [conv.window.kernel[0], conv.window.stride[0]]);
        let dtype = self.stored[read];
        let matrices = dtype == DType::F16 && matches!(kind, Kind::Pointwise | Kind::Block);
        let matrix = if matrices { self.limits.matrix } else { 0 };
        Layer { kind, src: shapes[read], dst: shapes[last], dtype, fast: self.tuning.fast, window, matrix }
    }

    fn choice(&self, kind: Kind, nodes: &[NodeId]) -> Choice {
        self.tuning.choice(&self.layer(kind, nodes), &self.limits)
    }

    /// The graph's runs as they are computed here.
    fn runs(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        for nodes in self.checked.runs() {
            let mut rest = &nodes[..];
            while !rest.is_empty() {
                let (count, choice) = self.cut(rest);
                runs.push(Run { nodes: rest[..count].to_vec(), choice });
                rest = &rest[count..];
            }
        }
        runs
    }

    /// How many of the first nodes of a run are computed at once, and how, where there is a choice.
    fn cut(&self, nodes: &[NodeId]) -> (usize, Option<Choice>) {
        let alone = self.conv(nodes[0]).map(Kind::of);
        if let Some(pair) = nodes.first_chunk::<2>() {
            // A head reads maps in the plan's own storage.
            let kind = match alone {
                Some(Kind::Depthwise) => Some(Kind::Block),
                None if self.layer(Kind::Head, pair).dtype == self.dtype => Some(Kind::Head),
                _ => None,
            };
            let choice = kind.map(|kind| self.choice(kind, pair));
            if choice.is_some_and(Choice::at_once) {
                return (2, choice);
            }
        }
        (1, alone.map(|kind| self.choice(kind, &nodes[..1])))
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
                if place == last || run.leaves_all() {
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

    /// The dispatch of a run.
    fn dispatch(&self, plan: &mut Plan, run: &Run) -> Result<Dispatch> {
        let Source { checked, stored, limits, .. } = self;
        let site = Site { checked, stored, dtype: self.dtype, limits, nodes: &run.nodes };
        let refuse = |reason| {
            let label = self.graph().label(site.last());
            Error::Model(format!("{label}: no shader computes {reason}; use device cpu"))
        };
        let kernel = Kernel::new(&site, run.choice).map_err(refuse)?;
        let (bound, most) = (kernel.ports.len(), limits.storage_buffers);
        if bound > most {
            return Err(refuse(format!("{bound} buffers at once, {most} at most here")));
        }
        let bindings = kernel.ports.iter().map(|(index, port)| {
            let (buffer, written) = match port {
                Port::Read(id) => (Buffer::Slot(plan.place(*id).slot), false),
                Port::Write(id) => (Buffer::Slot(plan.place(*id).slot), true),
                Port::Param(param) => (Buffer::Param(plan.param(param)), false),
            };
            Binding { index: *index, buffer, written }
        });
        let bindings = bindings.collect();
        let maps = kernel.ports.iter().map(|(_, port)| match port {
            Port::Read(id) | Port::Write(id) => plan.place(*id).bytes() as u64,
            Port::Param(_) => 0,
        });
        Ok(Dispatch {
            label: label(&self.graph().nodes[site.last()], &kernel, site.src(), site.dst()),
            maps: maps.sum(),
            bindings,
            nodes: run.nodes.clone(),
            macs: run.nodes.iter().map(|&id| self.costs[id].macs).sum(),
            choice: run.choice,
            layer: run.choice.map(|choice| self.layer(choice.kind(), &run.nodes)),
            kernel,
        })
    }
}

/// `stages.2.7 pointwise 14x14 256->256`.
fn label(node: &Node, kernel: &Kernel, src: Shape, dst: Shape) -> String {
    let name = node.name.as_str();
    let stem = match &node.op {
        Op::Binary { with: Arithmetic::Add, .. } => "add",
        Op::Binary { with: Arithmetic::Sub, .. } => "sub",
        Op::Binary { with: Arithmetic::Mul, .. } => "scale",
        Op::Binary { with: Arithmetic::Div, .. } => "div",
        // The shader's first word: its variants are told by their choices.
        _ => kernel.shader.stem.split('_').next().unwrap_or_default(),
    };
    let name = match name.rsplit_once('.') {
        Some((_, last)) if last == stem => name,
        _ if name == stem => name,
        _ => return format!("{name} {stem} {}x{} {}->{}", dst.h, dst.w, src.c, dst.c),
    };
    format!("{name} {}x{} {}->{}", dst.h, dst.w, src.c, dst.c)
}
