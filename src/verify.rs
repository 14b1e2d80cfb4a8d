//! Judges a device: every dispatch of a plan against the reference, each fed the device's own previous output.
//!
//! ```
//! use mobileone::{DType, Device, Model, sample, verify::verify};
//!
//! let model = Model::from_bytes(sample::DIGITS)?;
//! for line in verify(&Device::open("cpu")?, &model, DType::F32, (48, 48))? {
//!     assert_eq!(line.fault, None, "{}", line.label);
//! }
//! # Ok::<(), mobileone::Error>(())
//! ```

use half::f16;

use crate::{
    device::{Device, Executor},
    error::{Error, Result},
    graph::{Checked, FEATURES, Graph, LOGITS, Op, Output},
    input::Input,
    models::Model,
    options::{Options, Outputs},
    plan::storage,
    reference,
    session::Session,
    tasks::classify::{self, PROBABILITIES},
    tensor::{DType, Shape, Tensor},
    weights::Weights,
};

/// How far one dispatch, or an output of a whole run, stands from the reference.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Line {
    /// The dispatch's label, or the output's name.
    pub label: String,
    /// The largest `|a - b|`.
    pub absolute: f64,
    /// `|a - b| / |b|` over all values.
    pub relative: f64,
    /// What `relative` may be at most.
    pub relative_bound: f64,
    /// What `absolute` may be at most, where it has a bound.
    pub absolute_bound: Option<f64>,
    /// What is wrong; `None` is a pass.
    pub fault: Option<String>,
}

impl Line {
    /// A line that nothing was compared for.
    fn of(label: &str, bounds: [f64; 2], fault: Option<String>) -> Line {
        let (label, relative_bound) = (label.into(), bounds[0]);
        Line { label, absolute: f64::NAN, relative: f64::NAN, relative_bound, absolute_bound: None, fault }
    }
}

/// Runs `model` at `size` (height, width) on `device` and judges every dispatch, up to the first that the device
/// cannot run. The last lines, one for each output, judge an ordinary run against a reference that starts from the same
/// input; with a classifier there is none for the features, as its scores say all that they would.
///
/// A layer passes within a relative error of 1e-5 (f16: 1e-3, f16 with fast sums: 3e-3) and no value further off
/// than 1e-4 (f16: 2e-3, fast: 6e-3) of the largest. Outputs pass within 5e-5; in f16 within 1.3 times (fast: 3
/// times) the error that the reference makes when it rounds weights and activations to f16, where that is more.
///
/// A failure of the device is a fault of its line.
///
/// # Errors
/// Those of [`Session::new`].
pub fn verify(device: &Device, model: &Model, dtype: DType, size: (usize, usize)) -> Result<Vec<Line>> {
    let mut options = Options::of(model);
    options.preprocess.size = size;
    options.dtype = dtype;
    examine(device, model, options)
}

/// [`verify`] of the size, the storage and the choices of `options`.
///
/// # Errors
/// Those of [`Session::new`].
pub fn examine(device: &Device, model: &Model, options: Options) -> Result<Vec<Line>> {
    Ok(examine_while(device, model, options, &|| true)?.expect("nobody ends it"))
}

/// The same; `None` where `go_on`, which is asked before every step of it, ended it.
pub(crate) fn examine_while(
    device: &Device,
    model: &Model,
    mut options: Options,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Vec<Line>>> {
    let size = options.preprocess.size;
    let input = picture(Shape::new(1, size.0, size.1, model.graph.input_channels()));
    let classifies = model.graph.output(LOGITS).is_some();
    let names = model.graph.outputs.iter().map(|output| output.name.as_str());
    options.outputs = Outputs::named(names.chain(classifies.then_some(PROBABILITIES))).and_best(5);
    let session = Session::new(device, model, &options)?;
    let Some(mut lines) = layers_while(device, &model.graph, &model.weights, &input, &options, go_on)? else {
        return Ok(None);
    };
    let answer = match session.run(Input::Tensor(&input)) {
        Ok(answer) => answer,
        Err(error @ Error::DeviceFailure { .. }) => {
            lines.push(Line::of(judged(&model.graph), [WHOLE, f64::MAX], Some(error.to_string())));
            return Ok(Some(lines));
        }
        Err(error) => return Err(error),
    };
    let checked = model.graph.check(&model.weights, input.shape())?;
    let Some(exact) = run_stored(&checked, &input, DType::F32, go_on)? else { return Ok(None) };
    let rounded = match options.dtype {
        DType::F32 => None,
        DType::F16 => match run_stored(&checked, &input, DType::F16, go_on)? {
            Some(rounded) => Some(rounded),
            None => return Ok(None),
        },
    };
    for Output { name, node } in &model.graph.outputs {
        // A classifier's scores say all that its features would.
        if name == FEATURES && classifies {
            continue;
        }
        let exact = exact[*node].data();
        let bound = rounded.as_ref().map_or(WHOLE, |rounded| {
            let allowed = if options.tuning.fast { 3.0 } else { 1.3 };
            let rounding = compare("", rounded[*node].data(), exact, [f64::MAX; 2]).relative;
            // What no rounding touches is as near as in f32.
            (allowed * rounding).max(WHOLE)
        });
        let found = answer.get(name).expect("it was asked for");
        lines.push(compare(name, found.data(), exact, [bound, f64::MAX]));
    }
    Ok(Some(lines))
}

/// The output that stands for a whole run in messages.
fn judged(graph: &Graph) -> &str {
    let first = graph.outputs.first().map_or("", |output| output.name.as_str());
    graph.output(LOGITS).map_or(first, |_| LOGITS)
}

/// The bound of a whole run in f32.
const WHOLE: f64 = 5e-5;

/// Judges every dispatch of `graph` for `input` on `device`; [`verify`] without the lines of a whole run.
///
/// # Errors
/// Those of [`Session::new`].
pub fn layers(
    device: &Device,
    graph: &Graph,
    weights: &Weights,
    input: &Tensor,
    options: &Options,
) -> Result<Vec<Line>> {
    Ok(layers_while(device, graph, weights, input, options, &|| true)?.expect("nobody ends it"))
}

/// The same; `None` where `go_on` ended it.
fn layers_while(
    device: &Device,
    graph: &Graph,
    weights: &Weights,
    input: &Tensor,
    options: &Options,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Vec<Line>>> {
    let bounds = match options.dtype {
        DType::F32 => [1e-5, 1e-4],
        DType::F16 if options.tuning.fast => [3e-3, 6e-3],
        DType::F16 => [1e-3, 2e-3],
    };
    let graph = &classify::give(graph, &options.outputs)?;
    let names = graph.outputs.iter().map(|output| output.name.as_str());
    let options = &Options { outputs: Outputs::named(names), ..options.clone() };
    let mut lines = Vec::new();
    let mut outputs: Vec<Option<Tensor>> = vec![None; graph.nodes.len()];
    let checked = graph.check(weights, input.shape())?;
    let rounded = round_weights(&checked, &storage(&checked, options.dtype), options.dtype);
    let checked = graph.check(&rounded, input.shape())?;
    let expect = |id: usize, outputs: &[Option<Tensor>]| {
        let read = |&input: &usize| outputs[input].as_ref().expect("a node reads earlier ones");
        let inputs: Vec<&Tensor> = graph.nodes[id].inputs.iter().map(read).collect();
        reference::node(&checked, id, &inputs)
    };
    let judge = |id: usize, label: &str, output: &Tensor, outputs: &[Option<Tensor>]| {
        compare(label, output.data(), expect(id, outputs).data(), bounds)
    };
    outputs[0] = Some(round(input, options.dtype));
    match &device.executor {
        #[cfg(feature = "cpu")]
        Executor::Cpu(threads) => {
            let traced = crate::cpu::trace(threads, graph, weights, input)?;
            for (id, output) in traced.into_iter().enumerate().skip(1) {
                if !go_on() {
                    return Ok(None);
                }
                lines.push(judge(id, &graph.nodes[id].name, &output, &outputs));
                outputs[id] = Some(output);
            }
        }
        #[cfg(feature = "gpu")]
        Executor::Gpu(gpu) => {
            let engine = crate::gpu::Engine::of(gpu.clone(), graph, weights, input.shape(), options)?;
            for traced in std::sync::Arc::new(engine).trace(input)? {
                if !go_on() {
                    return Ok(None);
                }
                let label = traced.label;
                let mut line = Line::of(&label, bounds, None);
                let mut found = traced.outputs.into_iter().peekable();
                // A node that leaves no output is the reference's own, for what is computed behind it.
                for id in traced.nodes {
                    match found.next_if(|(at, _)| *at == id) {
                        Some((_, output)) => {
                            let judged = judge(id, &label, &output, &outputs);
                            line = if line.fault.is_none() { judged } else { line };
                            outputs[id] = Some(output);
                        }
                        None => outputs[id] = Some(expect(id, &outputs)),
                    }
                }
                line.fault = traced.fault.or(line.fault);
                lines.push(line);
            }
        }
    }
    Ok(Some(lines))
}

/// Compares what was found with what was expected; `bounds` on the relative error and on the largest absolute
/// one as a share of the largest expected value.
fn compare(label: &str, found: &[f32], expected: &[f32], bounds: [f64; 2]) -> Line {
    let mut line = Line { absolute: 0.0, relative: 0.0, ..Line::of(label, bounds, None) };
    if found.len() != expected.len() {
        line.fault = Some(format!("{} values, expected {}", found.len(), expected.len()));
        return line;
    }
    let (mut off, mut norm, mut largest) = (0.0, 0.0, 0.0f64);
    for (&a, &b) in found.iter().zip(expected) {
        let (a, b) = (f64::from(a), f64::from(b));
        if !a.is_finite() {
            line.fault = Some(format!("a value is {a}"));
        }
        line.absolute = line.absolute.max((a - b).abs());
        off += (a - b) * (a - b);
        norm += b * b;
        largest = largest.max(b.abs());
    }
    line.relative = if off == 0.0 { 0.0 } else { (off / norm).sqrt() };
    let [relative, absolute] = bounds;
    line.absolute_bound = (absolute < f64::MAX).then_some(absolute * largest);
    // Written so that NaN fails.
    let (near, nowhere_far) = (line.relative <= relative, line.absolute <= absolute * largest);
    if !near && line.fault.is_none() {
        line.fault = Some(format!("over the bound of {relative:.1e} relative"));
    } else if !nowhere_far && line.fault.is_none() {
        line.fault = Some(format!(
            "a value is off by {:.1e}, over the bound of {:.1e}",
            line.absolute,
            absolute * largest
        ));
    }
    line
}

/// A smooth picture of distinct values of order 1, the same each time.
fn picture(shape: Shape) -> Tensor {
    let mut tensor = Tensor::zeros(shape);
    let (w, c) = (shape.w, shape.c);
    for (at, value) in tensor.data_mut().iter_mut().enumerate() {
        let (channel, x, y) = (at % c, at / c % w, at / c / w);
        let (x, y, phase) = (x as f32 / 17.0, y as f32 / 23.0, channel as f32 * 1.7);
        *value = (x + phase).sin() + (y * 1.3 - phase).cos() + 0.3 * (x * y).sin();
    }
    tensor
}

/// `tensor` as a device stores it in `dtype`.
fn round(tensor: &Tensor, dtype: DType) -> Tensor {
    let mut tensor = tensor.clone();
    if dtype == DType::F16 {
        tensor.data_mut().iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32());
    }
    tensor
}

/// The weights as a device keeps them in a plan of `dtype` whose maps are `stored`: matrices and kernels rounded, vectors
/// not.
fn round_weights(checked: &Checked, stored: &[DType], dtype: DType) -> Weights {
    let mut rounded = checked.weights().clone();
    for node in &checked.graph().nodes {
        let (weight, kept) = match &node.op {
            Op::Conv { weight, .. } => (weight, stored[node.inputs[0]]),
            Op::Linear { weight, .. } => (weight, dtype),
            _ => continue,
        };
        if kept == DType::F16 {
            let array = checked.weights().find(weight).expect("a checked parameter");
            let data = array.data.iter().map(|&value| f16::from_f32(value).to_f32()).collect();
            rounded.insert(weight.clone(), &array.shape, data);
        }
    }
    rounded
}

/// The reference's output of every node in a plan of `dtype`; `None` where `go_on` ended it.
///
/// # Errors
/// Those of [`storage`].
fn run_stored(
    checked: &Checked,
    input: &Tensor,
    dtype: DType,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Vec<Tensor>>> {
    let stored = storage(checked, dtype);
    let weights = round_weights(checked, &stored, dtype);
    let checked = checked.graph().check(&weights, input.shape())?;
    let mut outputs = vec![round(input, dtype)];
    for (id, node) in checked.graph().nodes.iter().enumerate().skip(1) {
        if !go_on() {
            return Ok(None);
        }
        let inputs: Vec<&Tensor> = node.inputs.iter().map(|&input| &outputs[input]).collect();
        let output = reference::node(&checked, id, &inputs);
        outputs.push(round(&output, stored[id]));
    }
    Ok(Some(outputs))
}
