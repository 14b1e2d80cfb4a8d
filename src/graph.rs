//! A network as plain data: nodes in running order, each naming its parameters.
//!
//! A graph may be put together by anybody, of anything. [`Graph::check`] sees that it fits, and is the only way to shapes.
//!
//! ```
//! use mobileone::{Model, Shape, sample};
//!
//! let model = Model::from_bytes(sample::DIGITS)?;
//! let checked = model.graph.check(&model.weights, Shape::new(1, 80, 80, 3))?;
//! for ((node, shape), cost) in model.graph.nodes.iter().zip(checked.shapes()).zip(checked.costs()) {
//!     println!("{:<20} {shape}  {} multiply-adds", node.name, cost.macs);
//! }
//! # Ok::<(), mobileone::Error>(())
//! ```

mod activation;
mod check;
mod op;
mod runs;
mod window;

pub use activation::Activation;
pub use check::Checked;
pub use op::{Arithmetic, Cost, Filter, Op, Pooling, Size};
pub use window::{Conv, Window};

/// The index of a node in [`Graph::nodes`].
pub type NodeId = usize;

/// One step of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands in the network, as in `stages.2.7` or `stages.2.7.attn.fc1`.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes it reads, all of them earlier.
    pub inputs: Vec<NodeId>,
}

/// What a network gives under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// `logits`, `stride8`, `boxes`.
    pub name: String,
    /// The node that writes it.
    pub node: NodeId,
}

/// A network: nodes in running order. Node 0 is its [`Op::Input`].
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Graph {
    /// The nodes; each reads earlier ones only.
    pub nodes: Vec<Node>,
    /// What it gives, each under a name of its own. A classifier's is [`LOGITS`], what it reads [`FEATURES`].
    pub outputs: Vec<Output>,
}

/// The output that is a classifier's scores, one per class: `[n, 1, 1, classes]`.
pub const LOGITS: &str = "logits";
/// The output that is one vector per picture, before any classifier: `[n, 1, 1, c]`.
pub const FEATURES: &str = "features";

impl Graph {
    /// Appends a node and returns its id.
    pub fn push(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId]) -> NodeId {
        assert!(inputs.iter().all(|&i| i < self.nodes.len()), "a node reads earlier nodes only");
        self.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec() });
        self.nodes.len() - 1
    }

    /// Gives node `node` under `name`, in place of what was given so.
    pub fn give(&mut self, name: impl Into<String>, node: NodeId) {
        let name = name.into();
        self.outputs.retain(|output| output.name != name);
        self.outputs.push(Output { name, node });
    }

    /// The node that is given under `name`.
    pub fn output(&self, name: &str) -> Option<NodeId> {
        self.outputs.iter().find(|output| output.name == name).map(|output| output.node)
    }

    /// Channels of the input; 0 where the graph does not begin with one, which [`Graph::check`] refuses.
    pub fn input_channels(&self) -> usize {
        match self.nodes.first().map(|node| &node.op) {
            Some(&Op::Input { channels }) => channels,
            _ => 0,
        }
    }

    /// Classes of the classifier, if there is one.
    pub fn classes(&self) -> Option<usize> {
        self.channels(self.output(LOGITS)?)
    }

    /// Channels that node `id` writes; `None` where its inputs do not lead to any.
    pub fn channels(&self, id: NodeId) -> Option<usize> {
        let node = self.nodes.get(id)?;
        let of = |&src: &NodeId| if src < id { self.channels(src) } else { None };
        match &node.op {
            Op::Input { channels } => Some(*channels),
            Op::Conv { conv, .. } => Some(conv.dst_c),
            Op::Linear { dst_c, .. } => Some(*dst_c),
            Op::TopK { .. } => Some(2),
            Op::Concat => node.inputs.iter().map(of).try_fold(0usize, |sum, c| sum.checked_add(c?)),
            Op::Affine { .. }
            | Op::Binary { .. }
            | Op::Resize { .. }
            | Op::Pool { .. }
            | Op::Softmax
            | Op::Activate(_) => of(node.inputs.first()?),
        }
    }

    /// Whether the output of node `id` is wanted when all have run.
    pub(crate) fn keeps(&self, id: NodeId) -> bool {
        self.outputs.iter().any(|output| output.node == id)
    }

    /// Takes out the nodes that nothing given is made of; the others keep their order. A graph that names nodes which it
    /// does not have is left as it is, for [`Graph::check`] to refuse.
    pub(crate) fn prune(&mut self) {
        let reads_earlier = |(id, node): (NodeId, &Node)| node.inputs.iter().all(|&input| input < id);
        if !self.nodes.iter().enumerate().all(reads_earlier)
            || self.outputs.iter().any(|output| output.node >= self.nodes.len())
        {
            return;
        }
        let mut needed: Vec<bool> = (0..self.nodes.len()).map(|id| id == 0 || self.keeps(id)).collect();
        for id in (0..self.nodes.len()).rev() {
            if needed[id] {
                self.nodes[id].inputs.iter().for_each(|&input| needed[input] = true);
            }
        }
        let kept = |id: NodeId| needed[..id].iter().filter(|&&needed| needed).count();
        let moved: Vec<NodeId> = (0..self.nodes.len()).map(kept).collect();
        let mut id = 0..;
        self.nodes.retain(|_| id.next().is_some_and(|id| needed[id]));
        self.nodes.iter_mut().flat_map(|node| &mut node.inputs).for_each(|input| *input = moved[*input]);
        self.outputs.iter_mut().for_each(|output| output.node = moved[output.node]);
    }

    /// The only node that reads `id`.
    pub(crate) fn reader(&self, id: NodeId) -> Option<NodeId> {
        let mut readers = (0..self.nodes.len()).filter(|&at| self.nodes[at].inputs.contains(&id));
        readers.next().filter(|_| readers.next().is_none())
    }

    /// The pointwise convolution that may be computed together with the depthwise convolution `id`, of which nothing
    /// but it is made.
    pub(crate) fn block(&self, id: NodeId) -> Option<NodeId> {
        let is = |id: NodeId, what: fn(&Conv) -> bool| matches!(&self.nodes[id].op, Op::Conv { conv, .. } if what(conv));
        let next = self.reader(id).filter(|_| !self.keeps(id) && is(id, Conv::is_depthwise))?;
        is(next, Conv::is_pointwise).then_some(next)
    }

    /// [`slots`] for each node's output, of `sizes`: slot 0 is the input's alone; what the network gives is kept.
    #[cfg(feature = "cpu")]
    pub(crate) fn slots(&self, sizes: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let reads: Vec<Vec<usize>> = self.nodes.iter().map(|node| node.inputs.clone()).collect();
        let kept: Vec<usize> =
            std::iter::once(0).chain(self.outputs.iter().map(|output| output.node)).collect();
        slots(&reads, &kept, sizes)
    }
}

/// A slot for the output of each step, of `sizes`, such that no two outputs that are needed at once share one;
/// and each slot's size. Step `i` reads the outputs of the earlier steps `reads[i]`; those in `kept` are needed
/// to the end.
pub(crate) fn slots(reads: &[Vec<usize>], kept: &[usize], sizes: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut last: Vec<usize> = (0..reads.len()).collect();
    for (step, inputs) in reads.iter().enumerate() {
        inputs.iter().for_each(|&input| last[input] = step);
    }
    kept.iter().for_each(|&step| last[step] = usize::MAX);
    let (mut slots, mut largest): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut free: Vec<usize> = Vec::new();
    for (step, &size) in sizes.iter().enumerate() {
        // The smallest free slot that is large enough, else the largest, which grows.
        let fit = |slot: &usize| (largest[*slot] < size, largest[*slot].abs_diff(size));
        let slot = free.iter().copied().min_by_key(fit).unwrap_or(largest.len());
        match largest.get_mut(slot) {
            Some(largest) => *largest = size.max(*largest),
            None => largest.push(size),
        }
        free.retain(|&other| other != slot);
        slots.push(slot);
        free.extend((0..=step).filter(|&done| last[done] == step).map(|done| slots[done]));
    }
    (slots, largest)
}
