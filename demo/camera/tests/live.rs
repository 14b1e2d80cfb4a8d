//! What lies between source and picture, driven without a window: switches, failures and losses.

use crate::{PATIENCE, gpu};
use camera::{
    engine::{Place, Shown, Worker},
    figures::Figures,
    frame::{Caption, Format, Frame, Slot},
    gpu::instance,
    live::{Live, Settings},
    source::Source,
};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// What is set where nothing else is asked for.
pub fn settings(device: &str, source: &str) -> Settings {
    Settings {
        model: "digits".into(),
        reading: Default::default(),
        device: device.into(),
        half: false,
        source: Source::parse(source).expect("a source"),
        rate: 20.0,
        unpaced: false,
        yuv: None,
        keep: 100,
        tuning: Duration::from_secs(3),
        place: None,
        gate: None,
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
    // What is still in flight comes yet; then the source goes on, and nothing that it sends is taken or shown.
    let state = |live: &Live| {
        let (put, replaced) = live.counts();
        (put, (put - replaced, shown(live).map(|shown| shown.id)))
    };
    let mut still = state(&live);
    until(&mut live, "a picture that stands still", |live| {
        let now = state(live);
        if now.1 != still.1 {
            still = now;
        }
        now.0 >= still.0 + 10
    });
    assert!(still.1.1 > before && live.is_frozen(), "{before:?} {still:?}");
    until(&mut live, "more frames", |live| state(live).0 >= still.0 + 25);
    assert_eq!(state(&live).1, still.1, "it moves");
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

/// A device lost again and again is opened again and again.
#[test]
fn losses_in_a_row() {
    let Some(mut live) = start("cpu", "synthetic") else { return };
    for count in 1..=3 {
        live.gpu.device.destroy();
        until(&mut live, "the recovery", |live| live.recovered == count);
    }
    labels(&mut live, 1);
}

/// A scene in a camera's place says so with every frame, and a camera that is back does not.
#[test]
fn what_plays_instead_is_said() {
    let Some(mut live) = start("cpu", "script:unplug:2,rgba:100000:64x64") else { return };
    let stands_in = |live: &Live| match shown(live).and_then(|shown| shown.caption).as_deref() {
        Some(Caption::StandIn(line)) => Some(line.clone()),
        _ => None,
    };
    until(&mut live, "the scene", |live| stands_in(live).is_some());
    let size = |live: &Live| shown(live).map(|shown| shown.plate.size);
    let mut said = Vec::new();
    until(&mut live, "the camera", |live| {
        assert_eq!(stands_in(live).is_some(), size(live) != Some((64, 64)));
        said.extend(stands_in(live));
        size(live) == Some((64, 64))
    });
    said.dedup();
    let reasons = ["The camera is gone: unplugged.", "No camera: the scripted camera is unplugged."];
    let instead = "Playing the synthetic scene, and looking for it.";
    assert_eq!(said, reasons.map(|reason| format!("{reason} {instead}")));
    labels(&mut live, 3);
    assert_eq!(shown(&live).and_then(|shown| shown.caption), None);
    // The scene that was asked for stands in for nothing.
    live.set_source(Source::Synthetic);
    until(&mut live, "the scene", |live| size(live).is_some_and(|size| size != (64, 64)));
    assert_eq!(stands_in(&live), None);
    // What cannot be had does.
    live.set_source(Source::Picture("/no/such.png".into()));
    until(&mut live, "the scene instead", |live| stands_in(live).is_some());
    let line = stands_in(&live).unwrap_or_default();
    assert!(line.contains("/no/such.png") && line.ends_with("Playing the synthetic scene."), "{line}");
}

/// A folder's pictures, with their names and places; a hand goes on and back through them, past one that cannot be read,
/// and they stay until they are played again.
#[test]
fn a_folder_is_leafed_through() {
    let folder = crate::folder("leafing");
    for (name, grey) in [("a.png", 10), ("b.png", 90), ("d.png", 250)] {
        let picture = image::RgbImage::from_pixel(64, 64, image::Rgb([grey; 3]));
        picture.save(folder.join(name)).expect("the folder can be written");
    }
    std::fs::write(folder.join("c.png"), "no picture").expect("the folder can be written");
    let Some(mut live) = start("cpu", folder.to_str().expect("a plain path")) else { return };
    let at = |live: &Live| match shown(live).and_then(|shown| shown.caption).as_deref() {
        Some(Caption::File { name, at, of: 4 }) => Some((name.clone(), *at)),
        _ => None,
    };
    let is = |name: &str, place| Some((name.to_string(), place));
    assert!(live.plays());
    live.set_plays(false);
    until(&mut live, "the first", |live| at(live) == is("a.png", 1));
    let mut said = Vec::new();
    for (by, name, place) in [
        (1, "b.png", 2),
        (1, "d.png", 4),
        (-1, "b.png", 2),
        (-2, "d.png", 4),
        (1, "a.png", 1),
        (5, "b.png", 2),
    ] {
        // A frozen picture is let go.
        live.set_frozen(place == 4);
        live.leaf(by);
        said.extend(until(&mut live, name, |live| at(live) == is(name, place)));
        assert!(!live.plays() && !live.is_frozen());
    }
    assert_eq!(said.iter().filter(|line| line.contains("c.png")).count(), 1, "{said:?}");
    // At ten frames a second, more than its two seconds.
    labels(&mut live, 35);
    assert_eq!(at(&live), is("b.png", 2), "it does not stay");
    live.set_plays(true);
    until(&mut live, "the next", |live| at(live) == is("d.png", 4));
    std::fs::remove_dir_all(folder).ok();
}

/// Frames that contradict themselves are told of once, and the next sound one is shown: none between was passed over.
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
        let bytes = vec![9; bytes];
        slot.put(Frame { id: 0, captured, size, format, bytes, truth: None, caption: None });
        assert!(slot.wait_taken(PATIENCE));
    };
    put((2, 2), 16);
    (0..5).for_each(|_| put((4, 4), 63));
    put((0, 4), 0);
    put((3, 3), 36);
    let begun = Instant::now();
    let sound = loop {
        match worker.shown() {
            Some(shown) if shown.plate.size == (3, 3) => break shown.id,
            _ => assert!(begun.elapsed() < PATIENCE, "the sound frame never came"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!((sound, slot.counts()), (7, (8, 0)));
    let said = lines.lock().expect("no panic").clone();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("A frame of 4x4") && said[1].starts_with("A frame of 0x4"), "{said:?}");
}
