//! Classification: the softmax of a classifier's scores, and the best classes.

use crate::{
    error::{Error, Result},
    graph::{Activation, Graph, LOGITS, Op},
    options::Outputs,
    tensor::Tensor,
};

/// The output that is the softmax of the logits; of a single class, its sigmoid.
pub const PROBABILITIES: &str = "probabilities";
/// The output that is the best classes, `[n, 1, k, 2]`: each a class and its probability.
pub const TOP: &str = "top";

/// One of the best classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Top {
    /// The class.
    pub index: usize,
    /// Its softmax; its sigmoid where it is the only class.
    pub probability: f32,
}

/// `graph` with what is wanted of it as its outputs: those of its own by their names, and what is made of its classifier.
/// Of no more classes than there are the best are given; without a classifier none.
///
/// # Errors
/// [`Error::Option`] for a name that the network does not give, with those that it does.
pub fn give(graph: &Graph, wanted: &Outputs) -> Result<Graph> {
    let mut given = Graph { outputs: Vec::new(), ..graph.clone() };
    let probable =
        graph.output(PROBABILITIES).is_none() && wanted.names.iter().any(|name| name == PROBABILITIES);
    let best = wanted.top_k.min(graph.classes().unwrap_or(0));
    let logits = graph.output(LOGITS);
    let probabilities = logits.filter(|_| probable).map(|logits| {
        let op = if graph.classes() == Some(1) { Op::Activate(Activation::Sigmoid) } else { Op::Softmax };
        given.push(PROBABILITIES, op, &[logits])
    });
    for name in &wanted.names {
        let made = probabilities.filter(|_| name == PROBABILITIES);
        let Some(node) = made.or_else(|| graph.output(name)) else {
            let names = graph.outputs.iter().map(|output| output.name.as_str());
            let names: Vec<&str> = names.chain(logits.map(|_| PROBABILITIES)).collect();
            return Err(Error::Option(format!("there is no output {name:?}, only {}", names.join(", "))));
        };
        given.give(name, node);
    }
    if let Some(logits) = logits.filter(|_| best > 0) {
        let top = given.push(TOP, Op::TopK { k: best, softmax: true }, &[logits]);
        given.give(TOP, top);
    }
    Ok(given)
}

/// The best classes of each picture, of the output [`TOP`].
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub(crate) fn read(top: &Tensor) -> Vec<Vec<Top>> {
    let pair = |pair: &[f32; 2]| Top { index: pair[0] as usize, probability: pair[1] };
    let picture = |at: usize| top.pictures(at..at + 1).as_chunks().0.iter().map(pair).collect();
    (0..top.shape().n).map(picture).collect()
}
