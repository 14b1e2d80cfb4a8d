//! What files say of a network, what options say instead, and what is printed of it.

use std::{collections::HashMap, path::Path};

use mobileone::{
    Checkpoint, DType, Form, Model, Shape, Tensor,
    checkpoint::{Strides, read_tensor},
    models::mobileone::{Recipe, random},
    reference,
};
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::{Run, data, folder, json, run};

/// A small network of odd widths with every kind of branch, and squeeze-excite at the end of stage 1.
fn small(form: Form) -> Recipe {
    Recipe {
        channels: 3,
        stem: 6,
        widths: vec![6, 10, 18],
        blocks: vec![2, 1, 3],
        branches: 2,
        squeezed: vec![1, 0, 2],
        classes: Some(5),
        strides: None,
        form,
    }
}

fn strides(stem: usize, stages: &[usize]) -> Option<Strides> {
    Some(Strides { stem, stages: stages.to_vec() })
}

/// A folder with the network of `recipe` and, if it is not empty, a `config.json`.
fn network(name: &str, recipe: &Recipe, config: &str) -> (String, Checkpoint) {
    let here = folder(name);
    let checkpoint = random(recipe, 2);
    // What is known here is not told to the file.
    let mut stored = checkpoint.clone();
    stored.metadata.strides = None;
    stored.save(here.join("model.safetensors"), DType::F32).unwrap();
    if !config.is_empty() {
        std::fs::write(here.join("config.json"), config).unwrap();
    }
    (here.to_str().unwrap().into(), checkpoint)
}

/// Writes an input `[2, channels, 36, 44]`, and gives it as the library has it.
fn input(path: &Path, channels: usize) -> Tensor {
    let shape = Shape::new(2, 36, 44, channels);
    let values: Vec<f32> =
        (0..shape.len()).map(|i| ((i as f64 * 0.618_033_988_749_895).fract() * 4.0 - 2.0) as f32).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![2, channels, 36, 44], &bytes).unwrap();
    std::fs::write(path, serialize(HashMap::from([("x", view)]), None).unwrap()).unwrap();
    Tensor::from_nchw(shape, &values).unwrap()
}

/// What `run` says and finds of `model`.
fn logits(model: &str, x: &Path, more: &[&str]) -> (Run, Vec<f32>) {
    let y = x.with_file_name("y.safetensors");
    let (x, out) = (x.to_str().unwrap(), y.to_str().unwrap());
    let run = run([&["run", "--model", model, "--input", x, "--output", out], more].concat());
    let found = read_tensor(&y, "logits").map(|array| array.data).unwrap_or_default();
    std::fs::remove_file(y).ok();
    (run, found)
}

fn expected(checkpoint: &Checkpoint, input: &Tensor) -> Vec<f32> {
    let model = Model::new(checkpoint.clone(), Form::Fused).unwrap();
    reference::run(&model.graph, &model.weights, input).unwrap()[model.graph.output("logits").unwrap()]
        .data()
        .to_vec()
}

/// Whether these are the same but for rounding: the distance is at most 1e-5 of the length.
fn near(found: &[f32], expected: &[f32]) -> bool {
    let square = |sum: f64, value: f64| sum + value * value;
    let distance = found.iter().zip(expected).map(|(&a, &b)| f64::from(a) - f64::from(b)).fold(0.0, square);
    let length = expected.iter().map(|&b| f64::from(b)).fold(0.0, square);
    found.len() == expected.len() && (distance / length).sqrt() <= 1e-5
}

const STEM_1: &str = r#"{"strides": {"stem": 1, "stages": [2, 2, 2]}, "bn_eps": 1e-5}"#;
const GUESS: &str = "warning: strides 2,2,2,2 (stem, stages) are a guess";

#[test]
fn a_guessed_stride_is_said_and_never_written() {
    let recipe = Recipe { strides: strides(1, &[2, 2, 2]), ..small(Form::Train) };
    let (plain, checkpoint) = network("config-strides", &recipe, "");
    let x = folder("config-strides-x").join("x.safetensors");
    let expected = expected(&checkpoint, &input(&x, 3));
    // Nothing says it: an answer with a warning.
    let (guessed, found) = logits(&plain, &x, &[]);
    assert!(guessed.code == Some(0) && guessed.err.contains(GUESS), "{guessed:?}");
    assert!(guessed.err.contains("in config.json, or here (--strides)\n"), "{guessed:?}");
    assert!(!near(&found, &expected));
    // An option or the configuration says it.
    let (said, found) = logits(&plain, &x, &["--strides", "1,2,2,2"]);
    // Where the strides are not the paper's, epsilon may not be, either.
    assert!(said.err.contains("warning: batch norm's epsilon is a guess: 1e-5"), "{said:?}");
    assert!(said.err.contains("(--bn-eps)") && near(&found, &expected), "{said:?}");
    let (said, found) = logits(&plain, &x, &["--strides", "1,2,2,2", "--bn-eps", "1e-5"]);
    assert!(said.code == Some(0) && !said.err.contains("warning") && near(&found, &expected), "{said:?}");
    let config = Path::new(&plain).join("config.json");
    // What `fuse` was not told it does not write, and config.json counts for what it wrote.
    let fused = folder("config-strides-fused");
    let file = fused.join("model.safetensors");
    let written = run(["fuse", &plain, file.to_str().unwrap()]);
    assert!(written.code == Some(0) && written.err.contains(GUESS), "{written:?}");
    assert_eq!(Checkpoint::open(&file).unwrap().metadata.strides.unwrap().stem, None);
    let fused_path = fused.to_str().unwrap();
    assert!(logits(fused_path, &x, &[]).0.err.contains(GUESS));
    for place in [&config, &fused.join("config.json")] {
        std::fs::write(place, STEM_1).unwrap();
    }
    for model in [plain.as_str(), fused_path] {
        let (said, found) = logits(model, &x, &[]);
        assert!(said.code == Some(0) && !said.err.contains("warning") && near(&found, &expected), "{said:?}");
    }
    // A file in which an older `fuse` wrote its guess.
    let mut old = Model::new(Checkpoint::open(&file).unwrap(), Form::Fused).unwrap().to_checkpoint();
    old.metadata.strides = strides(2, &[2, 2, 2]).map(Into::into);
    old.save(&file, DType::F32).unwrap();
    let (said, found) = logits(fused_path, &x, &[]);
    assert!(
        said.err
            .contains("the strides of config.json are not those of the file's metadata, taken as 1,2,2,2")
    );
    assert!(said.code == Some(0) && near(&found, &expected), "{said:?}");
    // With the option it is known, and written.
    assert_eq!(run(["fuse", "--strides", "1,2,2,2", &plain, file.to_str().unwrap()]).code, Some(0));
    std::fs::remove_file(fused.join("config.json")).unwrap();
    let (said, found) = logits(fused_path, &x, &[]);
    assert!(!said.err.contains("warning") && near(&found, &expected), "{said:?}");
    for (typed, expected) in [
        ("1,2,2", "error: --strides: expected 3 after the stem's, one per stage, found 2"),
        ("1,3,2,2", "expected 1 or 2 for the stem and for each stage, such as 1,2,2,2,2"),
        ("1", "expected 1 or 2 for the stem and for each stage"),
    ] {
        let (refused, _) = logits(fused_path, &x, &["--strides", typed]);
        assert!(refused.code == Some(2) && refused.err.contains(expected), "{typed}: {refused:?}");
    }
}

#[test]
fn another_network_is_refused() {
    let x = folder("config-args-x").join("x.safetensors");
    input(&x, 3);
    for (config, expected) in [
        (
            r#"{"model_args": {"act_layer": "silu"}}"#,
            "config.json \"model_args.act_layer\": silu is not run here",
        ),
        (
            r#"{"model_args": {"output_stride": 16}}"#,
            "config.json \"model_args.output_stride\": 16 is not run here",
        ),
        (r#"{"global_pool": "max"}"#, "config.json \"global_pool\": max is not run here"),
    ] {
        let (model, _) = network("config-args", &small(Form::Train), config);
        let fused = x.with_file_name("fused.safetensors");
        let of_run = logits(&model, &x, &[]).0;
        let of_fuse = run(["fuse", &model, fused.to_str().unwrap()]);
        let of_picture = run(["classify", "--model", &model, &data("pictures/rgb.jpg")]);
        for refused in [of_run, of_fuse, of_picture, run(["info", &model])] {
            assert_eq!((refused.code, refused.err.lines().count()), (Some(2), 1), "{refused:?}");
            assert!(refused.err.contains(expected), "{refused:?}");
        }
        assert!(!fused.exists());
    }
    let (model, _) = network("config-args", &small(Form::Train), r#"{"model_args": {"drop_rate": 0.2}}"#);
    assert_eq!(logits(&model, &x, &[]).0.code, Some(0));
}

#[test]
fn options_stand_in_for_a_wrong_configuration() {
    let picture = data("pictures/rgb.jpg");
    let known = r#""strides": {"stem": 2, "stages": [2, 2, 2]}"#;
    let x = folder("config-wrong-x").join("x.safetensors");
    input(&x, 3);
    for (wrong, option) in [
        (r#""input_size": [3, 0, 0]"#, ["--size", "64"]),
        (r#""crop_pct": "abc""#, ["--crop-pct", "0.9"]),
        (r#""crop_mode": "pad""#, ["--crop-mode", "border"]),
        (r#""interpolation": "nearest""#, ["--interpolation", "bicubic"]),
        (r#""mean": "cifar""#, ["--mean", "0.5"]),
        (r#""std": [0, 0, 0]"#, ["--std", "0.25,0.25,0.25"]),
    ] {
        let (model, _) = network("config-wrong", &small(Form::Fused), &format!("{{{known}, {wrong}}}"));
        let refused = run(["classify", "--model", &model, &picture]);
        assert_eq!((refused.code, refused.err.lines().count()), (Some(2), 1), "{refused:?}");
        let hint = format!(", or give {}\n", option[0]);
        assert!(refused.err.contains("config.json \"") && refused.err.ends_with(&hint), "{refused:?}");
        let said = run([&["classify", "--model", &model, &picture], &option[..]].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.err.contains(&format!("passed over, as {} is given", option[0])), "{said:?}");
        // Tensors are no pictures.
        let (ran, _) = logits(&model, &x, &[]);
        assert!(ran.code == Some(0) && ran.err.contains("passed over, as no picture is read"), "{ran:?}");
    }
    let (model, _) = network("config-stale", &small(Form::Fused), r#"{"label_names": ["x", "y"]}"#);
    let labels = Path::new(&model).join("labels.txt");
    std::fs::write(&labels, "a\nb\nc\nd\ne\n").unwrap();
    let stale = run(["classify", "--model", &model, "--top-k", "1", &picture]);
    assert!(stale.code == Some(0) && stale.out.contains(": class "), "{stale:?}");
    assert!(stale.err.contains("warning: config.json has 2 labels for 5 classes: passed over"), "{stale:?}");
    let own = run(["classify", "--model", &model, "--labels", labels.to_str().unwrap(), &picture]);
    assert!(own.code == Some(0) && !own.out.contains("class"), "{own:?}");
}

#[test]
fn means_of_bytes_are_means() {
    let picture = data("pictures/rgb.jpg");
    let top = |model: &str, more: &[&str]| {
        let args = [&["classify", "--json", "--model", model, &picture], more].concat();
        json(0, args)["results"][0]["top"].clone()
    };
    let (plain, _) = network("config-mean", &small(Form::Fused), "");
    let expected = top(&plain, &["--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]);
    assert_eq!(top(&plain, &["--mean", "127.5,127.5,127.5", "--std", "63.75,63.75,63.75"]), expected);
    assert_ne!(top(&plain, &[]), expected);
    let typed = run(["classify", "--model", &plain, &picture, "--mean", "127.5", "--std", "63.75"]);
    let line = "warning: --mean, --std: for pixels of 0 to 255, divided by 255 for pixels of 0 to 1: mean [0.5, 0.5, 0.5]";
    assert!(typed.err.contains(line), "{typed:?}");
    let config = r#"{"mean": [127.5, 127.5, 127.5], "std": [63.75, 63.75, 63.75]}"#;
    let (said, _) = network("config-mean-said", &small(Form::Fused), config);
    assert_eq!(top(&said, &[]), expected);
    let mixed = run(["classify", "--model", &plain, &picture, "--mean", "127.5", "--std", "0.25"]);
    assert_eq!(mixed.code, Some(2), "{mixed:?}");
    assert!(mixed.err.contains("one is for pixels of 0 to 255, the other for pixels of 0 to 1"), "{mixed:?}");
}

#[test]
fn grey_and_four_channels() {
    let x = folder("config-grey-x").join("x.safetensors");
    let picture = data("pictures/rgb.jpg");
    let config = r#"{"model_args": {"in_chans": 1}, "pretrained_cfg": {"input_size": [1, 64, 64], "mean": [0.5], "std": [0.5]},
                     "strides": {"stem": 2, "stages": [2, 2, 2]}, "bn_eps": 1e-5}"#;
    let (grey, checkpoint) = network("config-grey", &Recipe { channels: 1, ..small(Form::Train) }, config);
    let expected_logits = expected(&checkpoint, &input(&x, 1));
    let (ran, found) = logits(&grey, &x, &[]);
    assert!(ran.code == Some(0) && !ran.err.contains("warning") && near(&found, &expected_logits), "{ran:?}");
    let info = json(0, ["info", "--json", &grey]);
    assert_eq!(info["input"], serde_json::json!([1, 1, 64, 64]));
    assert_eq!(
        info["preprocess"],
        "64x64, grey, center crop 0.9, bilinear, mean [0.5, 0.5, 0.5], std [0.5, 0.5, 0.5]"
    );
    let seen = json(0, ["classify", "--json", "--model", &grey, &picture]);
    assert_eq!(seen["results"][0]["top"].as_array().unwrap().len(), 5);
    input(&x, 3);
    let (refused, _) = logits(&grey, &x, &[]);
    assert!(refused.err.contains("\"x\": expected [N, 1, H, W], found [2, 3, 36, 44]"), "{refused:?}");

    let (four, checkpoint) = network("config-four", &Recipe { channels: 4, ..small(Form::Train) }, "");
    let expected = expected(&checkpoint, &input(&x, 4));
    assert!(near(&logits(&four, &x, &[]).1, &expected));
    let refused = run(["classify", "--model", &four, &picture]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("the network reads 4 channels, which no picture has here"), "{refused:?}");
}

#[test]
fn one_class_is_never_certain() {
    let (model, checkpoint) = network("config-one", &Recipe { classes: Some(1), ..small(Form::Fused) }, "");
    let picture = data("pictures/rgb.jpg");
    let top = json(0, ["classify", "--json", "--model", &model, &picture])["results"][0]["top"].clone();
    let input = {
        let model = Model::new(checkpoint.clone(), Form::Fused).unwrap();
        model.preprocess.run(&mobileone::picture::open(&picture).unwrap().pixels()).unwrap()
    };
    let logit = expected(&checkpoint, &input)[0];
    let sigmoid = 1.0 / (1.0 + f64::from(-logit).exp());
    assert!((top[0]["probability"].as_f64().unwrap() - sigmoid).abs() < 1e-4, "{top} {sigmoid}");
    let text = run(["classify", "--model", &model, &picture]).out;
    assert!(text.contains(&format!(": class 0 ({:.1}%)", 100.0 * sigmoid)), "{text} {sigmoid}");
}
