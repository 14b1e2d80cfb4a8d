//! Every operation and activation against PyTorch in f64, in the reference and on every device.

use std::collections::BTreeMap;

use mobileone::{
    DType, Device, Graph, Input, Options, Outputs, Session, Shape, Tensor, Weights,
    graph::{Activation, Arithmetic, Conv, Filter, NodeId, Op, Pooling, Size, Window},
    reference,
};
use serde::Deserialize;
use serde_json::Value;

use super::{data, relative_l2, tensor};

/// What `make_ops.py` says of a case; what an operation has not is left out.
#[derive(Deserialize)]
struct What {
    op: String,
    activation: Option<String>,
    kernel: Option<[usize; 2]>,
    stride: Option<[usize; 2]>,
    dilation: Option<[usize; 2]>,
    padding: Option<[usize; 2]>,
    groups: Option<usize>,
    with: Option<String>,
    filter: Option<String>,
    size: Option<[usize; 2]>,
    pooling: Option<String>,
    softmax: Option<bool>,
    k: Option<usize>,
}

/// The one of `all` that is called so.
fn named<T: std::fmt::Debug + Copy>(all: &[T], name: &Option<String>) -> T {
    let name = name.as_ref().expect("a name");
    *all.iter().find(|one| format!("{one:?}") == *name).unwrap_or_else(|| panic!("{name}"))
}

fn op(what: &What, golden: &Weights, case: &str, src_c: usize) -> Op {
    let activation = what.activation.as_ref().map(|_| named(&Activation::ALL, &what.activation));
    let window = what.kernel.map(|kernel| Window {
        kernel,
        stride: what.stride.expect("a stride"),
        dilation: what.dilation.unwrap_or([1, 1]),
        padding: what.padding.expect("a padding").map(|padding| [padding; 2]),
    });
    let param = |field: &str| Some(format!("{case}.{field}")).filter(|name| golden.find(name).is_some());
    let (weight, bias) = (param("weight").unwrap_or_default(), param("bias"));
    let dst_c = golden.find(&weight).map_or(0, |array| array.shape[0]);
    let act = activation.unwrap_or(Activation::None);
    match what.op.as_str() {
        "activate" => Op::Activate(act),
        "conv" => {
            let (groups, window) = (what.groups.expect("groups"), window.expect("a window"));
            Op::Conv { conv: Conv { src_c, dst_c, groups, window }, weight, bias, activation: act }
        }
        "linear" => Op::Linear { src_c, dst_c, weight, bias, activation: act },
        "binary" => Op::Binary { with: named(&Arithmetic::ALL, &what.with), activation: act },
        "concat" => Op::Concat,
        "resize" => {
            let filter = named(&[Filter::Nearest, Filter::Bilinear, Filter::BilinearCorners], &what.filter);
            Op::Resize { filter, to: Size::Exact(what.size.expect("a size")) }
        }
        "pool" => {
            let poolings = [Pooling::Average, Pooling::PaddedAverage, Pooling::Max];
            Op::Pool { pooling: named(&poolings, &what.pooling), window }
        }
        "softmax" => Op::Softmax,
        "top" => Op::TopK { k: what.k.expect("a number"), softmax: what.softmax.expect("said") },
        other => panic!("{other}"),
    }
}

/// The inputs of a case as one map, whose channels a graph takes apart again: a graph has one input.
struct Case {
    graph: Graph,
    weights: Weights,
    input: Tensor,
    expected: Tensor,
}

impl Case {
    fn new(case: &str, what: &What, golden: &Weights) -> Case {
        let names = (1..).map(|at| if at == 1 { format!("{case}.x") } else { format!("{case}.x{at}") });
        let inputs: Vec<Tensor> =
            names.take_while(|name| golden.find(name).is_some()).map(|name| tensor(golden, &name)).collect();
        let (first, mut weights) = (inputs[0].shape(), Weights::new());
        for field in ["weight", "bias"] {
            if let Some(array) = golden.find(&format!("{case}.{field}")) {
                weights.insert(format!("{case}.{field}"), &array.shape, array.data.clone());
            }
        }
        let channels: usize = inputs.iter().map(|input| input.shape().c).sum();
        let mut joined = Tensor::zeros(Shape { c: channels, ..first });
        let mut graph = Graph::default();
        graph.push("input", Op::Input { channels }, &[]);
        let (mut begin, mut ids): (usize, Vec<NodeId>) = (0, Vec::new());
        for (at, input) in inputs.iter().enumerate() {
            let c = input.shape().c;
            let one = input.shape().pixels() == 1;
            for n in 0..first.n {
                for pixel in 0..first.pixels() {
                    let of = if one { 0 } else { pixel };
                    let from = &input.pictures(n..n + 1)[of * c..][..c];
                    joined.data_mut()[(n * first.pixels() + pixel) * channels + begin..][..c]
                        .copy_from_slice(from);
                }
            }
            if inputs.len() == 1 {
                ids.push(0);
                continue;
            }
            // Channels are picked by a product with ones and zeros, which is exact.
            let pick = format!("pick.{at}");
            let mut ones = vec![0.0; c * channels];
            (0..c).for_each(|o| ones[o * channels + begin + o] = 1.0);
            weights.insert(&pick, &[c, channels, 1, 1], ones);
            let (conv, activation) = (Conv::pointwise(channels, c), Activation::None);
            let picked =
                graph.push(&pick, Op::Conv { conv, weight: pick.clone(), bias: None, activation }, &[0]);
            ids.push(if one && first.pixels() > 1 {
                graph.push("mean", Op::MEAN, &[picked])
            } else {
                picked
            });
            begin += c;
        }
        let id = graph.push(case, op(what, golden, case, inputs[0].shape().c), &ids);
        graph.give("y", id);
        Case { graph, weights, input: joined, expected: tensor(golden, &format!("{case}.y")) }
    }
}

#[test]
fn operations_agree_with_pytorch_everywhere() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ops.golden.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let cases = &header.metadata().as_ref().unwrap()["cases"];
    let cases: BTreeMap<String, Value> = serde_json::from_str(cases).unwrap();
    let golden = data("ops.golden");
    let devices: Vec<Device> =
        [crate::gpu::device(), Some(Device::open("cpu").unwrap())].into_iter().flatten().collect();
    assert!(cases.len() >= 50);
    for (name, what) in cases {
        let case = Case::new(&name, &serde_json::from_value(what).unwrap(), &golden);
        let near = |found: &Tensor, bound: f64, who: &str| {
            assert_eq!(found.shape(), case.expected.shape(), "{name} {who}");
            let error = relative_l2(found.data(), case.expected.data());
            assert!(error <= bound, "{name} {who}: {error:e}");
        };
        let found = reference::run(&case.graph, &case.weights, &case.input).unwrap();
        // Both are rounded once.
        near(found.last().unwrap(), 1.2e-7, "in the reference");
        for device in &devices {
            let mut model = super::model("odd.timm.fused", mobileone::Form::Fused);
            (model.graph, model.weights) = (case.graph.clone(), case.weights.clone());
            let Shape { n, h, w, .. } = case.input.shape();
            let mut options = Options {
                batch: n,
                dtype: DType::F32,
                outputs: Outputs::named(["y"]),
                ..Options::of(&model)
            };
            options.preprocess.size = (h, w);
            let session = Session::new(device, &model, &options).unwrap();
            let answer = session.run(Input::Tensor(&case.input)).unwrap();
            near(answer.get("y").unwrap(), 2e-6, device.info().name.as_str());
        }
    }
}
