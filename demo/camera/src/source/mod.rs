//! Where frames come from. A source runs on a thread of its own and puts its newest frame into the slot.

pub mod camera;
mod feed;
mod picture;
pub mod script;
mod sent;
mod strokes;
pub mod synthetic;
#[cfg(all(feature = "camera", target_os = "linux"))]
mod v4l2;
mod video;
mod watch;

use crate::{
    convert,
    frame::{Caption, Colour, Format, Frame, Slot},
};
use std::{
    path::{Path, PathBuf},
    process::Child,
    sync::{
        Arc, Mutex, TryLockError,
        atomic::{AtomicBool, AtomicIsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use watch::Watched;

/// What to look at.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The scene that the program draws.
    Synthetic,
    /// A camera of this machine.
    Camera(camera::Wanted),
    /// A camera that plays what a test tells it.
    Script(Vec<script::Cue>),
    /// A picture file.
    Picture(PathBuf),
    /// The pictures of a folder, one after the other.
    Folder(PathBuf),
    /// A video file, or the address of a stream, through ffmpeg.
    Video(String),
}

impl Source {
    /// What `text` means: `synthetic`, `camera`, `camera:1`, or a path or address.
    ///
    /// # Errors
    /// A line when it is nothing of the kind.
    pub fn parse(text: &str) -> Result<Source, String> {
        let path = Path::new(text);
        match text {
            "synthetic" => return Ok(Source::Synthetic),
            "camera" => return Ok(Source::Camera(camera::Wanted::default())),
            _ => {}
        }
        if let Some(index) = text.strip_prefix("camera:") {
            let index = index.parse().map_err(|_| format!("{text}: cameras have numbers, as in camera:0"))?;
            return Ok(Source::Camera(camera::Wanted { index, ..camera::Wanted::default() }));
        }
        if let Some(cues) = text.strip_prefix("script:") {
            return cues.split(',').map(script::Cue::parse).collect::<Result<_, _>>().map(Source::Script);
        }
        Ok(match () {
            () if text.contains("://") => Source::Video(text.into()),
            () if path.is_dir() => Source::Folder(path.into()),
            () if !path.exists() => {
                return Err(format!(
                    "{text}: no such file; a source is synthetic, camera, camera:1, a picture, a folder, a video or an address"
                ));
            }
            () if mobileone::picture::is_picture_name(path) => Source::Picture(path.into()),
            () => Source::Video(text.into()),
        })
    }

    /// A name for people.
    pub fn name(&self) -> String {
        let file = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        match self {
            Source::Synthetic => "synthetic scene".into(),
            Source::Camera(wanted) => format!("camera {}", wanted.index),
            Source::Script(_) => "script".into(),
            Source::Picture(path) | Source::Folder(path) => file(path),
            Source::Video(place) if place.contains("://") => place.clone(),
            Source::Video(place) => file(Path::new(place)),
        }
    }
}

/// What a hand does with the pictures of a folder.
#[derive(Default)]
pub struct Leafing {
    /// Pictures to go on by, or back by, that are still to be turned.
    by: AtomicIsize,
    /// Whether the picture stays until a hand leafs on.
    stays: AtomicBool,
}

/// What a source works with.
#[derive(Clone)]
pub struct Stage {
    /// Where frames go.
    pub slot: Arc<Slot>,
    /// Lines for people.
    pub tell: Arc<dyn Fn(String) + Send + Sync>,
    /// Whether frames have to be RGBA already, as the CPU executor takes them.
    pub rgba: Arc<AtomicBool>,
    /// Frames per second of what has no pace of its own; 0 for as many as are taken.
    pub rate: f64,
    /// Whether what has a rate goes on by it and does not wait for its moments: as many frames as are taken.
    pub unpaced: bool,
    /// How cameras and videos made their luma and chroma, whatever they say.
    pub yuv: Option<Colour>,
    leafing: Arc<Leafing>,
    stop: Arc<AtomicBool>,
    /// The process that this source reads from, ended with it.
    child: Arc<Mutex<Option<Child>>>,
    /// Held by the source that plays.
    turn: Arc<Mutex<()>>,
}

impl Stage {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Puts a frame into the slot, as RGBA where that is asked for.
    fn put(&self, mut frame: Frame) {
        if frame.format != Format::Rgba && self.rgba.load(Ordering::Acquire) {
            let mut rgba = self.slot.buffer();
            convert::to_rgba(&frame.bytes, frame.size, frame.format, &mut rgba);
            self.slot.give_back(std::mem::replace(&mut frame.bytes, rgba));
            frame.format = Format::Rgba;
        }
        // A frame that comes late is of a source that is not wanted any more.
        self.slot.put_unless(frame, &self.stop);
    }

    /// Waits for the moment of the frame after `before`, or until the last one was taken where nothing is waited for.
    fn pace(&self, before: &mut Instant) {
        if self.rate <= 0.0 || self.unpaced {
            while !self.stopped() && !self.slot.wait_taken(Duration::from_millis(50)) {}
            return;
        }
        *before = (*before + Duration::from_secs_f64(1.0 / self.rate))
            .max(Instant::now() - Duration::from_millis(200));
        self.sleep(before.saturating_duration_since(Instant::now()));
    }

    /// Sleeps, but not past the end of the capture.
    fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.stopped() {
            match end.saturating_duration_since(Instant::now()) {
                Duration::ZERO => break,
                left => thread::sleep(left.min(Duration::from_millis(50))),
            }
        }
    }
}

/// How long a source may take to let go of its camera.
const HANDOVER: Duration = Duration::from_secs(3);

/// A source at work. Dropped, it stops, but is not waited for: a camera may hang.
pub struct Capture {
    leafing: Arc<Leafing>,
    stop: Arc<AtomicBool>,
    slot: Arc<Slot>,
    child: Arc<Mutex<Option<Child>>>,
    turn: Arc<Mutex<()>>,
}

impl Capture {
    /// Starts a source, once the one `before` it has let go of its camera.
    pub fn start(source: Source, mut stage: Stage, before: Option<Capture>) -> Capture {
        let stop = Arc::new(AtomicBool::new(false));
        stage.stop = stop.clone();
        let tell = stage.tell.clone();
        let (slot, child, leafing) = (stage.slot.clone(), stage.child.clone(), stage.leafing.clone());
        if let Some(before) = before {
            before.stop();
            stage.turn = before.turn.clone();
        }
        let turn = stage.turn.clone();
        slot.clear();
        let run = move || {
            let (begun, turn) = (Instant::now(), stage.turn.clone());
            // One that hangs is not waited for.
            let _held = loop {
                match turn.try_lock() {
                    Ok(held) => break Some(held),
                    Err(TryLockError::Poisoned(held)) => break Some(held.into_inner()),
                    Err(TryLockError::WouldBlock) if stage.stopped() => return,
                    Err(TryLockError::WouldBlock) if begun.elapsed() > HANDOVER => break None,
                    Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
                }
            };
            play(&source, &stage);
        };
        if let Err(error) = thread::Builder::new().name("capture".into()).spawn(run) {
            tell(format!("The system gives no thread for this source: {error}."));
        }
        Capture { leafing, stop, slot, child, turn }
    }

    /// Goes on by so many pictures of a folder, or back, to one that stays.
    pub fn leaf(&self, by: isize) {
        self.leafing.stays.store(true, Ordering::Release);
        self.leafing.by.fetch_add(by, Ordering::AcqRel);
    }

    /// Whether a folder's pictures follow each other by themselves.
    pub fn plays(&self) -> bool {
        !self.leafing.stays.load(Ordering::Acquire)
    }

    /// Has them follow each other by themselves, or the present one stay.
    pub fn set_plays(&self, plays: bool) {
        self.leafing.stays.store(!plays, Ordering::Release);
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.slot.wake();
        if let Ok(Some(child)) = self.child.lock().as_deref_mut() {
            child.kill().ok();
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Stage {
    /// A stage before its source starts.
    pub fn new(
        slot: Arc<Slot>,
        rgba: Arc<AtomicBool>,
        rate: f64,
        yuv: Option<Colour>,
        tell: Arc<dyn Fn(String) + Send + Sync>,
    ) -> Stage {
        let (leafing, stop, child, turn) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        Stage { slot, tell, rgba, rate, unpaced: false, yuv, leafing, stop, child, turn }
    }
}

/// Plays a source until it is stopped. One that cannot be had, or ends, gives way to the synthetic scene.
fn play(source: &Source, stage: &Stage) {
    let ended = match source {
        Source::Synthetic => Ok(()),
        Source::Camera(wanted) => {
            let wanted = *wanted;
            return feed::play(Watched::new(move || camera::native(&wanted)), stage);
        }
        Source::Script(cues) => {
            let script = script::script(cues);
            return feed::play(Watched::new(move || camera::Camera::Script(script.clone())), stage);
        }
        Source::Picture(path) => picture::play_one(path, stage),
        Source::Folder(path) => picture::play_folder(path, stage),
        Source::Video(place) => video::play(place, stage),
    };
    let stand_in = ended.err().map(|reason| format!("{reason}. Playing the synthetic scene."));
    if let Some(line) = &stand_in {
        (stage.tell)(line.clone());
    }
    synthetic_until(stage, stand_in, || false);
}

/// Plays the synthetic scene until it is stopped or `enough` says so, which is asked about every second. `stand_in` says
/// in whose place it is played.
fn synthetic_until(stage: &Stage, stand_in: Option<String>, mut enough: impl FnMut() -> bool) {
    let caption = stand_in.map(|line| Arc::new(Caption::StandIn(line)));
    let mut scene = synthetic::Scene::default();
    let step = 1.0 / if stage.rate > 0.0 { stage.rate } else { 30.0 };
    let (mut before, mut asked) = (Instant::now(), Instant::now());
    for count in 0u64.. {
        if stage.stopped() {
            break;
        }
        if asked.elapsed() >= Duration::from_secs(1) {
            if enough() {
                break;
            }
            asked = Instant::now();
        }
        let frame = scene.frame(count as f64 * step, stage.slot.buffer());
        stage.put(Frame { caption: caption.clone(), ..frame });
        stage.pace(&mut before);
    }
}
