//! How the output of each node is stored.

use crate::{
    error::{Error, Result},
    graph::{Checked, Graph, NodeId, Op},
    tensor::DType,
};

/// The storage of each node's output in a plan of `dtype`. The means over a map, and what is made of them alone, stay
/// f32 whatever the maps are: a kernel stores as it reads, but for pools and linear layers, which write f32.
///
/// # Errors
/// [`Error::Model`], naming the node, for one whose inputs are stored otherwise than its shader reads them.
pub fn storage(checked: &Checked, dtype: DType) -> Result<Vec<DType>> {
    let graph = checked.graph();
    let mut stored: Vec<DType> = Vec::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter().enumerate() {
        let src = |at: usize| stored[node.inputs[at]];
        let own = match &node.op {
            Op::Input { .. } => dtype,
            Op::Conv { .. } | Op::Affine { .. } => src(0),
            Op::Pool => DType::F32,
            Op::Linear { .. } => f32_only(graph, id, "a linear layer", src(0))?,
            Op::Scale { .. } => f32_only(graph, id, "a gate", src(1)).map(|_| src(0))?,
            Op::Add { .. } if src(0) == src(1) => src(0),
            Op::Add { .. } => {
                let reason = format!("no shader adds inputs stored as {} and as {}; use f32", src(0), src(1));
                return Err(Error::Model(format!("{}: {reason}", graph.label(id))));
            }
        };
        stored.push(own);
    }
    Ok(stored)
}

/// Refuses what is not stored as f32 where a shader reads nothing else.
fn f32_only(graph: &Graph, id: NodeId, what: &str, stored: DType) -> Result<DType> {
    match stored {
        DType::F32 => Ok(stored),
        DType::F16 => {
            let reason = format!("no shader reads {what} from a map stored as {stored}; use f32");
            Err(Error::Model(format!("{}: {reason}", graph.label(id))))
        }
    }
}
