//! `run` and `fuse`: files of tensors in, files of tensors out.

use std::{collections::HashMap, path::Path};

use mobileone::{Array, checkpoint::read_tensor};
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::{data, folder, json, run};

/// The relative L2 error.
fn relative(found: &Array, expected: &Array) -> f64 {
    assert_eq!(found.shape, expected.shape);
    let pairs = found.data.iter().zip(&expected.data).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let (off, norm) = pairs.fold((0.0, 0.0), |(off, norm), (a, b)| (off + (a - b) * (a - b), norm + b * b));
    (off / norm).sqrt()
}

#[test]
fn logits_are_pytorchs() {
    let here = folder("run");
    let rows = [
        ("odd.timm.fused.safetensors", "odd", "logits", false),
        ("odd.timm.train.safetensors", "odd", "logits", false),
        ("odd.timm.train.safetensors", "odd", "logits", true),
        ("odd.apple.fused.pth", "odd", "logits", false),
        ("odd.apple.train.pth.tar", "odd", "logits", true),
        ("odd.apple.encoder.safetensors", "odd", "features", false),
        ("se.timm.train.safetensors", "se", "logits", true),
        ("se.cvnets.fused.safetensors", "se", "logits", false),
    ];
    for (model, golden, name, train_form) in rows {
        let golden = data(&format!("{golden}.golden.safetensors"));
        let output = here.join("y.safetensors");
        let out = output.to_str().unwrap();
        let model_path = data(model);
        let mut args = vec!["run", "--json", "--model", &model_path, "--input", &golden, "--output", out];
        args.extend(train_form.then_some("--train-form"));
        let report = json(0, &args);
        let (found, expected) = (read_tensor(&output, name).unwrap(), read_tensor(&golden, name).unwrap());
        let error = relative(&found, &expected);
        assert!(error <= 5e-5, "{model}, train form {train_form}: {error:e}");
        assert_eq!(report["output"], name);
        assert_eq!(report["form"], if train_form { "train" } else { "fused" });
        assert_eq!(report["shape"], serde_json::json!(found.shape));
        std::fs::remove_file(&output).unwrap();
    }
}

/// Writes one tensor of f32 values.
fn write(path: &Path, name: &str, dtype: Dtype, shape: &[usize], values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(dtype, shape.to_vec(), &bytes).unwrap();
    std::fs::write(path, serialize(HashMap::from([(name, view)]), None).unwrap()).unwrap();
}

#[test]
fn an_input_that_is_none_is_refused() {
    let here = folder("run-inputs");
    let ones = vec![1.0; 3 * 32 * 32];
    let mut holes = ones.clone();
    holes[2 * 32 * 32 + 5 * 32 + 7] = f32::NAN;
    type Row<'a> = (&'a str, &'a str, Dtype, &'a [usize], &'a [f32], &'a str);
    let rows: &[Row] = &[
        ("good", "x", Dtype::F32, &[1, 3, 32, 32], &ones, ""),
        ("absent", "input", Dtype::F32, &[1, 3, 32, 32], &ones, "tensor \"x\": is not in "),
        ("rank", "x", Dtype::F32, &[3, 32, 32], &ones, ": \"x\": expected [N, 3, H, W], found [3, 32, 32]"),
        (
            "grey",
            "x",
            Dtype::F32,
            &[3, 1, 32, 32],
            &ones,
            ": \"x\": expected [N, 3, H, W], found [3, 1, 32, 32]",
        ),
        ("small", "x", Dtype::F32, &[2, 3, 16, 32], &ones, "H and W from 32, found [2, 3, 16, 32]"),
        ("none", "x", Dtype::F32, &[0, 3, 32, 32], &[], "expected N from 1"),
        ("whole", "x", Dtype::I32, &[1, 3, 32, 32], &ones, "tensor \"x\": "),
        (
            "nan",
            "x",
            Dtype::F32,
            &[1, 3, 32, 32],
            &holes,
            "the value at [0, 2, 5, 7] is NaN; inputs must be finite",
        ),
    ];
    let output = here.join("y.safetensors");
    let model = data("odd.timm.fused.safetensors");
    let try_run = |input: &Path, output: &Path, more: &[&str]| {
        let (input, output) = (input.to_str().unwrap(), output.to_str().unwrap());
        run([&["run", "--model", &model, "--input", input, "--output", output], more].concat())
    };
    for &(name, tensor, dtype, shape, values, expected) in rows {
        let path = here.join(format!("{name}.safetensors"));
        write(&path, tensor, dtype, shape, values);
        let run = try_run(&path, &output, &[]);
        let code = if expected.is_empty() { 0 } else { 2 };
        assert_eq!(run.code, Some(code), "{name}: {run:?}");
        assert!(run.err.contains(expected), "{name}: {run:?}");
        assert_eq!(output.exists(), code == 0, "{name}");
        std::fs::remove_file(&output).ok();
    }
    let good = here.join("good.safetensors");
    let nowhere = try_run(&good, &here.join("none/y.safetensors"), &[]);
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
    assert!(nowhere.err.contains("y.safetensors: "), "{nowhere:?}");
    let fused = try_run(&good, &output, &["--train-form"]);
    assert_eq!(fused.code, Some(2), "{fused:?}");
    assert!(fused.err.contains("needs a checkpoint in train form"), "{fused:?}");
    let bytes = std::fs::read(&good).unwrap();
    let cut = here.join("cut.safetensors");
    std::fs::write(&cut, &bytes[..bytes.len() - 4]).unwrap();
    let cut = try_run(&cut, &output, &[]);
    assert_eq!(cut.code, Some(2), "{cut:?}");
    assert!(cut.err.starts_with("error: ") && cut.err.contains("cut.safetensors"), "{cut:?}");
}

#[test]
fn a_network_without_classifier_is_fused() {
    let here = folder("fuse-encoder");
    let (input, golden) = (data("odd.apple.encoder.safetensors"), data("odd.golden.safetensors"));
    let (fused, y) = (here.join("fused.safetensors"), here.join("y.safetensors"));
    let (fused, out) = (fused.to_str().unwrap(), y.to_str().unwrap());
    json(0, ["fuse", "--json", &input, fused]);
    assert_eq!(json(0, ["info", "--json", fused])["classes"], serde_json::Value::Null);
    let report = json(0, ["run", "--json", "--model", fused, "--input", &golden, "--output", out]);
    assert_eq!(report["output"], "features");
    let error = relative(&read_tensor(&y, "features").unwrap(), &read_tensor(&golden, "features").unwrap());
    assert!(error <= 5e-5, "{error:e}");
}

#[test]
fn a_fused_file_is_the_same_network() {
    let here = folder("fuse");
    let (input, golden) = (data("se.mmpretrain.train.safetensors"), data("se.golden.safetensors"));
    let (full, half) = (here.join("full.safetensors"), here.join("half.safetensors"));
    let (full, half, y) = (full.to_str().unwrap(), half.to_str().unwrap(), here.join("y.safetensors"));
    let report = json(0, ["fuse", "--json", &input, full]);
    assert_eq!(report["bytes"], std::fs::metadata(full).unwrap().len());
    let small = json(0, ["fuse", "--json", "--dtype", "f16", &input, half]);
    assert!(small["bytes"].as_u64() < report["bytes"].as_u64());
    for (file, bound) in [(full, 5e-5), (half, 2e-2)] {
        let info = json(0, ["info", "--json", file]);
        assert_eq!(info["branches"], serde_json::Value::Null, "{info}");
        assert_eq!(info["parameters"], report["parameters"]);
        let source = info["preprocess_source"].as_str().unwrap();
        assert!(source.starts_with("a guess"), "a guess does not become a fact: {source}");
        let out = y.to_str().unwrap();
        assert_eq!(run(["run", "--model", file, "--input", &golden, "--output", out]).code, Some(0));
        let error = relative(&read_tensor(&y, "logits").unwrap(), &read_tensor(&golden, "logits").unwrap());
        assert!(error <= bound, "{file}: {error:e}");
    }
}

#[test]
fn what_is_read_is_not_written_over() {
    let here = folder("run-over");
    let (model, x) = (here.join("model.safetensors"), here.join("x.safetensors"));
    std::fs::copy(data("odd.timm.fused.safetensors"), &model).unwrap();
    std::fs::copy(data("odd.golden.safetensors"), &x).unwrap();
    for output in [&model, &x] {
        let before = std::fs::read(output).unwrap();
        let [model, x, output] = [&model, &x, output].map(|path| path.to_str().unwrap());
        let run = run(["run", "--model", model, "--input", x, "--output", output]);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.err.contains("this file is read: give the output another name"), "{run:?}");
        assert!(std::fs::read(output).unwrap() == before);
    }
}
