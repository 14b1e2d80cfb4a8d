//! The reference against PyTorch's goldens and against sums done by hand.

mod ops;

use mobileone::{
    Checkpoint, Graph, Model, Shape, Tensor, Weights,
    graph::{Activation, Arithmetic, Conv, NodeId, Op, Window},
    models::Form,
    reference,
};
use safetensors::{Dtype, SafeTensors};

/// The f32 tensors of a file in `tests/data`, by their names in the file.
pub fn data(file: &str) -> Weights {
    let path = format!("{}/tests/data/{file}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut weights = Weights::new();
    for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
        if view.dtype() == Dtype::F32 {
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            weights.insert(name, view.shape(), values.collect());
        }
    }
    weights
}

/// A tensor `[n, c, h, w]` or `[n, c]` of a file.
pub fn tensor(weights: &Weights, name: &str) -> Tensor {
    let array = weights.get(name).unwrap();
    let (n, c, h, w) = match array.shape[..] {
        [n, c, h, w] => (n, c, h, w),
        [n, c] => (n, c, 1, 1),
        ref shape => panic!("{name}: {shape:?}"),
    };
    Tensor::from_nchw(Shape::new(n, h, w, c), &array.data).unwrap()
}

/// The model in a golden checkpoint.
pub fn model(file: &str, form: Form) -> Model {
    let path = format!("{}/tests/data/{file}.safetensors", env!("CARGO_MANIFEST_DIR"));
    Model::new(Checkpoint::open(path).unwrap(), form).unwrap()
}

/// `|a - b| / |b|`, with NaN as far as can be.
pub fn relative_l2(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |sum: f64, value: f64| sum + value * value;
    let error = a.iter().zip(b).map(|(&a, &b)| a as f64 - b as f64).fold(0.0, square);
    let error = (error / b.iter().map(|&b| b as f64).fold(0.0, square)).sqrt();
    if error.is_nan() { f64::INFINITY } else { error }
}

/// Every golden network, the files that hold it, and the forms that each can run in.
pub fn goldens() -> impl Iterator<Item = (&'static str, String, Form)> {
    let files = [("train", Form::Train), ("train", Form::Fused), ("fused", Form::Fused)];
    ["odd", "se"].into_iter().flat_map(move |golden| {
        ["timm", "apple", "mmpretrain", "cvnets"].into_iter().flat_map(move |naming| {
            files.map(|(file, form)| (golden, format!("{golden}.{naming}.{file}"), form))
        })
    })
}

/// The outputs that a golden names, as nodes of `graph`: stem, stages, features, logits.
pub fn named_outputs(graph: &Graph) -> Vec<(String, NodeId)> {
    let last = |prefix: &str| {
        let of = |node: &mobileone::graph::Node| format!("{}.", node.name).starts_with(prefix);
        graph.nodes.iter().rposition(of).unwrap()
    };
    let mut outputs = vec![("y.stem".into(), last("stem."))];
    outputs.extend((0..4).map(|stage| (format!("y.stage{}", stage + 1), last(&format!("stages.{stage}.")))));
    outputs.extend([
        ("features".into(), graph.output("features").unwrap()),
        ("logits".into(), graph.output("logits").unwrap()),
    ]);
    outputs
}

#[test]
fn agrees_with_pytorch() {
    for (golden, file, form) in goldens() {
        let model = model(&file, form);
        let golden = data(&format!("{golden}.golden"));
        let outputs = reference::run(&model.graph, &model.weights, &tensor(&golden, "x")).unwrap();
        for (name, id) in named_outputs(&model.graph) {
            let expected = tensor(&golden, &name);
            // The goldens hold the first picture only, where outputs are large
            let found = outputs[id].pictures(0..expected.shape().n);
            let error = relative_l2(found, expected.data());
            assert!(error <= 2e-6, "{file} {form:?} {name}: {error:e}");
        }
    }
    // Without a classifier the features are the same
    let model = model("odd.apple.encoder", Form::Fused);
    let golden = data("odd.golden");
    let outputs = reference::run(&model.graph, &model.weights, &tensor(&golden, "x")).unwrap();
    let error = relative_l2(
        outputs[model.graph.output("features").unwrap()].data(),
        tensor(&golden, "features").data(),
    );
    assert!(model.graph.output("logits").is_none() && error <= 2e-6, "{error:e}");
}

/// Runs one operation on inputs given as `[n, h, w, c]` and values, and compares exactly.
fn check(op: Op, arrays: &[(&str, &[usize], &[f32])], inputs: &[(Shape, &[f32])], expected: (Shape, &[f32])) {
    let mut graph = Graph::default();
    graph.push("input", Op::Input { channels: inputs[0].0.c }, &[]);
    let id = graph.push("op", op, &vec![0; inputs.len()]);
    let mut weights = Weights::new();
    for (name, shape, data) in arrays {
        weights.insert(*name, shape, data.to_vec());
    }
    let inputs: Vec<Tensor> =
        inputs.iter().map(|&(shape, data)| Tensor::new(shape, data.to_vec()).unwrap()).collect();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let checked = graph.check(&weights, inputs[0].shape()).unwrap();
    let found = reference::node(&checked, id, &inputs);
    let case = &graph.nodes[id].op;
    assert_eq!((found.shape(), found.data()), expected, "{case:?}");
    assert_eq!(checked.shapes()[id], expected.0, "{case:?}");
}

#[test]
fn operations_by_hand() {
    let s = Shape::new;
    let conv = |src_c, dst_c, kernel, stride, groups, bias: bool, activation| Op::Conv {
        conv: Conv { src_c, dst_c, groups, window: Window::square(kernel, stride, kernel / 2) },
        weight: "w".into(),
        bias: bias.then(|| "b".into()),
        activation,
    };
    let ramp: Vec<f32> = (1..=9).map(|value| value as f32).collect();

    // One channel, 3x3 over 2x3: each output sees the taps that lie inside
    let src = (s(1, 2, 3, 1), &[1., 2., 3., 4., 5., 6.][..]);
    let w = ("w", &[1, 1, 3, 3][..], &ramp[..]);
    check(
        conv(1, 1, 3, 1, 1, false, Activation::None),
        &[w],
        &[src],
        (s(1, 2, 3, 1), &[94., 154., 106., 58., 91., 58.]),
    );
    // Stride 2 keeps the first of the rows and the outer columns
    check(
        conv(1, 1, 3, 2, 1, true, Activation::Relu),
        &[w, ("b", &[1], &[-100.])],
        &[src],
        (s(1, 1, 2, 1), &[0., 6.]),
    );
    // Depthwise: two channels, a batch of two, one pixel each: the centre taps
    let pair: Vec<f32> = (1..=18).map(|value| value as f32).collect();
    check(
        conv(2, 2, 3, 1, 2, true, Activation::None),
        &[("w", &[2, 1, 3, 3], &pair), ("b", &[2], &[0.5, 0.25])],
        &[(s(2, 1, 1, 2), &[1., 2., 3., -4.])],
        (s(2, 1, 1, 2), &[5.5, 28.25, 15.5, -55.75]),
    );
    // Pointwise 2 to 3
    check(
        conv(2, 3, 1, 1, 1, true, Activation::Relu),
        &[("w", &[3, 2, 1, 1], &[1., 2., 3., 4., 5., 6.]), ("b", &[3], &[0., 0., -40.])],
        &[(s(1, 1, 2, 2), &[1., 1., 2., 3.])],
        (s(1, 1, 2, 3), &[3., 7., 0., 8., 18., 0.]),
    );
    // Dense: two input channels' kernels lie one behind the other
    let two = [0., 0., 0., 0., 1., 0., 0., 0., 0., 0., 0., 0., 0., 10., 0., 0., 0., 0.];
    check(
        conv(2, 1, 3, 1, 1, false, Activation::None),
        &[("w", &[1, 2, 3, 3], &two)],
        &[(s(1, 1, 2, 2), &[1., 2., 3., 4.])],
        (s(1, 1, 2, 1), &[21., 43.]),
    );
    // The scale branch of a strided depthwise
    check(
        conv(2, 2, 1, 2, 2, false, Activation::None),
        &[("w", &[2, 1, 1, 1], &[2., 3.])],
        &[(s(1, 1, 3, 2), &[1., 2., 3., 4., 5., 6.])],
        (s(1, 1, 2, 2), &[2., 6., 10., 18.]),
    );
    let shift = [("scale", &[2][..], &[2., -3.][..]), ("shift", &[2], &[1., 0.])];
    let affine = |activation| Op::Affine { scale: "scale".into(), shift: "shift".into(), activation };
    let src = (s(1, 1, 2, 2), &[1., 2., -3., 4.][..]);
    check(affine(Activation::None), &shift, &[src], (s(1, 1, 2, 2), &[3., -6., -5., -12.]));
    check(affine(Activation::Relu), &shift, &[src], (s(1, 1, 2, 2), &[3., 0., 0., 0.]));
    check(
        Op::Binary { with: Arithmetic::Add, activation: Activation::Relu },
        &[],
        &[src, src],
        (s(1, 1, 2, 2), &[2., 4., 0., 8.]),
    );
    check(Op::MEAN, &[], &[src], (s(1, 1, 1, 2), &[-1., 3.]));
    check(
        Op::Binary { with: Arithmetic::Mul, activation: Activation::None },
        &[],
        &[(s(2, 1, 1, 2), &[1., 2., -3., 4.]), (s(2, 1, 1, 2), &[5., 6., 7., 8.])],
        (s(2, 1, 1, 2), &[5., 12., -21., 32.]),
    );
    let linear = |activation| Op::Linear {
        src_c: 2,
        dst_c: 1,
        weight: "w".into(),
        bias: Some("b".into()),
        activation,
    };
    let arrays = [("w", &[1, 2][..], &[2., -1.][..]), ("b", &[1], &[-3.])];
    let src = (s(2, 1, 1, 2), &[2., 1., 5., 1.][..]);
    check(linear(Activation::None), &arrays, &[src], (s(2, 1, 1, 1), &[0., 6.]));
    check(linear(Activation::Sigmoid), &arrays, &[src], (s(2, 1, 1, 1), &[0.5, 0.997_527_36]));
    // NaN passes through a ReLU
    let nan = [(s(1, 1, 1, 1), &[f32::NAN][..]); 2];
    let mut graph = Graph::default();
    graph.push("input", Op::Input { channels: 1 }, &[]);
    graph.push("add", Op::Binary { with: Arithmetic::Add, activation: Activation::Relu }, &[0, 0]);
    let nan = Tensor::new(nan[0].0, nan[0].1.to_vec()).unwrap();
    assert!(reference::run(&graph, &Weights::new(), &nan).unwrap()[1].data()[0].is_nan());
}

#[test]
fn softmax_and_top_k() {
    let probabilities = reference::softmax(&[1000.0, 1000.0 + 3f32.ln(), -1000.0]);
    assert!((probabilities[0] - 0.25).abs() < 1e-4 && (probabilities[1] - 0.75).abs() < 1e-4);
    assert_eq!(probabilities[2], 0.0);

    let values = [1.0, f32::NAN, 3.0, 1.0, f32::NEG_INFINITY, 3.0];
    let indices = |k| reference::top_k(&values, k).into_iter().map(|(index, _)| index).collect::<Vec<_>>();
    assert_eq!(indices(4), [2, 5, 0, 3]);
    assert_eq!(indices(99), [2, 5, 0, 3, 4, 1]);
    assert!(indices(0).is_empty());
}
