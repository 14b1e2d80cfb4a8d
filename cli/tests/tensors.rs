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

/// Whether there is a warning of more than what the small networks leave open.
fn warns(err: &str) -> bool {
    err.lines().any(|line| line.starts_with("warning:") && !line.contains("a guess"))
}

/// A safetensors file at `path` of a golden one's tensors, renamed by `rename`, and `beside`.
fn renamed(path: &Path, golden: &str, rename: impl Fn(&str) -> String, beside: &[(&str, &[usize], &[f32])]) {
    let bytes = std::fs::read(data(golden)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap().tensors();
    let mut all: Vec<(String, TensorView)> =
        tensors.into_iter().map(|(name, view)| (rename(&name), view)).collect();
    let values: Vec<Vec<u8>> = beside
        .iter()
        .map(|(.., values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    for ((name, shape, _), bytes) in beside.iter().zip(&values) {
        all.push((name.to_string(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
    }
    std::fs::write(path, serialize(all, None).unwrap()).unwrap();
}

#[test]
fn other_peoples_files_have_the_same_logits_before_and_after_fusing() {
    let here = folder("other-peoples");
    let golden = data("odd.golden.safetensors");
    let expected = read_tensor(&golden, "logits").unwrap();
    type Row<'a> = (&'a str, &'a str, fn(&str) -> String, &'a [(&'a str, &'a [usize], &'a [f32])], &'a str);
    let rows: [Row; 4] = [
        ("prefix", "odd.timm.train.safetensors", |name| format!("self.base.{name}"), &[], ""),
        (
            "extra",
            "odd.apple.train.safetensors",
            |name| format!("model.{name}"),
            &[("criterion.pos_weight", &[], &[3.0]), ("normalize.mean", &[3], &[0.4, 0.5, 0.6])],
            "warning: passed over 2 tensors that inference does not need: criterion.pos_weight, normalize.mean\n\
             warning: if the network normalizes pictures with normalize.mean, give those values as mean and std (--mean, --std)\n",
        ),
        (
            "swa",
            "odd.cvnets.train.safetensors",
            |name| name.into(),
            &[("n_averaged", &[], &[7.0])],
            "warning: passed over 1 tensor that inference does not need: n_averaged\n",
        ),
        (
            "head",
            "odd.mmpretrain.fused.safetensors",
            |name| name.replace("head.fc.", "classifier.1."),
            &[],
            "",
        ),
    ];
    for (case, from, rename, beside, said) in rows {
        let [model, fused, output] = ["model", "fused", "y"]
            .map(|name| here.join(format!("{case}-{name}.safetensors")).to_str().unwrap().to_string());
        renamed(Path::new(&model), from, rename, beside);
        let run_of = |model: &str| {
            let ran = run(["run", "--model", model, "--input", &golden, "--output", &output]);
            assert_eq!(ran.code, Some(0), "{case}: {ran:?}");
            (relative(&read_tensor(&output, "logits").unwrap(), &expected), ran.err)
        };
        let (error, err) = run_of(&model);
        assert!(error <= 5e-5, "{case}: {error:e}");
        assert!(err.contains(said) && err.contains("passed over") != said.is_empty(), "{case}: {err}");
        let ran = run(["fuse", &model, &fused]);
        assert!(ran.code == Some(0) && ran.err.contains(said), "{case}: {ran:?}");
        let (error, err) = run_of(&fused);
        assert!(error <= 5e-5, "{case}, fused: {error:e}");
        assert!(!warns(&err), "{case}, fused: {err}");
    }
}

#[test]
fn which_weights_and_which_epsilon() {
    let here = folder("which");
    let (both, output) = (here.join("both.safetensors"), here.join("y.safetensors"));
    let (both, output) = (both.to_str().unwrap(), output.to_str().unwrap());
    let golden = data("odd.golden.safetensors");
    let expected = read_tensor(&golden, "logits").unwrap();
    // The golden network as the average, and beside it one whose classifier is zero
    let bytes = std::fs::read(data("odd.timm.fused.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap().tensors();
    let zeros = vec![0; bytes.len()];
    let twice = tensors.iter().flat_map(|(name, view)| {
        let zero = TensorView::new(view.dtype(), view.shape().to_vec(), &zeros[..view.data().len()]).unwrap();
        let raw = if name.starts_with("head.") { zero } else { view.clone() };
        [(format!("model_ema.module.{name}"), view.clone()), (format!("model.{name}"), raw)]
    });
    std::fs::write(both, serialize(twice.collect::<Vec<_>>(), None).unwrap()).unwrap();
    let logits = |more: &[&str]| {
        let ran = run([&["run", "--model", both, "--input", &golden, "--output", output], more].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        (read_tensor(output, "logits").unwrap(), ran.err)
    };
    let (found, err) = logits(&[]);
    assert!(relative(&found, &expected) <= 5e-5);
    let line =
        "took \"model_ema.module\", the averaged weights, not \"model\" (--weights raw takes the others)";
    assert!(err.lines().any(|said| said == line), "{err}");
    // A fact, not a warning
    assert!(!logits(&["-q"]).1.contains("took"), "{err}");
    for (which, is_average) in [("ema", true), ("raw", false), ("model_ema", true), ("model", false)] {
        let (found, err) = logits(&["--weights", which]);
        assert_eq!(relative(&found, &expected) <= 5e-5, is_average, "{which}");
        assert_eq!(found.data.iter().all(|value| *value == 0.0), !is_average, "{which}");
        assert!(!warns(&err), "{err}");
    }
    // Two that nothing tells apart
    let two = tensors.iter().flat_map(|(name, view)| {
        let zero = TensorView::new(view.dtype(), view.shape().to_vec(), &zeros[..view.data().len()]).unwrap();
        [(format!("student.{name}"), view.clone()), (format!("teacher.{name}"), zero)]
    });
    let unsure = here.join("two.safetensors");
    std::fs::write(&unsure, serialize(two.collect::<Vec<_>>(), None).unwrap()).unwrap();
    let refused = run(["info", unsure.to_str().unwrap()]);
    assert_eq!((refused.code, refused.err.lines().count()), (Some(2), 1), "{refused:?}");
    assert!(
        refused.err.ends_with(", \"student\", \"teacher\": choose one of them with --weights NAME\n"),
        "{refused:?}"
    );
    let one = data("odd.timm.fused.safetensors");
    let refused = run(["info", &one, "--weights", "ema"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("holds no averaged weights; there is one at the top"), "{refused:?}");
    let all = ["bench", "classify", "eval", "export", "fuse", "info", "profile", "run", "tune", "verify"];
    for command in all {
        let help = run([command, "--help"]).out;
        assert!(help.contains("--weights <WHICH>") && help.contains("--bn-eps <EPS>"), "{command}: {help}");
    }

    let train = data("odd.timm.train.safetensors");
    let run_with = |more: &[&str]| {
        run([&["run", "--model", &train, "--input", &golden, "--output", output], more].concat())
    };
    let guess = "warning: batch norm's epsilon is a guess: 1e-5";
    assert!(run_with(&[]).err.contains(guess));
    let ran = run_with(&["--bn-eps", "1e-5"]);
    assert!(ran.code == Some(0) && !ran.err.contains(guess), "{ran:?}");
    assert!(relative(&read_tensor(output, "logits").unwrap(), &expected) <= 5e-5);
    assert_eq!(run_with(&["--bn-eps", "0.01"]).code, Some(0));
    assert!(relative(&read_tensor(output, "logits").unwrap(), &expected) > 1e-2);
    for wrong in ["0", "-1", "nan", "1000"] {
        let refused = run_with(&[&format!("--bn-eps={wrong}")]);
        assert!(refused.code == Some(2) && refused.err.contains("above 0 and at most 0.1"), "{refused:?}");
    }
    let idle = run(["info", &one, "--bn-eps", "0.01"]);
    assert!(
        idle.code == Some(0) && idle.err.contains("warning: the epsilon that was given changes nothing"),
        "{idle:?}"
    );
}

/// An `.npy` file as NumPy writes it.
fn npy(path: &Path, dtype: &str, fortran: bool, shape: &[usize], bytes: &[u8]) {
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    let order = if fortran { "True" } else { "False" };
    let head =
        format!("{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': ({}), }}\n", sides.join(", "));
    let length = u16::try_from(head.len()).unwrap().to_le_bytes();
    std::fs::write(path, [b"\x93NUMPY\x01\0", &length[..], head.as_bytes(), bytes].concat()).unwrap();
}

#[test]
fn numpys_arrays_in_and_out() {
    let here = folder("npy");
    let (model, golden) = (data("odd.timm.fused.safetensors"), data("odd.golden.safetensors"));
    let (x, expected) = (read_tensor(&golden, "x").unwrap(), read_tensor(&golden, "logits").unwrap());
    let (input, output) = (here.join("x.npy"), here.join("Y.NPY"));
    let le = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    // The first dimension fastest.
    let &[n, c, h, w] = &x.shape[..] else { panic!("{:?}", x.shape) };
    let at = |i: usize| {
        let (a, b, y, z) = (i % n, i / n % c, i / n / c % h, i / n / c / h);
        x.data[((a * c + b) * h + y) * w + z]
    };
    let turned: Vec<f32> = (0..x.data.len()).map(at).collect();
    let double = x.data.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect();
    let half = x.data.iter().flat_map(|&value| half::f16::from_f32(value).to_le_bytes()).collect();
    let rows = [
        ("<f4", false, le(&x.data), 5e-5),
        ("<f4", true, le(&turned), 5e-5),
        ("<f8", false, double, 5e-5),
        ("<f2", false, half, 1e-2),
    ];
    let (typed, out) = (input.to_str().unwrap(), output.to_str().unwrap());
    for (dtype, fortran, bytes, bound) in rows {
        npy(&input, dtype, fortran, &x.shape, &bytes);
        let report = json(0, ["run", "--json", "--model", &model, "--input", typed, "--output", out]);
        assert_eq!((&report["output"], &report["requested"]), (&"logits".into(), &model.as_str().into()));
        let bytes = std::fs::read(&output).unwrap();
        let (head, data) = bytes.split_at(128);
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, 5), }}");
        assert!(head.starts_with(b"\x93NUMPY\x01\0\x76\0") && head[10..].starts_with(text.as_bytes()));
        let values = data.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
        let found = Array { shape: vec![n, 5], data: values };
        let error = relative(&found, &expected);
        assert!(error <= bound, "{dtype}, fortran {fortran}: {error:e}");
        std::fs::remove_file(&output).unwrap();
    }
    // Without --model it is digits, and a file of another ending holds safetensors.
    let other = here.join("y.safetensors");
    npy(&input, "<f4", false, &x.shape, &le(&x.data));
    let report = json(0, ["run", "--json", "--input", typed, "--output", other.to_str().unwrap()]);
    assert_eq!((&report["requested"], &report["shape"]), (&"digits".into(), &serde_json::json!([n, 11])));
    assert_eq!(read_tensor(&other, "logits").unwrap().shape, [n, 11]);

    let zeros = vec![0; 3 * 32 * 32 * 8];
    let refused = [
        (
            "|u1",
            &[1, 3, 32, 32][..],
            "holds uint8, which a picture's pixels are and normalized values are not",
        ),
        (">f4", &[1, 3, 32, 32], "holds big-endian values (dtype \">f4\")"),
        ("<f8", &[3, 32, 32], "\"x\": expected [N, 3, H, W], found [3, 32, 32]"),
        ("<f8", &[2, 3, 32, 32], "is cut off"),
        ("<f4", &[1, 3, 32, 32], "bytes after its array"),
    ];
    for (dtype, shape, expected) in refused {
        let size = if dtype == "|u1" {
            zeros.len() / 8
        } else if dtype == ">f4" {
            zeros.len() / 2
        } else {
            zeros.len()
        };
        npy(&input, dtype, false, shape, &zeros[..size]);
        let run = run(["run", "--model", &model, "--input", typed, "--output", out]);
        assert_eq!(run.code, Some(2), "{dtype}: {run:?}");
        assert!(run.err.contains(expected) && run.err.contains("x.npy"), "{dtype}: {run:?}");
        assert!(!output.exists());
    }
    let run = run(["run", "--model", &model, "--input", &golden, "--output", "y.npz"]);
    assert_eq!(
        (run.code, run.err.as_str()),
        (Some(2), "error: y.npz: one array is written, as .npy or .safetensors\n")
    );
}

/// One rule for all: no command makes the folders above what it writes.
#[test]
fn outputs_need_their_folder() {
    let here = folder("no-folder");
    let (model, golden) = (data("odd.timm.fused.safetensors"), data("odd.golden.safetensors"));
    let picture = data("pictures/rgb.jpg");
    let output = here.join("none/output.svg");
    let out = output.to_str().unwrap();
    let rows: &[&[&str]] = &[
        &["run", "--model", &model, "--input", &golden, "--output", out],
        &["fuse", &model, out],
        &["export", "--target", "wgsl", out, &model],
        &["classify", "--model", &model, &picture, "--output", out],
        &["bench", "--model", &model, "--plot", out],
        &["profile", "--model", &model, "--plot", out],
        &["man", out],
    ];
    for args in rows {
        let run = run(*args);
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{args:?}: {run:?}");
        let expected = format!(
            "error: {out}: there is no folder {}: make it, or choose another name\n",
            here.join("none").display()
        );
        assert_eq!(run.err, expected, "{args:?}");
        assert_eq!(std::fs::read_dir(&here).unwrap().count(), 0, "{args:?}");
    }
}
