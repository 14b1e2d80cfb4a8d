//! The command at its edge: exit codes, messages, JSON, and what may be typed by accident.

mod answers;
mod bench;
mod config;
mod devices;
mod eval;
mod export;
mod gpu;
mod hub;
mod messages;
mod pictures;
mod screens;
#[path = "../../tests/hub/server.rs"]
mod server;
mod tensors;
mod watch;

use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Says on a line of its own what a test leaves out and why, past the harness, which swallows what tests that pass
/// print.
fn skipped(what: impl std::fmt::Display) {
    let line = format!("\nSKIPPED: {what}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
}

/// The repository's folder.
fn root() -> &'static str {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .and_then(Path::to_str)
        .expect("a folder above this package")
}

/// The file of this name in tests/data.
fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", root())
}

/// An empty folder of this name.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}"));
    std::fs::remove_dir_all(&path).ok();
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// What the instruction sets of the CPU executor are called.
const INSTRUCTIONS: [&str; 4] = ["AVX-512", "AVX2", "NEON", "portable code"];

/// How a run of the command ended.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

/// The command, on the CPU, with no network and an empty cache.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mobileone"));
    let nowhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-no-cache");
    command.env("MOBILEONE_DEVICE", "cpu").env("HF_HUB_OFFLINE", "1").env("HF_HOME", &nowhere);
    command.env("MOBILEONE_CACHE", nowhere.join("mobileone"));
    command.env("COLUMNS", "80");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    for name in ["HF_ENDPOINT", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"] {
        command.env_remove(name);
    }
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "TRANSFORMERS_OFFLINE"] {
        command.env_remove(name);
    }
    // Without it, libwayland, which drivers load, complains on standard error.
    command.env("XDG_RUNTIME_DIR", env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

fn finish(mut command: Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("what is written is UTF-8");
    let run = Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
    assert!(!run.err.contains("panicked"), "{run:?}");
    run
}

fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    let mut command = command();
    command.args(args);
    finish(command)
}

/// The JSON that a successful run has written; `code` is how it must end.
fn json<S: AsRef<OsStr>>(code: i32, args: impl IntoIterator<Item = S>) -> serde_json::Value {
    let run = run(args);
    assert_eq!(run.code, Some(code), "{run:?}");
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

/// Compares `text` with the snapshot `name`; `UPDATE_SNAPSHOTS=1` writes it instead.
fn snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert_eq!(text, expected, "{name}: if this is meant, run again with UPDATE_SNAPSHOTS=1");
}

#[test]
fn snapshots() {
    let tiny = data("odd.timm.fused.safetensors");
    let rows: &[(&str, &[&str])] = &[
        ("help.txt", &["--help"]),
        ("classify.txt", &["help", "classify"]),
        ("info.txt", &["info", &tiny]),
        ("info.json", &["info", &tiny, "--json"]),
        ("info-se.txt", &["info", &data("se.timm.train.safetensors")]),
        ("info-encoder.txt", &["info", &data("odd.apple.encoder.safetensors")]),
        ("variants.txt", &["info", "--variants"]),
    ];
    for (name, args) in rows {
        let run = run(*args);
        // What these files leave open.
        let other = run.err.lines().find(|line| !line.starts_with("warning: ") || !line.contains("a guess"));
        assert_eq!((run.code, other), (Some(0), None), "{name}");
        // Windows calls the program by another name.
        snapshot(name, &run.out.replace("mobileone.exe", "mobileone").replace(root(), "ROOT"));
    }
}

#[test]
fn without_arguments_it_shows_what_it_does() {
    let run = run([""; 0]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for (name, _) in mobileone::sample::PICTURES {
        let line = run.out.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no line for {name}: {run:?}"));
        assert!(line.contains('%') && line.contains('█'), "{line}");
    }
    assert!(run.out.contains("mobileone classify"), "{run:?}");
    assert_eq!(run.out.matches("CPU, ").count(), 1, "the device is named once: {run:?}");
}

#[test]
fn without_a_model_it_reads_digits() {
    let picture = format!("{}/demo/images/seven-handwritten.jpg", root());
    let unasked = run(["classify", &picture]);
    assert_eq!(unasked.code, Some(0), "{unasked:?}");
    let told = "digits (built in; --model s1 knows ImageNet) on CPU, ";
    assert!(unasked.err.starts_with(told) && unasked.err.ends_with(", f32, 80x80\n"), "{unasked:?}");
    assert_eq!(unasked.err.lines().count(), 1, "{unasked:?}");
    let asked = run(["classify", "--model", "digits", &picture]);
    assert_eq!((asked.code, &asked.out), (Some(0), &unasked.out), "{asked:?}");
    assert!(asked.err.starts_with("MobileOne (widths 32/80/160/256) on CPU, "), "{asked:?}");
    let report = json(0, ["info", "digits", "--json"]);
    assert_eq!((&report["classes"], &report["input"]), (&11.into(), &serde_json::json!([1, 3, 80, 80])));
    // Other commands take it too.
    for name in ["model", "requested", "classes"] {
        assert_eq!(json(0, ["info", "--json"])[name], report[name], "{name}");
    }
    assert_eq!(json(0, ["info", "--model", "digits", "--json"]), report);
    // A file of that name comes first.
    let here = folder("digits");
    std::fs::write(here.join("digits"), "no model").unwrap();
    let mut command = command();
    command.current_dir(&here).args(["info", "digits"]);
    assert_eq!(finish(command).code, Some(2));
}

#[test]
fn devices_are_listed() {
    let report = json(0, ["devices", "--json"]);
    let devices = report["devices"].as_array().unwrap();
    let cpu = devices.last().unwrap();
    assert_eq!((cpu["kind"].as_str(), cpu["backend"].as_str()), (Some("CPU"), Some("cpu")));
    let taken = devices.iter().filter(|device| device["auto"] == true).count();
    assert_eq!(taken, 1, "{report}");
    let text = run(["devices"]).out;
    for device in devices {
        assert!(text.contains(device["name"].as_str().unwrap()), "{text}");
    }
    // The CPU is named, with the instructions that run on it.
    let driver = cpu["driver"].as_str().unwrap();
    let (name, instructions) = driver.rsplit_once(", ").unwrap();
    assert!(!name.is_empty() && INSTRUCTIONS.contains(&instructions) && text.contains(driver), "{text}");
    let shared = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if let Some(line) = shared.lines().find(|line| line.starts_with("model name")) {
        let word = name.split(' ').next().unwrap();
        assert!(line.contains(word), "{name}: {line}");
    }
}

#[test]
fn verify_passes_what_is_right_and_fails_what_is_not() {
    let report = json(0, ["verify", "--json"]);
    let names: Vec<_> = report["models"].as_array().unwrap().iter().map(|model| &model["model"]).collect();
    assert_eq!(names, ["MobileOne-S0", "MobileOne-S4"]);
    assert_eq!(report["pass"], true);
    let lines = report["models"][1]["lines"].as_array().unwrap();
    assert!(lines.len() > 44 && lines.last().unwrap()["label"] == "logits", "{lines:?}");

    for line in lines {
        let of = |name: &str| line[name].as_f64().unwrap();
        assert!(of("relative") <= of("relative_bound") && of("relative_bound") <= 5e-5, "{line}");
        assert!(line["absolute_bound"].is_null() || of("absolute") <= of("absolute_bound"), "{line}");
    }

    let tiny = data("odd.timm.fused.safetensors");
    let good = run(["verify", "--model", &tiny]);
    // The worst with their bounds, and every dispatch where that is asked for.
    let shown: Vec<&str> = good.out.lines().collect();
    assert!(shown.len() <= 10 && shown.iter().any(|line| line.contains("1.0e-5")), "{shown:#?}");
    let all = run(["verify", "--all", "--model", &tiny]);
    assert!(all.out.lines().count() > 10 && all.out.contains("stages.0.1"), "{all:?}");
    assert_eq!((good.code, good.out.lines().last()), (Some(0), Some("PASS")), "{good:?}");

    // Two equal channels of a million, taken from each other: f32 cannot keep what is left.
    let mut checkpoint = mobileone::Checkpoint::open(&tiny).unwrap();
    for (name, taps) in [("stem", 27), ("stages.0.0", 9)] {
        for (suffix, length) in [("weight", taps), ("bias", 1)] {
            let name = format!("{name}.reparam_conv.{suffix}");
            let mut array = checkpoint.weights.get(&name).unwrap().clone();
            array.data.copy_within(0..length, length);
            checkpoint.weights.insert(name, &array.shape, array.data);
        }
    }
    let name = "stages.0.1.reparam_conv.weight";
    let mut array = checkpoint.weights.get(name).unwrap().clone();
    for row in array.data.chunks_mut(6) {
        (row[0], row[1]) = (1e6, -1e6);
    }
    checkpoint.weights.insert(name, &array.shape, array.data);
    let path = folder("verify").join("cancelling.safetensors");
    checkpoint.save(&path, mobileone::DType::F32).unwrap();
    let bad = run([OsStr::new("verify"), OsStr::new("--model"), path.as_os_str()]);
    assert_eq!((bad.code, bad.out.lines().last()), (Some(1), Some("FAIL")), "{bad:?}");
    let line = bad.out.lines().find(|line| line.contains("FAIL")).unwrap();
    assert!(line.contains("stages.0.1"), "the layer that is wrong is named: {line}");
}

#[test]
fn a_network_of_another_family() {
    let info = json(0, ["info", "random:repvgg_a0", "--json"]);
    assert_eq!(info["model"], "RepVGG-A0");
    assert_eq!(info["widths"], serde_json::json!([48, 96, 192, 1280]));
    assert_eq!((&info["parameters"], &info["classes"]), (&8_309_384.into(), &1000.into()));
    assert_eq!(info["preprocess_source"], "defaults of RepVGG-A0");

    let file = data("repvgg.safetensors");
    let name = "RepVGG (widths 6/10/12/20)";
    let fused = folder("repvgg").join("fused.safetensors");
    let fuse = run([OsStr::new("fuse"), file.as_ref(), fused.as_os_str()]);
    assert_eq!(fuse.code, Some(0), "{fuse:?}");
    let fused = fused.to_str().unwrap();
    let text = run(["info", fused]).out;
    assert!(text.contains(name) && text.contains("fused"), "{text}");

    let picture = data("pictures/rgb.jpg");
    let probability = |model: &str| {
        let report = json(0, ["classify", "--model", model, "--json", &picture]);
        assert_eq!(report["model"], name);
        report["results"][0]["top"][0]["probability"].as_f64().unwrap()
    };
    assert!((probability(&file) - probability(fused)).abs() < 1e-5);
    let bench = json(0, ["bench", "--model", &file, "--iterations", "2", "--json"]);
    assert_eq!(
        (&bench["results"][0]["name"], &bench["results"][0]["top1_paper"]),
        (&name.into(), &().into())
    );
    let verify = run(["verify", "--model", &file]);
    assert_eq!((verify.code, verify.out.lines().last()), (Some(0), Some("PASS")), "{verify:?}");
}
