//! The one way to run a model, whatever the device.

use crate::{
    error::Result,
    models::Model,
    preprocess::{Pixels, Preprocess},
    tensor::{DType, Tensor},
};

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU inside a virtual machine.
    Virtual,
    /// Something else that calls itself a GPU.
    Other,
    /// A GPU emulated on the processor; far slower than [`DeviceKind::Cpu`].
    Software,
    /// This library's own executor.
    Cpu,
}

/// What is known of a device before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The adapter's name.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `gl` or `cpu`.
    pub backend: &'static str,
    /// What it is.
    pub kind: DeviceKind,
    /// Driver and version, as the driver says them.
    pub driver: String,
    /// Features that matter here, such as `f16`, `subgroups`, `timestamps`.
    pub features: Vec<&'static str>,
}

/// An opened device; clones share it.
#[derive(Clone)]
pub struct Device;

impl Device {
    /// Opens the device that `wanted` describes: `auto`, `cpu`, `gpu`, a backend, `software`, or part of
    /// an adapter's name or driver.
    pub fn open(_wanted: &str) -> Result<Device> {
        unreachable!()
    }
    /// Every device of this machine, best first, the CPU last of those that `auto` may take.
    pub fn list() -> Vec<DeviceInfo> {
        unreachable!()
    }
    /// What it is.
    pub fn info(&self) -> &DeviceInfo {
        unreachable!()
    }
    /// One line for people: what was chosen, and why.
    pub fn why(&self) -> &str {
        unreachable!()
    }
}

/// The outputs that a session computes and brings back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Scores before the softmax.
    pub logits: bool,
    /// Softmax of the logits.
    pub probabilities: bool,
    /// So many best classes.
    pub top_k: usize,
    /// Pooled features before the classifier.
    pub features: bool,
}

/// What a session is made for.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Height and width of the input.
    pub size: (usize, usize),
    /// The largest batch that is expected; a larger one runs in chunks.
    pub batch: usize,
    /// Storage of weights and activations.
    pub dtype: DType,
    /// What to bring back.
    pub outputs: Outputs,
    /// What to do with [`Input::Pixels`].
    pub preprocess: Preprocess,
    /// Inferences that may be in flight at once.
    pub frames: usize,
}

/// What is given to the network.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Normalized pictures, `[n, h, w, 3]`.
    Tensor(&'a Tensor),
    /// One picture, preprocessed on the device.
    Pixels(Pixels<'a>),
}

/// One of the best classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Top {
    /// The class.
    pub index: usize,
    /// Its softmax.
    pub probability: f32,
}

/// What came back; what was not asked for is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Pictures.
    pub batch: usize,
    /// `[batch, classes]`.
    pub logits: Vec<f32>,
    /// `[batch, classes]`.
    pub probabilities: Vec<f32>,
    /// `[batch, channels]`.
    pub features: Vec<f32>,
    /// `[batch][k]`, best first.
    pub top: Vec<Vec<Top>>,
}

/// A model planned, compiled and loaded on a device.
pub struct Session;

impl Session {
    /// Plans and loads `model` on `device`.
    pub fn new(_device: &Device, _model: &Model, _options: &Options) -> Result<Session> {
        unreachable!()
    }
    /// Runs one input and waits for the answer; a batch of any size.
    pub fn run(&self, _input: Input) -> Result<Answer> {
        unreachable!()
    }
    /// The plan as text, a line per dispatch (per node on the CPU).
    pub fn describe(&self) -> Vec<String> {
        unreachable!()
    }
}
