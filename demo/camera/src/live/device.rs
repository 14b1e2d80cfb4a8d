//! The device: opened on a thread, taken when it is there, opened anew when it is lost.

use super::{Event, Live, wait_at};
use crate::{
    gpu::{self, Gpu},
    load::Progress,
    paint::{self, Painter},
};
use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

/// What became of the opening of a device.
pub(super) struct Opened {
    /// Whether the one before was lost, so that there is nothing to go on with.
    pub(super) lost: bool,
    /// The device, what draws the window on it, and why it is not the one that is set.
    pub(super) gpu: Result<(Gpu, Option<Painter>, Option<String>), String>,
}

impl Live {
    /// Runs on another device. Where that is another GPU, the window is drawn there too, once it is open.
    pub fn set_device(&mut self, device: String) {
        let best = gpu::order(&device, &self.gpu.found).first().map(|&at| &self.gpu.found[at]);
        let stays = device == "cpu" || best == Some(&self.gpu.info);
        self.settings.device = device;
        if stays && !self.gpu.is_lost() {
            self.opening = None;
            self.load();
        } else {
            self.open();
        }
    }

    /// Opens the device that is set, on a thread; what runs goes on meanwhile, unless its device is lost.
    pub(super) fn open(&mut self) {
        if self.running.as_ref().is_some_and(|running| running.tuning) {
            self.supersede();
        }
        self.openings += 1;
        self.opening = Some(self.openings);
        let wanted = self.settings.device.clone();
        self.progress = Some(Progress { text: format!("opening {wanted}"), share: None });
        let lost = self.gpu.is_lost();
        self.pause = if lost { pause(self.pause, self.opened.elapsed()) } else { Duration::ZERO };
        let (number, pause, ended) = (self.openings, self.pause, self.ended.clone());
        let gate = self.settings.gate.clone();
        let (tell, wake, instance, surface) =
            (self.teller(), self.wake.clone(), self.instance.clone(), self.surface.clone());
        let run = move || {
            let begun = Instant::now();
            while begun.elapsed() < pause && !ended.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(20));
            }
            wait_at(gate.as_deref(), || ended.load(Ordering::Acquire));
            let open = |wanted: &str| Gpu::open(&instance, surface.as_deref(), wanted, wake.clone());
            let gpu = match open(&wanted) {
                // A GPU may be gone for good.
                Err(reason) if lost => open("auto").map(|gpu| (gpu, Some(reason))),
                opened => opened.map(|gpu| (gpu, None)),
            };
            let gpu = gpu.map(|(gpu, refused)| {
                let painter = surface.and_then(|surface| paint::of_window(&gpu, &surface));
                (gpu, painter, refused)
            });
            tell(Event::Opened(number, Box::new(Opened { lost, gpu })));
        };
        match thread::Builder::new().name("open".into()).spawn(run) {
            Ok(thread) => self.threads.push(thread),
            Err(_) => self.say("The system gives no thread to open a device on.".into()),
        }
    }

    /// Takes a device instead of the one before, and makes everything on it again.
    pub(super) fn replace(&mut self, gpu: Gpu, lost: bool, refused: Option<String>) {
        if lost {
            self.recovered += 1;
            let reason = self.gpu.take_fault().filter(|reason| !reason.is_empty());
            let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
            self.say(format!("The device was lost{reason}; opened anew."));
        }
        if let Some(reason) = refused {
            self.settings.device = "auto".into();
            self.say(format!("{reason}. Taking what there is."));
        }
        (self.adapters, self.opened, self.running) = (names(&gpu), Instant::now(), None);
        self.gpu = Arc::new(gpu);
        self.start_worker();
        self.load();
    }
}

/// How long to wait before a lost device is opened anew: one that is lost as soon as it is there is not asked for all
/// the time. `before` is the last such pause, `lived` how long the device was there.
fn pause(before: Duration, lived: Duration) -> Duration {
    match lived < Duration::from_secs(1) {
        true => (2 * before).clamp(Duration::from_millis(250), Duration::from_secs(8)),
        false => Duration::ZERO,
    }
}

/// The names of all that could be opened, each once: a GPU has one for every backend that shows it.
pub(super) fn names(gpu: &Gpu) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for info in &gpu.found {
        if !names.contains(&info.name) {
            names.push(info.name.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_in_a_row_are_answered_slower() {
        let (mut before, mut pauses) = (Duration::ZERO, Vec::new());
        for lived in [5000, 10, 10, 999, 10, 10, 10, 10, 1000, 10] {
            before = pause(before, Duration::from_millis(lived));
            pauses.push(before.as_millis());
        }
        assert_eq!(pauses, [0, 250, 500, 1000, 2000, 4000, 8000, 8000, 0, 250]);
    }
}
