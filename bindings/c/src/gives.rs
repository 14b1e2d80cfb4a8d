//! How much of an answer comes back.

use engine::{Model, Outputs, Shape, tasks::classify};

use crate::error::Result;

/// What comes back of one picture.
pub(crate) struct Gives {
    /// The best classes.
    pub(crate) top: usize,
    pub(crate) outputs: Named,
}

impl Gives {
    /// The shape of the output of this name.
    pub(crate) fn of(&self, name: &str) -> Option<Shape> {
        self.outputs.iter().find(|(known, _)| known == name).map(|&(_, shape)| shape)
    }
}

/// Outputs, and the shape of one picture's.
pub(crate) type Named = Vec<(String, Shape)>;

/// The named outputs that come back of `wanted`, for pictures of `input`.
pub(crate) fn given(model: &Model, wanted: &Outputs, input: Shape) -> Result<Named> {
    let graph = classify::give(&model.graph, &Outputs::named(wanted.names.iter().cloned()))?;
    let checked = graph.check(&model.weights, input)?;
    let shape = |node: usize| checked.shapes()[node].with_batch(1);
    Ok(graph.outputs.iter().map(|output| (output.name.clone(), shape(output.node))).collect())
}
