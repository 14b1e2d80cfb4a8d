//! Where a picture lies: in the frame's upload, or on the device already.

use crate::{
    error::{Error, Result},
    input::{PixelBuffer, PixelTexture},
    preprocess::{PixelFormat, Pixels, Raster, View, cropped},
};

/// A picture, and how its bytes get to the front's buffer.
pub struct Source<'a> {
    /// How they lie there.
    pub view: View,
    place: Place<'a>,
}

enum Place<'a> {
    /// In the host's memory: they come behind the uniforms of an upload.
    Host(&'a [u8]),
    /// From this corner of a texture, rows of so many bytes.
    Texture(&'a wgpu::Texture, wgpu::Origin3d, wgpu::Extent3d, u32),
    /// From this byte of a buffer.
    Buffer(&'a wgpu::Buffer, u64),
}

impl<'a> Source<'a> {
    /// A picture in the host's memory.
    ///
    /// # Errors
    /// Those of [`Pixels::view`].
    pub fn pixels(pixels: &Pixels<'a>) -> Result<Source<'a>> {
        let view = pixels.view()?;
        Ok(Source { view, place: Place::Host(view.of(pixels.bytes)) })
    }

    /// A picture in a texture.
    ///
    /// # Errors
    /// [`Error::Input`] naming what does not fit: the texture's kind, its format, its usage, or the crop.
    pub fn texture(picture: &PixelTexture<'a>) -> Result<Source<'a>> {
        use wgpu::{TextureDimension, TextureFormat as Format, TextureUsages};
        let PixelTexture { texture, crop, rotation } = *picture;
        let refuse = |reason: String| Err(Error::Input(format!("texture: {reason}")));
        if texture.dimension() != TextureDimension::D2 || texture.sample_count() != 1 {
            return refuse("it must have two dimensions and one sample".into());
        }
        let format = match texture.format() {
            Format::Rgba8Unorm | Format::Rgba8UnormSrgb => PixelFormat::Rgba8,
            Format::Bgra8Unorm | Format::Bgra8UnormSrgb => PixelFormat::Bgra8,
            other => {
                return refuse(format!("format {other:?}; it must be Rgba8Unorm or Bgra8Unorm, sRGB or not"));
            }
        };
        if !texture.usage().contains(TextureUsages::COPY_SRC) {
            return refuse(format!("usage {:?}; make it with COPY_SRC too", texture.usage()));
        }
        let [left, top, w, h] = cropped(crop, (texture.width() as usize, texture.height() as usize))?;
        let stride = (4 * w as u32).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let raster = Raster { size: (w, h), stride: stride as usize, format, crop: None, rotation };
        let view = raster.view(u64::from(stride) * h as u64)?;
        let origin = wgpu::Origin3d { x: left as u32, y: top as u32, z: 0 };
        let extent = wgpu::Extent3d { width: w as u32, height: h as u32, depth_or_array_layers: 1 };
        Ok(Source { view, place: Place::Texture(texture, origin, extent, stride) })
    }

    /// A picture in a buffer.
    ///
    /// # Errors
    /// [`Error::Input`] naming what does not fit: the buffer's usage, the offset, or as [`Pixels::view`].
    pub fn buffer(picture: &PixelBuffer<'a>) -> Result<Source<'a>> {
        let PixelBuffer { buffer, offset, size, stride, format, crop, rotation } = *picture;
        let refuse = |reason: String| Err(Error::Input(format!("buffer: {reason}")));
        if !buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return refuse(format!("usage {:?}; make it with COPY_SRC too", buffer.usage()));
        }
        if offset % wgpu::COPY_BUFFER_ALIGNMENT != 0 || offset > buffer.size() {
            return refuse(format!("offset {offset}; it must be a multiple of 4 within {}", buffer.size()));
        }
        let view = Raster { size, stride, format, crop, rotation }.view(buffer.size() - offset)?;
        Ok(Source { view, place: Place::Buffer(buffer, offset + view.first as u64) })
    }

    /// The bytes that an upload has to hold.
    pub fn upload(&self) -> &'a [u8] {
        match self.place {
            Place::Host(bytes) => bytes,
            Place::Texture(..) | Place::Buffer(..) => &[],
        }
    }

    /// Records the copy of the picture to `dst`, from byte `at` of `upload` where it comes from the host.
    pub fn copy(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        upload: &wgpu::Buffer,
        at: u64,
        dst: &wgpu::Buffer,
    ) {
        let len = self.view.len as u64;
        match self.place {
            Place::Host(_) => encoder.copy_buffer_to_buffer(upload, at, dst, 0, len),
            Place::Buffer(buffer, first) => encoder.copy_buffer_to_buffer(buffer, first, dst, 0, len),
            Place::Texture(texture, origin, extent, stride) => encoder.copy_texture_to_buffer(
                wgpu::TexelCopyTextureInfo { origin, ..texture.as_image_copy() },
                wgpu::TexelCopyBufferInfo {
                    buffer: dst,
                    layout: wgpu::TexelCopyBufferLayout {
                        offset: 0,
                        bytes_per_row: Some(stride),
                        rows_per_image: None,
                    },
                },
                extent,
            ),
        }
    }
}
