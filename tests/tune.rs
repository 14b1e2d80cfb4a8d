//! Choices that are measured, and the file that keeps them.

use std::time::Duration;

use mobileone::{
    Checkpoint, DType, DeviceInfo, DeviceKind, Form, Model, Options, kernels::Choice, plan::Tuning, tune,
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

#[test]
fn a_table_is_of_one_device_driver_and_version() {
    let folder = std::env::temp_dir().join(format!("mobileone-tune-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("table.json");
    assert_eq!(tune::read(&path, &info("1")), Ok(None), "no file, no word");
    let with = |key: &str, choice| {
        let tuning = Tuning { layers: [(key.to_string(), choice)].into(), ..Tuning::default() };
        tune::Kept { tuning, f16: key == "b", cpu: false }
    };
    tune::write(&path, &info("1"), &with("a", Choice::Head)).unwrap();
    tune::write(&path, &info("1"), &with("b", Choice::Split(4, 4))).unwrap();
    let both = tune::read(&path, &info("1")).unwrap().unwrap();
    assert_eq!(both.tuning.layers.len(), 2, "other layers are kept");
    assert_eq!((both.tuning.layers["b"], both.f16, both.cpu), (Choice::Split(4, 4), true, false));

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
        ("\"layers\"", "\"lawyers\"", "not a table"),
        ("{", "", "not a table"),
    ] {
        assert!(text.contains(old));
        std::fs::write(&path, text.replacen(old, new, 1)).unwrap();
        assert!(refused(&info("1")).contains(what), "{what}");
    }
    // What is void is written over, not added to.
    tune::write(&path, &info("2"), &with("c", Choice::Apart)).unwrap();
    assert_eq!(tune::read(&path, &info("2")).unwrap().unwrap().tuning.layers.len(), 1);
    // Several threads at once, and one that fails.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| tune::write(&path, &info("2"), &with("c", Choice::Apart)).unwrap());
        }
    });
    let taken = folder.join("taken");
    std::fs::create_dir(&taken).unwrap();
    tune::write(&taken, &info("2"), &with("c", Choice::Apart)).unwrap_err();
    std::fs::remove_dir(&taken).unwrap();
    let left = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    assert_eq!(left.collect::<Vec<_>>(), [path], "nothing unfinished is left");
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
    let mut progress = |done: usize, all: usize| told.push((done, all));
    let tuned = tune::tune(&device, &model, &options, Duration::from_secs(4), &mut progress);
    let tuned = match tuned {
        Err(error) if error.to_string().contains("no timestamps") => {
            eprintln!("SKIPPED: {error}");
            return;
        }
        tuned => tuned.unwrap(),
    };
    assert!(told.iter().all(|&(done, all)| done <= all) && told.last() == Some(&(1, 1)), "{told:?}");
    assert!(tuned.after <= tuned.before, "{tuned:?}");
    assert!(tuned.after < tuned.before || tuned.tuning == options.tuning, "no gain, no change: {tuned:?}");
    assert!(!file.exists(), "trials leave no pipelines");
    options = Options { tuning: tuned.tuning, cache: None, ..options };
    for line in examine(&device, &model, options).unwrap() {
        assert_eq!(line.fault, None, "{line:?}");
    }
}

/// Its errors are those of sums in f16, which are larger than those of f16's storage alone.
#[test]
fn fast_sums_stay_within_their_own_bound() {
    let Some(device) = device().filter(has_f16) else { return };
    let s0 = mobileone::models::mobileone::synthetic(&mobileone::models::mobileone::VARIANTS[0], 1000, 3);
    let s0 = Model::new(s0, Form::Fused).unwrap();
    let small = model();
    for (model, choice) in [(&small, Choice::Fast(2)), (&small, Choice::Fast(8)), (&s0, Choice::Fast(4))] {
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
