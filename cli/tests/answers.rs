//! `classify`: where pictures come from, and where answers go.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::Stdio,
};

use serde_json::Value;

use super::{command, data, finish, folder, json, run};

const TINY: &str = "odd.timm.fused.safetensors";

fn copy(from: &str, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(data(&format!("pictures/{from}")), to).unwrap();
}

fn names(report: &Value) -> Vec<&str> {
    report["results"].as_array().unwrap().iter().map(|row| row["image"].as_str().unwrap()).collect()
}

#[test]
fn folders_in_folders() {
    let here = folder("recursive");
    for path in ["b/two.jpg", "b/c/three.jpg", "a.jpg/one.jpg", ".hidden/no.jpg", "b/.no.jpg"] {
        copy("rgb.jpg", &here.join(path));
    }
    std::fs::write(here.join("b/notes.txt"), "not looked at").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("..", here.join("b/circle")).unwrap();
    let model = data(TINY);
    let classify = |code, more: &[&str]| {
        let mut command = command();
        command.current_dir(&here).args(["classify", "--json", "--model", &model]).args(more);
        let run = finish(command);
        assert_eq!(run.code, Some(code), "{run:?}");
        run
    };
    let refused = classify(2, &["."]);
    let line = "error: .: no pictures in this folder itself; -r looks into the 2 folders in it\n";
    assert_eq!((refused.err.as_str(), refused.out.as_str()), (line, ""));
    for flag in ["-r", "--recursive"] {
        let report: Value = serde_json::from_str(&classify(0, &[".", flag]).out).unwrap();
        let expected = ["./a.jpg/one.jpg", "./b/c/three.jpg", "./b/two.jpg"]
            .map(|name| name.replace('/', std::path::MAIN_SEPARATOR_STR));
        assert_eq!(names(&report), expected);
    }
    std::fs::create_dir_all(here.join("b/empty/one")).unwrap();
    let one = classify(2, &["b/empty", "-r"]);
    assert!(one.err.ends_with("no pictures in this folder, nor in those below it\n"), "{one:?}");
    assert!(classify(2, &["b/empty"]).err.ends_with("-r looks into the 1 folder in it\n"));
    // Beside others it is an error as an unreadable picture is.
    let mixed = classify(1, &["b/empty", "b/two.jpg"]);
    assert!(mixed.err.contains("error: b/empty: no pictures in this folder itself; -r "), "{mixed:?}");
    assert_eq!(names(&serde_json::from_str(&mixed.out).unwrap()), ["b/two.jpg"]);
}

#[test]
fn a_picture_on_standard_input() {
    let (model, file) = (data(TINY), data("pictures/rgb.jpg"));
    let classify = |input: &str, args: &[&str]| {
        let mut command = command();
        command.args(["classify", "--model", &model, "--json"]).args(args);
        command.stdin(std::fs::File::open(input).unwrap());
        finish(command)
    };
    let named = json(0, ["classify", "--model", &model, "--json", &file]);
    let piped = classify(&file, &["-"]);
    assert_eq!(piped.code, Some(0), "{piped:?}");
    let report: Value = serde_json::from_str(&piped.out).unwrap();
    assert_eq!(report["results"][0]["image"], "-");
    assert_eq!(report["results"][0]["top"], named["results"][0]["top"]);
    // Among others, and when it is no picture.
    let both = classify(&model, &[&file, "-"]);
    assert_eq!(both.code, Some(1), "{both:?}");
    assert!(both.err.contains("error: standard input: not a picture"), "{both:?}");
    let report: Value = serde_json::from_str(&both.out).unwrap();
    assert_eq!(names(&report), [file.as_str(), "-"]);
    assert_eq!(report["results"][0]["top"], named["results"][0]["top"]);
    assert!(report["results"][1]["error"].as_str().unwrap().starts_with("standard input: not a picture"));
    let nothing = classify("/dev/null", &["-"]);
    assert!(nothing.err.contains("error: standard input: the file is empty"), "{nothing:?}");
}

/// The second picture comes only after the first one's answer was read.
#[test]
fn answers_come_one_by_one() {
    let (model, file) = (data(TINY), data("pictures/rgb.jpg"));
    for form in ["--json", "--jsonl", "--csv", "--top-k=2"] {
        let mut command = command();
        command.args(["classify", "--model", &model, form, &file, "-"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        // A row of the document ends without a line break: the next one may follow.
        while !text.contains("rgb.jpg") {
            match form {
                "--json" => {
                    let mut bytes = Vec::new();
                    out.read_until(b'"', &mut bytes).unwrap();
                    text += std::str::from_utf8(&bytes).unwrap();
                }
                _ => assert!(out.read_line(&mut text).unwrap() > 0, "{form}: {text}"),
            }
        }
        child.stdin.take().unwrap().write_all(&std::fs::read(&file).unwrap()).unwrap();
        out.read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{form}");
        if form == "--json" {
            let report: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(names(&report), [file.as_str(), "-"]);
            let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
            assert!(keys.iter().all(|key| !["error"].contains(&key.as_str())), "{keys:?}");
        }
    }
}

#[test]
fn a_threshold_hides_what_is_below_it() {
    let (model, file) = (data(TINY), data("pictures/rgb.jpg"));
    let start = ["classify", "--model", &model, &file];
    let all = json(0, start.iter().chain(&["--json"]));
    let all = all["results"][0]["top"].as_array().unwrap();
    let second = all[1]["probability"].as_f64().unwrap();
    let rows =
        [("0", 5), (&*second.to_string(), 2), (&*(second + 1e-4).to_string(), 1), ("1", 0), ("1.0", 0)];
    for (threshold, count) in rows {
        let more = ["--threshold", threshold];
        let report = json(0, start.iter().chain(&more).chain(&["--json"]));
        assert_eq!(report["results"][0]["top"].as_array().unwrap(), &all[..count], "{threshold}");
        let text = run(start.iter().chain(&more)).out;
        assert_eq!(text.lines().count(), count.max(1), "{text}");
        assert_eq!(text.ends_with("rgb.jpg: nothing above the threshold\n"), count == 0, "{text}");
        let lines = run(start.iter().chain(&more).chain(&["--csv"])).out;
        assert_eq!(lines.lines().count(), 1 + count.max(1), "{lines}");
        assert_eq!(lines.ends_with("rgb.jpg,,,,,,\n"), count == 0, "{lines}");
    }
}

#[test]
fn values_between_commas() {
    let here = folder("csv");
    let (model, labels) = (data(TINY), here.join("labels.json"));
    std::fs::write(&labels, r#"["a, b", "say \"c\"", "d", "e", "f"]"#).unwrap();
    let odd = here.join("a, \"b\".jpg");
    copy("rgb.jpg", &odd);
    let typed = [
        "classify",
        "--model",
        &model,
        "--labels",
        labels.to_str().unwrap(),
        odd.to_str().unwrap(),
        "no.png",
    ];
    let report = json(1, typed.iter().chain(&["--json"]));
    let lines = run(typed.iter().chain(&["--csv"]));
    assert_eq!(lines.code, Some(1), "{lines:?}");
    let quote = |text: &str| match text.contains([',', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    };
    let rows = report["results"].as_array().unwrap();
    let mut expected = vec!["image,rank,index,label,probability,warning,error".to_string()];
    for (at, class) in rows[0]["top"].as_array().unwrap().iter().enumerate() {
        let label = quote(class["label"].as_str().unwrap());
        let image = quote(odd.to_str().unwrap());
        let probability = serde_json::to_string(&(class["probability"].as_f64().unwrap() as f32)).unwrap();
        expected.push(format!("{image},{},{},{label},{probability},,", at + 1, class["index"]));
    }
    let error = rows[1]["error"].as_str().unwrap();
    expected.push(format!("no.png,,,,,,{}", quote(error)));
    let found: Vec<&str> = lines.out.lines().collect();
    assert_eq!(found, expected);
}

#[test]
fn answers_in_a_file() {
    let here = folder("output");
    let (model, file) = (data(TINY), data("pictures/rgb.jpg"));
    for (form, name) in
        [("--json", "a.json"), ("--jsonl", "a.jsonl"), ("--csv", "a.csv"), ("--top-k=5", "a.txt")]
    {
        let path = here.join(name);
        std::fs::write(&path, "what was here").unwrap();
        let typed = ["classify", "--model", &model, form, &file];
        let to_file = run([&typed[..], &["--output", path.to_str().unwrap()]].concat());
        assert_eq!((to_file.code, to_file.out.as_str()), (Some(0), ""), "{to_file:?}");
        // But for times, which differ.
        let times = |text: String| match text.split_once("\"decode_ms\"") {
            Some((start, _)) => start.to_string(),
            None => text,
        };
        assert_eq!(times(std::fs::read_to_string(&path).unwrap()), times(run(typed).out), "{form}");
    }
    assert_eq!(std::fs::read_dir(&here).unwrap().count(), 4, "nothing else is left");
    #[cfg(unix)]
    {
        // A link stays, and what it leads to is replaced.
        let link = here.join("link.csv");
        std::os::unix::fs::symlink("a.txt", &link).unwrap();
        let typed = ["classify", "-o", link.to_str().unwrap(), "--csv", "--model", &model, &file];
        assert_eq!(run(typed).code, Some(0));
        assert!(link.is_symlink());
        assert!(std::fs::read_to_string(here.join("a.txt")).unwrap().starts_with("image,rank,"));
    }
}

/// A file that may not grow is as good as a full disk.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_old_file() {
    let here = folder("output-full");
    let path = here.join("a.json");
    std::fs::write(&path, "what was here").unwrap();
    let mut shell = std::process::Command::new("sh");
    let limit = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    shell.args([
        "-c",
        limit,
        "sh",
        env!("CARGO_BIN_EXE_mobileone"),
        "classify",
        "--device",
        "cpu",
        "--json",
        "-q",
    ]);
    shell.arg("--output").arg(&path).args(std::iter::repeat_n(data("pictures/rgb.jpg"), 20));
    let run = finish(shell);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert_eq!(run.err, format!("error: {}: File too large (os error 27)\n", path.display()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "what was here");
    assert_eq!(std::fs::read_dir(&here).unwrap().count(), 1, "nothing else is left");
}
