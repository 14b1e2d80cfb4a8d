//! `bench` and `profile`: figures in every form, and pictures of them.

use serde_json::Value;

use super::{data, folder, json, run};

const TINY: &str = "odd.timm.fused.safetensors";

/// A short run of the tiny network with `more`.
fn args<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    ["bench", "--model", model, "--size", "64x80", "--iterations", "4"].iter().chain(more).copied().collect()
}

#[test]
fn rows_are_complete() {
    let tiny = data(TINY);
    let report = json(0, args(&tiny, &["--json", "--batch", "1,3", "--dtype", "f32", "--dtype", "f16"]));
    let rows = report["results"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "f16 is left out on the CPU: {report}");
    let left_out = report["left_out"].as_array().unwrap();
    assert!(left_out.len() == 2 && left_out[0].as_str().unwrap().contains("f16"), "{left_out:?}");
    for (row, batch) in rows.iter().zip([1, 3]) {
        assert_eq!(row["model"], tiny.as_str());
        assert_eq!(row["name"], "MobileOne (widths 6/10/18/34)");
        assert!(row["device"].as_str().unwrap().starts_with("CPU"), "{row}");
        assert_eq!((&row["dtype"], &row["batch"]), (&"f32".into(), &batch.into()));
        assert_eq!(row["input"], serde_json::json!([batch, 3, 64, 80]));
        assert_eq!(row["iterations"], 4);
        let ms = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"));
        let order = ["min_ms", "p5_ms", "median_ms", "p95_ms", "max_ms"].map(ms);
        assert!(order[0] > 0.0 && order.is_sorted(), "{row}");
        assert!((order[0]..=order[4]).contains(&ms("average_ms")), "{row}");
        let per_second = f64::from(batch) / ms("median_ms") * 1e3;
        assert!((ms("pictures_per_second") / per_second - 1.0).abs() < 0.01, "{row}");
        assert!(ms("first_ms") > 0.0 && ms("load_ms") > 0.0, "{row}");
        assert!(row["device_ms"].is_null(), "the CPU has no timestamps");
        assert!(row["device_bytes"].is_null(), "and no memory of its own");
        let driver = row["driver"].as_str().unwrap();
        assert!(super::INSTRUCTIONS.iter().any(|known| driver.ends_with(known)), "{driver}");
        assert!(row["top1_paper"].is_null(), "it is none of the paper's variants");
        assert_eq!(
            row["peak_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20),
            cfg!(target_os = "linux")
        );
        assert_eq!(row["host_bytes"].is_u64(), cfg!(target_os = "linux"));
        assert!(row["host_bytes"].as_u64() <= row["peak_bytes"].as_u64(), "a part of it: {row}");
    }
    let nothing = run(args(&tiny, &["--dtype", "f16"]));
    assert_eq!((nothing.code, nothing.out.as_str()), (Some(2), ""), "no row is left: {nothing:?}");
    assert_eq!(rows[1]["macs"].as_u64(), rows[0]["macs"].as_u64().map(|macs| 3 * macs));
}

#[test]
fn every_form_has_the_same_rows() {
    let tiny = data(TINY);
    let forms = [("--csv", 3), ("--markdown", 4)];
    for (form, lines) in forms {
        let run = run(args(&tiny, &[form, "--batch", "1,2"]));
        assert_eq!((run.code, run.out.lines().count()), (Some(0), lines), "{run:?}");
        let all: Vec<&str> = run.out.lines().collect();
        match form {
            "--csv" => {
                let head = "model,device,dtype,batch,size,median_ms,p5_ms,p95_ms,min_ms,max_ms,average_ms,\
                            pictures_per_second,first_ms,device_ms,floor_ms,peak_mb,host_mb,device_mb";
                assert_eq!(all[0], head);
                assert!(all[2].contains(",f32,2,64x80,"), "{}", all[2]);
                // The name of the device has a comma.
                assert!(all[1].contains(",\"CPU, "), "{}", all[1]);
                assert!(super::INSTRUCTIONS.iter().any(|known| all[1].contains(known)), "{}", all[1]);
            }
            _ => {
                assert!(all.iter().all(|line| line.starts_with('|') && line.ends_with('|')), "{all:?}");
                assert!(all.iter().all(|line| line.matches('|').count() == 19), "{all:?}");
                assert!(super::INSTRUCTIONS.iter().any(|known| all[2].contains(known)), "{}", all[2]);
            }
        }
    }
    // What all rows share stands above the table.
    let table = run(args(&tiny, &[]));
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!((table.code, lines.len()), (Some(0), 4), "{table:?}");
    assert!(lines[0].starts_with("CPU, ") && lines[1] == "f32, batch 1, 64x80", "{lines:?}");
    assert!(lines[2].contains("median ms") && !lines[2].contains("device ms"), "{lines:?}");
}

/// Whatever is measured or judged, on whatever device, its table fits a terminal of 80 columns.
#[test]
fn tables_fit_a_terminal() {
    let tiny = data(TINY);
    let wanted = crate::gpu::device().map(|_| crate::gpu::wanted());
    let mut all: Vec<Vec<&str>> = vec![vec!["devices"]];
    for device in ["cpu"].into_iter().chain(wanted.as_deref()) {
        let on = ["--model", &tiny, "--device", device];
        all.push([&["bench", "--iterations", "2", "--limit", "--size", "64"][..], &on].concat());
        all.push([&["bench", "--iterations", "2", "--batch", "1,20", "--size", "64,96"][..], &on].concat());
        all.push([&["profile", "--runs", "1", "--size", "64"][..], &on].concat());
        all.push([&["verify"][..], &on].concat());
        all.push([&["verify", "--all"][..], &on].concat());
    }
    all.push(vec!["bench", "--start", "--model", &tiny, "--size", "64", "--device", "cpu"]);
    let mut both = vec!["bench", "--iterations", "2", "--model", "digits", "--model", &tiny, "--size", "64"];
    both.extend(["--device", "cpu"]);
    both.extend(wanted.as_deref().into_iter().flat_map(|device| ["--device", device]));
    all.push(both);
    all.push(vec!["tune", "--list"]);
    for typed in all {
        let mut command = super::command();
        command.env("COLUMNS", "80").args(&typed);
        let run = super::finish(command);
        let beaten = run.err.contains("faster than the floor") && run.code == Some(1);
        assert!(run.code == Some(0) || beaten, "{typed:?}: {run:?}");
        for line in run.out.lines() {
            assert!(line.chars().count() <= 80, "{typed:?}: {} characters: {line}", line.chars().count());
        }
    }
}

/// Figures of a GPU say what the session takes of its memory.
#[test]
fn rows_have_the_memory_of_the_device() {
    let tiny = data(TINY);
    let wanted = crate::gpu::wanted();
    if crate::gpu::device().is_none() {
        return;
    }
    let report = json(0, args(&tiny, &["--json", "--batch", "1,4", "--device", &wanted]));
    let bytes = |at: usize| report["results"][at]["device_bytes"].as_u64().unwrap();
    // The weights are there once, activations and what goes to and fro for each picture of a batch.
    let input = 64 * 80 * 4 * 4;
    assert!(bytes(0) > 2 * input && bytes(1) > bytes(0) + 3 * 2 * input, "{report}");
    assert!(bytes(1) < 4 * bytes(0), "{report}");
}

#[test]
fn modelbench_drops_both_ends() {
    let tiny = data(TINY);
    let rows = [("3", "11", 33 - 20), ("2", "3", 6)];
    for (rounds, inferences, kept) in rows {
        let more = ["--json", "--protocol", "modelbench", "--rounds", rounds, "--inferences", inferences];
        let report = json(0, args(&tiny, &more));
        let row = &report["results"][0];
        let samples: Vec<f64> =
            row["samples_ms"].as_array().unwrap().iter().map(|sample| sample.as_f64().unwrap()).collect();
        assert_eq!((samples.len(), row["iterations"].as_u64()), (kept, Some(kept as u64)));
        assert!(samples.is_sorted());
        assert_eq!(
            (Some(samples[0]), samples.last().copied()),
            (row["min_ms"].as_f64(), row["max_ms"].as_f64())
        );
    }
}

/// Apple's protocol loads the model anew for each round: a model that goes away ends it.
#[test]
fn modelbench_reads_the_model_again() {
    let path = folder("bench-reload").join("model.safetensors");
    std::fs::copy(data(TINY), &path).unwrap();
    let mut command = super::command();
    command.args(args(
        path.to_str().unwrap(),
        &["--protocol", "modelbench", "--rounds", "20000", "--inferences", "1"],
    ));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    std::fs::remove_file(&path).unwrap();
    // Without its model it would go on to the last of these rounds, and end well.
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains(path.to_str().unwrap()), "{said}");
}

/// A process for each start; what a device cannot do is left out.
#[test]
fn starts_with_empty_and_with_kept_caches() {
    let tiny = data(TINY);
    let mut typed = vec!["bench", "--start", "--model", &tiny, "--size", "64x80", "--device", "cpu"];
    let on_gpu = crate::gpu::device().map(|device| device.info().to_string());
    let wanted = crate::gpu::wanted();
    if on_gpu.is_some() {
        typed.extend(["--device", &wanted]);
    }
    let report = json(0, typed.iter().copied().chain(["--json", "--dtype", "f32"]));
    let rows = report["starts"].as_array().unwrap();
    assert_eq!(rows.len(), 1 + usize::from(on_gpu.is_some()), "{report}");
    for row in rows {
        let ms = |name: &str| row[name].as_f64().unwrap();
        assert!(0.0 < ms("cold_min_ms") && ms("cold_min_ms") <= ms("cold_ms"), "{row}");
        assert!(0.0 < ms("warm_min_ms") && ms("warm_min_ms") <= ms("warm_ms"), "{row}");
        assert_eq!((&row["dtype"], &row["input"]), (&"f32".into(), &serde_json::json!([1, 3, 64, 80])));
    }
    // A row for each size; what a start has no use for is refused.
    let sizes = ["bench", "--start", "--model", &tiny, "--size", "64x80,48", "--device", "cpu", "--json"];
    let report = json(0, sizes);
    let inputs = report["starts"].as_array().unwrap().iter().map(|row| &row["input"][2]).collect::<Vec<_>>();
    assert_eq!(inputs, [64, 48]);
    for (name, value) in [
        ("--seconds", "1"),
        ("--iterations", "1"),
        ("--rounds", "1"),
        ("--inferences", "1"),
        ("--batch", "1"),
    ] {
        let refused = run(sizes.into_iter().chain([name, value]));
        assert!(refused.code == Some(2) && refused.err.contains("cannot be used with"), "{refused:?}");
    }
    let table = run(typed[..8].iter().copied().chain(["--csv"]));
    assert_eq!((table.code, table.out.lines().count()), (Some(0), 2), "{table:?}");
    assert!(
        table.out.starts_with("model,device,dtype,size,starts,cold_ms,cold_min_ms,warm_ms,warm_min_ms\n")
    );
    let refused = run(typed[..8].iter().copied().chain(["--dtype", "f16"]));
    assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""), "{refused:?}");
    assert!(refused.err.contains("f16 runs on GPUs only"), "{refused:?}");
}

/// A batch in several submits has its device's time and its floor all the same.
#[test]
fn batches_in_chunks_have_the_time_of_the_device() {
    let tiny = data(TINY);
    let wanted = crate::gpu::wanted();
    let Some(device) = crate::gpu::device() else { return };
    if !device.info().features.contains(&"timestamps") {
        return crate::skipped(format_args!("{} has no timestamps", device.info()));
    }
    let typed = args(&tiny, &["--json", "--batch", "50,150", "--device", &wanted]);
    let report = json(0, typed);
    let ms = |at: usize| report["results"][at]["device_ms"].as_f64().unwrap_or_else(|| panic!("{report}"));
    assert!(
        ms(1) > 1.2 * ms(0) && ms(0) > 0.0,
        "three times the pictures take longer: {} and {}",
        ms(0),
        ms(1)
    );
}

/// What cannot be written is said before anything is measured.
#[test]
fn outputs_are_tried_first() {
    let here = folder("bench-outputs");
    let (taken, tiny) = (here.join("taken.svg"), data(TINY));
    std::fs::create_dir(&taken).unwrap();
    let taken = taken.to_str().unwrap();
    let nowhere = here.join("no").join("where");
    let nowhere = nowhere.to_str().unwrap();
    let rows: [&[&str]; 4] = [
        &["bench", "--model", &tiny, "--seconds", "600", "--iterations", "4000000", "--plot", taken],
        &["profile", "--model", &tiny, "--plot", taken],
        &["fuse", "no model of this name", taken],
        &["fuse", "no model of this name", nowhere],
    ];
    for typed in rows {
        let refused = run(typed);
        assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""), "{typed:?}: {refused:?}");
        assert!(
            refused.err.lines().count() == 1 && refused.err.contains(typed.last().unwrap()),
            "said before anything else: {refused:?}"
        );
    }
}

/// A single model has no accuracy to trade for latency.
#[test]
fn accuracy_is_drawn_of_several_models() {
    let path = folder("bench-accuracy").join("a.svg");
    let path = path.to_str().unwrap();
    let short = ["--iterations", "1", "--plot", path];
    for (models, drawn) in [(&["random:s0"][..], false), (&["random:s0", "random:s1"], true)] {
        let models = models.iter().flat_map(|model| ["--model", model]);
        let run = run(["bench"].into_iter().chain(models).chain(short));
        assert_eq!(run.code, Some(0), "{run:?}");
        let picture = std::fs::read_to_string(path).unwrap();
        well_formed(&picture);
        assert_eq!(picture.contains("Accuracy against latency"), drawn);
    }
}

#[test]
fn pictures_are_well_formed() {
    let here = folder("bench");
    let tiny = data(TINY);
    for name in ["a.svg", "b.PNG"] {
        let path = here.join(name);
        let run = run(args(&tiny, &["--plot", path.to_str().unwrap()]));
        if name == "b.PNG" && !cfg!(feature = "png") {
            assert_eq!(run.code, Some(2), "{run:?}");
            assert!(run.err.contains("--features png"), "{run:?}");
            continue;
        }
        if run.err.contains("no fonts are installed") {
            assert_eq!((run.code, name), (Some(2), "b.PNG"), "{run:?}");
            crate::skipped(format_args!("no fonts for a PNG; install fonts-dejavu-core"));
            continue;
        }
        assert_eq!(run.code, Some(0), "{run:?}");
        let bytes = std::fs::read(&path).unwrap();
        match name {
            "a.svg" => well_formed(&String::from_utf8(bytes).unwrap()),
            _ => {
                let picture = mobileone::picture::decode(&bytes).unwrap();
                let pixels = picture.pixels();
                assert!(pixels.bytes.iter().any(|&byte| byte < 128), "something is drawn");
            }
        }
    }
}

/// Every tag is closed, and every coordinate is a number inside the picture.
fn well_formed(text: &str) {
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, words) = tag.split_once('>').expect("a tag ends");
        assert!(!words.contains('&') || words.contains(';'), "{words}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
        assert!(!tag.contains("NaN") && !tag.contains("inf"), "{tag}");
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(text.starts_with("<svg ") && text.contains("Latency by variant"));
}

#[test]
fn a_sweep_says_how_the_cost_grows() {
    let tiny = data(TINY);
    let path = folder("bench-sweep").join("sweep.svg");
    let path = path.to_str().unwrap();
    let report =
        json(0, ["bench", "--model", &tiny, "--sweep", "--iterations", "1", "--json", "--plot", path]);
    let rows = report["results"].as_array().unwrap();
    let work = |row: &Value| (row["batch"].as_u64().unwrap(), row["input"][2].as_u64().unwrap());
    let batches = [1, 2, 4, 8, 16, 32, 64].map(|batch| (batch, 224));
    let sizes = [96, 128, 160, 224, 288, 384, 512].map(|side| (1, side));
    assert_eq!(rows.iter().map(work).collect::<Vec<_>>(), [batches, sizes].concat());
    let rises = report["rises"].as_array().unwrap();
    assert_eq!(rises.len(), 2, "{rises:?}");
    for (rise, rows) in rises.iter().zip(rows.chunks(7)) {
        let cost = |row: &Value| row["median_ms"].as_f64().unwrap() / row["macs"].as_f64().unwrap();
        let costs: Vec<f64> = rows.iter().map(cost).collect();
        let pairs = (0..7).flat_map(|a| (a + 1..7).map(move |b| (a, b)));
        let worst = pairs.map(|(a, b)| costs[b] / costs[a]).fold(0.0, f64::max);
        assert!((rise["worst"].as_f64().unwrap() / worst - 1.0).abs() < 1e-6, "{rise}");
    }
    assert!(std::fs::read_to_string(path).unwrap().contains("picoseconds per multiply-add"));
}

/// A profile of the tiny network on a device: its JSON, whose sums are those of its steps.
fn profile(device: &str) -> Option<Value> {
    let path = folder(&format!("profile-{device}")).join("steps.svg");
    let tiny = data(TINY);
    let args =
        ["profile", "--model", &tiny, "--size", "64x80", "--batch", "2", "--runs", "3", "--device", device];
    let run = run(args.iter().chain(&["--json", "--plot", path.to_str().unwrap()]));
    if run.err.contains("has no timestamps") {
        crate::skipped(format_args!("no timestamps on {device}"));
        return None;
    }
    let report: Value = serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    let steps = report["steps"].as_array().unwrap();
    let sum = |name: &str| steps.iter().map(|step| step[name].as_f64().unwrap()).sum::<f64>();
    let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-6;
    assert!(near(sum("us"), report["sum_ms"].as_f64().unwrap() * 1e3), "{report}");
    assert!(near(sum("floor_us"), report["floor_ms"].as_f64().unwrap() * 1e3), "{report}");
    assert!(near(sum("share"), 1.0) && sum("macs") > 0.0 && sum("bytes") > 0.0, "{report}");
    assert!(report["round_trip_ms"].as_f64().unwrap() > 0.0);
    for step in steps {
        let of = |name: &str| step[name].as_f64().unwrap();
        assert!(of("floor_us") > 0.0 && near(of("ratio") * of("floor_us") + 1.0, of("us") + 1.0), "{step}");
    }
    // What beats its floor is named, unless the device is software.
    let software = report["device"].as_str().unwrap().contains("software GPU");
    let beaten = steps.iter().filter(|step| step["ratio"].as_f64().unwrap() < 1.0);
    let beaten: Vec<&str> = beaten.map(|step| step["label"].as_str().unwrap()).collect();
    match beaten.is_empty() || software {
        true => assert_eq!(run.code, Some(0), "{run:?}"),
        false => {
            assert_eq!(run.code, Some(1), "{run:?}");
            assert!(run.err.contains(&format!("faster than the floor, which is wrong then: {}", beaten[0])));
        }
    }
    let picture = std::fs::read_to_string(&path).unwrap();
    assert!(picture.contains("marks: the floor") && picture.matches("<rect").count() == steps.len() + 1);
    Some(report)
}

#[test]
fn a_profile_has_every_step_and_its_floor() {
    let report = profile("cpu").unwrap();
    let sets = report["limit"]["bandwidth"].as_array().unwrap();
    assert_eq!((sets[0]["bytes"].as_u64(), sets.len()), (Some(1 << 18), 6), "256 KiB to 256 MiB");
    assert!(report["limit"]["f16_gflops"].is_null());
    let device = crate::gpu::device();
    if let Some(on_gpu) = device.and_then(|_| profile(&crate::gpu::wanted())) {
        let macs = |report: &Value| {
            report["steps"].as_array().unwrap().iter().map(|step| step["macs"].as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!(macs(&on_gpu), macs(&report));
    }
}

#[test]
fn a_limit_puts_floors_under_rows() {
    let tiny = data(TINY);
    let run = run(args(&tiny, &["--limit", "--json"]));
    let report: Value = serde_json::from_str(&run.out).unwrap();
    let row = &report["results"][0];
    let beaten = row["floor_ms"].as_f64().unwrap() > row["median_ms"].as_f64().unwrap();
    assert!(row["floor_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(run.code, Some(i32::from(beaten)), "{run:?}");
    assert!(run.err.contains("limit of CPU"), "{run:?}");
}
