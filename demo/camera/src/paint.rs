//! What egui describes, drawn into a texture: the window's, or one that is read back.

use crate::{gpu::Gpu, plate::Plate, theme::NIGHT};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
};

/// The renderer, and the plates that it knows.
pub struct Painter {
    renderer: egui_wgpu::Renderer,
    plates: Vec<(u64, Weak<Plate>, egui::TextureId)>,
    /// What it draws to.
    pub format: wgpu::TextureFormat,
    /// Written to before each drawing, to see whether the device still takes anything.
    probe: wgpu::Buffer,
}

/// What egui described, as triangles.
pub struct Drawing {
    /// What is drawn.
    pub triangles: Vec<egui::ClippedPrimitive>,
    /// Pixels per point.
    pub scale: f32,
}

impl Painter {
    /// A renderer to textures of a format.
    pub fn new(gpu: &Gpu, format: wgpu::TextureFormat) -> Painter {
        let options = egui_wgpu::RendererOptions { dithering: false, ..Default::default() };
        let probe = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("probe"),
            size: 4,
            usage: wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Painter {
            renderer: egui_wgpu::Renderer::new(&gpu.device, format, options),
            plates: Vec::new(),
            format,
            probe,
        }
    }

    /// What egui calls a plate.
    pub fn plate(&mut self, gpu: &Gpu, plate: &Arc<Plate>) -> egui::TextureId {
        if let Some((.., id)) = self.plates.iter().find(|(serial, ..)| *serial == plate.serial) {
            return *id;
        }
        let renderer = &mut self.renderer;
        self.plates.retain(|(_, plate, id)| {
            let lives = plate.strong_count() > 0;
            if !lives {
                renderer.free_texture(id);
            }
            lives
        });
        let id = renderer.register_native_texture(&gpu.device, &plate.view, wgpu::FilterMode::Linear);
        self.plates.push((plate.serial, Arc::downgrade(plate), id));
        id
    }

    /// Takes egui's changes of its own textures; to be called for every one of its outputs, drawn or not.
    pub fn textures(&mut self, gpu: &Gpu, mut changes: egui::TexturesDelta) {
        // What was freed is drawn no more: nothing of the last output is.
        for id in changes.free.drain() {
            self.renderer.free_texture(&id);
        }
        for (id, deltas) in changes.set.drain() {
            for delta in &deltas {
                self.renderer.update_texture(&gpu.device, &gpu.queue, id, delta);
            }
        }
    }

    /// Draws to `target`, which is `size` pixels, and submits, with what `after` records. On a lost device it
    /// draws nothing.
    pub fn draw(
        &mut self,
        gpu: &Gpu,
        target: &wgpu::TextureView,
        size: [u32; 2],
        drawing: &Drawing,
        after: impl FnOnce(&mut wgpu::CommandEncoder),
    ) {
        // The renderer panics where it cannot write. The probe finds out before; should the device go between the
        // two, the panic ends here: the renderer is made anew with the device.
        let lost =
            gpu.queue.write_buffer_with(&self.probe, 0, wgpu::BufferSize::MIN.saturating_add(3)).is_none();
        let draw = AssertUnwindSafe(|| self.record(gpu, target, size, drawing, after));
        if !lost && !gpu.is_lost() {
            catch_unwind(draw).ok();
        }
    }

    fn record(
        &mut self,
        gpu: &Gpu,
        target: &wgpu::TextureView,
        size: [u32; 2],
        drawing: &Drawing,
        after: impl FnOnce(&mut wgpu::CommandEncoder),
    ) {
        let screen = egui_wgpu::ScreenDescriptor { size_in_pixels: size, pixels_per_point: drawing.scale };
        let [r, g, b, a] = NIGHT.to_array().map(|value| f64::from(value) / 255.0);
        let night = wgpu::Color { r, g, b, a };
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut buffers =
            self.renderer.update_buffers(&gpu.device, &gpu.queue, &mut encoder, &drawing.triangles, &screen);
        {
            let mut pass = encoder
                .begin_render_pass(&wgpu::RenderPassDescriptor {
                    label: Some("window"),
                    color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                        view: target,
                        depth_slice: None,
                        resolve_target: None,
                        ops: wgpu::Operations {
                            load: wgpu::LoadOp::Clear(night),
                            store: wgpu::StoreOp::Store,
                        },
                    })],
                    ..Default::default()
                })
                .forget_lifetime();
            self.renderer.render(&mut pass, &drawing.triangles, &screen);
        }
        after(&mut encoder);
        buffers.push(encoder.finish());
        gpu.queue.submit(buffers);
    }
}

/// The format of a window's surface: the colours as they are, where it has them; `None` where the device cannot draw to
/// it.
pub fn window_format(gpu: &Gpu, surface: &wgpu::Surface) -> Option<wgpu::TextureFormat> {
    let formats = surface.get_capabilities(&gpu.adapter).formats;
    let plain = [wgpu::TextureFormat::Bgra8Unorm, wgpu::TextureFormat::Rgba8Unorm];
    plain.into_iter().find(|format| formats.contains(format)).or(formats.first().copied())
}

/// A renderer to a window's surface. Making it takes a while: not on the window's thread.
pub fn of_window(gpu: &Gpu, surface: &wgpu::Surface) -> Option<Painter> {
    window_format(gpu, surface).map(|format| Painter::new(gpu, format))
}

/// A texture to draw to that can be read back.
pub struct Offscreen {
    texture: wgpu::Texture,
    /// All of it.
    pub view: wgpu::TextureView,
    /// Columns and rows.
    pub size: [u32; 2],
    readback: wgpu::Buffer,
}

/// The format to draw to where nothing else decides.
pub const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

impl Offscreen {
    /// A texture of so many columns and rows.
    pub fn new(gpu: &Gpu, size: [u32; 2], format: wgpu::TextureFormat) -> Offscreen {
        let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("offscreen"),
            size: wgpu::Extent3d { width: size[0], height: size[1], depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let readback = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("offscreen"),
            size: u64::from(stride(size)) * u64::from(size[1]),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Offscreen { texture, view, size, readback }
    }

    /// Records the copy to where it can be read.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(stride(self.size)),
            rows_per_image: None,
        };
        encoder.copy_texture_to_buffer(
            self.texture.as_image_copy(),
            wgpu::TexelCopyBufferInfo { buffer: &self.readback, layout },
            self.texture.size(),
        );
    }

    /// Hands the picture (RGBA, without gaps) to `done` once it has come; somebody has to poll the device.
    pub fn read(self: &Arc<Offscreen>, done: impl FnOnce([u32; 2], Vec<u8>) + Send + 'static) {
        let own = self.clone();
        self.readback.map_async(wgpu::MapMode::Read, .., move |result| {
            let Ok(mapped) =
                result.map_err(drop).and_then(|()| own.readback.get_mapped_range(..).map_err(drop))
            else {
                return;
            };
            let rows = mapped.chunks_exact(stride(own.size) as usize);
            let mut rgba: Vec<u8> = rows.flat_map(|row| &row[..4 * own.size[0] as usize]).copied().collect();
            if own.texture.format() == wgpu::TextureFormat::Bgra8Unorm {
                rgba.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
            }
            drop(mapped);
            own.readback.unmap();
            done(own.size, rgba);
        });
    }
}

fn stride(size: [u32; 2]) -> u32 {
    (4 * size[0]).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT)
}
