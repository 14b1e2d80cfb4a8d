//! Answers that fail: of some frames, and of all.

use crate::{
    PATIENCE,
    desk::{Display, Window, written},
    drops::Hand,
    folder, gpu,
};
use camera::{
    engine::{Place, Worker},
    figures::Figures,
    frame::{Format, Frame, Slot},
    load::{self, Tables},
};
use image::RgbImage;
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// The built-in model for which black is zero, and white so large that no answer comes of it.
fn fragile(path: &Path) {
    let mut bytes = mobileone::sample::DIGITS.to_vec();
    let metadata = r#"\"mean\": [0.5, 0.5, 0.5], \"std\": [0.25, 0.25, 0.25]"#;
    let at = bytes.windows(metadata.len()).position(|found| found == metadata.as_bytes());
    let at = at.expect("the model's own preprocessing");
    let other = format!("{:1$}", r#"\"mean\": [0, 0, 0], \"std\": [2e-38, 2e-38, 2e-38]"#, metadata.len());
    bytes[at..at + metadata.len()].copy_from_slice(other.as_bytes());
    // And weights 64 times as large, in the first layer: no sum of them is finite any more.
    let (length, rest) = bytes.split_at_mut(8);
    let length = u64::from_le_bytes(length.try_into().expect("8 bytes")) as usize;
    let (head, tensors) = rest.split_at_mut(length);
    let head: serde_json::Value = serde_json::from_slice(head).expect("the file's head");
    let place = &head["stem.reparam_conv.weight"]["data_offsets"];
    let [begin, end] = [0, 1].map(|at| place[at].as_u64().expect("a place") as usize);
    for weight in tensors[begin..end].as_chunks_mut::<2>().0 {
        let bits = u16::from_le_bytes(*weight);
        if bits & 0x7c00 != 0 {
            *weight = (bits + (6 << 10)).to_le_bytes();
        }
    }
    std::fs::write(path, bytes).expect("the folder can be written");
}

/// A frame whose answer fails is shown without a label, and the engine goes on; after 30 of them in a row it gives up.
#[test]
fn a_frame_without_an_answer() {
    for device in ["cpu", "software"] {
        let Some(gpu) = gpu() else { return };
        let folder = folder("fragile");
        let file = folder.join("fragile.safetensors");
        fragile(&file);
        let loaded = load::model(file.to_str().expect("a plain path"), &Default::default(), &|_| ());
        let loaded = Arc::new(loaded.expect("it loads"));
        let made = load::engine(&loaded, &gpu, device, false, 7, &Tables::kept(None), &|_| ());
        let slot = Arc::<Slot>::default();
        let [lines, given_up] = [(); 2].map(|()| Arc::<Mutex<Vec<String>>>::default());
        let (told, gave_up) = (lines.clone(), given_up.clone());
        let place = Place {
            gpu: Arc::new(gpu),
            slot: slot.clone(),
            wake: Arc::new(|| {}),
            tell: Arc::new(move |line| told.lock().expect("no panic").push(line)),
            give_up: Arc::new(move |load, reason| {
                gave_up.lock().expect("no panic").push(format!("{load}: {reason}"));
            }),
        };
        let worker = Worker::start(place, Figures::new(10), false);
        worker.run(made.expect("it can be made ready"));
        // Whether a frame of one grey gets its label.
        let mut before = None;
        let mut labels = |grey: u8| {
            let (captured, format, size) = (Instant::now(), Format::Rgba, (80, 80));
            let bytes = vec![grey; 4 * 80 * 80];
            slot.put(Frame { id: 0, captured, size, format, bytes, truth: None, caption: None });
            loop {
                let shown = worker.shown().filter(|shown| before != Some(shown.id));
                if let Some(shown) = shown {
                    before = Some(shown.id);
                    return shown.answer.is_some();
                }
                assert!(captured.elapsed() < PATIENCE, "{device}: the frame was never shown");
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        // The first ones may come before the model.
        let begun = Instant::now();
        while !labels(0) {
            assert!(begun.elapsed() < PATIENCE, "{device}: black has no answer");
        }
        for count in [1, 29] {
            assert!((0..count).all(|_| !labels(255)), "{device}: white has an answer");
            assert!(labels(0), "{device}: given up after {count}");
        }
        // Of the same failure people hear once.
        let said = lines.lock().expect("no panic").clone();
        assert_eq!(said.len(), 1, "{device}: {said:?}");
        assert!(said[0].starts_with("A frame has no label: ") && said[0].contains("finite"), "{said:?}");
        assert_eq!(*given_up.lock().expect("no panic"), Vec::<String>::new());
        assert!((0..30).all(|_| !labels(255)), "{device}: white has an answer");
        assert!(!labels(0), "{device}: not given up after 30");
        let given_up = given_up.lock().expect("no panic").clone();
        assert!(given_up.len() == 1 && given_up[0].starts_with("7: "), "{given_up:?}");
        std::fs::remove_dir_all(folder).ok();
    }
}

/// In the window: the bars go with the label, and a line says what to do; another model brings them back.
#[test]
fn bars_without_an_answer() {
    let Some(display) = Display::open() else { return };
    let folder = folder("bars");
    let [black, white] = [("black.png", 0), ("white.png", 255)].map(|(name, grey)| {
        let path = folder.join(name);
        RgbImage::from_pixel(480, 480, image::Rgb([grey; 3])).save(&path).expect("the folder can be written");
        path
    });
    let (file, whole) = (folder.join("fragile.safetensors"), folder.join("whole.safetensors"));
    fragile(&file);
    std::fs::write(&whole, mobileone::sample::DIGITS).expect("the folder can be written");
    let [source, model] = [&black, &file].map(|path| path.to_str().expect("a plain path"));
    let args = ["--source", source, "--model", model, "--device", "cpu", "--json"];
    let mut window = Window::open(&display, &folder, &args, "1");
    // Where the best class has its bar there is the bare panel, or something else.
    let bars =
        |shot: &RgbImage| (820..1080).any(|x| shot.get_pixel(x, 115).0.iter().any(|value| *value > 45));
    window.until("bars", bars);
    Hand::over(&window, &[&white]).drops();
    window.until("no bars, and a line", |shot| !bars(shot) && written(shot));
    window.until("no model", |shot| !bars(shot) && !written(shot));
    Hand::over(&window, &[&whole]).drops();
    window.until("bars again", bars);
    let figures = window.quit();
    assert_eq!(figures["model"].as_str(), whole.to_str(), "{figures}");
    std::fs::remove_dir_all(folder).ok();
}
