//! How the output of each node is stored.

use crate::{
    graph::{Checked, Op},
    tensor::DType,
};

/// The storage of each node's output in a plan of `dtype`. The means over a map, and what is made of them alone, stay
/// f32 whatever the maps are: a kernel stores as it reads its first input, but for means, linear layers and the best of a
/// vector, which are f32.
pub fn storage(checked: &Checked, dtype: DType) -> Vec<DType> {
    let mut stored: Vec<DType> = Vec::with_capacity(checked.graph().nodes.len());
    for node in &checked.graph().nodes {
        stored.push(match &node.op {
            Op::Input { .. } => dtype,
            op if op.is_mean() => DType::F32,
            Op::Linear { .. } | Op::TopK { .. } => DType::F32,
            Op::Conv { .. }
            | Op::Affine { .. }
            | Op::Binary { .. }
            | Op::Concat
            | Op::Resize { .. }
            | Op::Pool { .. }
            | Op::Softmax
            | Op::Activate(_) => stored[node.inputs[0]],
        });
    }
    stored
}
