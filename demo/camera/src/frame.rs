//! Frames on their way from a source to the engine. The newest wins: nothing ever queues.

use mobileone::preprocess::{YuvMatrix, YuvRange};
use std::{
    str::FromStr,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How luma and chroma were made of red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// By which matrix.
    pub matrix: YuvMatrix,
    /// In which values.
    pub range: YuvRange,
}

impl Colour {
    /// All of them, and what they are called.
    pub const ALL: [(&str, Colour); 4] = [
        ("bt601", Colour { matrix: YuvMatrix::Bt601, range: YuvRange::Limited }),
        ("bt601,full", Colour { matrix: YuvMatrix::Bt601, range: YuvRange::Full }),
        ("bt709", Colour { matrix: YuvMatrix::Bt709, range: YuvRange::Limited }),
        ("bt709,full", Colour { matrix: YuvMatrix::Bt709, range: YuvRange::Full }),
    ];
    /// What is taken where nothing is said.
    pub const USUAL: Colour = Colour::ALL[0].1;
}

impl FromStr for Colour {
    type Err = String;

    fn from_str(text: &str) -> Result<Colour, String> {
        let known = Colour::ALL.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
        known.map(|(_, colour)| *colour).ok_or_else(|| {
            let names = Colour::ALL.map(|(name, _)| name).join(" ");
            format!("{text}: colours are one of {names}")
        })
    }
}

/// How the bytes of a frame are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 4 bytes per pixel; the fourth is ignored.
    Rgba,
    /// 3 bytes per pixel, red first.
    Rgb,
    /// 3 bytes per pixel, blue first.
    Bgr,
    /// 1 byte per pixel.
    Gray,
    /// 4 bytes for 2 pixels of a row: Y0 U Y1 V. An odd row ends with half of a pair's colour.
    Yuyv(Colour),
    /// A plane of Y, then one of U and V in turn at half the width and height, rounded up.
    Nv12(Colour),
    /// Planes of Y, U and V, the last two at half the width and height, rounded up.
    I420(Colour),
}

impl Format {
    /// Bytes of a frame of so many columns and rows.
    pub fn bytes(self, (width, height): (usize, usize)) -> usize {
        let quarter = width.div_ceil(2) * height.div_ceil(2);
        match self {
            Format::Rgba => 4 * width * height,
            Format::Rgb | Format::Bgr => 3 * width * height,
            Format::Gray => width * height,
            Format::Yuyv(_) => 4 * width.div_ceil(2) * height,
            Format::Nv12(_) | Format::I420(_) => width * height + 2 * quarter,
        }
    }

    /// How its luma and chroma were made, where it has any.
    pub fn colour(self) -> Option<Colour> {
        match self {
            Format::Yuyv(colour) | Format::Nv12(colour) | Format::I420(colour) => Some(colour),
            Format::Rgba | Format::Rgb | Format::Bgr | Format::Gray => None,
        }
    }

    /// The same layout, made as `colour` says, where it has luma and chroma.
    pub fn coloured(self, colour: Colour) -> Format {
        match self {
            Format::Yuyv(_) => Format::Yuyv(colour),
            Format::Nv12(_) => Format::Nv12(colour),
            Format::I420(_) => Format::I420(colour),
            Format::Rgba | Format::Rgb | Format::Bgr | Format::Gray => self,
        }
    }
}

/// What a frame shows, where the source knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// The digit that is written.
    pub digit: u8,
    /// How much of its ink is there, 0 to 1: a digit fades in and out.
    pub ink: f32,
}

impl Truth {
    /// Whether `label` is right: the digit from half its ink on, nothing up to a tenth of it; between the two
    /// both are, for the frame shows a shadow of a digit.
    pub fn accepts(self, label: &str) -> bool {
        let digit = self.ink > 0.1 && label.parse() == Ok(self.digit);
        let nothing = self.ink < 0.5 && label == "nothing";
        digit || nothing
    }
}

/// What people read beside a frame, as long as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Caption {
    /// A picture of a folder.
    File {
        /// What it is called.
        name: String,
        /// Its place there, from 1.
        at: usize,
        /// How many there are.
        of: usize,
    },
    /// The synthetic scene, in the place of a source that is not to be had: the line that says so.
    StandIn(String),
}

/// One picture of a source.
#[derive(Debug)]
pub struct Frame {
    /// Its place in the order of all frames of this program; the slot gives it.
    pub id: u64,
    /// When the source had it.
    pub captured: Instant,
    /// Columns and rows.
    pub size: (usize, usize),
    /// How `bytes` are laid out.
    pub format: Format,
    /// The pixels, without gaps between rows.
    pub bytes: Vec<u8>,
    /// What it shows, if that is known.
    pub truth: Option<Truth>,
    /// What people read beside it.
    pub caption: Option<Arc<Caption>>,
}

/// Where a source puts its newest frame, and the engine takes it.
#[derive(Default)]
pub struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    newest: Option<Frame>,
    next: u64,
    replaced: u64,
    spare: Vec<Vec<u8>>,
}

/// Buffers kept for frames to come.
const SPARE: usize = 4;

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while a frame changes hands")
    }

    /// Puts a frame in, instead of one that nobody took.
    pub fn put(&self, frame: Frame) {
        self.put_unless(frame, &AtomicBool::new(false));
    }

    /// Puts a frame in, if its source has not been stopped: after that and [`Slot::clear`] none of it comes.
    pub fn put_unless(&self, mut frame: Frame, stopped: &AtomicBool) {
        let mut state = self.state();
        if stopped.load(Ordering::Acquire) {
            state.keep(frame.bytes);
            return;
        }
        frame.id = state.next;
        state.next += 1;
        if let Some(old) = state.newest.replace(frame) {
            state.replaced += 1;
            state.keep(old.bytes);
        }
        self.changed.notify_all();
    }

    /// Takes the newest frame, waiting for one as long as `patience`.
    pub fn take(&self, patience: Duration) -> Option<Frame> {
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.state(), patience, |state| state.newest.is_none())
            .expect("no panic while a frame changes hands");
        let frame = state.newest.take();
        self.changed.notify_all();
        frame
    }

    /// Waits until the frame that was put has been taken, as long as `patience`; whether it was.
    pub fn wait_taken(&self, patience: Duration) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.state(), patience, |state| state.newest.is_some())
            .expect("no panic while a frame changes hands");
        state.newest.is_none()
    }

    /// Ends a wait early.
    pub fn wake(&self) {
        self.changed.notify_all();
    }

    /// Drops the frame that nobody took, as when the source changes.
    pub fn clear(&self) {
        self.state().newest = None;
        self.changed.notify_all();
    }

    /// A buffer for a frame to come, empty, with the room of an earlier one.
    pub fn buffer(&self) -> Vec<u8> {
        self.state().spare.pop().unwrap_or_default()
    }

    /// Takes a frame's buffer back.
    pub fn give_back(&self, bytes: Vec<u8>) {
        self.state().keep(bytes);
    }

    /// Frames put so far, and those of them that a newer one replaced.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.next, state.replaced)
    }
}

impl State {
    fn keep(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < SPARE {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(byte: u8) -> Frame {
        let (size, format) = ((1, 1), Format::Gray);
        let captured = Instant::now();
        Frame { id: 0, captured, size, format, bytes: vec![byte], truth: None, caption: None }
    }

    #[test]
    fn the_newest_wins() {
        let slot = Slot::default();
        assert!(slot.take(Duration::ZERO).is_none());
        (0..3).for_each(|byte| slot.put(frame(byte)));
        assert!(!slot.wait_taken(Duration::ZERO));
        let newest = slot.take(Duration::ZERO).expect("three were put");
        assert_eq!((newest.id, &newest.bytes[..]), (2, &[2][..]));
        assert_eq!(slot.counts(), (3, 2));
        assert!(slot.take(Duration::from_millis(1)).is_none() && slot.wait_taken(Duration::ZERO));
        slot.put_unless(frame(3), &AtomicBool::new(true));
        assert!(slot.take(Duration::ZERO).is_none() && slot.counts() == (3, 2), "its source was stopped");
        slot.give_back(Vec::with_capacity(100));
        assert!((0..3).any(|_| slot.buffer().capacity() == 100), "the room is used again");
    }

    #[test]
    fn a_fading_digit_may_be_taken_for_nothing() {
        let rows = [
            (1.0, true, false),
            (0.5, true, false),
            (0.3, true, true),
            (0.1, false, true),
            (0.0, false, true),
        ];
        for (ink, digit, nothing) in rows {
            let truth = Truth { digit: 4, ink };
            let found = [truth.accepts("4"), truth.accepts("nothing"), truth.accepts("5")];
            assert_eq!(found, [digit, nothing, false], "ink {ink}");
        }
    }
}
