//! Measures what a device can do at most.

use crate::{
    device::{Device, Executor},
    error::Result,
    limit::Limit,
};

impl Limit {
    /// Measures `device`, which takes a few seconds; `progress` is told the share done.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`](crate::Error::DeviceFailure).
    pub fn measure(device: &Device, progress: impl FnMut(f64)) -> Result<Limit> {
        match &device.executor {
            #[cfg(feature = "cpu")]
            Executor::Cpu(threads) => Ok(crate::cpu::limit(threads, progress)),
            #[cfg(feature = "gpu")]
            Executor::Gpu(gpu) => gpu.limit(progress),
        }
    }
}
