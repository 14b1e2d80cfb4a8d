//! `eval`: which class a folder is, and what is reported.

use std::path::{Path, PathBuf};

use mobileone::{Checkpoint, DType};
use serde_json::json as value;

use super::{data, finish, folder, json, root, run};

/// A model that takes every picture for class `best` of so many, with a probability of nearly 1.
fn always(best: usize, classes: usize, name: &str) -> PathBuf {
    let mut checkpoint = Checkpoint::open(data("odd.timm.fused.safetensors")).unwrap();
    let features = checkpoint.weights.get("head.fc.weight").unwrap().shape[1];
    checkpoint.weights.insert("head.fc.weight", &[classes, features], vec![0.0; classes * features]);
    let bias = (0..classes).map(|class| if class == best { 10.0 } else { -(class as f32) / 100.0 });
    checkpoint.weights.insert("head.fc.bias", &[classes], bias.collect());
    let path = folder(name).join("always.safetensors");
    checkpoint.save(&path, DType::F32).unwrap();
    path
}

/// A folder of folders, each with so many pictures.
fn tree(name: &str, folders: &[(&str, usize)]) -> PathBuf {
    let tree = folder(name);
    for (folder, count) in folders {
        std::fs::create_dir(tree.join(folder)).unwrap();
        for at in 0..*count {
            std::fs::copy(data("pictures/grey.png"), tree.join(folder).join(format!("{at}.png"))).unwrap();
        }
    }
    tree
}

#[test]
fn folders_named_by_numbers_have_an_order() {
    // ImageFolder's order of twelve: 0, 1, 10, 11, 2, 3, ...; class 10 is in folder 8.
    let model = always(10, 12, "eval-order-model");
    let model = model.to_str().unwrap();
    let tree = tree("eval-order", &[("3", 1), ("8", 3), ("0", 0)]);
    let names: Vec<String> = (0..12).map(|class| class.to_string()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    let file = |name: &str, text: String| {
        let path = folder("eval-files").with_file_name(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    };
    let lines = file("eval-classes.txt", sorted.join("\n"));
    let index = sorted.iter().enumerate().map(|(at, name)| (name.clone(), value!(at)));
    let index = serde_json::Value::Object(index.collect()).to_string();
    let index = file("eval-class_to_idx.json", index);
    let eval = |more: &[&str]| run(["eval", "--model", model, tree.to_str().unwrap()].iter().chain(more));
    let rows: &[(&[&str], &str)] = &[
        (&[], "0.00%"),
        (&["--class-order", "number"], "0.00%"),
        (&["--class-order", "text"], "75.00%"),
        (&["--labels", &lines], "75.00%"),
        (&["--labels", &lines, "--class-order", "labels"], "75.00%"),
        (&["--labels", &lines, "--class-order", "number"], "0.00%"),
        (&["--labels", &index], "75.00%"),
        (&["--classes", &lines], "75.00%"),
        (&["--classes", &index], "75.00%"),
    ];
    for (more, top1) in rows {
        let run = eval(more);
        assert_eq!(run.code, Some(0), "{more:?}: {run:?}");
        assert!(run.out.starts_with(&format!("top-1 {top1}, top-5 ")), "{more:?}: {run:?}");
        let guess = "warning: classes: folder \"3\" was taken for class 3, by its number, which is a guess: PyTorch's \
                     ImageFolder sorts names as text, where it is class 5; --class-order";
        assert_eq!(run.err.contains(guess), more.is_empty(), "{more:?}: {run:?}");
    }
    let refused = eval(&["--class-order", "labels"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("folder \"0\" is called like no label, such as \"class 0\""), "{refused:?}");
    let short = file("eval-short.txt", "3\n8\n".into());
    let refused = eval(&["--classes", &short]);
    assert!(
        refused.code == Some(2) && refused.err.contains("2 labels for a model of 12 classes"),
        "{refused:?}"
    );
    let other = file("eval-other.txt", names.join("x\n") + "x");
    let refused = eval(&["--classes", &other]);
    assert!(refused.code == Some(2) && refused.err.contains("folder \"0\" is not in "), "{refused:?}");
}

#[test]
fn each_class_and_mistake_is_reported() {
    let model = always(1, 14, "eval-report-model");
    let folders: Vec<String> = (0..14).map(|class| format!("class {class}")).collect();
    let counts: Vec<(&str, usize)> = folders.iter().map(|name| (name.as_str(), 1)).collect();
    let tree = tree("eval-report", &[&counts[..1], &[("class 1", 2)], &counts[2..]].concat());
    let csv = folder("eval-csv").join("wrong.csv");
    let start = ["eval", "--model", model.to_str().unwrap(), tree.to_str().unwrap()];
    let report = json(0, start.iter().chain(&["--json"]));
    assert_eq!((&report["images"], &report["top_k"]), (&15.into(), &5.into()));
    let per_class = report["per_class"].as_array().unwrap();
    assert_eq!(per_class.len(), 14);
    let row = |index: usize, images: usize, correct: usize, accuracy: f64| {
        let label = format!("class {index}");
        value!({"index": index, "label": label, "images": images, "correct": correct, "accuracy": accuracy})
    };
    assert_eq!((&per_class[0], &per_class[1]), (&row(0, 1, 0, 0.0), &row(1, 2, 2, 1.0)));
    let mistakes = report["mistakes"].as_array().unwrap();
    assert_eq!(mistakes.len(), 13);
    let last = &mistakes[12];
    assert!(Path::new(last["image"].as_str().unwrap()).ends_with("class 9/0.png"), "{last}");
    assert_eq!((&last["truth"], &last["found"]), (&"class 9".into(), &"class 1".into()));
    assert_eq!((&last["truth_index"], &last["found_index"]), (&9.into(), &1.into()));
    assert!(last["probability"].as_f64().unwrap() > 0.99, "{last}");

    let text = run(start.iter().chain(&["--mistakes", csv.to_str().unwrap()]));
    assert_eq!(text.code, Some(0), "{text:?}");
    let lines: Vec<&str> = text.out.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text:?}");
    assert!(lines[0].starts_with("top-1 13.33%, top-5 "), "{text:?}");
    assert_eq!(lines[2], "accuracy  right  of  class     most often taken for");
    assert_eq!(lines[3], "   0.00%      0  1   class 0   class 1 (1)", "the worst first");
    assert_eq!(lines[13], "and 4 more, at least 0.00% right");
    assert_eq!(lines[15], "10 of 13 mistakes, the surest first (--mistakes FILE has all):");
    assert!(lines[16].ends_with(": class 1 (99.9%), not class 0"), "{text:?}");
    let rows = std::fs::read_to_string(&csv).unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!((rows.len(), rows[0]), (14, "image,truth,found,probability"));
    assert!(rows[1].contains("0.png,class 0,class 1,0.999"), "{rows:?}");

    let nowhere = run(start.iter().chain(&["--mistakes", "no folder/wrong.csv"]));
    assert!(nowhere.code == Some(2) && nowhere.err.contains("there is no folder"), "{nowhere:?}");
}

#[test]
fn eval_writes_over_nothing_that_it_reads() {
    let model = always(1, 2, "eval-keep-model");
    let tree = tree("eval-keep", &[("a", 1), ("b", 1)]);
    let classes = model.with_file_name("classes.json");
    std::fs::write(&classes, r#"["a", "b"]"#).unwrap();
    let [model, classes, tree] = [&model, &classes, &tree].map(|path| path.to_str().unwrap());
    for read in [model, classes] {
        let before = std::fs::read(read).unwrap();
        let run = run(["eval", "--model", model, "--classes", classes, "--mistakes", read, tree]);
        assert!(run.code == Some(2) && run.err.contains("give the output another name"), "{run:?}");
        assert_eq!(std::fs::read(read).unwrap(), before);
    }
}

#[cfg(unix)]
#[test]
fn eval_keeps_names_that_are_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let model = always(1, 2, "eval-bytes-model");
    let tree = tree("eval-bytes", &[("0", 0), ("1", 0)]);
    let name = std::ffi::OsStr::from_bytes(b"\xff.png");
    std::fs::copy(data("pictures/grey.png"), tree.join("0").join(name)).unwrap();
    let csv = folder("eval-bytes-csv").join("wrong.csv");
    let [model, tree, to] = [&model, &tree, &csv].map(|path| path.to_str().unwrap());
    let start = ["eval", "--model", model, tree, "--mistakes", to];
    let report = json(0, start.iter().chain(&["--json"]));
    assert!(report["mistakes"][0]["image_bytes"].as_str().unwrap().ends_with("/0/%FF.png"), "{report}");
    assert!(std::fs::read_to_string(&csv).unwrap().lines().nth(1).unwrap().contains("/0/\\xff.png'"));
    assert!(run(start).out.contains("/0/\\xff.png': class 1"));
}

#[test]
fn fewer_than_five_classes_have_their_own_top() {
    let model = always(0, 3, "eval-top-model");
    let tree = tree("eval-top", &[("1", 1), ("3", 1)]);
    let args = ["eval", "--model", model.to_str().unwrap(), tree.to_str().unwrap()];
    let text = run(args);
    assert!(text.out.starts_with("top-1 50.00%, top-3 100.00% of 2 pictures"), "{text:?}");
    assert!(text.err.contains("warning: classes: folders 1 to 3 are classes 0 to 2"), "{text:?}");
    assert_eq!(json(0, args.iter().chain(&["--json"]))["top_k"], 3);
}

#[test]
fn without_a_model_eval_takes_digits() {
    let tree = folder("eval-digits");
    for (folder, picture) in [("7", "seven-handwritten.jpg"), ("nothing", "nothing-desk.jpg")] {
        std::fs::create_dir(tree.join(folder)).unwrap();
        let from = format!("{}/demo/images/{picture}", root());
        std::fs::copy(from, tree.join(folder).join(picture)).unwrap();
    }
    let run = run(["eval", tree.to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.err.contains("digits"), "{run:?}");
    assert!(run.out.starts_with("top-1 100.00%, top-5 100.00% of 2 pictures"), "{run:?}");
}

#[test]
fn misspelled_folders_are_recognized() {
    let model = always(0, 3, "eval-near-model");
    let labels = model.with_file_name("labels.txt");
    std::fs::write(&labels, "1: cat\n2: dog\n3: tiger\n").unwrap();
    let tree = tree("eval-near", &[("cat", 1), ("tigre", 1)]);
    let args = ["eval", "--model", model.to_str().unwrap(), "--labels", labels.to_str().unwrap()];
    let near = run(args.iter().chain(&[tree.to_str().unwrap()]));
    assert_eq!(near.code, Some(2), "{near:?}");
    assert!(near.err.contains("\"tigre\" is not a class of the model (did you mean \"tiger\"?)"), "{near:?}");
    let warning =
        format!("warning: {}: its numbers are 1 to 3: number 1 was taken for class 0", labels.display());
    assert!(near.err.contains(&warning), "{near:?}");
    let mut command = super::command();
    command.current_dir(tree.parent().unwrap()).args(args).arg("cli-eval-naer");
    let misspelled = finish(command);
    assert!(
        misspelled.code == Some(2) && misspelled.err.contains("did you mean cli-eval-near?"),
        "{misspelled:?}"
    );
}
