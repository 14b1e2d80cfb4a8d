//! Whole networks on every device against PyTorch, and the manners of a session.

use mobileone::{
    Answer, DType, Device, Error, Form, Input, Model, Options, Outputs, Session, Shape, Tensor,
    checkpoint::{Checkpoint, read_tensor},
    verify::verify,
};

#[cfg(feature = "gpu")]
use crate::gpu::has_f16;
#[cfg(not(feature = "gpu"))]
fn has_f16(_: &Device) -> bool {
    false
}

fn all() -> Outputs {
    Outputs::named(["logits", "probabilities", "features"]).and_best(3)
}

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The CPU, and the Vulkan device where there is one.
pub fn devices() -> Vec<Device> {
    let mut devices = Vec::new();
    if cfg!(feature = "cpu") {
        devices.push(Device::open("cpu").unwrap());
    }
    #[cfg(feature = "gpu")]
    devices.extend(crate::gpu::device());
    devices
}

fn golden(net: &str, name: &str) -> Vec<f32> {
    read_tensor(data(&format!("{net}.golden.safetensors")), name).unwrap().data
}

/// `x` of a golden as NHWC.
fn golden_input(net: &str) -> Tensor {
    let x = read_tensor(data(&format!("{net}.golden.safetensors")), "x").unwrap();
    let [n, c, h, w] = x.shape[..] else { panic!("x is a batch of pictures") };
    Tensor::from_nchw(Shape::new(n, h, w, c), &x.data).unwrap()
}

fn model(file: &str, form: Form) -> Model {
    Model::new(Checkpoint::open(data(file)).unwrap(), form).unwrap()
}

fn options(model: &Model, input: &Tensor, dtype: DType, batch: usize) -> Options {
    let mut options = Options::of(model);
    options.preprocess.size = (input.shape().h, input.shape().w);
    options.dtype = dtype;
    options.outputs = all();
    options.batch = batch;
    options
}

fn relative(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let mut off = found.iter().zip(expected).map(|(&a, &b)| f64::from(a) - f64::from(b));
    square(&mut off) / square(&mut expected.iter().map(|&b| f64::from(b)))
}

#[test]
fn logits_are_those_of_pytorch() {
    let rows = [
        ("odd", "odd.timm.train.safetensors", Form::Fused),
        ("odd", "odd.timm.train.safetensors", Form::Train),
        ("odd", "odd.apple.fused.safetensors", Form::Fused),
        ("se", "se.cvnets.train.safetensors", Form::Fused),
        ("se", "se.cvnets.train.safetensors", Form::Train),
        ("se", "se.mmpretrain.fused.safetensors", Form::Fused),
    ];
    for (net, file, form) in rows {
        let (model, input) = (model(file, form), golden_input(net));
        let rounding = relative(&golden(net, "logits_f16"), &golden(net, "logits"));
        for device in devices() {
            for (dtype, batch, bound) in
                [(DType::F32, 3, 5e-5), (DType::F32, 2, 5e-5), (DType::F16, 3, 1.3 * rounding)]
            {
                if dtype == DType::F16 && form == Form::Train {
                    // PyTorch's figure is the fused form's; `verify` judges the train form's own rounding.
                    continue;
                }
                let session = match Session::new(&device, &model, &options(&model, &input, dtype, batch)) {
                    Err(Error::Option(_)) if dtype == DType::F16 && !has_f16(&device) => {
                        continue;
                    }
                    session => session.unwrap(),
                };
                let answer = session.run(Input::Tensor(&input)).unwrap();
                let name = format!("{file} {form:?} {dtype} on {}", device.info());
                let error = relative(answer.logits(), &golden(net, "logits"));
                assert!(error <= bound, "{name}: logits {error:.1e}, bound {bound:.1e}");
                // PyTorch's figure for f16 is of the logits.
                let error = relative(answer.features(), &golden(net, "features"));
                assert!(dtype == DType::F16 || error <= bound, "{name}: features {error:.1e}");
                check_top(&answer, model.graph.classes().unwrap());
                assert_eq!(answer, session.run(Input::Tensor(&input)).unwrap(), "{name}: the same twice");
            }
        }
    }
}

#[test]
fn verify_passes_on_every_device_and_form() {
    for (file, form) in [
        ("odd.timm.train.safetensors", Form::Train),
        ("se.timm.train.safetensors", Form::Train),
        ("se.timm.fused.safetensors", Form::Fused),
        ("odd.apple.encoder.safetensors", Form::Fused),
    ] {
        let model = model(file, form);
        for device in devices() {
            for dtype in [DType::F32, DType::F16] {
                if dtype == DType::F16 && !has_f16(&device) {
                    let refused = verify(&device, &model, dtype, (96, 64)).unwrap_err();
                    assert!(refused.to_string().contains("use f32"), "{refused}");
                    continue;
                }
                let lines = verify(&device, &model, dtype, (96, 64)).unwrap();
                let nodes = model.graph.nodes.len() - 1;
                assert!(lines.len() > nodes, "{} lines for {nodes} nodes", lines.len());
                for line in lines {
                    assert_eq!(line.fault, None, "{file} {form:?} {dtype} on {}: {line:?}", device.info());
                }
            }
        }
    }
}

/// More best classes than a device looks for come from the host, all of them distinct.
#[test]
fn all_classes_can_be_the_best() {
    use mobileone::models::mobileone::{Recipe, VARIANTS, random};
    let tiny = Recipe {
        channels: 3,
        stem: 8,
        widths: vec![8, 8, 16, 16],
        blocks: vec![1; 4],
        squeezed: vec![0; 4],
        ..Recipe::of(&VARIANTS[0], 3000)
    };
    let model = Model::new(random(&tiny, 5), Form::Fused).unwrap();
    let input = golden_input("odd");
    for top_k in [64, 65, 3000, 60_000] {
        let mut answers = Vec::new();
        for device in devices() {
            let mut options = options(&model, &input, DType::F32, 3);
            options.outputs = Outputs::default().and_best(top_k);
            let session = Session::new(&device, &model, &options).unwrap();
            answers.push(session.run(Input::Tensor(&input)).unwrap());
        }
        for (answer, device) in answers.iter().zip(devices()) {
            let of = device.info();
            assert!(answer.probabilities().is_empty(), "not asked for");
            for (top, expected) in answer.top.iter().zip(&answers[0].top) {
                assert_eq!(top.len(), top_k.min(3000));
                let mut classes: Vec<usize> = top.iter().map(|top| top.index).collect();
                classes.sort_unstable();
                classes.dedup();
                assert_eq!(classes.len(), top.len(), "each once, {top_k} on {of}");
                assert_eq!(top[0].index, expected[0].index);
                assert!(top.windows(2).all(|pair| pair[0].probability >= pair[1].probability));
            }
        }
    }
}

/// A real width, in the form that it ships in and in the storage that phones take.
#[test]
fn verify_passes_s0() {
    let s0 = mobileone::models::mobileone::synthetic(&mobileone::models::mobileone::VARIANTS[0], 1000, 3);
    let model = Model::new(s0, Form::Fused).unwrap();
    for device in devices() {
        for dtype in [DType::F32, DType::F16] {
            if dtype == DType::F16 && !has_f16(&device) {
                continue;
            }
            for line in verify(&device, &model, dtype, (64, 64)).unwrap() {
                assert_eq!(line.fault, None, "{dtype} on {}: {line:?}", device.info());
            }
        }
    }
}

/// A device whose answer cannot be one has failed its examination, and the examination goes to its end.
#[test]
fn verify_fails_a_device_that_answers_nonsense() {
    let mut checkpoint = Checkpoint::open(data("odd.timm.fused.safetensors")).unwrap();
    let name = "stages.3.1.reparam_conv.bias";
    let bias = checkpoint.weights.get(name).unwrap().clone();
    checkpoint.weights.insert(name, &bias.shape, vec![f32::MAX; bias.data.len()]);
    let model = Model::new(checkpoint, Form::Fused).unwrap();
    for device in devices() {
        let lines = verify(&device, &model, DType::F32, (64, 64)).unwrap();
        assert!(lines.len() >= model.graph.nodes.len(), "a line per node, and the logits");
        let faults: Vec<&str> =
            lines.iter().filter(|line| line.fault.is_some()).map(|line| line.label.as_str()).collect();
        assert!(faults.contains(&"logits"), "{faults:?}");
    }
}

/// Probabilities sum to 1 and the best classes are the best of them.
fn check_top(answer: &Answer, classes: usize) {
    for (row, top) in answer.probabilities().chunks(classes).zip(&answer.top) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let mut order: Vec<usize> = (0..classes).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        let found: Vec<usize> = top.iter().map(|top| top.index).collect();
        assert_eq!(found, order[..top.len()]);
        for top in top {
            assert!((top.probability - row[top.index]).abs() < 1e-6);
        }
    }
}

#[test]
fn tickets_are_taken_once_and_frames_run_out() {
    let (model, input) = (model("odd.timm.fused.safetensors", Form::Fused), golden_input("odd"));
    for device in devices() {
        let session = Session::new(&device, &model, &options(&model, &input, DType::F32, 3)).unwrap();
        let expected = session.run(Input::Tensor(&input)).unwrap();
        let submit = || session.submit(Input::Tensor(&input));
        let first = submit().unwrap();
        assert!(!session.is_busy(), "one frame is left");
        let second = submit().unwrap();
        assert!(session.is_busy() && matches!(submit(), Err(Error::Busy)), "two frames are two frames");
        assert_eq!(second.wait().unwrap(), expected);
        assert!(!session.is_busy(), "an answer that is taken gives its frame back");
        drop(first);
        for _ in 0..20 {
            // Dropped tickets give their frames back once the device is done with them.
            drop(session.run(Input::Tensor(&input)).unwrap());
        }
        let mut ticket = submit().unwrap();
        let answer = loop {
            if let Some(answer) = ticket.try_take().unwrap() {
                break answer;
            }
        };
        assert_eq!(answer, expected);
        assert!(matches!(ticket.try_take(), Err(Error::Input(_))), "an answer is taken once");
        #[cfg(feature = "gpu")]
        assert_eq!(pollster::block_on(submit().unwrap()).unwrap(), expected);
    }
}

#[test]
fn threads_share_a_session() {
    let (model, input) = (model("odd.timm.fused.safetensors", Form::Fused), golden_input("odd"));
    for device in devices() {
        let session = Session::new(&device, &model, &options(&model, &input, DType::F32, 3)).unwrap();
        let expected = session.run(Input::Tensor(&input)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    // Often enough for one thread to find the work ended whose buffers another one hands over.
                    for _ in 0..100 {
                        assert_eq!(session.run(Input::Tensor(&input)).unwrap(), expected);
                    }
                });
            }
        });
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let (model, input) = (model("odd.timm.fused.safetensors", Form::Fused), golden_input("odd"));
    for device in devices() {
        let session = Session::new(&device, &model, &options(&model, &input, DType::F32, 3)).unwrap();
        let refused = |tensor: &Tensor| match session.run(Input::Tensor(tensor)) {
            Err(Error::Input(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert!(refused(&Tensor::zeros(Shape::new(1, 64, 64, 3))).contains("expected [n, 64, 80, 3]"));
        assert!(refused(&Tensor::zeros(Shape::new(0, 64, 80, 3))).contains("n at least 1"));
        for value in [f32::NAN, f32::INFINITY] {
            let mut broken = input.clone();
            broken.data_mut()[64 * 80 * 3 + 5] = value;
            assert!(refused(&broken).contains("picture 1 has values that are not finite"));
        }
        session.run(Input::Tensor(&input)).unwrap();
        for (h, w) in [(0, 5), (5, 0), (1 << 20, 1 << 20)] {
            let mut options = options(&model, &input, DType::F32, 1);
            options.preprocess.size = (h, w);
            assert!(matches!(Session::new(&device, &model, &options), Err(Error::Option(_))));
        }
    }
}

#[test]
fn an_answer_that_cannot_be_one_is_the_devices_failure() {
    let mut checkpoint = Checkpoint::open(data("odd.timm.fused.safetensors")).unwrap();
    let name = "stages.3.1.reparam_conv.bias";
    let bias = checkpoint.weights.get(name).unwrap().clone();
    // Zeros are features as others are.
    for (value, sound) in [(-1e30, true), (f32::MAX, false)] {
        checkpoint.weights.insert(name, &bias.shape, vec![value; bias.data.len()]);
        let model = Model::new(checkpoint.clone(), Form::Fused).unwrap();
        let input = golden_input("odd");
        for device in devices() {
            let session = Session::new(&device, &model, &options(&model, &input, DType::F32, 3)).unwrap();
            match session.run(Input::Tensor(&input)) {
                Ok(answer) if sound => assert!(answer.features().iter().all(|&value| value == 0.0)),
                Err(Error::DeviceFailure { reason, .. }) if !sound => {
                    assert!(reason.contains(" of the ") && reason.contains("not finite"), "{reason}");
                }
                other => panic!("{}: {other:?}", device.info()),
            }
        }
    }
}

/// S0 to S4 as `make_goldens.py full DIR` makes them; `MOBILEONE_GOLDENS=DIR` says where they are.
#[test]
#[ignore = "hundreds of megabytes, made on demand: see tests/data/README.md"]
fn full_sizes_are_those_of_pytorch() {
    let folder = std::path::PathBuf::from(std::env::var("MOBILEONE_GOLDENS").expect("MOBILEONE_GOLDENS=DIR"));
    let load = |file: &str| Checkpoint::open(folder.join(file)).unwrap();
    for net in ["s0", "s1", "s2", "s3", "s4", "s0c5"] {
        let timm = load(&format!("{net}.timm.fused.safetensors"));
        let model = Model::new(timm.clone(), Form::Fused).unwrap();
        if net != "s0c5" {
            let train = load(&format!("{net}.timm.train.safetensors"));
            for naming in ["apple", "mmpretrain", "cvnets"] {
                let same = |form: &str| load(&format!("{net}.{naming}.{form}.safetensors")).weights;
                assert!(same("fused") == timm.weights, "{net} {naming} fused");
                assert!(same("train") == train.weights, "{net} {naming} train");
            }
            let folded = Model::new(train, Form::Fused).unwrap();
            for (name, array) in model.weights.iter() {
                let error = relative(&folded.weights.get(name).unwrap().data, &array.data);
                assert!(error < 1e-6, "{net} {name}: folding is off by {error:.1e}");
            }
        }
        let golden = folder.join(format!("{net}.golden.safetensors"));
        let read = |name: String| read_tensor(&golden, &name);
        let train = Model::new(
            load(&format!("{net}.timm.{}.safetensors", if net == "s0c5" { "fused" } else { "train" })),
            if net == "s0c5" { Form::Fused } else { Form::Train },
        );
        let train = train.unwrap();
        for key in ["224", "192x256", "96", "64"] {
            if key == "64" && net != "s0" {
                continue; // the batch of 64 is S0's
            }
            let (x, exact) = (read(format!("x.{key}")).unwrap(), read(format!("logits.{key}")).unwrap());
            let [n, c, h, w] = x.shape[..] else { panic!("x is a batch of pictures") };
            let input = Tensor::from_nchw(Shape::new(n, h, w, c), &x.data).unwrap();
            if key == "96" {
                for device in devices() {
                    let session =
                        Session::new(&device, &train, &options(&train, &input, DType::F32, n)).unwrap();
                    let answer = session.run(Input::Tensor(&input)).unwrap();
                    let error = relative(answer.logits(), &exact.data);
                    println!("{net} x.{key} {:?} f32 on {}: {error:.2e}", train.form, device.info());
                    assert!(error <= 5e-5);
                }
            }
            for device in devices() {
                for dtype in [DType::F32, DType::F16] {
                    let bound = match (dtype, read(format!("logits_f16.{key}")).ok()) {
                        (DType::F32, _) => 5e-5,
                        (_, Some(rounded)) => 1.3 * relative(&rounded.data, &exact.data),
                        (_, None) => continue,
                    };
                    if dtype == DType::F16 && !has_f16(&device) {
                        continue;
                    }
                    let session = Session::new(&device, &model, &options(&model, &input, dtype, n)).unwrap();
                    let started = std::time::Instant::now();
                    let answer = session.run(Input::Tensor(&input)).unwrap();
                    let (error, ms) = (relative(answer.logits(), &exact.data), started.elapsed().as_millis());
                    let name = format!("{net} x.{key} {dtype} on {}", device.info());
                    println!("{name}: {error:.2e} (bound {bound:.2e}), {ms} ms");
                    assert!(error <= bound, "{name}: {error:.2e}, bound {bound:.2e}");
                    let classes = model.graph.classes().unwrap();
                    for (found, exact) in answer.top.iter().zip(exact.data.chunks(classes)) {
                        let best = (0..classes).max_by(|&a, &b| exact[a].total_cmp(&exact[b])).unwrap();
                        assert!(dtype == DType::F16 || found[0].index == best, "{name}: another top-1");
                    }
                    let plain = model.architecture.squeezed.iter().all(Vec::is_empty);
                    let limit = if plain { 20 } else { 40 };
                    assert!(session.pipelines() <= limit, "{name}: {} pipelines", session.pipelines());
                }
            }
        }
    }
}
