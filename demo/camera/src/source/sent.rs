//! What came from a camera, and its pixels.

use super::Stage;
use crate::frame::Format;

/// What came from a camera.
pub struct Sent {
    pub(super) size: (usize, usize),
    /// `None` for a JPEG.
    pub(super) format: Option<Format>,
}

/// The pixels of what came, or why there are none.
pub(super) fn unpack(
    sent: &Sent,
    bytes: Vec<u8>,
    stage: &Stage,
) -> Result<(Vec<u8>, Format, (usize, usize)), String> {
    let Some(format) = sent.format else {
        // Decoded on this thread, which waits for the next frame anyway.
        let mut reader =
            image::ImageReader::with_format(std::io::Cursor::new(&bytes), image::ImageFormat::Jpeg);
        let mut limits = image::Limits::default();
        (limits.max_image_width, limits.max_image_height) = (Some(8192), Some(8192));
        reader.limits(limits);
        let decoded = reader.decode().map_err(|error| format!("not a sound JPEG ({error})"));
        stage.slot.give_back(bytes);
        let decoded = decoded?.into_rgb8();
        let size = (decoded.width() as usize, decoded.height() as usize);
        return Ok((decoded.into_raw(), Format::Rgb, size));
    };
    let format = stage.yuv.map_or(format, |colour| format.coloured(colour));
    let needed = format.bytes(sent.size);
    let mut bytes = bytes;
    if bytes.len() < needed {
        let reason = format!("{} bytes of {needed}", bytes.len());
        stage.slot.give_back(bytes);
        return Err(reason);
    }
    bytes.truncate(needed);
    Ok((bytes, format, sent.size))
}
