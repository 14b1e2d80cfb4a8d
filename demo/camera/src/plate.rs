//! Textures that frames are uploaded to, each with its upload buffers. A plate is written again once nobody
//! shows it or computes from it.

use crate::{
    convert::{Converter, SHAPE, shape},
    frame::{Format, Frame},
    plain::plain,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Plates of one size: those in flight, the one shown, the one about to be shown, and one to write.
const MOST: usize = 6;

/// Every plate of this program has another number.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A texture and what fills it.
pub struct Plate {
    /// Which plate of this program it is.
    pub serial: u64,
    /// `Rgba8Unorm`, the frame's own size.
    pub texture: wgpu::Texture,
    /// All of it.
    pub view: wgpu::TextureView,
    /// Columns and rows.
    pub size: (usize, usize),
    /// Mapped whenever `writable`.
    staging: wgpu::Buffer,
    writable: Arc<AtomicBool>,
    raw: wgpu::Buffer,
    bound: wgpu::BindGroup,
}

/// All plates of a device.
pub struct Plates {
    device: wgpu::Device,
    converter: Converter,
    /// What the shader is told of the frames, written when plates are made.
    shape: wgpu::Buffer,
    plates: Vec<Arc<Plate>>,
    format: Format,
}

impl Plates {
    /// None yet.
    pub fn new(device: &wgpu::Device) -> Plates {
        let shape = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("shape"),
            size: SHAPE as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let (device, converter) = (device.clone(), Converter::new(device));
        Plates { device, converter, shape, plates: Vec::new(), format: Format::Rgba }
    }

    /// A plate for frames of this size and layout; `None` while all are in use.
    pub fn take(&mut self, queue: &wgpu::Queue, size: (usize, usize), format: Format) -> Option<Arc<Plate>> {
        if self.format != format || self.plates.first().is_some_and(|plate| plate.size != size) {
            // Those still shown or in flight live on with whoever holds them.
            self.plates.clear();
            self.format = format;
        }
        let free =
            |plate: &&Arc<Plate>| Arc::strong_count(plate) == 1 && plate.writable.load(Ordering::Acquire);
        if let Some(plate) = self.plates.iter().find(free) {
            return Some(plate.clone());
        }
        if self.plates.len() >= MOST {
            return None;
        }
        let plate = Arc::new(self.make(queue, size, format));
        self.plates.push(plate.clone());
        Some(plate)
    }

    fn make(&self, queue: &wgpu::Queue, size: (usize, usize), format: Format) -> Plate {
        let device = &self.device;
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("plate"),
            size: extent(size),
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::TEXTURE_BINDING
                | wgpu::TextureUsages::STORAGE_BINDING
                | wgpu::TextureUsages::COPY_SRC
                | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let buffer = |label, bytes: usize, usage, mapped_at_creation| {
            let size = bytes.next_multiple_of(16) as u64;
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation,
            })
        };
        let (bytes, usage) = match format {
            Format::Rgba => (stride(size) * size.1, 16),
            other => (other.bytes(size), other.bytes(size)),
        };
        let up = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        let staging = buffer("plate upload", bytes, up, true);
        let raw =
            buffer("plate raw", usage, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST, false);
        queue.write_buffer(&self.shape, 0, bytemuck::cast_slice(&shape(size, format)));
        let bound = self.converter.bind(device, &raw, &view, &self.shape);
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        let writable = Arc::new(AtomicBool::new(true));
        Plate { serial, texture, view, size, staging, writable, raw, bound }
    }

    /// Records the upload of a frame to a plate that was taken for it.
    ///
    /// # Errors
    /// A line when the upload buffer cannot be written: the device is lost.
    pub fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        plate: &Plate,
        frame: &Frame,
    ) -> Result<(), String> {
        let size = frame.size;
        {
            let mapped = plate.staging.get_mapped_range_mut(..);
            let mut mapped = mapped.map_err(|error| format!("upload: {}", plain(error)))?;
            let (row, stride) = match frame.format {
                Format::Rgba => (4 * size.0, stride(size)),
                // Rows follow each other as they are.
                _ => (frame.bytes.len(), frame.bytes.len()),
            };
            for (at, row) in frame.bytes.chunks_exact(row).enumerate() {
                mapped.slice(at * stride..at * stride + row.len()).copy_from_slice(row);
            }
        }
        plate.staging.unmap();
        plate.writable.store(false, Ordering::Release);
        if frame.format == Format::Rgba {
            let layout = wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(stride(size) as u32),
                rows_per_image: None,
            };
            encoder.copy_buffer_to_texture(
                wgpu::TexelCopyBufferInfo { buffer: &plate.staging, layout },
                plate.texture.as_image_copy(),
                extent(size),
            );
        } else {
            encoder.copy_buffer_to_buffer(&plate.staging, 0, &plate.raw, 0, plate.raw.size());
            self.converter.record(encoder, &plate.bound, size);
        }
        Ok(())
    }
}

impl Plate {
    /// Asks for the upload buffer back; to be called when the upload has been submitted.
    pub fn submitted(&self) {
        let writable = self.writable.clone();
        self.staging.map_async(wgpu::MapMode::Write, .., move |result| {
            writable.store(result.is_ok(), Ordering::Release);
        });
    }
}

/// Bytes from a row of an RGBA upload to the next, as copies to textures want it.
fn stride(size: (usize, usize)) -> usize {
    (4 * size.0).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize)
}

fn extent(size: (usize, usize)) -> wgpu::Extent3d {
    wgpu::Extent3d { width: size.0 as u32, height: size.1 as u32, depth_or_array_layers: 1 }
}
