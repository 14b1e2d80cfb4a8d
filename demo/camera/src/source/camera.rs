//! Cameras: those of this machine through nokhwa.
//!
//! A camera that is not there, or is pulled out, is looked for every second while the synthetic scene plays.

#[cfg(all(feature = "camera", target_os = "linux"))]
use super::v4l2::{colour, is_camera};
use super::{
    Stage,
    script::{self, Script},
    synthetic_until,
    watch::Watched,
};
use crate::frame::{Format, Frame};
#[cfg(feature = "camera")]
use crate::{frame::Colour, plain::plain};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Instant,
};

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

/// What came from a camera.
pub struct Sent {
    pub(super) size: (usize, usize),
    /// `None` for a JPEG.
    pub(super) format: Option<Format>,
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

/// What is done while there is no camera.
const INSTEAD: &str = "Playing the synthetic scene, and looking for it.";

/// Plays a camera until it is stopped.
pub fn play(mut camera: Watched, stage: &Stage) {
    // A camera that stays away, or sends nothing, is told of once; after its next frame everything is news again.
    let mut told = HashSet::new();
    let tell = |told: &mut HashSet<String>, line: String| {
        if told.insert(line.clone()) {
            (stage.tell)(line);
        }
    };
    let mut was = false;
    while !stage.stopped() {
        match camera.open() {
            Ok(name) => tell(&mut told, format!("{name} is open.")),
            Err(reason) => {
                let line = format!("No camera: {reason}. {INSTEAD}");
                tell(&mut told, line.clone());
                let mut found = None;
                synthetic_until(stage, Some(line), || {
                    found = camera.open().ok();
                    found.is_some()
                });
                let Some(name) = found else { break };
                tell(&mut told, if was { "The camera is back.".into() } else { format!("{name} is open.") });
            }
        }
        let (mut came, mut gone) = (false, String::new());
        while !stage.stopped() {
            let (bytes, sent) = match camera.frame(stage.slot.buffer()) {
                Ok(sent) => sent,
                Err(reason) => {
                    gone = format!("The camera is gone: {reason}.");
                    tell(&mut told, gone.clone());
                    break;
                }
            };
            let captured = Instant::now();
            match unpack(&sent, bytes, stage) {
                Ok((bytes, format, size)) => {
                    if !came {
                        told.clear();
                    }
                    (came, was) = (true, true);
                    stage.put(Frame { id: 0, captured, size, format, bytes, truth: None, caption: None });
                }
                Err(reason) => tell(&mut told, format!("A frame was dropped: {reason}.")),
            }
        }
        camera.close();
        if !came {
            // It opens and sends nothing: not to be asked again at once.
            synthetic_until(stage, Some(format!("{gone} {INSTEAD}")), || true);
        }
    }
    camera.close();
}

/// The pixels of what came, or why there are none.
fn unpack(sent: &Sent, bytes: Vec<u8>, stage: &Stage) -> Result<(Vec<u8>, Format, (usize, usize)), String> {
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
