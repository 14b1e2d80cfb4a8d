//! What lies between source and picture, driven without a window: switches, failures and losses.

use crate::gpu;
use camera::{
    engine::{Place, Shown, Worker},
    figures::Figures,
    frame::{Format, Frame, Slot},
    gpu::instance,
    live::{Live, Settings},
    source::Source,
};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// What is set where nothing else is asked for.
pub fn settings(device: &str, source: &str) -> Settings {
    Settings {
        model: "digits".into(),
        device: device.into(),
        half: false,
        source: Source::parse(source).expect("a source"),
        rate: 20.0,
        yuv: None,
        keep: 100,
        tuning: Duration::from_secs(3),
        place: None,
        slow: Duration::ZERO,
    }
}

pub fn start_with(settings: Settings) -> Option<Live> {
    gpu()?;
    Some(Live::start(instance(None), settings, Arc::new(|| {})).expect("it starts"))
}

fn start(device: &str, source: &str) -> Option<Live> {
    start_with(settings(device, source))
}

/// Ticks until `right`, and gives the lines that were put up meanwhile; `seen` looks at every frame.
pub fn until(live: &mut Live, what: &str, mut right: impl FnMut(&mut Live) -> bool) -> Vec<String> {
    let (begun, mut said) = (Instant::now(), Vec::new());
    while !right(live) {
        live.tick().expect("a device can be opened");
        said.extend(live.lines.drain(..).map(|(_, line)| line));
        assert!(begun.elapsed() < PATIENCE, "{what} never came: {said:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    said
}

pub fn labelled(live: &Live) -> u64 {
    live.figures(|figures| figures.labelled)
}

pub fn labels(live: &mut Live, count: u64) {
    let before = labelled(live);
    until(live, "labels", |live| labelled(live) >= before + count);
}

fn shown(live: &Live) -> Option<Shown> {
    live.shown().filter(|shown| shown.answer.is_some())
}

/// While something loads, and after it failed, what ran goes on, and is what is set.
#[test]
fn a_load_that_fails_changes_nothing() {
    // Frames that the CPU executor cannot read as they come.
    let Some(mut live) = start("cpu", "script:yuyv:100000:320x240") else { return };
    labels(&mut live, 3);
    (live.settings.device, live.settings.half) = ("software".into(), true);
    live.set_model("/no/such.safetensors".into());
    let said = until(&mut live, "the failure", |live| live.progress.is_none());
    assert!(
        said.iter().any(|line| line.contains("no such file") && line.contains("digits goes on")),
        "{said:?}"
    );
    let Settings { model, device, half, .. } = &live.settings;
    assert_eq!((&**model, &**device, half), ("digits", "cpu", &false));
    labels(&mut live, 3);
    // A device that is not there is no reason to stop either.
    live.set_device("nosuch".into());
    let said = until(&mut live, "the refusal", |live| live.progress.is_none());
    assert!(said.iter().any(|line| line.contains("\"nosuch\": not here")), "{said:?}");
    assert_eq!((&*live.settings.device, live.recovered), ("cpu", 0));
    labels(&mut live, 3);
    // To the GPU and back: every frame that is shown has its label, whatever layout it came in.
    for device in ["software", "cpu"] {
        live.set_device(device.into());
        until(&mut live, "the switch", |live| {
            let unlabelled = live.shown().is_some_and(|shown| shown.answer.is_none());
            assert!(!unlabelled, "a frame without a label on the way to {device}");
            live.progress.is_none()
        });
        labels(&mut live, 3);
    }
}

/// A loss while the picture stands still: it is there again, with its label, and stands still.
#[test]
fn a_frozen_picture_survives_a_loss() {
    let Some(mut live) = start("cpu", "synthetic") else { return };
    labels(&mut live, 3);
    live.set_frozen(true);
    let before = shown(&live).map(|shown| shown.id);
    live.gpu.device.destroy();
    let said = until(&mut live, "the recovery", |live| live.recovered == 1 && shown(live).is_some());
    assert!(said.iter().any(|line| line.contains("lost")), "{said:?}");
    std::thread::sleep(Duration::from_millis(500)); // what is still in flight
    let after = shown(&live).map(|shown| shown.id);
    assert!(after > before && live.is_frozen(), "{before:?} {after:?}");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(shown(&live).map(|shown| shown.id), after, "it moves");
    live.set_frozen(false);
    labels(&mut live, 3);
}

/// What was lost with a model that cannot be loaded again: nothing runs, and nothing claims to.
#[test]
fn a_loss_and_a_model_that_is_gone() {
    let Some(mut live) = start("software", "synthetic") else { return };
    labels(&mut live, 3);
    live.gpu.device.destroy();
    until(&mut live, "the loss", |live| live.gpu.is_lost());
    live.set_model("/no/such.safetensors".into());
    let said = until(&mut live, "the failure", |live| live.recovered == 1 && live.progress.is_none());
    assert!(live.running.is_none() && !said.iter().any(|line| line.contains("goes on")), "{said:?}");
    until(&mut live, "a frame", |live| live.shown().is_some_and(|shown| shown.answer.is_none()));
}

/// A device lost again and again is not opened without a pause.
#[test]
fn losses_in_a_row_are_answered_slower() {
    let Some(mut live) = start("cpu", "synthetic") else { return };
    let begun = Instant::now();
    for count in 1..=3 {
        live.gpu.device.destroy();
        until(&mut live, "the recovery", |live| live.recovered == count);
    }
    assert!(begun.elapsed() >= Duration::from_millis(750), "{:?}", begun.elapsed());
    labels(&mut live, 1);
}

/// Frames that contradict themselves are told of once, without a pause, and others go on.
#[test]
fn a_frame_that_is_none() {
    let Some(gpu) = gpu() else { return };
    let (slot, lines) = (Arc::<Slot>::default(), Arc::<Mutex<Vec<String>>>::default());
    let told = lines.clone();
    let place = Place {
        gpu: Arc::new(gpu),
        slot: slot.clone(),
        wake: Arc::new(|| {}),
        tell: Arc::new(move |line| told.lock().expect("no panic").push(line)),
        give_up: Arc::new(|_, _| {}),
    };
    let worker = Worker::start(place, Figures::new(10), false);
    let put = |size: (usize, usize), bytes: usize| {
        let (captured, format) = (Instant::now(), Format::Rgba);
        slot.put(Frame { id: 0, captured, size, format, bytes: vec![9; bytes], truth: None });
        assert!(slot.wait_taken(PATIENCE));
    };
    put((2, 2), 16); // the shader is compiled
    let begun = Instant::now();
    (0..5).for_each(|_| put((4, 4), 63));
    put((0, 4), 0);
    put((3, 3), 36);
    while worker.shown().is_none_or(|shown| shown.plate.size != (3, 3)) {
        assert!(begun.elapsed() < PATIENCE, "the sound frame never came");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let said = lines.lock().expect("no panic").clone();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("A frame of 4x4") && said[1].starts_with("A frame of 0x4"), "{said:?}");
}
