//! Graphs that do not fit are refused, by everything that takes one and in the same words; those that fit are computed
//! alike by the reference, the CPU and the GPU, or refused by name.

mod random;

use mobileone::{
    DType, Device, Error, Form, Graph, Model, Options, Outputs, Session, Shape, Tensor, Weights,
    cpu::{Executor, Isa, Threads},
    graph::{Activation, Arithmetic, Conv, Filter, NodeId, Op, Pooling, Size, Window},
    kernels::ways,
    models::mobileone::{VARIANTS, synthetic},
    plan::{Limits, Plan, Tuning},
    reference, verify,
};

use crate::gpu::{device, has_f16};

/// A graph, its parameters, and what it is to be run on.
#[derive(Clone)]
pub struct Case {
    pub graph: Graph,
    pub weights: Weights,
    pub input: Shape,
}

impl Case {
    pub fn new(input: Shape) -> Case {
        let mut graph = Graph::default();
        graph.push("input", Op::Input { channels: input.c }, &[]);
        Case { graph, weights: Weights::new(), input }
    }

    /// Appends a node whose parameters are made up, of order 1 over what is summed.
    pub fn push(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let id = self.graph.nodes.len();
        let name = format!("node.{id}");
        let node = self.graph.push(&name, op, inputs);
        let src: Vec<Shape> =
            inputs.iter().map(|&input| Shape { c: self.channels(input), ..self.input }).collect();
        for (param, shape) in self.graph.nodes[node].op.params(&src) {
            let len: usize = shape.iter().product();
            let scale = ((len / shape[0]).max(1) as f32).sqrt();
            let data = crate::cpu::distinct(len + id)[id..].iter().map(|value| value * 1.7 / scale).collect();
            self.weights.insert(param, &shape, data);
        }
        node
    }

    /// Channels that a node writes.
    pub fn channels(&self, id: NodeId) -> usize {
        self.graph.channels(id).unwrap()
    }

    /// A convolution of `[src_c, dst_c, kernel, stride, padding, groups]` with a bias.
    pub fn conv(
        &mut self,
        [src_c, dst_c, kernel, stride, padding, groups]: [usize; 6],
        activation: Activation,
        src: NodeId,
    ) -> NodeId {
        let conv = Conv { src_c, dst_c, groups, window: Window::square(kernel, stride, padding) };
        let id = self.graph.nodes.len();
        let (weight, bias) = (format!("node.{id}.weight"), Some(format!("node.{id}.bias")));
        self.push(Op::Conv { conv, weight, bias, activation }, &[src])
    }

    pub fn linear(&mut self, dst_c: usize, activation: Activation, src: NodeId) -> NodeId {
        let (id, src_c) = (self.graph.nodes.len(), self.channels(src));
        let (weight, bias) = (format!("node.{id}.weight"), Some(format!("node.{id}.bias")));
        self.push(Op::Linear { src_c, dst_c, weight, bias, activation }, &[src])
    }

    pub fn affine(&mut self, activation: Activation, src: NodeId) -> NodeId {
        let id = self.graph.nodes.len();
        let (scale, shift) = (format!("node.{id}.scale"), format!("node.{id}.shift"));
        self.push(Op::Affine { scale, shift, activation }, &[src])
    }

    /// Ends with a pool of the last node and, for classes, a classifier.
    pub fn end(mut self, classes: usize) -> Case {
        let last = self.graph.nodes.len() - 1;
        let features = self.push(Op::MEAN, &[last]);
        self.graph.give("features", features);
        if classes > 0 {
            let logits = self.linear(classes, Activation::None, features);
            self.graph.give("logits", logits);
        }
        self
    }

    pub fn tensor(&self) -> Tensor {
        let values = crate::cpu::distinct(self.input.len());
        Tensor::new(self.input, values.into_iter().map(|value| value * 1.5).collect()).unwrap()
    }

    pub fn plan(&self, dtype: DType) -> Result<Plan, Error> {
        let Case { graph, weights, input } = self;
        Plan::new(graph, weights, *input, dtype, Limits::LEAST, &Tuning::default())
    }

    pub fn executor(&self) -> Result<Executor, Error> {
        let Shape { n, h, w, .. } = self.input;
        let threads = Threads::new(std::num::NonZero::new(1)).unwrap();
        Executor::new(&self.graph, &self.weights, (h, w), n, &threads, Isa::best())
    }

    pub fn options(&self, dtype: DType) -> (Model, Options) {
        let mut model = BASE.with(Model::clone);
        (model.graph, model.weights) = (self.graph.clone(), self.weights.clone());
        let mut options = Options::of(&model);
        options.preprocess.size = (self.input.h, self.input.w);
        (options.batch, options.frames, options.dtype) = (self.input.n, 1, dtype);
        options.outputs = Outputs::named(self.graph.outputs.iter().map(|output| output.name.as_str()));
        (model, options)
    }

    pub fn session(&self, device: &Device) -> Result<Session, Error> {
        let (model, options) = self.options(DType::F32);
        Session::new(device, &model, &options)
    }

    /// Runs every node on every device, in every storage, against the reference.
    pub fn agrees(&self) {
        let cpu = Device::open("cpu").unwrap();
        self.judge(&cpu, DType::F32, Tuning::default());
        if let Some(gpu) = device() {
            self.judge(&gpu, DType::F32, Tuning::default());
            if has_f16(&gpu) {
                self.judge(&gpu, DType::F16, Tuning::default());
            }
        }
    }

    /// Judges every dispatch of `device`.
    fn judge(&self, device: &Device, dtype: DType, tuning: Tuning) {
        let (_, options) = self.options(dtype);
        let options = Options { tuning, ..options };
        let lines = verify::layers(device, &self.graph, &self.weights, &self.tensor(), &options).unwrap();
        for line in lines {
            assert_eq!(line.fault, None, "{dtype}: {line:?}");
        }
    }
}

thread_local! {
    /// A model whose graph and weights are put in.
    static BASE: Model = {
        let model = Model::new(synthetic(&VARIANTS[0], 10, 0), Form::Fused).unwrap();
        Model { graph: Graph::default(), weights: Weights::new(), ..model }
    };
}

/// The message of a refusal that is the network's fault.
pub fn refusal<T>(result: Result<T, Error>) -> String {
    match result {
        Err(error @ (Error::Model(_) | Error::Tensor { .. })) => error.to_string(),
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("not refused"),
    }
}

/// Why everything that takes a graph refuses this one, in the same words.
pub fn refused(case: &Case) -> String {
    let (Case { graph, weights, .. }, input) = (case, case.input.with_batch(1));
    let reason = refusal(graph.check(weights, input));
    assert_eq!(refusal(case.plan(DType::F32)), reason);
    if graph.input_channels() == input.c && input.len() < 1 << 24 {
        assert_eq!(refusal(case.executor()), reason);
        assert_eq!(refusal(reference::run(graph, weights, &Tensor::zeros(input))), reason);
    }
    reason
}

/// Arrays shorter than the graph says, which unchecked loops and shaders would read past.
#[test]
fn parameters_have_the_shapes_that_the_graph_says() {
    let mut case = Case::new(Shape::new(1, 6, 5, 3));
    case.conv([3, 8, 3, 1, 1, 1], Activation::Relu, 0);
    let case = case.end(5);
    case.graph.check(&case.weights, case.input).unwrap();
    let mut wide = case.clone();
    let Op::Conv { conv, .. } = &mut wide.graph.nodes[1].op else { unreachable!() };
    conv.dst_c = 4000;
    assert_eq!(refused(&wide), "node.3: reads 8 channels, found [1, 1, 1, 4000]");
    let Op::Linear { src_c, .. } = &mut wide.graph.nodes[3].op else { unreachable!() };
    *src_c = 4000;
    let reason = "expected [4000, 3, 3, 3], found [8, 3, 3, 3]; node.1 reads it";
    assert_eq!(refused(&wide), format!("tensor \"node.1.weight\": {reason}"));
    let mut short = case.clone();
    short.weights.insert("node.1.bias", &[7], vec![0.0; 7]);
    assert_eq!(refused(&short), "tensor \"node.1.bias\": expected [8], found [7]; node.1 reads it");
    let none = Case { weights: Weights::new(), ..case };
    assert_eq!(refused(&none), "tensor \"node.1.weight\": missing; node.1 reads it");
}

/// Features and logits are what answers are made of.
#[test]
fn outputs_are_nodes_and_vectors() {
    let mut case = Case::new(Shape::new(2, 6, 5, 3));
    case.conv([3, 8, 3, 1, 1, 1], Activation::Relu, 0);
    let mut case = case.end(5);
    case.graph.give("features", 9);
    assert_eq!(refused(&case), "features: there is no node 9");
    case.graph.give("features", 2);
    case.graph.give("logits", 4);
    assert_eq!(refused(&case), "logits: there is no node 4");
    case.graph.give("logits", 1);
    assert_eq!(refused(&case), "node.1: logits are one vector per picture, found [1, 6, 5, 8]");
    case.graph.give("features", 1);
    case.graph.give("logits", 3);
    let reason = "node.1: features are one vector per picture, found [1, 6, 5, 8]";
    assert_eq!(refusal(case.plan(DType::F32)), reason);
    assert_eq!(refusal(case.session(&Device::open("cpu").unwrap())), reason);
    refused(&Case { graph: Graph::default(), ..case });
}

/// A depth multiplier, other groups, and a padded 1x1 kernel, which is not a product over the pixels as they lie.
#[test]
fn convolutions_that_are_neither_dense_nor_depthwise() {
    let input = Shape::new(1, 2, 2, 4);
    for (dst_c, groups) in [(8, 4), (4, 2), (6, 2), (12, 4)] {
        let mut case = Case::new(input);
        case.conv([4, dst_c, 1, 1, 0, groups], Activation::None, 0);
        let case = case.end(3);
        let found = reference::run(&case.graph, &case.weights, &case.tensor()).unwrap();
        let [x, found] = [case.tensor(), found[1].clone()].map(Tensor::into_data);
        let array = |name: &str| &case.weights.find(name).unwrap().data;
        let (weight, bias) = (array("node.1.weight"), array("node.1.bias"));
        let (depth, of) = (4 / groups, dst_c / groups);
        for (at, found) in found.iter().enumerate() {
            let (pixel, c) = (at / dst_c, at % dst_c);
            let tap = |i: usize| x[pixel * 4 + c / of * depth + i] * weight[c * depth + i];
            let expected = bias[c] + (0..depth).map(tap).sum::<f32>();
            assert!((found - expected).abs() < 1e-6, "{dst_c} of {groups} groups at {at}");
        }
        case.agrees();
    }
    let mut padded = Case::new(input);
    padded.conv([4, 5, 1, 1, 1, 1], Activation::None, 0);
    let padded = padded.end(3);
    padded.agrees();
}

/// Every activation of everything that ends with one; those of 0 that are none leave padding zero, which every trace sees.
#[test]
fn no_activation_is_dropped() {
    let ops =
        ["alone", "pointwise", "depthwise", "dense", "grouped", "affine", "add", "divide", "scale", "linear"];
    for (at, what) in ops.into_iter().enumerate() {
        let mut case = Case::new(Shape::new(2, 5, 4, 6));
        let gate = case.push(Op::MEAN, &[0]);
        let plain = case.affine(Activation::None, 0);
        // By itself each of them, elsewhere every third: what an operation does with one it does with all.
        let some = Activation::ALL.into_iter().skip(at % 3).step_by(if what == "alone" { 1 } else { 3 });
        for activation in some {
            match what {
                "pointwise" => case.conv([6, 19, 1, 1, 0, 1], activation, 0),
                "depthwise" => case.conv([6, 6, 3, 1, 1, 6], activation, 0),
                "dense" => case.conv([6, 7, 3, 2, 1, 1], activation, 0),
                "grouped" => case.conv([6, 9, 3, 1, 1, 3], activation, 0),
                "affine" => case.affine(activation, 0),
                "add" => case.push(Op::Binary { with: Arithmetic::Add, activation }, &[0, plain]),
                "divide" => case.push(Op::Binary { with: Arithmetic::Div, activation }, &[plain, 0]),
                "scale" => case.push(Op::Binary { with: Arithmetic::Mul, activation }, &[0, gate]),
                "linear" => case.linear(7, activation, gate),
                _ => case.push(Op::Activate(activation), &[0]),
            };
        }
        case.end(5).agrees();
    }
}

/// A classifier that ends with an activation, and logits that are not a linear layer's, whatever computes pool and
/// classifier.
#[test]
fn a_classifier_keeps_its_activation() {
    let Some(device) = device() else { return };
    for choice in [ways::JOINED.of(&[]), ways::STEPS.of(&[])] {
        for activation in [Activation::None, Activation::Relu, Activation::Sigmoid] {
            let mut case = Case::new(Shape::new(2, 3, 5, 6)).end(0);
            let logits = case.linear(7, activation, case.graph.output("features").unwrap());
            case.graph.give("logits", logits);
            case.judge(&device, DType::F32, Tuning::only(choice));
        }
        let mut case = Case::new(Shape::new(2, 3, 5, 6)).end(0);
        let logits = case.affine(Activation::Relu, case.graph.output("features").unwrap());
        case.graph.give("logits", logits);
        assert_eq!(case.graph.classes(), Some(6));
        case.judge(&device, DType::F32, Tuning::only(choice));
    }
}

/// What is made of vectors alone stays f32 in a plan of f16, and is read as that; what mixes storages is refused.
#[test]
fn maps_are_read_as_they_are_stored() {
    let vectors = || {
        let mut case = Case::new(Shape::new(2, 5, 3, 6));
        let pool = case.push(Op::MEAN, &[0]);
        let point = case.conv([6, 10, 1, 1, 0, 1], Activation::Relu, pool);
        let depthwise = case.conv([10, 10, 3, 1, 1, 10], Activation::None, point);
        let affine = case.affine(Activation::None, depthwise);
        let sum =
            case.push(Op::Binary { with: Arithmetic::Add, activation: Activation::Relu }, &[affine, point]);
        let scaled =
            case.push(Op::Binary { with: Arithmetic::Mul, activation: Activation::None }, &[sum, affine]);
        let linear = case.linear(6, Activation::Sigmoid, scaled);
        case.push(Op::Binary { with: Arithmetic::Mul, activation: Activation::None }, &[0, linear]);
        case.end(7)
    };
    let plan = vectors().plan(DType::F16).unwrap();
    let stored = |id: usize| plan.places[id].map(|place| place.dtype);
    assert_eq!([0, 8].map(stored), [Some(DType::F16); 2]);
    assert!(
        (1..8).filter_map(stored).chain([9].map(stored).into_iter().flatten()).all(|of| of == DType::F32)
    );
    if let Some(device) = device() {
        vectors().judge(&device, DType::F32, Tuning::default());
        if has_f16(&device) {
            vectors().judge(&device, DType::F16, Tuning::default());
        }
    }
    // Maps of one pixel are stored as maps are, and mix with vectors.
    let mut mixed = Case::new(Shape::new(1, 1, 1, 6));
    let pool = mixed.push(Op::MEAN, &[0]);
    for with in Arithmetic::ALL {
        for inputs in [[0, pool], [pool, 0]] {
            let mut case = mixed.clone();
            case.push(Op::Binary { with, activation: Activation::None }, &inputs);
            case.end(3).agrees();
        }
    }
    for map in 0..3 {
        let mut joined = mixed.clone();
        let mut inputs = [pool; 3];
        inputs[map] = 0;
        joined.push(Op::Concat, &inputs);
        joined.end(3).agrees();
    }
    let mut linear = Case::new(Shape::new(1, 1, 1, 6));
    linear.linear(4, Activation::None, 0);
    linear.end(3).agrees();
    let mut features = mixed.end(3);
    features.graph.give("features", 0);
    features.agrees();
}
