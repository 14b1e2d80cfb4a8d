//! Cameras: those of this machine through nokhwa.

#[cfg(all(feature = "camera", target_os = "linux"))]
use super::v4l2::{colour, is_camera};
use super::{
    script::{self, Script},
    sent::Sent,
};
#[cfg(feature = "camera")]
use crate::{
    frame::{Colour, Format},
    plain::plain,
};
use std::sync::{Arc, Mutex};

/// Which camera, and what is asked of it; 0 for what is nearest to 640x480 at 30 frames per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Its number on this machine.
    pub index: u32,
    /// Columns and rows.
    pub size: (u32, u32),
    /// Frames per second.
    pub rate: u32,
}

/// A camera, whoever drives it.
pub enum Camera {
    /// One of this machine, while it is open.
    #[cfg(feature = "camera")]
    Native(Wanted, Option<(Box<nokhwa::Camera>, Colour)>),
    /// None: the program was built without.
    None,
    /// A test's.
    Script(Arc<Mutex<Script>>),
}

/// A camera of this machine.
pub fn native(wanted: &Wanted) -> Camera {
    #[cfg(feature = "camera")]
    return Camera::Native(*wanted, None);
    #[cfg(not(feature = "camera"))]
    {
        let _ = wanted;
        Camera::None
    }
}

/// Numbers and names of this machine's cameras.
pub fn list() -> Vec<(u32, String)> {
    #[cfg(feature = "camera")]
    {
        let found = nokhwa::query(nokhwa::utils::ApiBackend::Auto).unwrap_or_default();
        let known =
            |info: nokhwa::utils::CameraInfo| Some((info.index().as_index().ok()?, info.human_name()));
        let mut cameras: Vec<_> =
            found.into_iter().filter_map(known).filter(|(index, _)| is_camera(*index)).collect();
        cameras.sort();
        cameras
    }
    #[cfg(not(feature = "camera"))]
    Vec::new()
}

impl Camera {
    /// Opens it, and says what it is.
    pub(super) fn open(&mut self) -> Result<String, String> {
        match self {
            #[cfg(feature = "camera")]
            Camera::Native(wanted, opened) => {
                if list().is_empty() {
                    return Err("none is plugged in".into());
                }
                let (camera, name) = open(wanted)?;
                *opened = Some((Box::new(camera), colour(wanted.index)));
                Ok(name)
            }
            Camera::None => Err("this program was built without cameras (feature camera)".into()),
            Camera::Script(script) => script::open(script),
        }
    }

    /// Waits for a frame and writes it to `bytes`.
    pub(super) fn frame(&mut self, bytes: &mut Vec<u8>) -> Result<Sent, String> {
        bytes.clear();
        match self {
            #[cfg(feature = "camera")]
            Camera::Native(_, opened) => {
                let (camera, colour) = opened.as_mut().ok_or("the camera is closed")?;
                let buffer = camera.frame().map_err(plain)?;
                bytes.extend_from_slice(buffer.buffer());
                let resolution = buffer.resolution();
                let size = (resolution.width() as usize, resolution.height() as usize);
                Ok(Sent { size, format: layout(buffer.source_frame_format(), *colour) })
            }
            Camera::None => Err("no camera".into()),
            Camera::Script(script) => script::frame(script, bytes),
        }
    }

    /// Lets go of it.
    pub(super) fn close(&mut self) {
        match self {
            #[cfg(feature = "camera")]
            Camera::Native(_, opened) => *opened = None,
            Camera::None | Camera::Script(_) => {}
        }
    }
}

#[cfg(feature = "camera")]
fn layout(format: nokhwa::utils::FrameFormat, colour: Colour) -> Option<Format> {
    use nokhwa::utils::FrameFormat;
    match format {
        FrameFormat::MJPEG => None,
        FrameFormat::YUYV => Some(Format::Yuyv(colour)),
        FrameFormat::NV12 => Some(Format::Nv12(colour)),
        FrameFormat::GRAY => Some(Format::Gray),
        FrameFormat::RAWRGB => Some(Format::Rgb),
        FrameFormat::RAWBGR => Some(Format::Bgr),
    }
}

/// Whether what is found is a camera: outside Linux, always.
#[cfg(all(feature = "camera", not(target_os = "linux")))]
fn is_camera(_: u32) -> bool {
    true
}

/// How a camera makes its luma and chroma: outside Linux, nobody says.
#[cfg(all(feature = "camera", not(target_os = "linux")))]
fn colour(_: u32) -> Colour {
    Colour::USUAL
}

#[cfg(feature = "camera")]
fn open(wanted: &Wanted) -> Result<(nokhwa::Camera, String), String> {
    use nokhwa::utils::{
        CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType, Resolution,
    };
    // In the order of preference: what a shader reads goes before what the host has to decode.
    let formats = [
        FrameFormat::NV12,
        FrameFormat::YUYV,
        FrameFormat::MJPEG,
        FrameFormat::RAWRGB,
        FrameFormat::RAWBGR,
        FrameFormat::GRAY,
    ];
    // macOS asks its user, once, and wants to be asked before anything else.
    static ASKED: std::sync::Once = std::sync::Once::new();
    ASKED.call_once(|| {
        let (answers, answered) = std::sync::mpsc::channel();
        nokhwa::nokhwa_initialize(move |granted| {
            answers.send(granted).ok();
        });
        answered.recv_timeout(std::time::Duration::from_secs(60)).ok();
    });
    let index = CameraIndex::Index(wanted.index);
    let any = RequestedFormat::with_formats(RequestedFormatType::None, &formats);
    let mut camera = nokhwa::Camera::new(index, any).map_err(plain)?;
    let offered = camera.compatible_camera_formats().unwrap_or_default();
    let apart = |a: u32, b: u32| u64::from(a.abs_diff(b));
    let (width, height) = if wanted.size.0 > 0 { wanted.size } else { (640, 480) };
    let rate = if wanted.rate > 0 { wanted.rate } else { 30 };
    let cost = |format: &CameraFormat| {
        let size = apart(format.width(), width) + apart(format.height(), height);
        let kind = formats.iter().position(|known| *known == format.format()).unwrap_or(formats.len());
        (size, apart(format.frame_rate().min(rate), rate), apart(format.frame_rate(), rate), kind)
    };
    if let Some(best) = offered.iter().min_by_key(|format| cost(format)) {
        // A camera that refuses what it offers is used as it is.
        let exact = RequestedFormat::with_formats(RequestedFormatType::Exact(*best), &formats);
        camera.set_camera_requset(exact).ok();
    } else if wanted.size.0 > 0 {
        camera.set_resolution(Resolution::new(width, height)).ok();
    }
    camera.open_stream().map_err(plain)?;
    let name = format!("{} ({})", camera.info().human_name(), camera.camera_format());
    Ok((camera, name))
}
