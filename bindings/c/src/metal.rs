//! Metal's textures, such as a camera's frames in `CVMetalTextureCache`, without a copy through the host.

use std::{ffi::c_void, ptr::NonNull};

use engine::{Input, PixelTexture, wgpu};
use objc2::{Message, runtime::ProtocolObject};
use objc2_metal::{MTLPixelFormat, MTLTexture, MTLTextureType};

use crate::{
    error::{Failure, MOBILEONE_INPUT, MOBILEONE_OPTION, MobileoneStatus, Result, guard},
    input,
    session::{MobileoneSession, SESSIONS},
    structs::{place, slice},
    ticket::{MobileoneTicket, begin},
};

/// The device of a session on Metal, `id<MTLDevice>`, for the texture cache to be made on; null for any other. It is
/// the session's: retain it where it is kept longer.
#[unsafe(no_mangle)]
pub extern "C" fn mobileone_session_metal_device(session: MobileoneSession) -> *mut c_void {
    let mut raw = std::ptr::null_mut();
    guard(|| {
        let open = SESSIONS.get(session)?;
        let Some((device, _)) = open.device.wgpu() else { return Err(not_metal()) };
        // SAFETY: it is only asked for its raw handle, and not destroyed.
        let metal = unsafe { device.as_hal::<wgpu::hal::api::Metal>() };
        let metal = metal.ok_or_else(not_metal)?;
        raw = objc2::rc::Retained::as_ptr(metal.raw_device()).cast_mut().cast();
        Ok(())
    });
    raw
}

/// As `mobileone_submit`, of a Metal texture (`id<MTLTexture>`): 2D, `MTLPixelFormatBGRA8Unorm` or `RGBA8Unorm` (sRGB or
/// not), of the session's own device. `crop` is 4 numbers, or null for the whole; `rotation` a `MOBILEONE_ROTATION_`
/// number. The texture is retained; what lies under it, such as a camera's pixel buffer, must not be written to until
/// the ticket has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_submit_metal_texture(
    session: MobileoneSession,
    texture: *mut c_void,
    crop: *const u32,
    rotation: u32,
    ticket: *mut MobileoneTicket,
) -> MobileoneStatus {
    guard(|| {
        // SAFETY: the header's promise of pointers.
        let ticket = unsafe { place(ticket, "ticket") }?;
        let open = SESSIONS.get(session)?;
        let crop = match crop.is_null() {
            true => None,
            // SAFETY: not null, and as above.
            false => input::crop(unsafe { slice(crop, 4, "crop") }?.try_into().expect("4 numbers")),
        };
        let rotation = input::rotation(rotation)?;
        let _turn = open.enter()?;
        let Some((device, _)) = open.device.wgpu() else { return Err(not_metal()) };
        // SAFETY: as above.
        let texture = unsafe { import(device, texture) }?;
        let picture = Input::Texture(PixelTexture { texture: &texture, crop, rotation });
        *ticket = begin(&open, open.engine.submit(picture)?, 1)?;
        Ok(())
    })
}

fn not_metal() -> Failure {
    Failure::new(MOBILEONE_OPTION, "the session's device is not Metal's")
}

/// # Safety
/// `raw` is null or an `id<MTLTexture>` of `device`.
unsafe fn import(device: &wgpu::Device, raw: *mut c_void) -> Result<wgpu::Texture> {
    let raw = NonNull::new(raw.cast::<ProtocolObject<dyn MTLTexture>>());
    let raw = raw.ok_or_else(|| Failure::argument("texture is null"))?;
    // SAFETY: not null, and the caller's promise.
    let raw = unsafe { raw.as_ref() }.retain();
    let refuse = |reason: String| Err(Failure::new(MOBILEONE_INPUT, reason));
    let format = match raw.pixelFormat() {
        MTLPixelFormat::RGBA8Unorm => wgpu::TextureFormat::Rgba8Unorm,
        MTLPixelFormat::RGBA8Unorm_sRGB => wgpu::TextureFormat::Rgba8UnormSrgb,
        MTLPixelFormat::BGRA8Unorm => wgpu::TextureFormat::Bgra8Unorm,
        MTLPixelFormat::BGRA8Unorm_sRGB => wgpu::TextureFormat::Bgra8UnormSrgb,
        other => return refuse(format!("a texture of MTLPixelFormat {}: BGRA8Unorm is needed", other.0)),
    };
    if raw.textureType() != MTLTextureType::Type2D {
        return refuse(format!("a texture of MTLTextureType {}: 2D is needed", raw.textureType().0));
    }
    let size =
        wgpu::Extent3d { width: raw.width() as u32, height: raw.height() as u32, depth_or_array_layers: 1 };
    // SAFETY: `as_hal` tells the backend.
    if unsafe { device.as_hal::<wgpu::hal::api::Metal>() }.is_none() {
        return Err(not_metal());
    }
    let extent = wgpu::hal::CopyExtent { width: size.width, height: size.height, depth: 1 };
    // SAFETY: a 2D texture of one layer, whose first level is used; it is retained.
    let texture = unsafe {
        wgpu::hal::metal::Device::texture_from_raw(raw, format, MTLTextureType::Type2D, 1, 1, extent, None)
    };
    let descriptor = wgpu::TextureDescriptor {
        label: Some("the caller's texture"),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    };
    // SAFETY: of this device by the caller's promise; described as it is; its content is what a copy reads.
    Ok(unsafe {
        device.create_texture_from_hal::<wgpu::hal::api::Metal>(
            texture,
            &descriptor,
            wgpu::TextureUses::COPY_SRC,
        )
    })
}
