//! `plan.json`, as far as it is needed here.

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Plan {
    pub format: String,
    pub version: u32,
    pub target: String,
    pub requires: Requires,
    pub batch: usize,
    pub weights: Weights,
    pub params: Vec<Param>,
    pub slots: Vec<Slot>,
    pub kernels: Vec<Kernel>,
    pub dispatches: Vec<Dispatch>,
    pub input: Input,
    pub outputs: Vec<Output>,
    pub labels: Option<Vec<String>>,
    pub preprocess: Preprocess,
}

#[derive(Deserialize)]
pub struct Requires {
    pub f16: bool,
    pub subgroup: u32,
}

#[derive(Deserialize)]
pub struct Weights {
    pub file: String,
}

#[derive(Deserialize)]
pub struct Param {
    pub offset: usize,
    pub bytes: usize,
}

#[derive(Deserialize)]
pub struct Slot {
    pub bytes: usize,
}

#[derive(Deserialize)]
pub struct Kernel {
    pub file: String,
    pub entry_point: String,
    pub bindings: Vec<Port>,
}

#[derive(Deserialize)]
pub struct Port {
    pub binding: u32,
    pub access: String,
}

#[derive(Deserialize)]
pub struct Dispatch {
    pub kernel: usize,
    pub workgroups: [u32; 3],
    pub bindings: Vec<Binding>,
}

#[derive(Deserialize)]
pub struct Binding {
    pub binding: u32,
    pub slot: Option<usize>,
    pub param: Option<usize>,
}

#[derive(Deserialize)]
pub struct Input {
    pub slot: usize,
    pub bytes: usize,
}

#[derive(Deserialize)]
pub struct Output {
    pub name: String,
    pub slot: usize,
    pub shape: [usize; 3],
    pub channels: usize,
    pub dtype: String,
    pub bytes: usize,
}

#[derive(Deserialize)]
pub struct Preprocess {
    pub size: [usize; 2],
    pub crop_pct: f64,
    pub crop_mode: String,
    pub interpolation: String,
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub colour: String,
    pub resize: Kernel,
    pub normalize: Kernel,
}
