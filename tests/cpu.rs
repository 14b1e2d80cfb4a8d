//! The CPU executor against the reference, on edge shapes and whole networks, with any number of threads.

use crate::reference::{data, goldens, model, named_outputs, relative_l2, tensor};
use mobileone::{
    Device, Error, Graph, Input, Model, Options, Outputs, Session, Shape, Tensor, Weights,
    cpu::{Engine, Executor, Isa, Threads},
    graph::{Activation, Arithmetic, Conv, Op, Window},
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

/// Runs one operation, with `inputs` inputs of `shape`, with every instruction set of this machine, on 1 and 3
/// threads, and in the reference.
fn check(name: &str, op: Op, inputs: usize, shape: Shape, arrays: &[(&str, &[usize])]) {
    let mut weights = Weights::new();
    for (name, shape) in arrays {
        let data = distinct(shape.iter().product());
        weights.insert(*name, shape, data.iter().map(|value| value * 0.7).collect());
    }
    let mut graph = Graph::default();
    let channels = shape.c;
    graph.push("input", Op::Input { channels }, &[]);
    // A second input that differs from the first: its negative, or its mean as a gate
    let other = match op {
        Op::Binary { with: Arithmetic::Mul, .. } => graph.push("gate", Op::MEAN, &[0]),
        _ => {
            weights.insert("minus", &[channels], vec![-0.6; channels]);
            weights.insert("plus", &[channels], distinct(channels));
            let (scale, shift, activation) = ("minus".into(), "plus".into(), Activation::None);
            graph.push("other", Op::Affine { scale, shift, activation }, &[0])
        }
    };
    let id = graph.push("op", op, &[0, other][..inputs]);
    graph.give("features", id);

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
            (17, Activation::Relu),
            (40, Activation::None),
        ] {
            for (depthwise, dst_c) in [(true, c), (false, 1), (false, 7), (false, 48)] {
                let groups = if depthwise { c } else { 1 };
                let conv =
                    Conv { src_c: c, dst_c, groups, window: Window::square(kernel, stride, kernel / 2) };
                let bias = (h + w) % 3 > 0;
                let op = Op::Conv { conv, weight: "w".into(), bias: bias.then(|| "b".into()), activation };
                let name = format!("{kernel}x{kernel}/{stride} {c}->{dst_c} groups {groups} {activation:?}");
                let batch = if h == 5 { 3 } else { 1 };
                let arrays: [(&str, &[usize]); 2] =
                    [("w", &[dst_c, c / groups, kernel, kernel]), ("b", &[dst_c])];
                check(&name, op, 1, Shape::new(batch, h, w, c), &arrays);
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
        ((40, 50), (24, 90, 1, 1)),
        ((5, 4), (24, 144, 1, 1)),
    ] {
        let conv = Conv { src_c: c, dst_c, groups, window: Window::square(kernel, 1, kernel / 2) };
        let (weight, bias, activation) = ("w".into(), Some("b".into()), Activation::None);
        let op = Op::Conv { conv, weight, bias, activation };
        let arrays: [(&str, &[usize]); 2] = [("w", &[dst_c, c / groups, kernel, kernel]), ("b", &[dst_c])];
        check("many blocks", op, 1, Shape::new(2, h, w, c), &arrays);
    }
}

#[test]
fn everything_else() {
    for (n, h, w) in [(1, 1, 1), (3, 5, 3), (2, 33, 16), (1, 64, 64)] {
        for (c, activation) in [
            (1, Activation::None),
            (3, Activation::Relu),
            (5, Activation::Sigmoid),
            (17, Activation::Relu),
            (144, Activation::None),
        ] {
            let shape = Shape::new(n, h, w, c);
            let affine = Op::Affine { scale: "scale".into(), shift: "shift".into(), activation };
            check("affine", affine, 1, shape, &[("scale", &[c]), ("shift", &[c])]);
            check("add", Op::Binary { with: Arithmetic::Add, activation }, 2, shape, &[]);
            check("pool", Op::MEAN, 1, shape, &[]);
            check("scale", Op::Binary { with: Arithmetic::Mul, activation }, 2, shape, &[]);
            for dst_c in [1, 5, 80, 144, 300] {
                let (weight, bias) = ("w".into(), Some("b".into()));
                let op = Op::Linear { src_c: c, dst_c, weight, bias, activation };
                check("linear", op, 1, Shape::new(n, 1, 1, c), &[("w", &[dst_c, c]), ("b", &[dst_c])]);
            }
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
            let expected = expected[graph.output("features").unwrap()].data();
            let error = relative_l2(&found, expected);
            assert!(error <= 2e-6 || found == expected, "{name} {}: {error:e}", isa.name());
            let traced = executor.trace(&input);
            assert!(
                traced[graph.output("features").unwrap()].data() == found,
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
            graph.give("features", last);
            let shape = Shape::new(3, h, w, c);
            let name = format!("{h}x{w} {c}->{dst_c} {kernel}x{kernel}/{stride} {first:?} {second:?}");
            check_graph(&name, &graph, &weights, shape);
            // A dense convolution of a map that is not the input, and the first one's output is kept.
            if dst_c < 50 {
                let last = graph.push("dense", op(conv(dst_c, dst_c, 3, 2, 1), "w", None, first), &[3]);
                graph.give("features", last);
                check_graph(&name, &graph, &weights, shape);
                graph.give("features", 2);
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
