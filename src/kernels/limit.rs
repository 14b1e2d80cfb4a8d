//! Kernels that compute nothing of use: what a device can do at most.

use super::{Kernel, Shader, shader};
use crate::tensor::DType;

/// Multiply-adds and nothing else.
pub const PEAK: Shader = shader!("peak");
/// Loads, or loads and stores, and nothing else.
pub const BANDWIDTH: Shader = shader!("bandwidth");
/// Nothing, after the dispatch before it.
pub const EMPTY: Shader = shader!("empty");

/// Independent series of multiply-adds that an invocation may have.
pub const CHAINS: [usize; 4] = [1, 2, 4, 8];

/// Steps of all chains of an invocation of [`peak`] together.
const PEAK_STEPS: usize = 4096;
/// So many that starting them is little beside what they do, on the fastest of GPUs.
const PEAK_WORKGROUPS: usize = 8192;

/// Scalars that a dispatch of [`peak`] writes.
pub const PEAK_WRITTEN: usize = PEAK_WORKGROUPS * 64 * 4;
/// Multiply-adds of a dispatch of [`peak`], whatever its chains.
pub const PEAK_MACS: u64 = PEAK_WRITTEN as u64 * PEAK_STEPS as u64;

/// `chains` independent series in each invocation, by `fma` or by a product and a sum.
pub fn peak(dtype: DType, chains: usize, fused: bool) -> Kernel {
    let head = vec![
        ("Scalar", dtype.into()),
        ("CHAINS", chains.into()),
        ("STEPS", (PEAK_STEPS / chains).into()),
        ("FUSED", fused.into()),
    ];
    Kernel::by_itself(&PEAK, head, PEAK_WORKGROUPS)
}

/// Bytes of a vec4 of f32.
const VEC4: usize = 16;
const STEPS: usize = 64;
const WORKGROUPS: usize = 8192;

/// Sweeps over `set` bytes, a power of two: reads them all, or copies one half to the other.
pub fn bandwidth(set: u64, copy: bool) -> Kernel {
    let count = set as usize / if copy { 2 * VEC4 } else { VEC4 };
    let head = vec![("COUNT", count.into()), ("STEPS", STEPS.into()), ("COPY", copy.into())];
    Kernel::by_itself(&BANDWIDTH, head, WORKGROUPS)
}

/// Bytes that a dispatch of [`bandwidth`] moves.
pub fn moved(copy: bool) -> u64 {
    let read = (WORKGROUPS * 64 * STEPS * VEC4) as u64;
    if copy { 2 * read } else { read }
}

/// One workgroup that only waits for the dispatch before.
pub fn empty() -> Kernel {
    Kernel::by_itself(&EMPTY, Vec::new(), 1)
}
