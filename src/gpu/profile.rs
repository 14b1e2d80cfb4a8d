//! The device's own time for each dispatch.

use std::sync::Arc;

use super::{Engine, Gpu, layout};
use crate::{
    error::{Error, Result},
    profile::Profiled,
    tensor::Tensor,
};

impl Engine {
    /// The least time of each dispatch over `runs` runs of `input`, by the device's timestamps.
    ///
    /// Each dispatch has a pass of its own, for not every device has timestamps inside a pass: the sum is more
    /// than a run's time.
    ///
    /// # Errors
    /// [`Error::Option`] when the device has no timestamps; [`Error::Input`] for a batch over [`Engine::batch`];
    /// [`Error::DeviceFailure`].
    pub fn profile(self: &Arc<Engine>, input: &Tensor, runs: usize) -> Result<Vec<Profiled>> {
        let batch = input.shape().n;
        if batch == 0 || batch > self.batch() {
            return Err(Error::Input(format!(
                "a profile takes 1 to {} pictures, found {batch}",
                self.batch()
            )));
        }
        let place = self.plan.place(0);
        let mut bytes = Vec::new();
        layout::pad(input.data(), place, &mut bytes);
        self.gpu.queue.write_buffer(&self.slots[place.slot], 0, &bytes);
        let count = self.plan.dispatches.len();
        let clock = self.gpu.scoped("timestamps", || Clock::new(&self.gpu.device, count))?;
        let Some(clock) = clock else {
            return Err(Error::Option(format!("{} has no timestamps", self.gpu.info.name)));
        };
        let mut least = vec![f64::MAX; count];
        for _ in 0..runs.max(1) {
            let seconds = clock.time(&self.gpu, count, |pass, at| self.record_one(pass, at, batch))?;
            least.iter_mut().zip(seconds).for_each(|(least, seconds)| *least = least.min(seconds));
        }
        let profiled = |(dispatch, seconds): (&crate::plan::Dispatch, f64)| Profiled {
            label: dispatch.label.clone(),
            macs: dispatch.macs * batch as u64,
            bytes: self.plan.bytes(dispatch, batch),
            seconds,
        };
        Ok(self.plan.dispatches.iter().zip(least).map(profiled).collect())
    }

    /// The seconds of all dispatches in one pass, by `clock`, for the picture that was submitted last.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`].
    pub(crate) fn time(&self, clock: &Clock) -> Result<f64> {
        Ok(clock.time(&self.gpu, 1, |pass, _| self.record(pass, 1))?[0])
    }
}

impl Gpu {
    /// A clock for one pass; `None` where the device has no timestamps.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`].
    pub(crate) fn clock(&self) -> Result<Option<Clock>> {
        self.scoped("timestamps", || Clock::new(&self.device, 1))
    }
}

/// Two timestamps for each of some passes, and the way back to the host.
pub struct Clock {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readback: wgpu::Buffer,
}

impl Clock {
    /// A clock for so many passes; `None` where the device has no timestamps.
    pub fn new(device: &wgpu::Device, passes: usize) -> Option<Clock> {
        let has = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let count = 2 * passes as u32;
        let buffer = |label, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: u64::from(count) * 8,
                usage,
                mapped_at_creation: false,
            })
        };
        has.then(|| Clock {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count,
            }),
            resolved: buffer("ticks", wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            readback: buffer("ticks back", wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
        })
    }

    /// Runs the clock's passes, which `record` fills; gives the seconds of each, at least one tick.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`].
    pub fn time(
        &self,
        gpu: &Gpu,
        passes: usize,
        record: impl Fn(&mut wgpu::ComputePass, usize),
    ) -> Result<Vec<f64>> {
        gpu.scoped("profile", || {
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for at in 0..passes {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: None,
                    timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                        query_set: &self.queries,
                        beginning_of_pass_write_index: Some(2 * at as u32),
                        end_of_pass_write_index: Some(2 * at as u32 + 1),
                    }),
                });
                record(&mut pass, at);
            }
            encoder.resolve_query_set(&self.queries, 0..2 * passes as u32, &self.resolved, 0);
            encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readback, 0, self.readback.size());
            gpu.queue.submit([encoder.finish()]);
            self.readback.map_async(wgpu::MapMode::Read, .., |_| ());
            let polled = gpu.device.poll(wgpu::PollType::wait_indefinitely());
            polled.map_err(|error| gpu.failure(error.to_string()))?;
            let ticks: Vec<u64> = {
                let mapped = self.readback.get_mapped_range(..);
                let mapped = mapped.map_err(|error| gpu.failure(format!("timestamps: {error}")))?;
                bytemuck::pod_collect_to_vec(&mapped[..])
            };
            self.readback.unmap();
            let period = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
            // What ends within the tick in which it began took some time all the same.
            let seconds = |pair: &[u64]| pair[1].saturating_sub(pair[0]).max(1) as f64 * period;
            Ok(ticks.chunks_exact(2).map(seconds).collect())
        })?
    }
}
