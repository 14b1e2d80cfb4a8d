//! A depthwise convolution and the pointwise one behind it, at once.

use super::{Choice, Kernel, Literal, Shader, WORKGROUP, act, activation, depthwise, shader};
use crate::{
    graph::{Activation, Conv},
    tensor::{DType, Shape},
};

/// The depthwise layer's outputs pass through workgroup memory.
pub const SHARED: Shader = shader!("block");
/// Each invocation computes for itself what it needs of them.
pub const DIRECT: Shader = shader!("block_direct");

/// Groups of channels that pass through workgroup memory at a time: as many as a quarter of it holds, so that
/// several workgroups fit side by side.
fn chunk(choice: Choice, src: Shape, dtype: DType, memory: usize) -> usize {
    (memory / 4 / choice.memory(src, dtype)).clamp(1, src.c4().min(16))
}

/// The kernel that takes a map `src` to a map `dst`, by way of the depthwise `conv`; `activations` are
/// those of both layers, `memory` is the workgroup memory that the device has.
///
/// # Panics
/// When `choice` is no choice of a block that is computed at once.
pub fn kernel(
    conv: &Conv,
    src: Shape,
    dst: Shape,
    activations: [Activation; 2],
    choice: Choice,
    dtype: DType,
    memory: usize,
) -> Kernel {
    let pixels = dst.pixels();
    let (shader, tile, per, workgroups) = match choice {
        Choice::Block(tile, per, lanes) => {
            let blocks = pixels.div_ceil(WORKGROUP / lanes * tile) * dst.c4().div_ceil(lanes * per);
            (&SHARED, tile, per, blocks)
        }
        Choice::Direct(tile, per) => {
            let invocations = dst.h * dst.w.div_ceil(tile) * dst.c4().div_ceil(per);
            (&DIRECT, tile, per, invocations.div_ceil(WORKGROUP))
        }
        other => panic!("{other} is no choice of a block that is computed at once"),
    };
    let mut head: Vec<(&'static str, Literal)> = depthwise::window(conv, src, dst, tile, dtype);
    head.extend([("SRC_C4", src.c4().into()), ("DST_C4", dst.c4().into()), ("GROUPS", per.into())]);
    if let Choice::Block(_, _, lanes) = choice {
        head.extend([("LANES", lanes.into()), ("CHUNK", chunk(choice, src, dtype, memory).into())]);
    }
    let middle = activation::function("act_middle", activations[0], src.c, true);
    let functions = vec![("act_middle", middle), act(activations[1], dst)];
    Kernel { shader, head, functions, workgroups }
}
