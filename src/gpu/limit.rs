//! What a GPU can do at most: loops of multiply-adds only, of traffic only, and dispatches of nothing.

use std::time::Instant;

use super::{
    Gpu,
    compile::{Compiler, Wanted},
    layout,
    profile::Clock,
};
use crate::{
    error::Result,
    info::DeviceKind,
    kernels::{Kernel, limit},
    limit::{Limit, SETS},
    plan::DST,
    tensor::DType,
};

/// Seconds of a submit that is worth timing, so that what a submit costs is little beside it.
const WORTH: f64 = 0.02;
/// How often the best candidate of a sweep is measured.
const REPEATS: usize = 4;
/// Dispatches of nothing that have a pass of their own.
const ALONE: usize = 64;
/// The most dispatches of a submit.
const MOST_DISPATCHES: u32 = 1 << 12;

/// A kernel ready to be timed, and the work of one dispatch.
struct Load {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    workgroups: u32,
    work: f64,
}

impl Gpu {
    /// Measures this device.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`](crate::Error::DeviceFailure).
    pub fn limit(&self, mut progress: impl FnMut(f64)) -> Result<Limit> {
        let parts = 3 + SETS.len();
        let mut done = 0;
        let mut step = || {
            done += 1;
            progress(done as f64 / parts as f64);
        };
        let f32_macs = self.peak(DType::F32)?;
        step();
        let f16_macs = self.supports(DType::F16).then(|| self.peak(DType::F16)).transpose()?;
        step();
        let dispatch = self.empty()?;
        step();
        let mut figures = Vec::new();
        for set in SETS {
            // Phones and software may not have the largest.
            if set <= self.limits.binding.min(self.limits.buffer) {
                figures.push((set, self.bandwidth(set)?));
            }
            step();
        }
        Ok(Limit { f32_macs, f16_macs, bandwidth: figures, dispatch })
    }

    /// Multiply-adds per second: the best of a sweep over independent chains.
    fn peak(&self, dtype: DType) -> Result<f64> {
        let (a, b) = ([0.5; 4], [0.25, 0.5, 0.75, 1.0]);
        let constants = layout::scalars(&[a, b].concat(), dtype);
        let src = self.buffer(constants.len() as u64)?;
        self.queue.write_buffer(&src, 0, &constants);
        let dst = self.buffer((limit::PEAK_WRITTEN * dtype.size()) as u64)?;
        let mut loads = Vec::new();
        for chains in limit::CHAINS {
            for fused in [true, false] {
                let kernel = limit::peak(dtype, chains, fused);
                loads.push(self.load(&kernel, &[(0, &src), (DST, &dst)], limit::PEAK_MACS, 128)?);
            }
        }
        self.best(&loads)
    }

    /// Bytes per second in a working set: by reading it, or by copying one half to the other.
    fn bandwidth(&self, set: u64) -> Result<f64> {
        let mut loads = Vec::new();
        for copy in [false, true] {
            let size = if copy { set / 2 } else { set };
            let (src, dst) = (self.buffer(size)?, self.buffer(size)?);
            let kernel = limit::bandwidth(set, copy);
            loads.push(self.load(&kernel, &[(0, &src), (DST, &dst)], limit::moved(copy), 4)?);
        }
        self.best(&loads)
    }

    /// Seconds of a dispatch that only waits for the one before: of a series, and by the device's own clock
    /// around one alone, whichever is less, for profiles are taken in the second way.
    fn empty(&self) -> Result<f64> {
        let dst = self.buffer(4)?;
        let load = self.load(&limit::empty(), &[(DST, &dst)], 1, 1)?;
        let series = 1.0 / self.best(std::slice::from_ref(&load))?;
        let mut least = series;
        if let Some(clock) = self.scoped("timestamps", || Clock::new(&self.device, ALONE))? {
            let seconds = clock.time(self, ALONE, |pass, _| load.record(pass, 1))?;
            least = seconds.into_iter().fold(least, f64::min);
        }
        Ok(least)
    }

    /// Work per second of the fastest of `loads`.
    fn best(&self, loads: &[Load]) -> Result<f64> {
        let idle = self.fastest(|| self.time(None, 0), REPEATS)?;
        let mut best = (0.0, 0, 1);
        for (at, load) in loads.iter().enumerate() {
            // The first run of a kernel may compile it.
            self.time(Some(load), 1)?;
            let mut count = 1;
            let mut seconds = self.time(Some(load), count)?;
            while seconds < WORTH && count < MOST_DISPATCHES {
                count *= 2;
                seconds = self.time(Some(load), count)?;
            }
            let rate = load.rate(count, seconds - idle);
            if rate > best.0 {
                best = (rate, at, count);
            }
        }
        let (rate, at, count) = best;
        let seconds = self.fastest(|| self.time(Some(&loads[at]), count), REPEATS)?;
        Ok(rate.max(loads[at].rate(count, seconds - idle)))
    }

    fn fastest(&self, run: impl Fn() -> Result<f64>, repeats: usize) -> Result<f64> {
        (0..repeats).try_fold(f64::INFINITY, |least, _| Ok(run()?.min(least)))
    }

    /// Seconds from a submit of `count` dispatches to their end; of nothing, without a load.
    fn time(&self, load: Option<&Load>, count: u32) -> Result<f64> {
        self.scoped("a measurement", || {
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                for load in load.iter() {
                    load.record(&mut pass, count);
                }
            }
            let commands = encoder.finish();
            let begun = Instant::now();
            self.queue.submit([commands]);
            let polled = self.device.poll(wgpu::PollType::wait_indefinitely());
            polled.map(|_| begun.elapsed().as_secs_f64()).map_err(|error| self.failure(error.to_string()))
        })?
    }

    fn buffer(&self, size: u64) -> Result<wgpu::Buffer> {
        self.scoped("a buffer to measure with", || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("measured"),
                size,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
    }

    /// `kernel` ready to be timed, which does `work`; software, which takes long over it, does the part `software`.
    fn load<'a>(
        &self,
        kernel: &Kernel,
        buffers: &[(u32, &'a wgpu::Buffer)],
        work: u64,
        software: u32,
    ) -> Result<Load> {
        let part = if self.info.kind == DeviceKind::Software { software } else { 1 };
        let label = kernel.shader.stem;
        let kind = |&(binding, _): &(u32, &wgpu::Buffer)| {
            (binding, wgpu::BufferBindingType::Storage { read_only: binding != DST })
        };
        let bindings = buffers.iter().map(kind).collect();
        let wanted = Wanted { label: label.into(), text: kernel.text(), bindings, checked: false };
        let compiler = Compiler { gpu: self, cache: None, checked: false };
        let pipeline = compiler.all(&[wanted])?.remove(0);
        let entry = |(binding, buffer): &(u32, &'a wgpu::Buffer)| wgpu::BindGroupEntry {
            binding: *binding,
            resource: buffer.as_entire_binding(),
        };
        let bindings = self.scoped(label, || {
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(label),
                layout: &pipeline.get_bind_group_layout(0),
                entries: &buffers.iter().map(entry).collect::<Vec<_>>(),
            })
        })?;
        let workgroups = kernel.workgroups as u32 / part;
        Ok(Load { pipeline, bindings, workgroups, work: work as f64 / f64::from(part) })
    }
}

impl Load {
    fn record(&self, pass: &mut wgpu::ComputePass, count: u32) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        for _ in 0..count {
            pass.dispatch_workgroups(self.workgroups, 1, 1);
        }
    }

    fn rate(&self, count: u32, seconds: f64) -> f64 {
        self.work * f64::from(count) / seconds.max(1e-9)
    }
}
