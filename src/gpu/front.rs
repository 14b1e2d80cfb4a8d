//! From a picture to the input slot, on the device: two passes of the resize and the normalization, or all at once.

use std::ops::Range;

use super::{Engine, Gpu, compile::Wanted, source::Source};
use crate::{
    error::Result,
    kernels::{Choice, Kernel, normalize, prepare, resize, ways},
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
    /// Resize and normalization, and that which does all where the plan wants it.
    pipelines: Vec<wgpu::ComputePipeline>,
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
    /// Of the three dispatches, and of the one that does all.
    bindings: Vec<wgpu::BindGroup>,
}

impl Front {
    /// The texts that a front of this choice runs, for whatever pictures, where the input's scalars are `dtype`.
    pub fn wanted(choice: Choice, dtype: DType) -> Vec<Wanted> {
        let uniform = |index| (index, wgpu::BufferBindingType::Uniform);
        let wanted = |label: &str, kernel: Kernel, uniforms: &[u32]| {
            let mut bindings = vec![
                (0, wgpu::BufferBindingType::Storage { read_only: true }),
                (DST, wgpu::BufferBindingType::Storage { read_only: false }),
            ];
            bindings.extend(uniforms.iter().copied().map(uniform));
            Wanted { label: label.into(), text: kernel.text(), bindings, checked: false }
        };
        let mut all = vec![
            wanted("resize", resize::kernel(), &[4]),
            wanted("normalize", normalize::kernel(dtype), &[4]),
        ];
        // What shrinks too far to be read at once takes the other way.
        all.extend(choice.is(&ways::PREPARE).then(|| wanted("prepare", prepare::kernel(dtype), &[4, 5, 6])));
        all
    }

    /// A front that writes to the slot `input` with the pipelines of [`Front::wanted`].
    pub fn new(gpu: &Gpu, input: wgpu::Buffer, pipelines: &[wgpu::ComputePipeline]) -> Result<Front> {
        gpu.scoped("preprocessing", || Front {
            pipelines: pipelines.to_vec(),
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

    /// Makes the buffers large enough for a picture; false if it is larger than the device's buffers or than
    /// 64 MiB.
    pub fn fits(&mut self, engine: &Engine, passes: &Passes, source: &Source) -> Result<bool> {
        let between =
            if self.at_once(passes) { [0; 2] } else { [passes.intermediate() * 4, passes.crop() * 4] };
        let needed = [source.view.len, between[0], between[1]].map(|bytes| bytes as u64);
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

    /// Whether one dispatch does all.
    fn at_once(&self, passes: &Passes) -> bool {
        self.pipelines.len() == 3 && passes.at_once()
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
        let uniform = |at: u64| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &self.uniforms,
                offset: at * STEP,
                size: wgpu::BufferSize::new(64),
            })
        };
        // `uniforms` are bound one after the other.
        let bind = |pipeline: usize, src: &wgpu::Buffer, dst: &wgpu::Buffer, uniforms: Range<u64>| {
            let mut entries = vec![
                wgpu::BindGroupEntry { binding: 0, resource: src.as_entire_binding() },
                wgpu::BindGroupEntry { binding: DST, resource: dst.as_entire_binding() },
            ];
            entries.extend(uniforms.enumerate().map(|(place, at)| wgpu::BindGroupEntry {
                binding: DST + 1 + place as u32,
                resource: uniform(at),
            }));
            gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("preprocessing"),
                layout: &self.pipelines[pipeline].get_bind_group_layout(0),
                entries: &entries,
            })
        };
        let mut bindings = vec![
            bind(0, &picture, &intermediate, 0..1),
            bind(0, &intermediate, &crop, 1..2),
            bind(1, &crop, &self.input, 2..3),
        ];
        bindings.extend((self.pipelines.len() == 3).then(|| bind(2, &picture, &self.input, 0..3)));
        Buffers { picture, intermediate, crop, bindings }
    }

    /// Bytes that [`Front::write`] takes in an upload.
    pub fn upload(picture: &[u8]) -> usize {
        PICTURE as usize + picture.len()
    }

    /// Writes the uniforms and the picture as [`Front::record`] expects them in an upload.
    pub fn write(passes: &Passes, picture: &[u8], upload: &mut wgpu::BufferViewMut) {
        let uniforms = [
            bytemuck::bytes_of(&passes.first),
            bytemuck::bytes_of(&passes.second),
            bytemuck::bytes_of(&passes.normalize),
        ];
        for (at, uniform) in uniforms.into_iter().enumerate() {
            let begin = at * STEP as usize;
            upload.slice(begin..begin + uniform.len()).copy_from_slice(uniform);
        }
        upload.slice(PICTURE as usize..PICTURE as usize + picture.len()).copy_from_slice(picture);
    }

    /// Records the copies of the uniforms and the picture, opens a pass, and records the dispatches into it.
    pub fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        upload: &wgpu::Buffer,
        passes: &Passes,
        source: &Source,
    ) -> wgpu::ComputePass<'static> {
        let buffers = self.buffers.as_ref().expect("the buffers were made to fit");
        encoder.copy_buffer_to_buffer(upload, 0, &self.uniforms, 0, PICTURE);
        source.copy(encoder, upload, PICTURE, &buffers.picture);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime();
        let grids = passes.grids(self.workgroups);
        // Pipeline, grid, bindings. The last grid has an invocation per pixel of the input.
        let steps: &[[usize; 3]] =
            if self.at_once(passes) { &[[2, 2, 3]] } else { &[[0, 0, 0], [0, 1, 1], [1, 2, 2]] };
        for &[pipeline, grid, bindings] in steps {
            let [x, y, z] = grids[grid];
            pass.set_pipeline(&self.pipelines[pipeline]);
            pass.set_bind_group(0, &buffers.bindings[bindings], &[]);
            pass.dispatch_workgroups(x, y, z);
        }
        pass
    }
}
