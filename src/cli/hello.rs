//! What `mobileone` does when nothing is asked of it: a check against PyTorch, and the way on.

use std::time::Instant;

use mobileone::{Device, Input, Model, Options, Outputs, Session, Shape, Tensor};
use safetensors::SafeTensors;

use super::{
    Verdict,
    out::{Stop, commas, ms, plain, say},
};

static NETWORK: &[u8] = include_bytes!("../../demo/golden/network.safetensors");
static ANSWER: &[u8] = include_bytes!("../../demo/golden/answer.safetensors");

/// The largest relative error that passes.
const BOUND: f64 = 5e-5;

const NEXT: &str = "
Next, a picture of yours:

  mobileone classify cat.jpg                 fetches MobileOne-S1 from the hub, once
  mobileone classify --model FILE cat.jpg    your checkpoint: .safetensors, .pth, .pth.tar, .bin
  mobileone info FILE                        what it holds
  mobileone devices                          what it can run on
  mobileone --help                           everything else";

pub fn run() -> Result<Verdict, Stop> {
    let wanted = std::env::var("MOBILEONE_DEVICE").unwrap_or_else(|_| "auto".into());
    let model = Model::from_bytes(NETWORK)?;
    let ([_, _, h, w], x) = tensor("x");
    let (_, expected) = tensor("logits");
    let x = Tensor::from_nchw(Shape::new(1, h, w, 3), &x)?;
    let device = Device::open(&wanted)?;
    let mut options = Options::of(&model);
    options.preprocess.size = (h, w);
    options.outputs = Outputs { logits: true, ..Outputs::default() };
    let session = Session::new(&device, &model, &options)?;
    let begun = Instant::now();
    let found = session.run(Input::Tensor(&x))?.logits;
    let took = ms(begun);

    let parameters: usize = model.weights.iter().map(|(_, array)| array.data.len()).sum();
    say(&format!(
        "mobileone {}: names what pictures show, on any GPU and on the CPU.\n",
        env!("CARGO_PKG_VERSION")
    ))?;
    say(&format!(
        "The built-in network ({} random parameters) on the built-in input,",
        commas(parameters as u64)
    ))?;
    say(&format!("on {} ({}):\n", plain(&device.info().to_string()), plain(device.why())))?;
    say("  class        here     PyTorch")?;
    for (class, (here, there)) in found.iter().zip(&expected).enumerate() {
        say(&format!("  {class:5}  {here:10.6}  {there:10.6}"))?;
    }
    let error = relative(&found, &expected);
    let pass = error <= BOUND;
    let verdict = if pass { "PASS" } else { "FAIL" };
    say(&format!("\n{verdict}: relative error {error:.1e}, {BOUND:.0e} allowed; {took:.1} ms"))?;
    say(NEXT)?;
    Ok(if pass { Verdict::Good } else { Verdict::Bad })
}

/// A tensor of the committed answer, its shape filled up with ones.
fn tensor(name: &str) -> ([usize; 4], Vec<f32>) {
    let file = SafeTensors::deserialize(ANSWER).expect("the committed answer");
    let tensor = file.tensor(name).expect("the committed answer");
    let mut shape = [1; 4];
    shape[..tensor.shape().len()].copy_from_slice(tensor.shape());
    (shape, bytemuck::pod_collect_to_vec(tensor.data()))
}

/// The relative L2 error; infinite when the lengths differ.
fn relative(found: &[f32], expected: &[f32]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let pairs = found.iter().zip(expected).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let off = square(&mut pairs.clone().map(|(a, b)| a - b));
    (off / square(&mut pairs.map(|(_, b)| b))).sqrt()
}
