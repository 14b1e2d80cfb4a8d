//! From a picture's bytes to the input slot, on the device: two passes of the resize, then the normalization.

use super::{Engine, Gpu, compile::Wanted};
use crate::{
    error::Result,
    kernels::{normalize, resize},
    plan::DST,
    preprocess::Passes,
    tensor::DType,
};

/// Bytes between the uniforms of the three dispatches, and before the picture: a multiple of every device's
/// offset alignment.
const STEP: u64 = 256;
/// Where the picture's bytes begin in an upload.
const PICTURE: u64 = 3 * STEP;

/// A larger picture, in bytes, is prepared on the host: its buffers would stay for good.
const LARGEST: u64 = 64 << 20;
/// Buffers grow by this many bytes at least.
pub(super) const GRAIN: u64 = 1 << 20;

/// Pipelines that serve every picture, and buffers that grow with the largest one.
pub struct Front {
    resize: wgpu::ComputePipeline,
    normalize: wgpu::ComputePipeline,
    workgroups: u32,
    uniforms: wgpu::Buffer,
    input: wgpu::Buffer,
    buffers: Option<Buffers>,
}

/// The picture, what the first pass makes of it, and what the second does.
struct Buffers {
    picture: wgpu::Buffer,
    intermediate: wgpu::Buffer,
    crop: wgpu::Buffer,
    bindings: [wgpu::BindGroup; 3],
}

impl Front {
    /// The texts that a front runs, for whatever pictures, where the input's scalars are `dtype`.
    pub fn wanted(dtype: DType) -> [Wanted; 2] {
        let kernels = [("resize", resize::kernel()), ("normalize", normalize::kernel(dtype))];
        kernels.map(|(label, kernel)| Wanted {
            label: label.into(),
            text: kernel.text(),
            bindings: vec![
                (0, wgpu::BufferBindingType::Storage { read_only: true }),
                (DST, wgpu::BufferBindingType::Storage { read_only: false }),
                (DST + 1, wgpu::BufferBindingType::Uniform),
            ],
        })
    }

    /// A front that writes to the slot `input` with the pipelines of [`Front::wanted`].
    pub fn new(gpu: &Gpu, input: wgpu::Buffer, pipelines: &[wgpu::ComputePipeline]) -> Result<Front> {
        gpu.scoped("preprocessing", || Front {
            resize: pipelines[0].clone(),
            normalize: pipelines[1].clone(),
            workgroups: gpu.limits.workgroups,
            uniforms: gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("preprocessing"),
                size: PICTURE,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }),
            input,
            buffers: None,
        })
    }

    /// Makes the buffers large enough for a picture of `bytes`; false if it is to be prepared on the host,
    /// for it is larger than the device's buffers or than 64 MiB.
    pub fn fits(&mut self, engine: &Engine, passes: &Passes, bytes: usize) -> Result<bool> {
        let needed = [bytes, passes.intermediate() * 4, passes.crop() * 4].map(|bytes| bytes as u64);
        let limits = engine.gpu.limits;
        let largest = limits.binding.min(limits.buffer - PICTURE).min(LARGEST);
        if needed.iter().any(|&bytes| bytes > largest) {
            return Ok(false);
        }
        let have = self.buffers.as_ref().map_or([0; 3], |buffers| {
            [&buffers.picture, &buffers.intermediate, &buffers.crop].map(wgpu::Buffer::size)
        });
        if needed.iter().zip(have).any(|(&needed, have)| needed > have) {
            let size = |at: usize| needed[at].max(have[at]).next_multiple_of(GRAIN).min(largest).max(STEP);
            let sizes = [size(0), size(1), size(2)];
            self.buffers = Some(engine.gpu.scoped("picture buffers", || self.buffers(&engine.gpu, sizes))?);
        }
        Ok(true)
    }

    fn buffers(&self, gpu: &Gpu, [picture, intermediate, crop]: [u64; 3]) -> Buffers {
        let buffer = |label, size: u64| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: size.next_multiple_of(4),
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let [picture, intermediate, crop] =
            [buffer("picture", picture), buffer("intermediate", intermediate), buffer("crop", crop)];
        let bind = |pipeline: &wgpu::ComputePipeline, src: &wgpu::Buffer, dst: &wgpu::Buffer, at: u64| {
            let uniform = wgpu::BufferBinding {
                buffer: &self.uniforms,
                offset: at * STEP,
                size: wgpu::BufferSize::new(64),
            };
            gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("preprocessing"),
                layout: &pipeline.get_bind_group_layout(0),
                entries: &[
                    wgpu::BindGroupEntry { binding: 0, resource: src.as_entire_binding() },
                    wgpu::BindGroupEntry { binding: DST, resource: dst.as_entire_binding() },
                    wgpu::BindGroupEntry {
                        binding: DST + 1,
                        resource: wgpu::BindingResource::Buffer(uniform),
                    },
                ],
            })
        };
        let bindings = [
            bind(&self.resize, &picture, &intermediate, 0),
            bind(&self.resize, &intermediate, &crop, 1),
            bind(&self.normalize, &crop, &self.input, 2),
        ];
        Buffers { picture, intermediate, crop, bindings }
    }

    /// Appends the uniforms and the picture as [`Front::record`] expects them in an upload.
    pub fn stage(passes: &Passes, picture: &[u8], staging: &mut Vec<u8>) {
        let uniforms = [
            bytemuck::bytes_of(&passes.first),
            bytemuck::bytes_of(&passes.second),
            bytemuck::bytes_of(&passes.normalize),
        ];
        for uniform in uniforms {
            let end = staging.len() + STEP as usize;
            staging.extend_from_slice(uniform);
            staging.resize(end, 0);
        }
        staging.extend_from_slice(picture);
    }

    /// Records the copies of an upload, opens a pass, and records the three dispatches into it.
    pub fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        upload: &wgpu::Buffer,
        passes: &Passes,
        bytes: usize,
    ) -> wgpu::ComputePass<'static> {
        let buffers = self.buffers.as_ref().expect("the buffers were made to fit");
        encoder.copy_buffer_to_buffer(upload, 0, &self.uniforms, 0, PICTURE);
        encoder.copy_buffer_to_buffer(upload, PICTURE, &buffers.picture, 0, bytes as u64);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime();
        let pipelines = [&self.resize, &self.resize, &self.normalize];
        for ((pipeline, bindings), [x, y, z]) in
            pipelines.iter().zip(&buffers.bindings).zip(passes.grids(self.workgroups))
        {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bindings, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
        pass
    }
}
