//! Models that are loaded and tuned, driven without a window: the newest choice wins.

use crate::{
    PATIENCE, folder,
    live::{labelled, labels, settings, start_with, until},
};
use camera::live::{Live, Settings};
use mobileone::{
    Checkpoint, DeviceInfo,
    checkpoint::{Reading, write_tensors},
    tune,
};
use std::{path::PathBuf, sync::mpsc::channel, time::Duration};

/// A newer choice takes the place of one that still loads: what comes of that is never taken, nor told.
#[test]
fn the_newest_choice_wins() {
    let folder = folder("stale");
    let own = ["first.safetensors", "second.safetensors"].map(|name| {
        let path = folder.join(name);
        std::fs::write(&path, mobileone::sample::DIGITS).expect("the folder can be written");
        path.to_str().expect("a plain path").to_string()
    });
    let gate = folder.join("gate");
    let lets_through = || std::fs::write(&gate, "").expect("the folder can be written");
    lets_through();
    let Some(mut live) = start_with(Settings { gate: Some(gate.clone()), ..settings("cpu", "synthetic") })
    else {
        return;
    };
    labels(&mut live, 3);
    let is = |live: &Live, model: &str| live.running.as_ref().is_some_and(|running| &*running.model == model);
    assert!(is(&live, "digits"));

    // Loaded, the first of the two is being made ready, which takes until it is let through; what ran goes on.
    live.set_model(own[0].clone());
    let ready = format!("preparing {}", own[0]);
    until(&mut live, "the first", |live| live.progress.as_ref().is_some_and(|at| at.text == ready));
    labels(&mut live, 3);
    assert!(is(&live, "digits") && live.loads() == 1);
    live.set_model(own[1].clone());
    let mut said = until(&mut live, "the end of the first", |live| live.loads() == 1);
    labels(&mut live, 3);
    assert!(is(&live, "digits"), "the first was taken");
    lets_through();
    let mut taken = false;
    said.extend(until(&mut live, "the second", |live| {
        taken |= is(live, &own[0]);
        is(live, &own[1])
    }));
    assert!(!taken && said.is_empty(), "{said:?}");

    // One that fails is not told of once it is unwanted, and neither are those that are passed by.
    for model in ["/no/such.safetensors", &own[0], "/nor/this.safetensors", "digits"] {
        live.set_model(model.into());
    }
    lets_through();
    let mut others = Vec::new();
    let said = until(&mut live, "the last", |live| {
        others.extend(live.running.as_ref().map(|running| running.model.to_string()));
        is(live, "digits")
    });
    let mut more = until(&mut live, "the end of the others", |live| live.loads() == 0);
    let before = labelled(&live);
    more.extend(until(&mut live, "more labels", |live| labelled(live) >= before + 3));
    others.extend(live.running.as_ref().map(|running| running.model.to_string()));
    others.dedup();
    assert_eq!(others, [own[1].as_str(), "digits"]);
    assert_eq!((said, more), (Vec::new(), Vec::new()));
    std::fs::remove_dir_all(folder).ok();
}

fn table(_: &DeviceInfo) -> Option<PathBuf> {
    Some(std::env::temp_dir().join(format!("camera-table-{}.json", std::process::id())))
}

fn is_tuned(live: &Live) -> bool {
    live.running.as_ref().is_some_and(|running| running.tuning)
}

/// Tuning ends by itself, with a table that the session is made anew with; or where it is stopped; or where another
/// model or device is chosen; or where the device is lost.
#[test]
fn tuning_and_its_ends() {
    let folder = folder("tuned");
    let file = folder.join("own.safetensors");
    std::fs::write(&file, mobileone::sample::DIGITS).expect("the folder can be written");
    let file = file.to_str().expect("a plain path").to_string();
    let Some(mut live) = start_with(Settings { place: Some(table), ..settings("software", "synthetic") })
    else {
        return;
    };
    let path = table(&live.gpu.info).expect("a path");
    std::fs::remove_file(&path).ok();
    live.tune();
    let line = live.lines.pop_back().map(|(_, line)| line);
    assert!(line.is_some_and(|line| line.contains("What loads comes first")), "nothing runs yet");
    labels(&mut live, 3);

    // Stopped: what ran runs on, and nothing is kept.
    live.tune();
    assert!(is_tuned(&live));
    until(&mut live, "a picture without a label", |live| {
        live.shown().is_some_and(|shown| shown.answer.is_none())
    });
    until(&mut live, "progress", |live| {
        live.progress.as_ref().is_some_and(|progress| progress.share > Some(0.0))
    });
    live.tune();
    assert!(!is_tuned(&live) && live.progress.is_none());
    let said = until(&mut live, "a line", |live| !live.lines.is_empty());
    assert!(said.is_empty());
    labels(&mut live, 3);

    // To its end.
    live.tune();
    let mut shares = Vec::new();
    let mut said = until(&mut live, "the end", |live| {
        shares.extend(live.progress.as_ref().and_then(|progress| progress.share));
        !is_tuned(live)
    });
    assert!(shares.windows(2).all(|pair| pair[0] <= pair[1]) && shares.len() > 10, "{shares:?}");
    said.extend(until(&mut live, "the model again", |live| live.progress.is_none()));
    assert!(said.iter().any(|line| line.starts_with("Tun")), "{said:?}");
    labels(&mut live, 3);
    // What it holds is what was proven, which a busy machine may leave nothing of.
    tune::read(&path, &live.gpu.info).expect("a sound table").expect("a table");

    // Another model, another device, and a loss: each ends it.
    live.tune();
    live.set_model(file.clone());
    until(&mut live, "the other model", |live| {
        live.progress.is_none() && live.running.as_ref().is_some_and(|running| *running.model == *file)
    });
    labels(&mut live, 3);
    live.tune();
    live.gpu.device.destroy();
    until(&mut live, "the recovery", |live| live.recovered == 1 && live.progress.is_none());
    assert!(!is_tuned(&live));
    labels(&mut live, 3);
    live.tune();
    live.set_device("cpu".into());
    until(&mut live, "the CPU", |live| live.progress.is_none());
    labels(&mut live, 3);

    // Which has nothing to tune.
    live.tune();
    let line = live.lines.pop_back().map(|(_, line)| line);
    assert!(line.is_some_and(|line| line.contains("nothing to tune")) && !is_tuned(&live));

    // The end does not wait for a tuning to come to its own.
    live.set_device("software".into());
    until(&mut live, "the GPU", |live| live.progress.is_none());
    live.settings.tuning = Duration::from_secs(600);
    live.tune();
    let (ended, end) = channel();
    std::thread::spawn(move || {
        drop(live);
        ended.send(()).ok();
    });
    end.recv_timeout(PATIENCE).expect("an end long before that of the tuning");
    std::fs::remove_file(path).ok();
    std::fs::remove_dir_all(folder).ok();
}

/// A file that leaves its strides open: the guess is a line, and given strides are not guessed; a file that the options
/// are not for is read without them.
#[test]
fn what_a_file_leaves_open() {
    let folder = folder("open");
    let path = folder.join("plain.safetensors");
    let weights = Checkpoint::from_bytes(mobileone::sample::DIGITS).expect("it is sound").weights;
    write_tensors(&path, weights.iter()).expect("the folder can be written");
    let model = path.to_str().expect("a plain path").to_string();
    let strides = Some("2,2,2,2,2".parse().expect("five strides"));
    for (reading, guessed) in [
        ((String::new(), Reading::default()), true),
        ((model.clone(), Reading { strides: strides.clone(), ..Reading::default() }), false),
        (("another".into(), Reading { strides, ..Reading::default() }), true),
    ] {
        let settings = Settings { model: model.clone(), reading, ..settings("cpu", "synthetic") };
        let Some(mut live) = start_with(settings) else { return };
        let said = until(&mut live, "the model", |live| live.running.is_some());
        let found = said.iter().any(|line| line.contains("plain.safetensors: strides 2,2,2,2,2"));
        assert_eq!(found, guessed, "{said:?}");
    }
    std::fs::remove_dir_all(folder).ok();
}

/// A table that cannot be read is reported, and the model runs without it.
#[test]
fn a_broken_table() {
    fn broken(_: &DeviceInfo) -> Option<PathBuf> {
        Some(std::env::temp_dir().join(format!("camera-broken-{}.json", std::process::id())))
    }
    let settings = Settings { place: Some(broken), ..settings("software", "synthetic") };
    let path = std::env::temp_dir().join(format!("camera-broken-{}.json", std::process::id()));
    std::fs::write(&path, "no table").expect("the folder can be written");
    let Some(mut live) = start_with(settings) else { return };
    let said = until(&mut live, "labels", |live| labelled(live) > 3);
    assert!(said.len() == 1 && said[0].contains("not a table of choices"), "{said:?}");
    std::fs::remove_file(path).ok();
}
