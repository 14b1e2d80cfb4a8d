//! Choices that are measured, and the file that keeps them.

use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};

use mobileone::{
    Checkpoint, DType, Device, DeviceInfo, DeviceKind, Form, Input, Model, Options, Session, Shape, Tensor,
    graph::{Activation, Op},
    kernels::{Choice, Kind, ways},
    models::mobileone::{VARIANTS, synthetic},
    plan::{Layer, Plan, Tuning},
    tune::{self, Fastest, Rivals, Times},
    verify::examine,
};

use crate::gpu::{device, has_f16};

fn model() -> Model {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/se.timm.fused.safetensors");
    Model::new(Checkpoint::open(path).unwrap(), Form::Fused).unwrap()
}

fn info(driver: &str) -> DeviceInfo {
    DeviceInfo {
        name: "Some GPU".into(),
        backend: "vulkan",
        kind: DeviceKind::Discrete,
        driver: driver.into(),
        features: Vec::new(),
    }
}

/// A layer of its own for each key.
fn layer(key: &str) -> Layer {
    let map = Shape::new(1, 7, 7, usize::from(key.as_bytes()[0]));
    let (kind, dtype, fast) = (Kind::Head, DType::F32, false);
    Layer { kind, src: map, dst: map, dtype, fast, window: [1, 1], matrix: 0 }
}

#[test]
fn a_table_is_of_one_device_driver_and_version() {
    let folder = std::env::temp_dir().join(format!("mobileone-tune-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("table.json");
    assert_eq!(tune::read(&path, &info("1")), Ok(None), "no file, no word");
    let with = |key: &str, choice| {
        let tuning = Tuning { layers: [(layer(key), choice)].into(), ..Tuning::default() };
        let fastest = Fastest { f16: (key == "b").then_some(u64::MAX), cpu: (key == "a").then_some(3) };
        tune::Kept { tuning, networks: [(key.to_string(), fastest)].into() }
    };
    tune::write(&path, &info("1"), &with("a", ways::JOINED.of(&[]))).unwrap();
    tune::write(&path, &info("1"), &with("b", ways::SPLIT.of(&[4, 4]))).unwrap();
    let both = tune::read(&path, &info("1")).unwrap().unwrap();
    assert_eq!(both.tuning.layers.len(), 2, "other layers are kept");
    assert_eq!(both.tuning.layers[&layer("b")], ways::SPLIT.of(&[4, 4]));
    assert_eq!(both.fastest("a"), Fastest { f16: None, cpu: Some(3) }, "each network has its own");
    assert_eq!(both.fastest("b"), Fastest { f16: Some(u64::MAX), cpu: None });
    assert_eq!(both.fastest("c"), Fastest::default(), "what was not measured runs in f32, on the device");

    let refused = |info: &DeviceInfo| {
        let line = tune::read(&path, info).unwrap_err();
        assert!(line.starts_with(&path.display().to_string()) && line.lines().count() == 1, "{line}");
        line
    };
    assert!(refused(&info("2")).contains("another device or driver"));
    assert!(refused(&DeviceInfo { name: "Other".into(), ..info("1") }).contains("another device or driver"));
    let text = std::fs::read_to_string(&path).unwrap();
    for (old, new, what) in [
        ("\"texts\": \"", "\"texts\": \"0", "other shaders"),
        ("split 4 by 4", "split 4 by 5", "no choice is called"),
        ("head 1/1", "head 1/x", "no layer is written"),
        ("\"layers\"", "\"lawyers\"", "not a table"),
        ("{", "", "not a table"),
    ] {
        assert!(text.contains(old));
        std::fs::write(&path, text.replacen(old, new, 1)).unwrap();
        assert!(refused(&info("1")).contains(what), "{what}");
    }
    // What is void is written over, not added to.
    tune::write(&path, &info("2"), &with("c", ways::APART.of(&[]))).unwrap();
    assert_eq!(tune::read(&path, &info("2")).unwrap().unwrap().tuning.layers.len(), 1);
    // Several threads at once, and one that fails.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| tune::write(&path, &info("2"), &with("c", ways::APART.of(&[]))).unwrap());
        }
    });
    let taken = folder.join("taken");
    std::fs::create_dir(&taken).unwrap();
    tune::write(&taken, &info("2"), &with("c", ways::APART.of(&[]))).unwrap_err();
    std::fs::remove_dir(&taken).unwrap();
    let left = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    assert_eq!(left.collect::<Vec<_>>(), [path], "nothing unfinished is left");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Storages are told apart by the device's own clock, the CPU by round trips.
#[test]
fn the_fastest_of_rivals() {
    let ms = Duration::from_millis;
    let times =
        |round_trip, device: Option<u64>| Times { round_trip: ms(round_trip), device: device.map(ms) };
    let rows = [
        // f32, f16 and the CPU; whether f16 and the CPU are the fastest.
        (times(9, Some(7)), None, None, (false, false)),
        (times(9, Some(7)), Some(times(10, Some(6))), None, (true, false)),
        (times(9, Some(6)), Some(times(8, Some(7))), None, (false, false)),
        (times(9, None), Some(times(8, None)), None, (true, false)),
        (times(9, None), Some(times(10, None)), Some(8), (false, true)),
        (times(9, Some(7)), Some(times(10, Some(6))), Some(9), (true, true)),
        (times(9, Some(5)), Some(times(8, Some(4))), Some(9), (true, false)),
        (times(9, Some(5)), Some(times(9, Some(5))), Some(9), (false, false)),
        // Less than noise is no gain.
        (times(99, Some(50)), Some(times(99, Some(49))), Some(98), (false, false)),
        (times(99, None), Some(times(97, None)), None, (false, false)),
        (times(100, None), Some(times(90, None)), Some(89), (true, false)),
    ];
    for (f32, f16, cpu, (half, on_cpu)) in rows {
        let rivals = Rivals { f32, f16, cpu: cpu.map(|cpu| (ms(cpu), 5)), refused: None, weights: 7 };
        let expected = Fastest { f16: half.then_some(7), cpu: on_cpu.then_some(5) };
        assert_eq!(rivals.fastest(), expected, "{rivals:?}");
    }
}

/// What was found holds for the weights and the threads that it was found with.
#[cfg(feature = "cpu")]
#[test]
fn verdicts_are_of_weights_and_threads() {
    let weights = |seed| synthetic(&VARIANTS[0], 10, seed).weights;
    let mut changed = weights(1);
    let name = "head.fc.bias";
    let mut bias = changed.get(name).unwrap().clone();
    bias.data[9] = f32::from_bits(bias.data[9].to_bits() ^ 1);
    changed.insert(name, &bias.shape, bias.data);
    let fastest = Fastest { f16: Some(weights(1).sum()), cpu: Some(2) };
    assert!(fastest.in_f16(&weights(1)) && !fastest.in_f16(&weights(2)) && !fastest.in_f16(&changed));
    assert!(!Fastest::default().in_f16(&weights(1)));
    let cpu = |threads| {
        Device::open("cpu").unwrap().with_threads(std::num::NonZero::new(threads).unwrap()).unwrap()
    };
    assert!(fastest.on(&cpu(2)) && !fastest.on(&cpu(1)) && !Fastest::default().on(&cpu(2)));
}

/// Equal layers have one key, whatever the weights; another size, width or activation has another.
#[test]
fn networks_have_keys() {
    let s0 = |seed| Model::new(synthetic(&VARIANTS[0], 1000, seed), Form::Fused).unwrap().graph;
    let key = tune::network(&s0(0), (224, 224), 0);
    assert_eq!(key.len(), 16);
    assert_eq!(tune::network(&s0(1), (224, 224), 0), key);
    assert_ne!(tune::network(&s0(0), (224, 192), 0), key);
    assert_ne!(tune::network(&s0(0), (192, 224), 0), tune::network(&s0(0), (224, 192), 0));
    assert_ne!(tune::network(&s0(0), (224, 224), 16), key, "on matrices it takes another time");
    let s1 = Model::new(synthetic(&VARIANTS[1], 1000, 0), Form::Fused).unwrap().graph;
    assert_ne!(tune::network(&s1, (224, 224), 0), key);
    let mut linear = s0(0);
    if let Op::Conv { activation, .. } = &mut linear.nodes[5].op {
        *activation = Activation::None;
    }
    assert_ne!(tune::network(&linear, (224, 224), 0), key);
    // A size that the network cannot take has a key all the same.
    tune::network(&s0(0), (0, 1), 0);
}

/// The ways that are measured are those that run; f16 is in it only where it passes.
#[test]
fn rivals_run_in_turns() {
    let Some(device) = device() else { return };
    let model = model();
    let mut options = Options::of(&model);
    options.preprocess.size = (64, 64);
    let cpu = Device::open("cpu").unwrap();
    let rivals = tune::compare(&device, Some(&cpu), &model, &options).unwrap();
    let on_cpu = rivals.cpu.unwrap().0;
    assert!(rivals.f32.round_trip > Duration::ZERO && on_cpu > Duration::ZERO, "{rivals:?}");
    let has = |feature| device.info().features.contains(&feature);
    assert_eq!(rivals.f16.is_some() || rivals.refused.is_some(), has("f16"), "{rivals:?}");
    assert_eq!(rivals.f32.device.is_some(), has("timestamps"), "{rivals:?}");
    let without = tune::compare(&device, None, &model, &options).unwrap();
    assert!(without.cpu.is_none() && without.fastest().cpu.is_none(), "{without:?}");
    assert!(tune::compare(&cpu, None, &model, &options).is_err());
    // Weights that are too large for f16 leave f32.
    let large = large_weights();
    let rivals = tune::compare(&device, None, &large, &options).unwrap();
    assert!(rivals.f16.is_none() && rivals.fastest().f16.is_none(), "{rivals:?}");
    let told = rivals.refused.is_some_and(|reason| reason.contains("is too large for f16"));
    assert_eq!(told, has("f16"));
}

/// What there is no time to prove is not kept, and what was begun is given up.
#[test]
fn nothing_is_kept_without_time() {
    let Some(device) = device() else { return };
    let model = model();
    let mut options = Options::of(&model);
    options.preprocess.size = (64, 64);
    let mut steps = 0;
    let mut progress = |_, _| {
        steps += 1;
        ControlFlow::Continue(())
    };
    let tuned = match tune::tune(&device, &model, &options, Duration::ZERO, &mut progress) {
        Err(error) if error.to_string().contains("no timestamps") => {
            return crate::skipped(format_args!("{error}"));
        }
        tuned => tuned.unwrap(),
    };
    assert!(!tuned.complete && tuned.tried == 0 && tuned.changed.is_empty(), "{tuned:?}");
    assert_eq!(tuned.tuning, options.tuning, "no layer was judged");
    assert!(tuned.before == tuned.after && tuned.before > Duration::ZERO, "{tuned:?}");
    assert!(steps <= 3, "told before the layers, before the changes, and at the end: {steps}");
    let cpu = Device::open("cpu").unwrap();
    let within = |budget| tune::compare_within(&device, Some(&cpu), &model, &options, budget).unwrap();
    assert_eq!(within(Duration::ZERO), None);
    let rivals = within(Duration::MAX).unwrap();
    assert!(rivals.cpu.is_some() && rivals.f32.round_trip > Duration::ZERO, "{rivals:?}");
}

/// Tables are listed with the names of their networks; other files are not.
#[test]
fn tables_are_listed() {
    let folder = std::env::temp_dir().join(format!("mobileone-held-{}", std::process::id()));
    assert_eq!(tune::held(&folder), []);
    std::fs::create_dir_all(&folder).unwrap();
    let write = |file: &str, info: &DeviceInfo, key: &str, named: bool| {
        let tuning = Tuning { layers: [(layer(key), ways::JOINED.of(&[]))].into(), ..Tuning::default() };
        let networks = [(key.to_string(), Fastest { f16: Some(7), cpu: None })].into();
        let names = named.then(|| (key.to_string(), "MobileOne-S0 at 224x224".to_string()));
        let names = names.into_iter().collect();
        let path = folder.join(file);
        tune::write_named(&path, info, &tune::Kept { tuning, networks }, &names).unwrap();
        path
    };
    let path = write("b.json", &info("2"), "x", true);
    write("b.json", &info("2"), "y", false);
    write("a.json", &info("1"), "z", false);
    std::fs::write(folder.join("other.json"), "{}").unwrap();
    std::fs::write(folder.join("no-gpu"), "").unwrap();
    let held = tune::held(&folder);
    let driver = |at: usize| held[at].driver.as_str();
    assert_eq!((held.len(), driver(0), driver(1)), (2, "1", "2"), "{held:?}");
    let names: Vec<&str> = held[1].networks.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, held[1].layers), (vec!["MobileOne-S0 at 224x224", "y"], 2));
    assert!(held.iter().all(|held| held.fault.is_none() && held.device == info("1").to_string()));
    let text = std::fs::read_to_string(&path).unwrap().replace("\"texts\": \"", "\"texts\": \"0");
    std::fs::write(&path, text).unwrap();
    let fault = tune::held(&folder).remove(1).fault.unwrap();
    assert!(fault.contains("other shaders"), "{fault}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The same network with a weight that f16 does not hold.
fn large_weights() -> Model {
    let mut model = model();
    let name = "head.fc.weight";
    let mut array = model.weights.get(name).unwrap().clone();
    array.data[0] = 1e5;
    model.weights.insert(name, &array.shape, array.data);
    model
}

/// Compiled pipelines go to a driver as they are: only those that were written whole do.
#[test]
fn damaged_pipelines_are_left_aside() {
    let Some(device) = device() else { return };
    let model = model();
    let folder = std::env::temp_dir().join(format!("mobileone-pipelines-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("pipelines");
    let mut options = Options::of(&model);
    options.preprocess.size = (64, 64);
    options.cache = Some(path.clone());
    let input = Tensor::new(Shape::new(1, 64, 64, 3), vec![0.5; 3 * 64 * 64]).unwrap();
    let run = || {
        let session = Session::new(&device, &model, &options).unwrap();
        (session.run(Input::Tensor(&input)).unwrap(), session.cache_fault().map(String::from))
    };
    let (expected, fault) = run();
    assert_eq!(fault, None, "no file, no word");
    let Ok(sound) = std::fs::read(&path) else {
        assert!(!device.info().features.contains(&"pipeline cache"), "nothing was kept");
        return crate::skipped(format_args!("{} keeps no pipelines", device.info()));
    };
    let sound_run = (expected.clone(), None);
    assert_eq!(run(), sound_run);
    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let rows = [
        (flipped(0), "not a file of compiled pipelines"),
        (flipped(22), "damaged"),
        (flipped(29), "damaged"),
        (flipped(30), "damaged"),
        (flipped(sound.len() / 2), "damaged"),
        (flipped(sound.len() - 1), "damaged"),
        (sound[..sound.len() - 1].to_vec(), "damaged"),
        ([&sound[..], &[0]].concat(), "damaged"),
        (sound[..25].to_vec(), "not a file of compiled pipelines"),
        (Vec::new(), "not a file of compiled pipelines"),
    ];
    for (bytes, reason) in rows {
        std::fs::write(&path, &bytes).unwrap();
        let (answer, fault) = run();
        let line = fault.unwrap();
        assert!(
            line.starts_with(&path.display().to_string()) && line.contains(reason),
            "{line}, not {reason}"
        );
        assert_eq!(line.lines().count(), 1);
        assert_eq!(answer, expected);
        assert_eq!(run(), sound_run, "it was written anew after: {line}");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let (answer, fault) = run();
    assert!(fault.is_some() && answer == expected, "a folder in its place");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Whatever is kept computes the same network.
#[test]
fn what_is_kept_is_right() {
    let Some(device) = device() else { return };
    let model = model();
    let mut options = Options::of(&model);
    options.preprocess.size = (64, 64);
    let file = std::env::temp_dir().join(format!("mobileone-tune-{}.pipelines", std::process::id()));
    options.cache = Some(file.clone());
    let mut told = Vec::new();
    let mut progress = |done: usize, all: usize| {
        told.push((done, all));
        ControlFlow::Continue(())
    };
    // It ends before that, when all is measured.
    let tuned = tune::tune(&device, &model, &options, Duration::from_secs(3600), &mut progress);
    let tuned = match tuned {
        Err(error) if error.to_string().contains("no timestamps") => {
            crate::skipped(format_args!("{error}"));
            return;
        }
        tuned => tuned.unwrap(),
    };
    assert!(told.iter().all(|&(done, all)| done <= all) && told.last() == Some(&(1, 1)), "{told:?}");
    assert!(tuned.complete && tuned.after <= tuned.before, "{tuned:?}");
    // The way from a picture to the input is none of what these two compare.
    let of_the_net = tuned.changed.iter().filter(|layer| layer.kind != Kind::Front).count();
    assert!(tuned.after < tuned.before || of_the_net == 0, "no gain, no change: {tuned:?}");
    assert!(!file.exists(), "trials leave no pipelines");
    // Every layer is told, for an earlier measurement may have had it otherwise; and what runs is what is told.
    let plan = |tuning: &Tuning| {
        let (input, limits) = (Shape::new(1, 64, 64, 3), device.limits().unwrap());
        Plan::new(&model.graph, &model.weights, input, DType::F32, limits, tuning).unwrap()
    };
    let layers = |plan: &Plan| {
        let layers = plan.dispatches.iter().filter_map(|one| Some((one.layer?, one.choice?)));
        layers.collect::<BTreeMap<Layer, Choice>>()
    };
    let (before, after) = (layers(&plan(&Tuning::default())), layers(&plan(&tuned.tuning)));
    assert!(!after.is_empty());
    for (key, choice) in &after {
        assert_eq!(tuned.tuning.layers.get(key), Some(choice), "{key}: {tuned:?}");
    }
    for (key, choice) in &tuned.tuning.layers {
        let known = before.get(key).filter(|_| after.contains_key(key));
        assert!(
            known.is_none_or(|known| (known != choice) == tuned.changed.contains(key)),
            "{key}: {tuned:?}"
        );
    }
    // A choice that lost does not outlive the measurement that it lost in.
    let folder = std::env::temp_dir().join(format!("mobileone-again-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("table.json");
    let kept = |tuning: Tuning| tune::Kept { tuning, ..tune::Kept::default() };
    let old = tuned.tuning.layers.keys().map(|key| (*key, ways::PREPARE.of(&[]))).collect();
    tune::write(&path, device.info(), &kept(Tuning { layers: old, ..Tuning::default() })).unwrap();
    tune::write(&path, device.info(), &kept(tuned.tuning.clone())).unwrap();
    let read = tune::read(&path, device.info()).unwrap().unwrap();
    assert_eq!(plan(&read.tuning), plan(&tuned.tuning));
    std::fs::remove_dir_all(&folder).unwrap();
    options = Options { tuning: tuned.tuning, cache: None, ..options };
    for line in examine(&device, &model, options).unwrap() {
        assert_eq!(line.fault, None, "{line:?}");
    }
}

/// Its errors are those of sums in f16, which are larger than those of f16's storage alone.
#[test]
fn fast_sums_stay_within_their_own_bound() {
    let Some(device) = device().filter(has_f16) else { return };
    let s0 = synthetic(&VARIANTS[0], 1000, 3);
    let s0 = Model::new(s0, Form::Fused).unwrap();
    let small = model();
    for (model, choice) in
        [(&small, ways::FAST.of(&[2])), (&small, ways::FAST.of(&[8])), (&s0, ways::FAST.of(&[4]))]
    {
        let mut options = Options::of(model);
        options.preprocess.size = (96, 64);
        options.dtype = DType::F16;
        options.tuning = Tuning { fast: true, ..Tuning::only(choice) };
        let lines = examine(&device, model, options).unwrap();
        for line in &lines {
            assert_eq!(line.fault, None, "{line:?}");
        }
        let (logits, layers) = lines.split_last().unwrap();
        let worst = layers.iter().map(|line| line.relative).fold(0.0, f64::max);
        eprintln!("{} {choice}: layers within {worst:.1e}, logits {:.1e}", model.name, logits.relative);
    }
}
