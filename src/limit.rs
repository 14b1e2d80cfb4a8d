//! What a device can do at most, and the floor that this puts under each step of a run.

use crate::{profile::Profiled, tensor::DType};

/// What a device did at most in loops of multiply-adds only, of traffic only, and of nothing.
///
/// Matrix units and integer products are not among the loops: a kernel that uses them may be faster than its
/// floor.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Multiply-adds per second in f32.
    pub f32_macs: f64,
    /// The same in f16, where the device computes in it.
    pub f16_macs: Option<f64>,
    /// Working sets in bytes, ascending, and the bytes per second that were moved in each.
    pub bandwidth: Vec<(u64, f64)>,
    /// Seconds that a dispatch takes which does nothing but wait for the one before; 0 on the CPU.
    pub dispatch: f64,
}

/// The working sets, in bytes: powers of two from 256 KiB to 256 MiB.
pub const SETS: [u64; 6] = [1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28];

impl Limit {
    /// Multiply-adds per second with values stored as `dtype`. Kernels sum in f32 or in `dtype`, whichever is
    /// faster: so does the limit.
    pub fn macs(&self, dtype: DType) -> f64 {
        match dtype {
            DType::F32 => self.f32_macs,
            _ => self.f16_macs.map_or(self.f32_macs, |macs| macs.max(self.f32_macs)),
        }
    }

    /// Bytes per second of a working set of `bytes`: of the measured sets around it, the faster one.
    ///
    /// # Panics
    /// When no set was measured.
    pub fn bandwidth(&self, bytes: u64) -> f64 {
        let above = self.bandwidth.partition_point(|&(set, _)| set < bytes);
        let around = [above.saturating_sub(1), above.min(self.bandwidth.len() - 1)];
        around.map(|at| self.bandwidth[at].1).into_iter().fold(0.0, f64::max)
    }

    /// Seconds that no step of `macs` multiply-adds over `bytes` can be faster than.
    pub fn floor(&self, macs: u64, bytes: u64, dtype: DType) -> f64 {
        let computing = macs as f64 / self.macs(dtype);
        let moving = bytes as f64 / self.bandwidth(bytes);
        computing.max(moving) + self.dispatch
    }

    /// The floor of each step of a profile.
    pub fn floors(&self, profile: &[Profiled], dtype: DType) -> Vec<f64> {
        profile.iter().map(|step| self.floor(step.macs, step.bytes, dtype)).collect()
    }
}
