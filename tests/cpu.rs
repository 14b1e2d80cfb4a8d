//! The CPU executor against the reference, on edge shapes and whole networks, with any number of threads.

use crate::{
    graphs::Case,
    reference::{data, goldens, model, named_outputs, relative_l2, tensor},
};
use mobileone::{
    Device, Error, Graph, Input, Model, Options, Outputs, Session, Shape, Tensor, Weights,
    cpu::{Engine, Executor, Isa, Threads},
    graph::{Activation, Arithmetic, Conv, Filter, Op, Pooling, Size, Window},
    models::{
        Form,
        mobileone::{VARIANTS, synthetic},
    },
    preprocess::{PixelFormat, Pixels, Rotation},
    reference,
};

/// Distinct values in [-1, 1), some of each sign.
pub fn distinct(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i as f64 * 0.618_033_988_749_895 + 0.3).fract() * 2.0 - 1.0) as f32).collect()
}

fn team(threads: usize) -> Threads {
    Threads::new(std::num::NonZero::new(threads)).unwrap()
}

thread_local! {
    /// One thread, and three.
    static THREADS: [Threads; 2] = [team(1), team(3)];
}

/// What an operation reads.
#[derive(Clone, Copy, Debug)]
enum From {
    /// The network's input.
    Input,
    /// Another map of its shape, with values of both signs.
    Map,
    /// The same, of values between 1 and 2.
    Positive,
    /// One vector per picture, of values between 1 and 2.
    Vector,
    /// A map of so many channels.
    Channels(usize),
    /// A map of so many rows and columns.
    Size([usize; 2]),
}

/// A convolution's node, of the weight and bias `w` and `b`.
fn conv(conv: Conv, bias: bool, activation: Activation) -> Op {
    Op::Conv { conv, weight: "w".into(), bias: bias.then(|| "b".into()), activation }
}

/// Runs one operation on `inputs`, of which those like the network's are of `shape`, with every instruction set of this
/// machine, on 1 and 3 threads, and in the reference.
fn check(name: &str, op: Op, inputs: &[From], shape: Shape, arrays: &[(&str, &[usize])]) {
    let mut weights = Weights::new();
    for (name, shape) in arrays {
        let data = distinct(shape.iter().product());
        weights.insert(*name, shape, data.iter().map(|value| value * 0.7).collect());
    }
    let mut graph = Graph::default();
    let channels = shape.c;
    graph.push("input", Op::Input { channels }, &[]);
    let affine = |graph: &mut Graph, weights: &mut Weights, factor: f32, shift: Vec<f32>| {
        let names = ["factor", "shift"].map(|name| format!("{name} {factor}"));
        weights.insert(names[0].as_str(), &[channels], vec![factor; channels]);
        weights.insert(names[1].as_str(), &[channels], shift);
        let [scale, shift] = names;
        graph.push("other", Op::Affine { scale, shift, activation: Activation::None }, &[0])
    };
    let mut ids = Vec::new();
    for &input in inputs {
        ids.push(match input {
            From::Input => 0,
            From::Map => affine(&mut graph, &mut weights, -0.6, distinct(channels)),
            From::Positive => affine(&mut graph, &mut weights, 0.3, vec![1.5; channels]),
            From::Vector => {
                let map = affine(&mut graph, &mut weights, 0.3, vec![1.5; channels]);
                graph.push("vector", Op::MEAN, &[map])
            }
            From::Channels(c) => {
                // A channel of the map, or its negative, plus something
                let mut weight = vec![0.0; c * channels];
                (0..c).for_each(|row| weight[row * channels + row * 7 % channels] = 0.5 - (row % 2) as f32);
                let (name, bias) = (format!("to {c}"), format!("{c} biases"));
                weights.insert(name.as_str(), &[c, channels, 1, 1], weight);
                weights.insert(bias.as_str(), &[c], distinct(c));
                let (conv, activation) = (Conv::pointwise(channels, c), Activation::None);
                graph.push("wide", Op::Conv { conv, weight: name, bias: Some(bias), activation }, &[0])
            }
            From::Size(size) => {
                graph.push("size", Op::Resize { filter: Filter::Nearest, to: Size::Exact(size) }, &[0])
            }
        });
    }
    let id = graph.push("op", op, &ids);
    graph.give("out", id);

    let input = Tensor::new(shape, distinct(shape.len())).unwrap();
    let expected = reference::run(&graph, &weights, &input).unwrap();
    let size = (shape.h, shape.w);
    let mut first: Option<(Isa, Vec<Tensor>)> = None;
    for (isa, threads) in Isa::all().into_iter().flat_map(|isa| [(isa, 1), (isa, 3)]) {
        let name = format!("{name}, {}", isa.name());
        let mut executor = THREADS
            .with(|all| Executor::new(&graph, &weights, size, shape.n, &all[threads / 3], isa).unwrap());
        // Whatever a buffer held before must not matter
        executor.run(&vec![f32::NAN; shape.len()], shape.n);
        let found = executor.trace(&input);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.shape(), expected.shape(), "{name}");
            for (at, (&a, &b)) in found.data().iter().zip(expected.data()).enumerate() {
                assert!((a - b).abs() <= 1e-5 + 2e-6 * b.abs(), "{name} {shape} at {at}: {a}, expected {b}");
            }
        }
        assert_eq!(executor.output(0).data(), found[id].data(), "{name}");
        match &first {
            Some((of, first)) if *of == isa => assert!(*first == found, "{name} {shape}: threads matter"),
            _ => first = Some((isa, found)),
        }
    }
}

#[test]
fn convolutions() {
    let maps = [(1, 1), (1, 7), (5, 3), (8, 9), (17, 16)];
    let kernels = [(1, 1), (1, 2), (3, 1), (3, 2), (5, 1), (5, 2)];
    for ((h, w), (kernel, stride)) in maps.iter().flat_map(|&map| kernels.map(|kernel| (map, kernel))) {
        for (c, activation) in [
            (1, Activation::Relu),
            (3, Activation::None),
            (5, Activation::Sigmoid),
            (17, Activation::Relu6),
            (40, Activation::None),
        ] {
            for (depthwise, dst_c) in [(true, c), (false, 1), (false, 7), (false, 48)] {
                let groups = if depthwise { c } else { 1 };
                let window = Window::square(kernel, stride, kernel / 2);
                let op = conv(Conv { src_c: c, dst_c, groups, window }, (h + w) % 3 > 0, activation);
                let name = format!("{kernel}x{kernel}/{stride} {c}->{dst_c} groups {groups} {activation:?}");
                let batch = if h == 5 { 3 } else { 1 };
                let arrays: [(&str, &[usize]); 2] =
                    [("w", &[dst_c, c / groups, kernel, kernel]), ("b", &[dst_c])];
                check(&name, op, &[From::Input], Shape::new(batch, h, w, c), &arrays);
            }
        }
    }
}

/// Windows of different sides, steps, gaps and paddings.
fn windows() -> Vec<Window> {
    vec![
        Window::square(1, 1, 0),
        Window::square(1, 2, 0),
        Window::square(1, 1, 1),
        Window::square(2, 2, 0),
        Window::square(3, 2, 1),
        Window::square(3, 1, 2).dilated(2),
        Window::square(3, 1, 12).dilated(12),
        Window::square(7, 1, 3),
        Window::square(5, 2, 2),
        Window { padding: [[0, 1], [0, 1]], ..Window::square(3, 2, 0) },
        Window { padding: [[1, 0], [0, 2]], ..Window::square(3, 1, 0) },
        Window { kernel: [1, 7], padding: [[0, 0], [3, 3]], ..Window::square(1, 1, 0) },
        Window { kernel: [5, 1], padding: [[2, 2], [0, 0]], ..Window::square(1, 1, 0) },
        Window { kernel: [3, 2], stride: [1, 3], dilation: [1, 2], padding: [[2, 0], [0, 3]] },
        Window { kernel: [2, 3], stride: [3, 1], dilation: [4, 1], padding: [[1, 3], [2, 0]] },
    ]
}

#[test]
fn convolutions_of_any_window_and_groups() {
    let channels = [
        // Dense
        (3, 5, 1),
        (20, 33, 1),
        // Depthwise, one and several channels of each
        (5, 5, 5),
        (33, 33, 33),
        (3, 6, 3),
        (17, 51, 17),
        (20, 100, 20),
        // Groups that blocks of sixteen divide, and that they do not
        (32, 64, 2),
        (12, 6, 3),
        (40, 48, 4),
        (9, 60, 3),
        (64, 64, 16),
        (48, 24, 24),
        (120, 90, 3),
    ];
    let maps = [(1, 1, 1), (2, 5, 7), (1, 13, 18)];
    for (at, (n, h, w)) in maps.into_iter().enumerate() {
        for (turn, window) in windows().into_iter().enumerate() {
            if window.dst_len(0, h).is_none() || window.dst_len(1, w).is_none() {
                continue;
            }
            for (row, (c, dst_c, groups)) in channels.into_iter().enumerate() {
                let of = Conv { src_c: c, dst_c, groups, window };
                let [k, l] = window.kernel;
                let arrays: [(&str, &[usize]); 2] = [("w", &[dst_c, c / groups, k, l]), ("b", &[dst_c])];
                let activation = Activation::ALL[(at + turn + row) % Activation::ALL.len()];
                let name = format!("{window} {c}->{dst_c} groups {groups} {activation:?}");
                let op = conv(of, turn % 3 > 0, activation);
                let shape = Shape::new(n, h, w, c);
                check(&name, op.clone(), &[From::Map], shape, &arrays);
                if groups == 1 {
                    check(&name, op, &[From::Input], shape, &arrays);
                }
            }
        }
    }
}

#[test]
fn maps_of_many_blocks() {
    for ((h, w), (c, dst_c, kernel, groups)) in [
        // More than one band of gathered pixels
        ((270, 260), (1, 2, 3, 1)),
        ((40, 50), (17, 17, 3, 17)),
        ((40, 50), (16, 20, 5, 1)),
        ((40, 50), (6, 40, 3, 2)),
        ((7, 7), (80, 144, 3, 1)),
        ((40, 50), (24, 90, 1, 1)),
        ((5, 4), (24, 144, 1, 1)),
    ] {
        let window = Window::square(kernel, 1, kernel / 2);
        let op = conv(Conv { src_c: c, dst_c, groups, window }, true, Activation::None);
        let arrays: [(&str, &[usize]); 2] = [("w", &[dst_c, c / groups, kernel, kernel]), ("b", &[dst_c])];
        let name = format!("{h}x{w} {kernel}x{kernel} {c}->{dst_c} groups {groups}");
        for from in [From::Input, From::Map] {
            check(&name, op.clone(), &[from], Shape::new(2, h, w, c), &arrays);
        }
    }
}

#[test]
fn everything_else() {
    for (n, h, w) in [(1, 1, 1), (3, 5, 3), (2, 33, 16), (1, 64, 64)] {
        for (c, activation) in [
            (1, Activation::None),
            (3, Activation::Relu),
            (5, Activation::Sigmoid),
            (17, Activation::Relu6),
            (144, Activation::None),
        ] {
            let shape = Shape::new(n, h, w, c);
            let affine = Op::Affine { scale: "scale".into(), shift: "shift".into(), activation };
            check("affine", affine, &[From::Input], shape, &[("scale", &[c]), ("shift", &[c])]);
            for with in Arithmetic::ALL {
                for (second, what) in [(From::Positive, "map"), (From::Vector, "vector")] {
                    let op = Op::Binary { with, activation };
                    check(&format!("{with:?} {what}"), op, &[From::Map, second], shape, &[]);
                }
            }
            for pooling in [Pooling::Average, Pooling::PaddedAverage, Pooling::Max] {
                let op = Op::Pool { pooling, window: None };
                check(&format!("{pooling:?} pool"), op, &[From::Map], shape, &[]);
            }
            check("softmax", Op::Softmax, &[From::Map], shape, &[]);
            for dst_c in [1, 5, 80, 144, 300] {
                let (weight, bias) = ("w".into(), Some("b".into()));
                let op = Op::Linear { src_c: c, dst_c, weight, bias, activation };
                let arrays: [(&str, &[usize]); 2] = [("w", &[dst_c, c]), ("b", &[dst_c])];
                check("linear", op, &[From::Input], Shape::new(n, 1, 1, c), &arrays);
            }
        }
    }
}

#[test]
fn activations() {
    for (activation, (n, h, w, c)) in Activation::ALL.into_iter().flat_map(|activation| {
        [(1, 1, 1, 3), (2, 9, 7, 17), (1, 30, 31, 40)].map(|shape| (activation, shape))
    }) {
        let shape = Shape::new(n, h, w, c);
        let check = |what: &str, op: Op, inputs: &[From], arrays: &[(&str, &[usize])]| {
            check(&format!("{what} {activation:?}"), op, inputs, shape, arrays);
        };
        check("alone", Op::Activate(activation), &[From::Input], &[]);
        let (scale, shift) = ("w".into(), "b".into());
        check("affine", Op::Affine { scale, shift, activation }, &[From::Input], &[("w", &[c]), ("b", &[c])]);
        let op = Op::Binary { with: Arithmetic::Mul, activation };
        check("binary", op, &[From::Map, From::Vector], &[]);
        for (groups, kernel, from) in [(1, 1, From::Map), (1, 3, From::Input), (c, 3, From::Map)] {
            let window = Window::square(kernel, 1, kernel / 2);
            let op = conv(Conv { src_c: c, dst_c: c, groups, window }, true, activation);
            let arrays: [(&str, &[usize]); 2] = [("w", &[c, c / groups, kernel, kernel]), ("b", &[c])];
            check(&format!("{groups} groups {kernel}x{kernel}"), op, &[from], &arrays);
        }
    }
}

#[test]
fn pools() {
    for pooling in [Pooling::Average, Pooling::PaddedAverage, Pooling::Max] {
        for ((n, h, w), c) in [((1, 1, 1), 3), ((2, 5, 7), 17), ((1, 13, 18), 40), ((3, 49, 50), 5)] {
            let windows = windows().into_iter().chain([
                Window { stride: [16, 20], ..Window::square(49, 1, 0) },
                Window::square(13, 1, 6),
                Window::square(2, 2, 0),
            ]);
            let fits = |window: &Window| {
                Op::Pool { pooling, window: Some(*window) }.shape(&[Shape::new(n, h, w, c)])
            };
            for window in windows.filter(|window| fits(window).is_ok()) {
                let op = Op::Pool { pooling, window: Some(window) };
                check(&format!("{pooling:?} of {window}"), op, &[From::Map], Shape::new(n, h, w, c), &[]);
            }
        }
    }
}

#[test]
fn concatenations() {
    for (n, h, w) in [(1, 1, 1), (2, 5, 7), (1, 30, 31)] {
        for (c, inputs) in [
            (3, &[From::Input][..]),
            (3, &[From::Input, From::Map, From::Input]),
            (16, &[From::Map, From::Input, From::Channels(32)]),
            (5, &[From::Channels(13), From::Channels(1), From::Channels(50), From::Map]),
            (24, &[From::Map, From::Channels(58), From::Channels(16), From::Input, From::Channels(7)]),
        ] {
            check(&format!("{inputs:?}"), Op::Concat, inputs, Shape::new(n, h, w, c), &[]);
        }
    }
}

#[test]
fn resizes() {
    let filters = [Filter::Nearest, Filter::Bilinear, Filter::BilinearCorners];
    for (filter, (n, h, w)) in
        filters.into_iter().flat_map(|filter| [(1, 1, 1), (2, 5, 7), (1, 30, 31)].map(|size| (filter, size)))
    {
        for c in [1, 16, 21] {
            let shape = Shape::new(n, h, w, c);
            for to in [[1, 1], [1, 9], [3, 2], [h, w], [29, 40]] {
                let name = format!("{filter:?} to {to:?}");
                let op = |to| Op::Resize { filter, to };
                check(&name, op(Size::Exact(to)), &[From::Map], shape, &[]);
                check(&name, op(Size::Like), &[From::Map, From::Size(to)], shape, &[]);
            }
            for times in [[2, 2], [1, 3]] {
                let op = Op::Resize { filter, to: Size::Times(times) };
                check(&format!("{filter:?} times {times:?}"), op, &[From::Map], shape, &[]);
            }
        }
    }
}

#[test]
fn the_best_of_vectors() {
    for (c, k) in [(1, 1), (5, 1), (17, 17), (1000, 5), (40, 33)] {
        for softmax in [false, true] {
            let op = Op::TopK { k, softmax };
            check(&format!("best {k} of {c}"), op, &[From::Map], Shape::new(3, 1, 1, c), &[]);
        }
    }
}

#[test]
fn nan_passes() {
    let shape = Shape::new(1, 6, 7, 20);
    let mut data = distinct(shape.len());
    data[20 * (7 * 2 + 3) + 17] = f32::NAN;
    let input = Tensor::new(shape, data).unwrap();
    let max = Op::Pool { pooling: Pooling::Max, window: Some(Window::square(3, 1, 1)) };
    let all = Op::Pool { pooling: Pooling::Max, window: None };
    let ops = Activation::ALL.map(Op::Activate).into_iter().chain([max, all, Op::MEAN, Op::Softmax]);
    for op in ops {
        let mut graph = Graph::default();
        graph.push("input", Op::Input { channels: shape.c }, &[]);
        let id = graph.push("op", op, &[0]);
        graph.give("out", id);
        let weights = Weights::new();
        let expected = reference::run(&graph, &weights, &input).unwrap().remove(id);
        let nan = |tensor: &Tensor| tensor.data().iter().map(|x| x.is_nan()).collect::<Vec<_>>();
        assert!(nan(&expected).contains(&true), "{:?}", graph.nodes[id].op);
        for isa in Isa::all() {
            let mut executor = Executor::new(&graph, &weights, (6, 7), 1, &team(2), isa).unwrap();
            executor.run(input.data(), 1);
            assert_eq!(nan(&executor.output(0)), nan(&expected), "{} {:?}", isa.name(), graph.nodes[id].op);
        }
    }
}

/// Runs `graph` fused and node by node, with every instruction set, on 1 and 3 threads, and in the reference.
fn check_graph(name: &str, graph: &Graph, weights: &Weights, shape: Shape) {
    let input = Tensor::new(shape, distinct(shape.len())).unwrap();
    let expected = reference::run(graph, weights, &input).unwrap();
    for isa in Isa::all() {
        let mut first: Option<Vec<f32>> = None;
        for threads in [0, 1] {
            let mut executor = THREADS.with(|all| {
                let size = (shape.h, shape.w);
                Executor::new(graph, weights, size, shape.n, &all[threads], isa).unwrap()
            });
            executor.run(&vec![f32::NAN; shape.len()], shape.n);
            executor.run(input.data(), shape.n);
            let found = executor.output(0).data().to_vec();
            let expected = expected[graph.output("out").unwrap()].data();
            let error = relative_l2(&found, expected);
            assert!(error <= 2e-6 || found == expected, "{name} {}: {error:e}", isa.name());
            let traced = executor.trace(&input);
            assert!(
                traced[graph.output("out").unwrap()].data() == found,
                "{name} {}: a fused pass differs",
                isa.name()
            );
            assert!(*first.get_or_insert(found.clone()) == found, "{name} {}: threads matter", isa.name());
        }
    }
}

#[test]
fn blocks_of_two_convolutions() {
    for ((h, w), (c, dst_c), (kernel, stride)) in [
        ((1, 1), (1, 1), (3, 1)),
        ((5, 3), (3, 20), (3, 2)),
        ((17, 16), (17, 48), (3, 1)),
        ((31, 9), (48, 33), (5, 1)),
        ((40, 50), (20, 100), (3, 2)),
        ((30, 40), (33, 16), (3, 1)),
    ] {
        for (first, second) in [
            (Activation::Relu, Activation::None),
            (Activation::Sigmoid, Activation::Relu),
            (Activation::None, Activation::Sigmoid),
        ] {
            let mut weights = Weights::new();
            let mut insert = |name: &str, shape: &[usize]| {
                weights.insert(name, shape, distinct(shape.iter().product()));
            };
            insert("scale", &[c]);
            insert("shift", &[c]);
            insert("dw", &[c, 1, kernel, kernel]);
            insert("db", &[c]);
            insert("pw", &[dst_c, c, 1, 1]);
            insert("pb", &[dst_c]);
            insert("w", &[dst_c, dst_c, 3, 3]);
            let mut graph = Graph::default();
            graph.push("input", Op::Input { channels: c }, &[]);
            let (scale, shift, activation) = ("scale".into(), "shift".into(), Activation::None);
            graph.push("affine", Op::Affine { scale, shift, activation }, &[0]);
            let conv = |src_c, dst_c, kernel, stride, groups| Conv {
                src_c,
                dst_c,
                window: Window::square(kernel, stride, kernel / 2),
                groups,
            };
            let op = |conv, weight: &str, bias: Option<&str>, activation| Op::Conv {
                conv,
                weight: weight.into(),
                bias: bias.map(String::from),
                activation,
            };
            graph.push("depthwise", op(conv(c, c, kernel, stride, c), "dw", Some("db"), first), &[1]);
            let pointwise = conv(c, dst_c, 1, 1, 1);
            let last = graph.push("pointwise", op(pointwise, "pw", Some("pb"), second), &[2]);
            graph.give("out", last);
            let shape = Shape::new(3, h, w, c);
            let name = format!("{h}x{w} {c}->{dst_c} {kernel}x{kernel}/{stride} {first:?} {second:?}");
            check_graph(&name, &graph, &weights, shape);
            // A dense convolution of a map that is not the input, and the first one's output is kept.
            if dst_c < 50 {
                let last = graph.push("dense", op(conv(dst_c, dst_c, 3, 2, 1), "w", None, first), &[3]);
                graph.give("out", last);
                check_graph(&name, &graph, &weights, shape);
                graph.give("out", 2);
                check_graph(&name, &graph, &weights, shape);
            }
        }
    }
}

#[test]
fn agrees_with_pytorch() {
    for (golden, file, form) in goldens() {
        let Model { graph, weights, .. } = model(&file, form);
        let golden = data(&format!("{golden}.golden"));
        let x = tensor(&golden, "x");
        let Shape { n, h, w, .. } = x.shape();
        let mut executor = Executor::new(&graph, &weights, (h, w), 4, &team(2), Isa::best()).unwrap();
        let outputs = executor.trace(&x);
        for (name, id) in named_outputs(&graph) {
            let expected = tensor(&golden, &name);
            let error = relative_l2(outputs[id].pictures(0..expected.shape().n), expected.data());
            assert!(error <= 5e-6, "{file} {form:?} {name}: {error:e}");
        }
        // A run leaves what a trace shows, and a picture does not depend on its batch
        executor.run(x.data(), n);
        let logits = executor.output(1).data().to_vec();
        assert_eq!(logits, outputs[graph.output("logits").unwrap()].data());
        assert_eq!(executor.output(0).data(), outputs[graph.output("features").unwrap()].data());
        executor.run(x.pictures(1..2), 1);
        let classes = graph.classes().unwrap();
        assert!(
            relative_l2(executor.output(1).data(), &logits[classes..2 * classes]) <= 1e-6,
            "{file} {form:?}"
        );
    }
}

#[test]
fn whole_networks_with_any_threads() {
    for (variant, batch) in [(&VARIANTS[0], 2), (&VARIANTS[4], 1)] {
        let Model { graph, weights, .. } = Model::new(synthetic(variant, 10, 7), Form::Fused).unwrap();
        let shape = Shape::new(batch, 64, 96, 3);
        let x = Tensor::new(shape, distinct(shape.len())).unwrap();
        let expected = &reference::run(&graph, &weights, &x).unwrap()[graph.output("logits").unwrap()];
        for isa in Isa::all() {
            let run = |threads| {
                let threads = team(threads);
                let mut executor = Executor::new(&graph, &weights, (64, 96), batch, &threads, isa).unwrap();
                executor.run(x.data(), batch);
                executor.output(1).data().to_vec()
            };
            let logits = run(1);
            for threads in [2, 3, 5] {
                assert_eq!(logits, run(threads), "{} {} {threads}", variant.name, isa.name());
            }
            let error = relative_l2(&logits, expected.data());
            assert!(error <= 1e-5, "{} {}: {error:e}", variant.name, isa.name());
        }
    }
}

#[test]
fn a_profile_accounts_for_every_multiply_add() {
    for variant in [&VARIANTS[0], &VARIANTS[4]] {
        let Model { graph, weights, .. } = Model::new(synthetic(variant, 10, 7), Form::Fused).unwrap();
        let shape = Shape::new(2, 64, 64, 3);
        let x = distinct(shape.len());
        let mut executor = Executor::new(&graph, &weights, (64, 64), 2, &team(2), Isa::best()).unwrap();
        executor.run(&x, 2);
        let logits = executor.output(1).data().to_vec();
        let rows = executor.profile(&x, 2);
        assert_eq!(executor.output(1).data(), logits, "{}", variant.name);
        let costs = graph.check(&weights, shape).unwrap().costs();
        let macs = costs.iter().map(|cost| cost.macs).sum::<u64>() * 2;
        assert_eq!(rows.iter().map(|row| row.macs).sum::<u64>(), macs, "{}", variant.name);
        assert!(rows.iter().all(|row| row.seconds > 0.0 && row.bytes > 0), "{rows:?}");
        assert_eq!(rows[1].label, {
            let (stem, width) = (variant.stem, variant.widths[0]);
            format!("stages.0.0 16x16 {stem}->{stem} + stages.0.1 16x16 {stem}->{width}")
        });
    }
}

#[test]
fn a_profile_has_a_row_for_each_layer_behind_a_linear_one() {
    let mut case = Case::new(Shape::new(3, 5, 4, 6));
    let pool = case.push(Op::MEAN, &[0]);
    let linear = case.linear(10, Activation::Relu, pool);
    let depthwise = case.conv([10, 10, 1, 1, 0, 10], Activation::Relu, linear);
    let last = case.conv([10, 7, 1, 1, 0, 1], Activation::None, depthwise);
    case.graph.give("out", last);
    let Case { graph, weights, input } = case;
    check_graph("a depthwise layer behind a linear one", &graph, &weights, input);
    let mut executor = Executor::new(&graph, &weights, (5, 4), 3, &team(2), Isa::best()).unwrap();
    let rows = executor.profile(&distinct(input.len()), 3);
    let macs: Vec<u64> = rows.iter().map(|row| row.macs).collect();
    assert_eq!(macs[1..], [3 * 6 * 10, 3 * 10, 3 * 10 * 7], "{rows:?}");
}

#[test]
fn refuses_what_does_not_fit() {
    let Model { graph, weights, .. } = model("odd.timm.fused", Form::Fused);
    let new = |size, batch| Executor::new(&graph, &weights, size, batch, &team(1), Isa::best());
    for (size, batch) in [
        ((0, 32), 1),
        ((32, 0), 1),
        ((32, 32), 0),
        ((8192, 8192), 64),
        ((usize::MAX, 2), 1),
        ((1, 1), usize::MAX),
    ] {
        assert!(matches!(new(size, batch), Err(Error::Input(_))), "{size:?} {batch}");
    }
    assert!(new((32, 32), 1).is_ok());
    // What lies between the layers of a classifier counts, of the whole batch.
    let mut wide = Graph::default();
    wide.push("input", Op::Input { channels: 1 }, &[]);
    wide.push("mean", Op::MEAN, &[0]);
    let mut arrays = Weights::new();
    for (src_c, dst_c) in [(1, 4096), (4096, 1)] {
        let (weight, activation) = (format!("to {dst_c}"), Activation::None);
        arrays.insert(weight.as_str(), &[dst_c, src_c], vec![0.5; 4096]);
        let last = wide.nodes.len() - 1;
        let last = wide.push("linear", Op::Linear { src_c, dst_c, weight, bias: None, activation }, &[last]);
        wide.give("out", last);
    }
    let new_wide = |batch| Executor::new(&wide, &arrays, (1, 1), batch, &team(1), Isa::best());
    assert!(new_wide(16).is_ok());
    assert!(matches!(new_wide(1 << 18), Err(Error::Input(_))));
    let other = Executor::new(&graph, &Weights::new(), (32, 32), 1, &team(1), Isa::best());
    assert!(matches!(other, Err(Error::Tensor { name, .. }) if name.starts_with("stem.reparam_conv.")));
}

#[test]
fn a_frame_is_taken_until_its_inference_is_done() {
    let model = Model::new(synthetic(&VARIANTS[0], 10, 7), Form::Fused).unwrap();
    let options = Options { batch: 8, ..Options::of(&model) };
    let shape = Shape::new(1, 224, 224, 3);
    let threads = std::sync::Arc::new(Threads::new(None).unwrap());
    let engine = Engine::new(threads, &model.graph, &model.weights, shape, &options).unwrap();
    let engine = std::sync::Arc::new(engine);
    let pictures = distinct(8 * shape.len());

    let mut running = engine.submit(&pictures, 8).unwrap();
    for _ in 0..3 {
        drop(engine.submit(&pictures, 8));
    }
    let busy = matches!(engine.submit(&pictures, 8), Err(Error::Busy));
    assert!(
        busy || running.try_take().unwrap().is_some(),
        "a ticket dropped early leaves its job in the queue"
    );
    drop(running);

    // A picture that is refused takes no frame, and one whose answer was taken leaves none behind.
    let (size, format, rotation) = ((2, 2), PixelFormat::Rgba8, Rotation::None);
    for _ in 0..5 {
        let bytes = &[0; 15];
        let torn = Pixels { bytes, size, stride: 8, format, crop: None, rotation };
        let refused = loop {
            match engine.submit_pixels(&torn) {
                Err(Error::Busy) => std::thread::yield_now(),
                other => break other,
            }
        };
        assert!(matches!(refused, Err(Error::Input(_))));
    }
    let sound = Pixels { bytes: &[7; 16], size, stride: 8, format, crop: None, rotation };
    for _ in 0..3 {
        let tickets = [engine.submit_pixels(&sound).unwrap(), engine.submit_pixels(&sound).unwrap()];
        assert!(matches!(engine.submit_pixels(&sound), Err(Error::Busy)));
        tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
    }
}

#[test]
fn a_session_runs_on_any_threads() {
    let model = Model::new(synthetic(&VARIANTS[0], 10, 7), Form::Fused).unwrap();
    let outputs = Outputs::named(["logits"]);
    let mut options = Options { outputs, batch: 2, ..Options::of(&model) };
    options.preprocess.size = (64, 64);
    let shape = Shape::new(3, 64, 64, 3);
    let x = Tensor::new(shape, distinct(shape.len())).unwrap();
    let cpu = || Device::open("cpu").unwrap();
    let pool = std::sync::Arc::new(rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap());
    let count = |count| std::num::NonZero::new(count).unwrap();
    let rows = [
        (cpu().with_threads(count(1)).unwrap(), "CPU, 1 thread"),
        (cpu().with_threads(count(3)).unwrap(), "CPU, 3 threads"),
        (Device::from_rayon(pool.clone()), "CPU, 4 threads"),
    ];
    let mut first = None;
    for (device, name) in rows {
        assert_eq!(device.info().name, name);
        let session = Session::new(&device, &model, &options).unwrap();
        let answer = session.run(Input::Tensor(&x)).unwrap();
        // On a thread of the pool itself too, and again in the memory of the first frame
        let inside = pool.install(|| session.run(Input::Tensor(&x)).unwrap());
        assert_eq!(answer, inside, "{name}");
        assert_eq!(*first.get_or_insert(answer.clone()), answer, "{name}");
    }
}

/// Runs `work` on a thread of its own.
///
/// # Panics
/// When it takes longer than a minute.
fn in_time(name: &str, work: impl FnOnce() + Send + 'static) {
    let (done, end) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    match end.recv_timeout(std::time::Duration::from_secs(60)) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("{name}: nobody goes on"),
        _ => thread.join().unwrap(),
    }
}

/// A small network on a pool.
fn engine(pool: &std::sync::Arc<rayon::ThreadPool>, frames: usize) -> std::sync::Arc<Engine> {
    let model = Model::new(synthetic(&VARIANTS[0], 10, 7), Form::Fused).unwrap();
    let outputs = Outputs::named(["logits"]);
    let options = Options { outputs, frames, ..Options::of(&model) };
    let threads = std::sync::Arc::new(Threads::of(pool.clone()));
    let shape = Shape::new(1, 32, 32, 3);
    std::sync::Arc::new(Engine::new(threads, &model.graph, &model.weights, shape, &options).unwrap())
}

fn pool(threads: usize) -> std::sync::Arc<rayon::ThreadPool> {
    std::sync::Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
}

/// Threads of the pool and others wait for two engines, some of them for tickets in another order than theirs.
#[test]
fn nobody_waits_for_a_pool_that_waits() {
    for threads in [1, 2, 4] {
        in_time(&format!("{threads} threads"), move || {
            const FRAMES: usize = 32;
            let pool = pool(threads);
            let engines = [engine(&pool, FRAMES), engine(&pool, FRAMES)];
            let x = distinct(32 * 32 * 3);
            let expected = engines[0].submit(&x, 1).unwrap().wait().unwrap();
            let run = |first: usize| {
                for turn in first..first + 10 {
                    let submit = |at: usize| engines[(turn + at) % 2].submit(&x, 1).unwrap();
                    let mut tickets: Vec<_> = (0..3).map(submit).collect();
                    while let Some(ticket) = tickets.pop() {
                        assert_eq!(ticket.wait().unwrap(), expected);
                    }
                    if turn % 5 == 0 {
                        engines[turn % 2].profile(&x, 1).unwrap();
                    }
                }
            };
            let run = &run;
            std::thread::scope(|scope| {
                for first in 0..3 {
                    scope.spawn(move || run(first));
                }
                pool.in_place_scope(|scope| (0..5).for_each(|first| scope.spawn(move |_| run(first))));
            });
        });
    }
}

#[test]
fn a_panic_is_the_devices_failure_and_nobody_hangs() {
    for threads in [1, 2] {
        in_time(&format!("{threads} threads"), move || {
            let (pool, x) = (pool(threads), distinct(32 * 32 * 3));
            let failed = |outcome: mobileone::Result<_>| match outcome {
                Err(Error::DeviceFailure { reason, .. }) => assert!(reason.contains("panicked"), "{reason}"),
                other => panic!("{:?}", other.map(|_| ())),
            };
            for inside in [false, true] {
                let engine = engine(&pool, 8);
                let work = || {
                    // Two pictures that are one: the executor refuses them.
                    let tickets = [1, 2, 1].map(|batch| engine.submit(&x, batch));
                    let mut answers = tickets.into_iter().map(|ticket| ticket?.wait());
                    answers.next().unwrap().unwrap();
                    answers.for_each(|answer| failed(answer.map(|_| ())));
                    failed(engine.submit(&x, 1).map(|_| ()));
                    failed(engine.profile(&x, 1).map(|_| ()));
                };
                if inside {
                    pool.install(work)
                } else {
                    work()
                }
                // On the pool, which goes on too
                let engine = self::engine(&pool, 8);
                let mut ticket = engine.submit(&x, 2).unwrap();
                failed(loop {
                    match ticket.try_take().transpose() {
                        None => std::thread::yield_now(),
                        Some(answer) => break answer.map(|_| ()),
                    }
                });
                pool.install(|| ());
            }
        });
    }
}
