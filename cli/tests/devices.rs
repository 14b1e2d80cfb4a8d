//! `--device` and `--dtype`: what is taken, and how that is said.

use super::{Run, command, data, finish, json};
use serde_json::Value;

/// A classify of one picture with `args`; the device is what they say, or `MOBILEONE_DEVICE` if it is given.
fn classify(args: &[&str], device: Option<&str>) -> Run {
    let mut command = command();
    match device {
        Some(device) => command.env("MOBILEONE_DEVICE", device),
        None => command.env_remove("MOBILEONE_DEVICE"),
    };
    let (model, picture) = (data("odd.timm.fused.safetensors"), data("pictures/rgb.jpg"));
    command.args(["classify", "--verbose", "--json", "--size", "64", "--model", &model, &picture]).args(args);
    finish(command)
}

/// The best class of a run that went well.
fn best(run: &Run) -> u64 {
    assert_eq!(run.code, Some(0), "{run:?}");
    let report: Value = serde_json::from_str(&run.out).unwrap();
    report["results"][0]["top"][0]["index"].as_u64().unwrap()
}

/// The devices that are listed, if Mesa's software Vulkan is one of them; the tests here run on that.
fn with_lavapipe() -> Option<Vec<Value>> {
    let devices = json(0, ["devices", "--json"])["devices"].as_array().unwrap().clone();
    let there = devices.iter().any(|device| is(device, "backend", "vulkan") && is_llvmpipe(device));
    match crate::gpu::wanted().as_str() {
        _ if there => return Some(devices),
        "vulkan" => crate::gpu::missing("llvmpipe is not listed"),
        other => crate::skipped(format_args!("no llvmpipe beside {other}")),
    }
    None
}

fn is(device: &Value, field: &str, value: &str) -> bool {
    device[field] == value
}

fn is_llvmpipe(device: &Value) -> bool {
    device["name"].as_str().unwrap().starts_with("llvmpipe")
}

/// Whether llvmpipe computes in f16; says loudly when it does not.
fn has_f16(devices: &[Value]) -> bool {
    let llvmpipe = devices.iter().find(|device| is_llvmpipe(device)).unwrap();
    let has = llvmpipe["features"].as_array().unwrap().contains(&"f16".into());
    if !has {
        crate::skipped(format_args!("{llvmpipe} has no f16"));
    }
    has
}

#[test]
fn the_device_that_is_typed_is_taken() {
    let Some(devices) = with_lavapipe() else { return };
    let soft = |device: &Value| is(device, "kind", "software GPU");
    let bare = devices.iter().all(|device| soft(device) || is(device, "backend", "cpu"));
    let gl = devices.iter().any(|device| is(device, "backend", "gl"));
    // The arguments, the environment, and what is said on standard error; `None` is a refusal.
    let mut rows: Vec<(&[&str], Option<&str>, Option<&str>)> = vec![
        (&["--device", "software"], None, Some("device: llvmpipe")),
        (&["--device", "LLVMpipe"], None, Some("device: llvmpipe")),
        (&[], Some("llvmpipe"), Some("device: llvmpipe")),
        (&["--device", "cpu"], Some("llvmpipe"), Some("device: CPU")),
        (&["--device", "cpu", "--device", "software"], None, Some("device: llvmpipe")),
        (&["--device", "Warp 9"], None, None),
    ];
    if bare {
        let auto = "(this machine has no GPU; its software GPU is slower than the CPU itself)";
        rows.extend([
            (&["--device", "auto"][..], None, Some(auto)),
            (&[], None, Some("device: CPU")),
            // A variable that is empty is not set.
            (&[], Some(""), Some("device: CPU")),
            (&["--device", "gpu"], None, None),
        ]);
    } else {
        crate::skipped(format_args!("what auto and gpu do without a GPU; there is one here"));
    }
    if gl {
        rows.push((&["--device", "gl"], None, Some("(gl, ")));
    }
    let expected = best(&classify(&["--device", "cpu"], None));
    for (args, device, said) in rows {
        let run = classify(args, device);
        match said {
            Some(said) => {
                assert_eq!(best(&run), expected, "{args:?}");
                assert!(run.err.contains(said), "{args:?}: {run:?}");
            }
            None => {
                assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{args:?}: {run:?}");
                let line = run.err.lines().last().unwrap();
                let start = format!("error: device \"{}\": ", args[1].to_lowercase());
                assert!(line.starts_with(&start) && line.contains("; there is: "), "{line}");
            }
        }
    }
    if bare {
        let refused = classify(&["--device", "gpu"], None).err;
        assert!(refused.contains("only software GPUs here (use software to take one)"), "{refused}");
    }
}

#[test]
fn f16_names_the_same_class() {
    let Some(devices) = with_lavapipe() else { return };
    if !has_f16(&devices) {
        return;
    }
    let run = |dtype| classify(&["--device", "llvmpipe", "--dtype", dtype], None);
    let (f32, f16) = (run("f32"), run("f16"));
    assert_eq!(best(&f16), best(&f32));
    assert!(f16.out.contains("\"f16\"") && f32.out.contains("\"f32\""), "{f16:?}");
}

/// Where there are none, or where they have nothing to compute on, that is said in a line.
#[test]
fn matrices_are_asked_for() {
    let Some(devices) = with_lavapipe() else { return };
    let llvmpipe = devices.iter().find(|device| is_llvmpipe(device)).unwrap();
    if llvmpipe["features"].as_array().unwrap().contains(&"cooperative matrices".into()) {
        return crate::skipped(format_args!("{llvmpipe} has cooperative matrices"));
    }
    for dtype in ["f16", "f16-fast", "f32", "auto"] {
        let run = classify(&["--device", "llvmpipe", "--dtype", dtype, "--matrices"], None);
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{run:?}");
        let line = run.err.lines().last().unwrap();
        assert!(
            line.contains("has no cooperative matrices of 8x8 or 16x16")
                && line.contains("without --matrices"),
            "{line}"
        );
    }
    // A row of `bench` is left out.
    let tiny = data("odd.timm.fused.safetensors");
    let bench = |more: &[&str]| {
        let mut command = command();
        command
            .args(["bench", "--model", &tiny, "--size", "64", "--iterations", "1", "--matrices"])
            .args(more);
        finish(command)
    };
    for more in [&["--dtype", "f16"][..], &["--dtype", "f32"]] {
        let none = bench(&[&["--device", "llvmpipe", "--device", "cpu"], more].concat());
        assert_eq!((none.code, none.out.as_str()), (Some(2), ""), "{none:?}");
        let left_out = none.err.lines().filter(|line| line.starts_with("left out: ")).count();
        assert_eq!(left_out, 2, "{none:?}");
        let line = none.err.lines().last().unwrap();
        assert!(line.contains("llvmpipe: ") && line.contains("; cpu: the CPU executor has no"), "{line}");
    }
}

/// A file of the tiny network with a weight that f16 does not hold.
fn large_weights(folder: &std::path::Path) -> String {
    let mut checkpoint = mobileone::Checkpoint::open(data("odd.timm.fused.safetensors")).unwrap();
    let name = "head.fc.weight";
    let mut array = checkpoint.weights.get(name).unwrap().clone();
    array.data[0] = 1e5;
    checkpoint.weights.insert(name, &array.shape, array.data);
    let path = folder.join("large.safetensors");
    checkpoint.save(&path, mobileone::DType::F32).unwrap();
    path.to_str().unwrap().into()
}

/// The file that `tune` writes is read by later runs, and left aside with a line where it is of no use.
#[test]
fn what_was_tuned_is_taken() {
    let Some(devices) = with_lavapipe() else { return };
    let cache = super::folder("tune");
    let run = |args: &[&str]| {
        let mut command = command();
        command.env("MOBILEONE_CACHE", &cache).args(args);
        finish(command)
    };
    let model = data("odd.timm.fused.safetensors");
    let typed = ["--model", &model, "--device", "llvmpipe", "--size", "64"];
    // A busy machine needs more time until something is proven.
    let judged = |seconds: &&str| {
        let tuned = run(&[&["tune", "--seconds", seconds, "--json"][..], &typed].concat());
        let report: Option<Value> = serde_json::from_str(&tuned.out).ok();
        report.filter(|report| report["network"].is_string())
    };
    let report = ["4", "8", "16", "32", "64"].iter().find_map(judged).expect("f32 and the CPU are compared");
    let above_zero = |value: &Value| value.as_f64().unwrap() > 0.0;
    for storage in report["storages"].as_array().unwrap() {
        assert!(above_zero(&storage["before_ms"]) && above_zero(&storage["after_ms"]), "{report}");
    }
    assert!(above_zero(&report["f32_ms"]) && above_zero(&report["cpu_ms"]), "{report}");
    let path = std::path::PathBuf::from(report["output"].as_str().unwrap());
    assert_eq!(path.parent(), Some(cache.as_path()));

    // What is kept is listed, with the network's name.
    let listed = run(&["tune", "--list", "--json"]);
    let tables: Value = serde_json::from_str(&listed.out).unwrap_or_else(|_| panic!("{listed:?}"));
    let table = &tables["tables"][0];
    assert_eq!(tables["tables"].as_array().unwrap().len(), 1, "{tables}");
    assert_eq!((&table["device"], &table["driver"]), (&report["device"], &report["driver"]));
    let name = format!("{} at 64x64", report["model"].as_str().unwrap());
    assert_eq!(table["networks"][0]["network"], name.as_str(), "{tables}");
    assert_eq!(table["networks"][0]["f16"], report["f16"], "{tables}");
    let text = run(&["tune", "--list"]);
    assert!(text.code == Some(0) && text.out.contains(&name) && text.out.contains("llvmpipe"), "{text:?}");
    assert!(text.out.lines().all(|line| line.chars().count() <= 80), "{text:?}");

    // Where nothing can be written, nothing is measured.
    let (folder, file) = (cache.display().to_string(), path.join("table.json").display().to_string());
    for output in [folder, file] {
        let refused = run(&[&["tune", "--seconds", "600", "--output", &output][..], &typed].concat());
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.err.contains(&output) && refused.out.is_empty(), "{refused:?}");
        assert_eq!(refused.err.lines().count(), 1, "said before anything else: {refused:?}");
    }

    // Damaged pipelines are left aside with a line, and written anew.
    let pipelines = path.with_extension("pipelines");
    let planned = || run(&["info", &model, "--layers", "--device", "llvmpipe"]);
    assert_eq!(planned().code, Some(0));
    match std::fs::read(&pipelines) {
        Ok(mut bytes) => {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(&pipelines, bytes).unwrap();
            let (told, after) = (planned(), planned());
            let faults = |run: &Run| run.err.lines().filter(|line| line.contains("are damaged")).count();
            assert_eq!((told.code, faults(&told), faults(&after)), (Some(0), 1, 0), "{told:?}");
            assert_eq!(told.out, after.out);
        }
        Err(error) => crate::skipped(format_args!("llvmpipe keeps no pipelines here: {error}")),
    }

    // A choice that no class of devices has shows in the plan.
    let mut table: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let layers = |table: &Value| table["layers"].as_object().unwrap().clone();
    for row in report["kept"].as_array().unwrap() {
        assert_eq!(layers(&table)[row["layer"].as_str().unwrap()], row["choice"], "{report}");
    }
    let stem = "stem 3/2 64x64x3 32x32x6 f32";
    assert!(
        report["complete"] == false || layers(&table).contains_key(stem),
        "what did not change is kept too"
    );
    table["layers"]["stem 3/2 224x224x3 112x112x6 f32"] = "strip 1".into();
    std::fs::write(&path, table.to_string()).unwrap();
    let plan = || run(&["info", &model, "--layers", "--device", "llvmpipe"]);
    let shown = plan();
    assert!(shown.out.contains("strip 1\n"), "{shown:?}");

    // What `auto` stores in is a matter of the network, and of its size.
    let network = report["network"].as_str().unwrap();
    let fastest = table["networks"].as_object().unwrap();
    assert_eq!(fastest.keys().collect::<Vec<_>>(), [network]);
    assert_eq!(fastest[network]["cpu"].is_number(), report["cpu"] == true, "{table}");
    assert_eq!(fastest[network]["f16"].is_number(), report["f16"] == true, "{table}");
    if has_f16(&devices) {
        let weights = mobileone::Model::load(&model).unwrap().weights.sum();
        let bench = |path: &str, more: &[&str]| {
            let typed = ["bench", "--model", path, "--device", "llvmpipe", "--iterations", "1", "--json"];
            let run = run(&[&typed[..], more].concat());
            let report: Value = serde_json::from_str(&run.out).unwrap_or_else(|_| panic!("{run:?}"));
            (report["results"][0]["dtype"].as_str().unwrap().to_string(), run.err)
        };
        let dtype = |more: &[&str]| bench(&model, more).0;
        table["networks"] = serde_json::json!({ network: { "f16": weights, "cpu": null } });
        std::fs::write(&path, table.to_string()).unwrap();
        let (taken, said) = bench(&model, &["--size", "64"]);
        assert!(taken == "f16" && said.contains("dtype: f16 (tune found it faster"), "{taken}: {said}");
        assert_eq!(dtype(&["--size", "64", "--dtype", "f32"]), "f32", "what is typed comes first");
        assert_eq!(dtype(&["--size", "96"]), "f32", "another size is another network");
        // Other weights were not examined: those of this network are too large for f16.
        let large = large_weights(&cache);
        let (taken, said) = bench(&large, &["--size", "64"]);
        assert!(taken == "f32" && said.contains("examined it with other weights"), "{taken}: {said}");
        // They are tuned in f32 all the same.
        let typed = [
            "tune",
            "--seconds",
            "3600",
            "--json",
            "--model",
            &large,
            "--device",
            "llvmpipe",
            "--size",
            "64",
        ];
        let tuned = run(&typed);
        assert_eq!(tuned.code, Some(0), "{tuned:?}");
        let report: Value = serde_json::from_str(&tuned.out).unwrap();
        assert_eq!((&report["network"], &report["f16"]), (&network.into(), &false.into()));
        let storages = report["storages"].as_array().unwrap();
        assert!(storages.len() == 1 && storages[0]["dtype"] == "f32", "{report}");
        assert_eq!(dtype(&["--size", "64"]), "f32", "and f16 is out of the question");
        // One storage that was tuned against another that was not tells nothing.
        std::fs::write(&path, table.to_string()).unwrap();
        let tuned =
            run(&[&["tune", "--seconds", "3600", "--json", "--dtype", "f32"][..], &typed[4..]].concat());
        let report: Value = serde_json::from_str(&tuned.out).unwrap_or_else(|_| panic!("{tuned:?}"));
        assert!(report["network"].is_null(), "{report}");
        assert_eq!(dtype(&["--size", "64"]), "f16", "what was known before is kept");
        table = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    }

    table["driver"] = "another".into();
    std::fs::write(&path, table.to_string()).unwrap();
    let shown = plan();
    assert!(shown.err.contains("measured on another device or driver"), "{shown:?}");
    assert!(!shown.out.contains("strip 1\n"), "{shown:?}");
    assert_eq!(shown.code, Some(0));

    // What is kept of the device is forgotten, and of all; other files stay.
    let other = path.with_file_name("vulkan-another.json");
    std::fs::copy(&path, &other).unwrap();
    let bystander = path.with_file_name("notes.json");
    std::fs::write(&bystander, "{}").unwrap();
    for (what, left) in [(&["--reset"][..], [false, true]), (&["--reset", "all"], [false, false])] {
        let reset = run(&[&["tune", "--device", "llvmpipe"][..], what].concat());
        assert_eq!(reset.code, Some(0), "{reset:?}");
        assert_eq!([path.is_file(), other.is_file()], left, "{reset:?}");
    }
    assert!(bystander.is_file());
    let again = run(&["tune", "--device", "llvmpipe", "--reset"]);
    assert!(again.code == Some(0) && again.out.starts_with("nothing was kept of llvmpipe"), "{again:?}");
    let listed = run(&["tune", "--list"]);
    assert_eq!((listed.code, listed.out.as_str()), (Some(0), "nothing is kept\n"), "{listed:?}");
}

/// What cannot be done is said, and what to do.
#[test]
fn no_time_is_refused() {
    let refused = super::run(["tune", "--seconds", "0"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""), "{refused:?}");
    let (line, more) = refused.err.split_once('\n').unwrap();
    assert!(line.contains("nothing would be kept; give 1 or more") && more.is_empty(), "{line}");
    for mixed in [&["--list", "--reset"][..], &["--list", "--seconds", "5"], &["--reset", "--model", "s0"]] {
        let refused = super::run(["tune"].iter().chain(mixed));
        assert!(refused.code == Some(2) && refused.err.contains("cannot be used with"), "{refused:?}");
    }
}

/// Drivers look for a display in the user's runtime folder; that there is none is nobody's business.
#[test]
fn a_missing_runtime_folder_is_not_told() {
    if with_lavapipe().is_none() {
        return;
    }
    for folder in [None, Some(""), Some("relative")] {
        for args in [&["devices"][..], &["classify", &data("pictures/rgb.jpg"), "--device", "vulkan"]] {
            let mut command = command();
            match folder {
                Some(folder) => command.env("XDG_RUNTIME_DIR", folder),
                None => command.env_remove("XDG_RUNTIME_DIR"),
            };
            command.args(args);
            let run = finish(command);
            assert_eq!(run.code, Some(0), "{run:?}");
            assert!(!run.err.contains("XDG_RUNTIME_DIR"), "{folder:?}: {run:?}");
        }
    }
}

/// That there is no GPU is remembered while the machine is the same; `devices` looks anew.
#[test]
#[cfg(target_os = "linux")]
fn auto_remembers_that_there_is_no_gpu() {
    let Some(devices) = with_lavapipe() else { return };
    if !devices.iter().all(|device| is(device, "kind", "software GPU") || is(device, "backend", "cpu")) {
        return crate::skipped(format_args!("what auto does without a GPU; there is one here"));
    }
    let cache = super::folder("no-gpu");
    let memory = cache.join("no-gpu");
    let run = |device: &str, steer: Option<&str>| {
        let mut command = command();
        let picture = data("pictures/rgb.jpg");
        command.env("MOBILEONE_CACHE", &cache).args(["classify", "-v", "--device", device, &picture]);
        command.envs(steer.map(|value| ("VK_ANYTHING", value)));
        let run = finish(command);
        assert_eq!(run.code, Some(0), "{run:?}");
        run.err
    };
    let (real, other) = ("this machine has no GPU;", "this machine has no GPU driver that can be used");
    run("cpu", None);
    assert!(!memory.exists(), "nothing was looked for");
    assert!(run("auto", None).contains(real));
    let text = std::fs::read_to_string(&memory).unwrap();
    // What stands there is believed, as a run that says what only the file says shows.
    let (head, _) = text.split_once("this").unwrap();
    std::fs::write(&memory, format!("{head}{other}\n")).unwrap();
    assert!(run("auto", None).contains(other));
    assert!(!run("vulkan", None).contains(other), "asked for, it is looked for");
    // A machine that shows anything else is looked at again.
    assert!(run("auto", Some("1")).contains(real));
    assert_ne!(std::fs::read_to_string(&memory).unwrap(), text);
    assert!(run("auto", None).contains(real));
    assert_eq!(std::fs::read_to_string(&memory).unwrap(), text, "the same machine again");
    std::fs::write(&memory, "damaged").unwrap();
    assert!(run("auto", None).contains(real));
    let mut command = command();
    command.env("MOBILEONE_CACHE", &cache).arg("devices");
    assert_eq!(finish(command).code, Some(0));
    assert!(!memory.exists(), "forgotten");
}
