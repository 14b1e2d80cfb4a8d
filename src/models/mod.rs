//! Networks: parameters to a graph.

use crate::{graph::Graph, preprocess::Preprocess, weights::Weights};

/// A network ready to run: the graph, its parameters, and how to feed and read it.
#[derive(Clone, Debug)]
pub struct Model {
    /// `MobileOne-S0`, or its widths when it is none of the paper's.
    pub name: String,
    /// The nodes.
    pub graph: Graph,
    /// What the nodes name.
    pub weights: Weights,
    /// The classes' names, when the checkpoint gives them.
    pub labels: Option<Vec<String>>,
    /// How pictures become inputs.
    pub preprocess: Preprocess,
    /// Where the preprocessing came from, for people: "metadata", "defaults of MobileOne-S0", ...
    pub preprocess_source: String,
}
