//! The fast CPU executor of a graph.
