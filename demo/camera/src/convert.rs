//! What cameras and videos send, made RGBA: by a shader, and by its twin on the host for the CPU executor.

use crate::frame::{Colour, Format};
use mobileone::preprocess::{Yuv, YuvPlanes, YuvWeights};

/// Bytes of a [`shape`].
pub const SHAPE: usize = 48;

/// What the shader is told of frames of a size and layout.
pub fn shape(size: (usize, usize), format: Format) -> [u32; SHAPE / 4] {
    let layout = match format {
        Format::Rgba => 0,
        Format::Rgb => 1,
        Format::Bgr => 2,
        Format::Gray => 3,
        Format::Yuyv(_) => 4,
        Format::Nv12(_) => 5,
        Format::I420(_) => 6,
    };
    let Colour { matrix, range } = format.colour().unwrap_or(Colour::USUAL);
    let YuvWeights { black, luma, red_cr, green_cb, green_cr, blue_cb } = YuvWeights::new(matrix, range);
    let [black, luma, red_cr] = [black, luma, red_cr].map(i32::cast_unsigned);
    let [green_cb, green_cr, blue_cb] = [green_cb, green_cr, blue_cb].map(i32::cast_unsigned);
    let (width, height) = (size.0 as u32, size.1 as u32);
    [width, height, layout, black, luma, red_cr, green_cb, green_cr, blue_cb, 0, 0, 0]
}

/// Writes the pixels of `raw` to `rgba`, whose room is used again. Of a frame whose bytes do not fit its size nothing
/// is written.
pub fn to_rgba(raw: &[u8], size: (usize, usize), format: Format, rgba: &mut Vec<u8>) {
    rgba.clear();
    let (width, height) = size;
    if raw.len() != format.bytes(size) {
        return;
    }
    let (luma, chroma) = raw.split_at(raw.len().min(width * height));
    let chroma_stride = 2 * width.div_ceil(2);
    let nv12 = |chroma| YuvPlanes::Nv12 { luma, luma_stride: width, chroma, chroma_stride };
    match format {
        Format::Rgba => rgba.extend(raw.as_chunks().0.iter().flat_map(|[r, g, b, _]| [*r, *g, *b, 255])),
        Format::Rgb => rgba.extend(raw.as_chunks().0.iter().flat_map(|[r, g, b]| [*r, *g, *b, 255])),
        Format::Bgr => rgba.extend(raw.as_chunks().0.iter().flat_map(|[b, g, r]| [*r, *g, *b, 255])),
        Format::Gray => rgba.extend(raw.iter().flat_map(|grey| [*grey, *grey, *grey, 255])),
        Format::Yuyv(colour) => {
            yuv(YuvPlanes::Yuyv { bytes: raw, stride: 2 * chroma_stride }, size, colour, rgba);
        }
        Format::Nv12(colour) => yuv(nv12(chroma), size, colour, rgba),
        Format::I420(colour) => {
            let (cb, cr) = chroma.split_at(chroma.len() / 2);
            let pairs: Vec<u8> = cb.iter().zip(cr).flat_map(|(cb, cr)| [*cb, *cr]).collect();
            yuv(nv12(&pairs), size, colour, rgba);
        }
    }
}

fn yuv(planes: YuvPlanes, size: (usize, usize), colour: Colour, rgba: &mut Vec<u8>) {
    let Colour { matrix, range } = colour;
    if (Yuv { planes, size, crop: None, matrix, range }).to_rgba(rgba).is_err() {
        rgba.clear();
    }
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
