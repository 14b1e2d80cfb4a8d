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

mod check;
mod op;

pub use check::Checked;
pub use op::{Activation, Conv, Cost, Op};

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

/// A network: nodes in running order. Node 0 is its [`Op::Input`].
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Graph {
    /// The nodes; each reads earlier ones only.
    pub nodes: Vec<Node>,
    /// The pooled features: one vector per picture, `[n, 1, 1, c]`, where a session is to answer with them.
    pub features: NodeId,
    /// The classifier's output `[n, 1, 1, classes]`, if the network has one.
    pub logits: Option<NodeId>,
}

impl Graph {
    /// Appends a node and returns its id.
    pub fn push(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId]) -> NodeId {
        assert!(inputs.iter().all(|&i| i < self.nodes.len()), "a node reads earlier nodes only");
        self.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec() });
        self.nodes.len() - 1
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
        self.channels(self.logits?)
    }

    /// Channels that node `id` writes; `None` where its inputs do not lead to any.
    fn channels(&self, mut id: NodeId) -> Option<usize> {
        loop {
            let node = self.nodes.get(id)?;
            match &node.op {
                Op::Input { channels } => return Some(*channels),
                Op::Conv { conv, .. } => return Some(conv.dst_c),
                Op::Linear { dst_c, .. } => return Some(*dst_c),
                Op::Affine { .. } | Op::Add { .. } | Op::Pool | Op::Scale { .. } => {
                    id = node.inputs.first().copied().filter(|&src| src < id)?;
                }
            }
        }
    }

    /// Whether the output of node `id` is wanted when all have run.
    pub(crate) fn keeps(&self, id: NodeId) -> bool {
        self.features == id || self.logits == Some(id)
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

    /// [`slots`] for each node's output, of `sizes`: slot 0 is the input's alone; features and logits are kept.
    #[cfg(feature = "cpu")]
    pub(crate) fn slots(&self, sizes: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let reads: Vec<Vec<usize>> = self.nodes.iter().map(|node| node.inputs.clone()).collect();
        let kept: Vec<usize> = [Some(0), Some(self.features), self.logits].into_iter().flatten().collect();
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
