//! What cameras and videos send, made RGBA: by a shader, and by its twin on the host for the CPU executor.

use crate::frame::Format;

/// The layouts in the order of the shader's cases.
pub const FORMATS: [Format; 7] =
    [Format::Rgba, Format::Rgb, Format::Bgr, Format::Gray, Format::Yuyv, Format::Nv12, Format::I420];

/// Writes the pixels of `raw` to `rgba`, whose room is used again. What is missing at the end of `raw` is black.
pub fn to_rgba(raw: &[u8], (width, height): (usize, usize), format: Format, rgba: &mut Vec<u8>) {
    rgba.clear();
    rgba.reserve(4 * width * height);
    let (plane, half) = (width * height, width.div_ceil(2));
    let byte = |at: usize| i32::from(raw.get(at).copied().unwrap_or(0));
    for y in 0..height {
        for x in 0..width {
            let at = y * width + x;
            let quarter = y / 2 * half + x / 2;
            let pixel = match format {
                Format::Rgba => [byte(4 * at), byte(4 * at + 1), byte(4 * at + 2)],
                Format::Rgb => [byte(3 * at), byte(3 * at + 1), byte(3 * at + 2)],
                Format::Bgr => [byte(3 * at + 2), byte(3 * at + 1), byte(3 * at)],
                Format::Gray => [byte(at); 3],
                Format::Yuyv => {
                    let pair = 4 * (y * half + x / 2);
                    rgb(byte(pair + 2 * (x % 2)), byte(pair + 1), byte(pair + 3))
                }
                Format::Nv12 => rgb(byte(at), byte(plane + 2 * quarter), byte(plane + 2 * quarter + 1)),
                Format::I420 => {
                    let u = plane + quarter;
                    rgb(byte(at), byte(u), byte(u + half * height.div_ceil(2)))
                }
            };
            let [r, g, b] = pixel.map(|value| value.clamp(0, 255) as u8);
            rgba.extend([r, g, b, 255]);
        }
    }
}

/// BT.601 of limited range, in 8 bits of fraction.
fn rgb(y: i32, u: i32, v: i32) -> [i32; 3] {
    let (c, d, e) = (298 * (y - 16) + 128, u - 128, v - 128);
    [(c + 409 * e) >> 8, (c - 100 * d - 208 * e) >> 8, (c + 516 * d) >> 8]
}

/// The shader, compiled.
pub struct Converter {
    pipeline: wgpu::ComputePipeline,
}

impl Converter {
    /// Compiles the shader.
    pub fn new(device: &wgpu::Device) -> Converter {
        let module = device.create_shader_module(wgpu::include_wgsl!("convert.wgsl"));
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("convert"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Converter { pipeline }
    }

    /// Binds a buffer of raw bytes, the texture for their pixels, and the shape.
    pub fn bind(
        &self,
        device: &wgpu::Device,
        raw: &wgpu::Buffer,
        dst: &wgpu::TextureView,
        shape: &wgpu::Buffer,
    ) -> wgpu::BindGroup {
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("convert"),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: raw.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(dst) },
                wgpu::BindGroupEntry { binding: 2, resource: shape.as_entire_binding() },
            ],
        })
    }

    /// Records the conversion of a frame of so many columns and rows.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, bound: &wgpu::BindGroup, size: (usize, usize)) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, bound, &[]);
        pass.dispatch_workgroups(size.0.div_ceil(8) as u32, size.1.div_ceil(8) as u32, 1);
    }
}
