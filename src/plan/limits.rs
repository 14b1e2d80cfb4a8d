//! What a device's limits make of batches and grids.

use super::{Dispatch, Plan};
use crate::{
    error::{Error, Result},
    limits::Limits,
};

/// Bytes behind each slot that no kernel may touch; bound with the slot so that a stray write lands there.
pub const GUARD: u64 = 256;
/// The work that one submit may hold, in milliseconds of a device's expected speed.
const SUBMIT_MS: u64 = 200;
/// The pictures that one submit may hold: more gains nothing.
const MOST_PICTURES: u64 = 64;
/// The bytes that all activations of a batch may take.
const MOST_BYTES: u64 = 1 << 30;

impl Limits {
    /// Pictures that one submit of `plan` may hold, each of `macs` multiply-adds.
    ///
    /// # Errors
    /// [`Error::Option`] when a parameter or one picture's largest map does not fit.
    pub(super) fn batch(self, plan: &Plan, macs: u64) -> Result<usize> {
        let bound = self.binding.min(self.buffer);
        for param in &plan.params {
            if (param.len * param.dtype.size()) as u64 > bound {
                return Err(Error::Option(format!(
                    "tensor \"{}\" does not fit this device's largest buffer binding ({} bytes); use device cpu",
                    param.name.as_deref().unwrap_or("zeros"),
                    self.binding
                )));
            }
        }
        let largest = plan.slots.iter().copied().max().unwrap_or(1).max(1) as u64;
        let memory = bound.saturating_sub(GUARD) / largest;
        if memory == 0 {
            return Err(Error::Option(format!(
                "one picture's largest map ({largest} bytes) does not fit this device's largest buffer binding \
                 ({} bytes); use a smaller input or device cpu",
                self.binding
            )));
        }
        let time = self.macs_per_second * SUBMIT_MS / 1000 / macs.max(1);
        let whole = MOST_BYTES / plan.activation_bytes().max(1) as u64;
        let wanted = time.min(whole).clamp(1, MOST_PICTURES);
        Ok(wanted.min(memory).min(u64::from(self.workgroups)) as usize)
    }

    /// The grid of `dispatch` for a batch: workgroups folded below the limit, the batch last.
    pub fn grid(self, dispatch: &Dispatch, batch: usize) -> [u32; 3] {
        let groups = dispatch.kernel.workgroups;
        let rows = groups.div_ceil(self.workgroups as usize).max(1);
        [groups.div_ceil(rows) as u32, rows as u32, batch as u32]
    }
}
