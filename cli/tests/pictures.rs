//! `classify` and `eval`: pictures in, names and numbers out.

use std::path::{Path, PathBuf};

use mobileone::{
    Device, Input, Model, Options, Session, picture,
    preprocess::{CropMode, Interpolation},
};
use serde_json::Value;

use super::{data, folder, json, run};

const TINY: &str = "odd.timm.fused.safetensors";

/// A folder with some sound pictures, a broken one, and things that are no pictures.
fn album(name: &str) -> PathBuf {
    let album = folder(name);
    for name in ["rgb.jpg", "rgba.png", "grey.png"] {
        std::fs::copy(data(&format!("pictures/{name}")), album.join(name)).unwrap();
    }
    std::fs::write(album.join("broken.png"), b"\x89PNG\r\n\x1a\n and no more").unwrap();
    std::fs::write(album.join("notes.txt"), "not looked at").unwrap();
    std::fs::write(album.join(".hidden.png"), "not looked at").unwrap();
    std::fs::create_dir(album.join("more.png")).unwrap();
    album
}

fn image(row: &Value) -> &str {
    Path::new(row["image"].as_str().unwrap()).file_name().unwrap().to_str().unwrap()
}

#[test]
fn a_broken_picture_does_not_stop_the_others() {
    let album = album("album");
    let (model, place) = (data(TINY), album.to_str().unwrap());
    let args = ["classify", "--model", &model, place, "nothing.jpg"];
    let report = json(1, args.iter().chain(&["--json"]));
    assert_eq!(report["model"], "MobileOne (widths 6/10/18/34)");
    assert_eq!(report["dtype"], "f32");
    assert!(report["device"].as_str().unwrap().starts_with("CPU"), "{report}");
    let rows = report["results"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(image).collect();
    assert_eq!(names, ["broken.png", "grey.png", "rgb.jpg", "rgba.png", "nothing.jpg"], "sorted, in order");
    for row in rows {
        let failed = ["broken.png", "nothing.jpg"].contains(&image(row));
        assert_eq!(row.get("error").is_some(), failed, "{row}");
        assert_eq!(row.get("top").is_some(), !failed, "{row}");
        assert_eq!(row["engine_ms"].is_null(), failed, "{row}");
        assert!(row["decode_ms"].as_f64().unwrap() >= 0.0, "{row}");
    }

    // A line per picture says the same.
    let lines = run(args.iter().chain(&["--jsonl"]));
    assert_eq!(lines.code, Some(1));
    let lines: Vec<Value> = lines.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), rows.len());
    for (line, row) in lines.iter().zip(rows) {
        assert_eq!((&line["image"], &line["top"]), (&row["image"], &row["top"]));
    }

    // And so do the words for people.
    let text = run(args);
    assert_eq!(text.code, Some(1));
    assert!(text.err.contains("error: ") && text.err.contains("broken.png"), "{text:?}");
    assert!(text.err.contains("error: nothing.jpg: "), "{text:?}");
    assert!(text.err.contains("5 pictures, 2 of them unreadable"), "{text:?}");
    for said in ["device: CPU", "preprocessing: 224x224, center crop 0.9, bilinear", "labels: none"] {
        assert!(!text.err.contains(said), "{text:?}");
        let verbose = run(args.iter().chain(&["-v"]));
        assert!(verbose.err.contains(said), "{verbose:?}");
    }
    assert!(!text.err.contains('\r') && !text.err.contains('\x1b'), "no bar without a terminal: {text:?}");
    let best = &rows[2]["top"][0];
    let percent = best["probability"].as_f64().unwrap() * 100.0;
    let line = format!("rgb.jpg: {} ({percent:.1}%)\n", best["label"].as_str().unwrap());
    assert!(text.out.contains(&line), "{line} is not in {}", text.out);
}

#[test]
fn the_answer_is_the_librarys() {
    let (model, file) = (data(TINY), data("pictures/rgb.jpg"));
    let labels = folder("labels").join("five.json");
    std::fs::write(&labels, r#"["nul", "een", "twee\u001b[2J", "drie", "vier"]"#).unwrap();
    let labels = labels.to_str().unwrap();
    let typed = ["--size", "96x64", "--crop-pct", "0.8", "--mean", "0.5,0.4,0.3", "--std", "0.2,0.3,0.4"];
    let start = ["classify", "--model", &model, "--labels", labels, &file];
    let network = Model::load(&model).unwrap();
    let mut options = Options::of(&network);
    options.preprocess.size = (96, 64);
    options.preprocess.crop_pct = 0.8;
    options.preprocess.mean = [0.5, 0.4, 0.3];
    options.preprocess.std = [0.2, 0.3, 0.4];
    let rows = [
        (&[][..], CropMode::Center, Interpolation::Bilinear),
        (&["--crop-mode", "squash", "--interpolation", "bicubic"], CropMode::Squash, Interpolation::Bicubic),
        (&["--crop-mode", "border"], CropMode::Border, Interpolation::Bilinear),
        // The last of an option counts.
        (&["--crop-mode", "border", "--crop-mode", "center"], CropMode::Center, Interpolation::Bilinear),
    ];
    for (more, crop_mode, interpolation) in rows {
        (options.preprocess.crop_mode, options.preprocess.interpolation) = (crop_mode, interpolation);
        let report = json(0, start.iter().chain(&typed).chain(more).chain(&["--json", "--top-k", "9"]));
        let session = Session::new(&Device::open("cpu").unwrap(), &network, &options).unwrap();
        let picture = picture::open(&file).unwrap();
        let answer = session.run(Input::Pixels(picture.pixels())).unwrap();
        let names = ["nul", "een", "twee\u{1b}[2J", "drie", "vier"];
        let top = report["results"][0]["top"].as_array().unwrap();
        assert_eq!(top.len(), 5, "no more than there are");
        for (found, expected) in top.iter().zip(&answer.top[0]) {
            assert_eq!(found["index"], expected.index, "{more:?}");
            assert_eq!(found["label"], names[expected.index]);
            let (found, expected) = (found["probability"].as_f64().unwrap(), f64::from(expected.probability));
            assert!((found - expected).abs() < 1e-6, "{more:?}");
        }
        let said = &report["preprocessing"];
        assert_eq!(said["crop_mode"], format!("{crop_mode:?}").to_lowercase());
        assert_eq!(said["interpolation"], format!("{interpolation:?}").to_lowercase());
        assert_eq!((&said["size"], &said["crop_pct"]), (&serde_json::json!([96, 64]), &0.8.into()));
        let source = said["source"].as_str().unwrap();
        assert!(
            source.starts_with("--size, --crop-pct, ") && source.contains("--mean, --std, a guess"),
            "{source}"
        );
        assert_eq!(report["requested"], model.as_str());
    }
    let text = run(start);
    assert_eq!(text.code, Some(0));
    assert!(text.out.contains("twee\u{fffd}[2J") && !text.out.contains('\x1b'), "{text:?}");
    let one = run(start.iter().chain(&["--top-k", "1"]));
    assert_eq!(one.out.lines().count(), 1, "{one:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn names_need_not_be_utf8() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let here = folder("names");
    let odd = |bytes: &[u8]| here.join(OsStr::from_bytes(bytes));
    let (model, album) = (odd(b"m\xff.safetensors"), odd(b"a\xff"));
    std::fs::create_dir(&album).unwrap();
    std::fs::copy(data(TINY), &model).unwrap();
    std::fs::copy(data("pictures/rgb.jpg"), album.join(OsStr::from_bytes(b"\xfe\n.jpg"))).unwrap();
    let args = [OsStr::new("classify"), OsStr::new("--model"), model.as_os_str(), album.as_os_str()];
    let text = run(args);
    assert_eq!(text.code, Some(0), "{text:?}");
    assert_eq!(text.out.lines().count(), 5, "a line break in a name begins no line: {text:?}");
    let report = json(0, args.iter().chain(&[OsStr::new("--json")]));
    let row = &report["results"][0];
    assert!(row["image"].as_str().unwrap().ends_with("\u{fffd}\n.jpg"), "{report}");
    assert!(row["image_bytes"].as_str().unwrap().ends_with("/a%FF/%FE%0A.jpg"), "{report}");
    assert!(text.out.starts_with("$'") && text.out.contains("/a\\xff/\\xfe\\n.jpg': "), "{text:?}");
    // As any other name is, it is there without its bytes beside it.
    let plain = json(0, ["classify", "--json", "--model", &data(TINY), &data("pictures/rgb.jpg")]);
    assert_eq!(plain["results"][0].get("image_bytes"), None);
    // What cannot be read has its name too.
    std::fs::write(album.join(OsStr::from_bytes(b"\xfd.jpg")), "no picture").unwrap();
    let broken = run(args.iter().chain(&[OsStr::new("--jsonl")]));
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert!(broken.err.contains("\\xfd.jpg': not a picture"), "{broken:?}");
    assert!(broken.out.contains("/a%FF/%FD.jpg\""), "{broken:?}");
}

#[test]
fn accuracy_is_counted_as_it_is() {
    // The network itself says what is right; then one picture is put into a wrong folder.
    let model = data(TINY);
    let names = ["rgb.jpg", "rgba.png", "grey.png", "cmyk.jpg", "lossy.webp"];
    let files: Vec<String> = names.iter().map(|name| data(&format!("pictures/{name}"))).collect();
    let start = ["classify", "--json", "--model", &model].map(String::from);
    let report = json(0, start.iter().chain(&files));
    let root = folder("eval");
    let labels = root.join("labels.txt");
    std::fs::write(&labels, "nul\neen\ntwee kwa\ndrie\nvier\n").unwrap();
    // By label, by label written otherwise, by number.
    let folders = ["Nul", "1", "twee_kwa", "drie", "4"];
    let tree = root.join("tree");
    let put = |file: &str, class: usize| {
        let folder = tree.join(folders[class]);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(file, folder.join(Path::new(file).file_name().unwrap())).unwrap();
    };
    let best: Vec<usize> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["top"][0]["index"].as_u64().unwrap() as usize)
        .collect();
    for (file, &class) in files.iter().zip(&best) {
        put(file, class);
    }
    std::fs::create_dir(tree.join(".git")).unwrap();
    let (tree_path, labels) = (tree.to_str().unwrap(), labels.to_str().unwrap());
    let eval = |code| json(code, ["eval", "--json", "--model", &model, "--labels", labels, tree_path]);
    let right = eval(0);
    assert_eq!((&right["top1"], &right["top5"], &right["images"]), (&1.0.into(), &1.0.into(), &5.into()));
    assert!(right["images_per_second"].as_f64().unwrap() > 0.0);

    let wrong = (best[0] + 1) % 5;
    put(&files[0], wrong);
    std::fs::write(tree.join(folders[wrong]).join("broken.jpg"), "no picture").unwrap();
    let report = eval(1);
    assert_eq!((&report["images"], &report["failed"]), (&6.into(), &1.into()));
    assert!((report["top1"].as_f64().unwrap() - 5.0 / 6.0).abs() < 1e-9, "{report}");
    assert_eq!(report["top5"], 1.0, "there are five classes in all");
    let classes = report["classes"].as_array().unwrap();
    let at = |class: usize| classes.iter().position(|row| row["index"] == class).unwrap();
    assert_eq!(report["confusion"][at(wrong)][at(best[0])], 1, "{report}");
    let sum = |row: &Value| row.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum::<u64>();
    assert_eq!(report["confusion"].as_array().unwrap().iter().map(sum).sum::<u64>(), 6);

    std::fs::create_dir(tree.join("vijf")).unwrap();
    let run = run(["eval", "--model", &model, "--labels", labels, tree_path]);
    assert_eq!(run.code, Some(2));
    assert!(run.err.contains("\"vijf\" is not a class of the model"), "{run:?}");
}

#[test]
fn damaged_pictures_are_answered_with_a_warning() {
    let root = folder("damaged");
    let class = root.join("1");
    std::fs::create_dir(&class).unwrap();
    let sound = mobileone::sample::PICTURES[0].1;
    let cut = |share: usize| [&sound[..sound.len() * share / 100], &[0xff, 0xd9]].concat();
    std::fs::write(class.join("a little.jpg"), cut(98)).unwrap();
    std::fs::write(class.join("much.jpg"), cut(60)).unwrap();
    std::fs::write(class.join("sound.jpg"), sound).unwrap();
    let (model, place) = (data(TINY), class.to_str().unwrap());
    let args = ["classify", "--model", &model, place];
    let report = json(1, args.iter().chain(&["--json"]));
    let rows = report["results"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let warning = rows[0]["warning"].as_str().unwrap();
    assert!(warning.contains("damaged") && rows[0]["top"].is_array(), "{report}");
    assert!(rows[1]["error"].as_str().unwrap().contains("not a sound JPEG"), "{report}");
    assert!(rows[1].get("warning").is_none() && rows[2].get("warning").is_none(), "{report}");
    let text = run(args);
    assert_eq!(text.code, Some(1));
    let mut warnings = text.err.lines().filter(|line| line.starts_with("warning: "));
    assert!(warnings.any(|line| line.contains("a little.jpg") && line.contains("is missing")), "{text:?}");

    let lines = run(args.iter().chain(&["--csv", "--top-k", "1"]));
    let line = lines.out.lines().find(|line| line.contains("a little.jpg")).unwrap();
    assert!(line.contains("damaged") && line.ends_with(','), "{line}");

    // Alone it is an answer.
    let alone = run(["classify", "--model", &model, class.join("a little.jpg").to_str().unwrap()]);
    assert_eq!(alone.code, Some(0), "{alone:?}");

    std::fs::remove_file(class.join("much.jpg")).unwrap();
    let eval = run(["eval", "--json", "--model", &model, root.to_str().unwrap()]);
    assert!(eval.err.contains("warning: 1 of 2 pictures is damaged"), "{eval:?}");
    let report: Value = serde_json::from_str(&eval.out).unwrap();
    assert_eq!((&report["damaged"], &report["failed"]), (&1.into(), &0.into()));
}
