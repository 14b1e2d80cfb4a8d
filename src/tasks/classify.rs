//! Classification: the softmax of a classifier's scores, and the best classes.

#[cfg(any(feature = "cpu", feature = "gpu"))]
use std::sync::Arc;

#[cfg(any(feature = "cpu", feature = "gpu"))]
use crate::tensor::Tensor;
use crate::{
    error::{Error, Result},
    graph::{Activation, Graph, LOGITS, Op},
    kernels::top::MOST,
    options::Outputs,
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
/// Of no more classes than there are the best are given; without a classifier none. What nothing wanted is made of is left
/// out.
///
/// # Errors
/// [`Error::Option`] for a name that the network does not give, with those that it does.
pub fn give(graph: &Graph, wanted: &Outputs) -> Result<Graph> {
    let mut given = Graph { outputs: Vec::new(), ..graph.clone() };
    let best = wanted.top_k.min(graph.classes().unwrap_or(0));
    let mut names: Vec<&str> = wanted.names.iter().map(String::as_str).collect();
    // More than a device finds the host takes out of the probabilities.
    if best > MOST && !names.contains(&PROBABILITIES) {
        names.push(PROBABILITIES);
    }
    let probable = graph.output(PROBABILITIES).is_none() && names.contains(&PROBABILITIES);
    let logits = graph.output(LOGITS);
    let probabilities = logits.filter(|_| probable).map(|logits| {
        let op = if graph.classes() == Some(1) { Op::Activate(Activation::Sigmoid) } else { Op::Softmax };
        given.push(PROBABILITIES, op, &[logits])
    });
    for name in names {
        let made = probabilities.filter(|_| name == PROBABILITIES);
        let Some(node) = made.or_else(|| graph.output(name)) else {
            let names = graph.outputs.iter().map(|output| output.name.as_str());
            let names: Vec<&str> = names.chain(logits.map(|_| PROBABILITIES)).collect();
            return Err(Error::Option(format!("there is no output {name:?}, only {}", names.join(", "))));
        };
        given.give(name, node);
    }
    if let Some(logits) = logits.filter(|_| (1..=MOST).contains(&best)) {
        let top = given.push(TOP, Op::TopK { k: best, softmax: true }, &[logits]);
        given.give(TOP, top);
    }
    given.prune();
    Ok(given)
}

/// Whether the output `name` is only there for the best classes.
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub(crate) fn is_top(name: &str, wanted: &Outputs) -> bool {
    name == TOP && !wanted.names.iter().any(|wanted| wanted == name)
}

/// The best classes of each picture, of `values` that are `each` for one and `stride` from one pair to the next.
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub(crate) fn read(values: &[f32], each: usize, stride: usize) -> Vec<Vec<Top>> {
    let pair = |pair: &[f32]| Top { index: pair[0] as usize, probability: pair[1] };
    values.chunks_exact(each).map(|picture| picture.chunks_exact(stride).map(pair).collect()).collect()
}

/// The best classes where they are found among the probabilities, which are taken out of the outputs unless they are
/// wanted too.
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub(crate) fn take(outputs: &mut Vec<(Arc<str>, Tensor)>, wanted: &Outputs) -> Option<Vec<Vec<Top>>> {
    if wanted.top_k <= MOST {
        return None;
    }
    let at = outputs.iter().position(|(known, _)| **known == *PROBABILITIES)?;
    let asked = wanted.names.iter().any(|name| name == PROBABILITIES);
    let probabilities = if asked { outputs[at].1.clone() } else { outputs.remove(at).1 };
    let picture = |at: usize| {
        let one = probabilities.pictures(at..at + 1);
        let mut best: Vec<Top> =
            one.iter().enumerate().map(|(index, &probability)| Top { index, probability }).collect();
        // Stable: of equals the lower class stays the first.
        best.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        best.truncate(wanted.top_k);
        best
    };
    Some((0..probabilities.shape().n).map(picture).collect())
}
