//! The device's own time for each dispatch.

use std::sync::Arc;

use super::{Engine, layout};
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
        let period = f64::from(self.gpu.queue.get_timestamp_period()) * 1e-9;
        let mut least = vec![f64::MAX; count];
        for _ in 0..runs.max(1) {
            let ticks = self.gpu.scoped("profile", || self.clocked(&clock, batch))??;
            for (least, pair) in least.iter_mut().zip(ticks.chunks_exact(2)) {
                *least = least.min(pair[1].saturating_sub(pair[0]) as f64 * period);
            }
        }
        let profiled = |(dispatch, seconds): (&crate::plan::Dispatch, f64)| Profiled {
            label: dispatch.label.clone(),
            macs: dispatch.macs * batch as u64,
            bytes: self.plan.bytes(dispatch, batch),
            seconds,
        };
        Ok(self.plan.dispatches.iter().zip(least).map(profiled).collect())
    }

    /// The ticks before and after each dispatch of one run.
    fn clocked(&self, clock: &Clock, batch: usize) -> Result<Vec<u64>> {
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for at in 0..self.plan.dispatches.len() {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &clock.queries,
                    beginning_of_pass_write_index: Some(2 * at as u32),
                    end_of_pass_write_index: Some(2 * at as u32 + 1),
                }),
            });
            self.record_one(&mut pass, at, batch);
        }
        encoder.resolve_query_set(
            &clock.queries,
            0..2 * self.plan.dispatches.len() as u32,
            &clock.resolved,
            0,
        );
        encoder.copy_buffer_to_buffer(&clock.resolved, 0, &clock.readback, 0, clock.readback.size());
        self.gpu.queue.submit([encoder.finish()]);
        clock.readback.map_async(wgpu::MapMode::Read, .., |_| ());
        let polled = self.gpu.device.poll(wgpu::PollType::wait_indefinitely());
        polled.map_err(|error| self.gpu.failure(error.to_string()))?;
        let ticks = {
            let mapped = clock.readback.get_mapped_range(..);
            let mapped = mapped.map_err(|error| self.gpu.failure(format!("timestamps: {error}")))?;
            bytemuck::pod_collect_to_vec(&mapped[..])
        };
        clock.readback.unmap();
        Ok(ticks)
    }
}

/// Two timestamps for each dispatch, and the way back to the host.
struct Clock {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readback: wgpu::Buffer,
}

impl Clock {
    /// `None` where the device has no timestamps.
    fn new(device: &wgpu::Device, dispatches: usize) -> Option<Clock> {
        let has = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let count = 2 * dispatches as u32;
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
}
