//! Which nodes may be computed at once: the one place that asks who reads what.

use super::{Activation, Checked, NodeId, Op};

impl Checked<'_> {
    /// Every node but the input, in runs: in each, every node but the first reads the one before it, which nothing else
    /// reads, and may be computed together with it. Such pairs are
    /// - a depthwise convolution and a pointwise one, where the first is not given as an output;
    /// - a mean over a whole map and a linear layer without activation.
    ///
    /// A run stands where its last node does, when all that it reads was computed. Who computes fewer nodes at once
    /// cuts it: each part, in order, is a run too.
    pub(crate) fn runs(&self) -> Vec<Vec<NodeId>> {
        let mut runs: Vec<Vec<NodeId>> = Vec::new();
        for id in 1..self.graph().nodes.len() {
            let before =
                self.before(id).and_then(|before| runs.iter().position(|run| run.ends_with(&[before])));
            let mut run = before.map_or(Vec::new(), |at| runs.remove(at));
            run.push(id);
            runs.push(run);
        }
        runs
    }

    /// The node that may be computed together with `id`, which reads it.
    fn before(&self, id: NodeId) -> Option<NodeId> {
        let graph = self.graph();
        let first = *graph.nodes[id].inputs.first()?;
        let joins = match (&graph.nodes[first].op, &graph.nodes[id].op) {
            (Op::Conv { .. }, Op::Conv { .. }) => graph.block(first) == Some(id),
            (mean, Op::Linear { activation: Activation::None, .. }) if mean.is_mean() => {
                graph.reader(first) == Some(id)
            }
            _ => false,
        };
        joins.then_some(first)
    }
}
