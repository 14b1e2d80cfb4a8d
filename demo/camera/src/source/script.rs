//! A camera that plays a test's script.

use super::sent::Sent;
use crate::frame::{Colour, Format};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

/// One thing that a scripted camera does.
#[derive(Clone, Debug, PartialEq)]
pub enum Cue {
    /// Sends so many frames of a size and layout.
    Frames(usize, (usize, usize), Kind),
    /// Is pulled out, and found again at so many looks later.
    Unplug(usize),
    /// Sends nothing for so many seconds.
    Hang(usize),
}

/// How a camera sends its frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// As pixels.
    Raw(Format),
    /// As JPEGs.
    Mjpeg,
    /// As JPEGs that are none.
    Garbage,
    /// As pixels, of which some are missing.
    Short,
}

impl Cue {
    /// Reads `unplug:2`, `hang:9`, or `yuyv:30:640x480`.
    ///
    /// # Errors
    /// A line when it is neither.
    pub fn parse(text: &str) -> Result<Cue, String> {
        let wrong = || format!("{text}: a cue is unplug:2, hang:9 or yuyv:30:640x480");
        let mut parts = text.split(':');
        let (Some(kind), Some(count)) = (parts.next(), parts.next().and_then(|count| count.parse().ok()))
        else {
            return Err(wrong());
        };
        let kind = match kind {
            "unplug" => return Ok(Cue::Unplug(count)),
            "hang" => return Ok(Cue::Hang(count)),
            "mjpeg" => Kind::Mjpeg,
            "garbage" => Kind::Garbage,
            "short" => Kind::Short,
            "rgba" => Kind::Raw(Format::Rgba),
            "rgb" => Kind::Raw(Format::Rgb),
            "bgr" => Kind::Raw(Format::Bgr),
            "gray" => Kind::Raw(Format::Gray),
            "yuyv" => Kind::Raw(Format::Yuyv(Colour::USUAL)),
            "nv12" => Kind::Raw(Format::Nv12(Colour::USUAL)),
            "i420" => Kind::Raw(Format::I420(Colour::USUAL)),
            _ => return Err(wrong()),
        };
        let size = parts.next().and_then(|size| size.split_once('x')).ok_or_else(wrong)?;
        let side = |text: &str| text.parse().ok().filter(|side| (1..=8192).contains(side)).ok_or_else(wrong);
        Ok(Cue::Frames(count, (side(size.0)?, side(size.1)?), kind))
    }
}

/// A camera that does as it is told.
#[derive(Default)]
pub struct Script {
    cues: VecDeque<Cue>,
    /// Frames sent of the first cue.
    sent: usize,
    /// Looks until it is found.
    missing: usize,
}

/// A camera that does as it is told.
pub fn script(cues: &[Cue]) -> Arc<Mutex<Script>> {
    Arc::new(Mutex::new(Script { cues: cues.to_vec().into(), ..Script::default() }))
}

/// Whether it is there, and what it is called.
pub(super) fn open(script: &Mutex<Script>) -> Result<String, String> {
    let mut script = script.lock().expect("no panic while a script is read");
    if script.cues.is_empty() {
        return Err("the script is over".into());
    }
    if script.missing > 0 {
        script.missing -= 1;
        return Err("the scripted camera is unplugged".into());
    }
    Ok("The scripted camera".into())
}

/// Waits for its next frame.
pub(super) fn frame(script: &Mutex<Script>, bytes: &mut Vec<u8>) -> Result<Sent, String> {
    loop {
        let next = script.lock().expect("no panic while a script is read").next()?;
        match next {
            Next::Hang(time) => std::thread::sleep(time),
            Next::Frame(size, kind) => {
                std::thread::sleep(Duration::from_millis(15));
                return Ok(act(size, kind, bytes));
            }
        }
    }
}

/// What a script has a camera do next.
enum Next {
    Frame((usize, usize), Kind),
    Hang(Duration),
}

impl Script {
    fn next(&mut self) -> Result<Next, String> {
        loop {
            match self.cues.front() {
                None => return Err("the script is over".into()),
                Some(Cue::Unplug(looks)) => {
                    self.missing = *looks;
                    self.cues.pop_front();
                    return Err("unplugged".into());
                }
                Some(Cue::Hang(seconds)) => {
                    let time = Duration::from_secs(*seconds as u64);
                    self.cues.pop_front();
                    return Ok(Next::Hang(time));
                }
                Some(Cue::Frames(count, ..)) if self.sent == *count => {
                    self.sent = 0;
                    self.cues.pop_front();
                }
                Some(Cue::Frames(_, size, kind)) => {
                    self.sent += 1;
                    return Ok(Next::Frame(*size, *kind));
                }
            }
        }
    }
}

/// A frame of a scripted camera: a bright disc on grey.
fn act(size: (usize, usize), kind: Kind, bytes: &mut Vec<u8>) -> Sent {
    let rgba = |x: usize, y: usize| {
        let (dx, dy) = (x as f32 / size.0 as f32 - 0.5, y as f32 / size.1 as f32 - 0.5);
        if dx.hypot(dy) < 0.25 { [230u8, 200, 120] } else { [90, 100, 110] }
    };
    let pixels = (0..size.0 * size.1).map(|at| rgba(at % size.0, at / size.0));
    let format = match kind {
        Kind::Raw(format) => Some(format),
        Kind::Short => Some(Format::Nv12(Colour::USUAL)),
        Kind::Mjpeg | Kind::Garbage => None,
    };
    match kind {
        Kind::Mjpeg => {
            let rgb: Vec<u8> = pixels.flatten().collect();
            let color = image::ExtendedColorType::Rgb8;
            image::codecs::jpeg::JpegEncoder::new(bytes)
                .encode(&rgb, size.0 as u32, size.1 as u32, color)
                .expect("memory holds a small picture");
        }
        Kind::Garbage => bytes.extend((0..1000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)),
        Kind::Short => {
            bytes.extend(std::iter::repeat_n(128, format.map_or(0, |format| format.bytes(size) / 2)))
        }
        Kind::Raw(Format::Rgba) => pixels.for_each(|[r, g, b]| bytes.extend([r, g, b, 255])),
        Kind::Raw(Format::Rgb) => pixels.for_each(|pixel| bytes.extend(pixel)),
        Kind::Raw(Format::Bgr) => pixels.for_each(|[r, g, b]| bytes.extend([b, g, r])),
        // Colours of these do not matter here.
        Kind::Raw(format) => {
            bytes.extend(pixels.map(|pixel| pixel[1]));
            bytes.resize(format.bytes(size), 128);
        }
    }
    Sent { size, format }
}
