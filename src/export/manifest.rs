//! What stands in `plan.json`, field by field.

use serde::{Deserialize, Serialize};

/// The whole of `plan.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// [`FORMAT`](super::FORMAT).
    pub format: String,
    /// [`VERSION`](super::VERSION): a reader refuses a higher one.
    pub version: u32,
    /// The program that wrote it.
    pub made_by: String,
    /// The model's name.
    pub model: String,
    /// `wgsl`, `msl`, `hlsl` or `spirv`.
    pub target: String,
    /// How maps and weights are stored, `f32` or `f16`. Biases and vectors from the pool on are f32 always.
    pub dtype: String,
    /// What the device must have.
    pub requires: Requires,
    /// The most pictures of one run: what was asked for.
    pub batch: usize,
    /// The most pictures of one run that the limits allow which the plan was made for.
    pub max_batch: usize,
    /// Every other file of the folder.
    pub files: Vec<String>,
    /// The file of the parameters.
    pub weights: WeightsFile,
    /// The parameters, by the numbers that bindings give.
    pub params: Vec<Param>,
    /// The activation buffers, by the numbers that bindings give.
    pub slots: Vec<Slot>,
    /// The kernels, by the numbers that dispatches give.
    pub kernels: Vec<Kernel>,
    /// What to run, in this order, each seeing what the ones before it wrote.
    pub dispatches: Vec<Dispatch>,
    /// Where the normalized pictures go.
    pub input: Input,
    /// What comes out.
    pub outputs: Vec<Output>,
    /// The names of the classes, in order, where the network has any.
    pub labels: Option<Vec<String>>,
    /// How a picture becomes an input.
    pub preprocess: Preprocess,
}

/// What the device must have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Requires {
    /// f16 in shaders and in storage buffers.
    pub f16: bool,
    /// The lanes that every subgroup must have; 0 where none are used.
    pub subgroup: usize,
    /// Invocations of the largest workgroup.
    pub invocations: u32,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Storage buffers bound to one kernel.
    pub storage_buffers: usize,
    /// Bytes of the largest binding, for a whole batch.
    pub binding: usize,
}

/// The file of the parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WeightsFile {
    /// Its name.
    pub file: String,
    /// Its length.
    pub bytes: usize,
    /// Every parameter begins at a multiple of so many bytes: no device wants more for a binding's offset.
    pub alignment: usize,
}

/// A parameter: the range of the file to bind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Param {
    /// The tensor's name; none for a bias of zeros that the network does not have.
    pub name: Option<String>,
    /// Its scalars, `f32` or `f16`, little-endian.
    pub dtype: String,
    /// Where it begins in the file.
    pub offset: usize,
    /// Its length.
    pub bytes: usize,
}

/// An activation buffer. It holds several maps one after the other, none of which needs to be cleared first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Slot {
    /// Bytes for one picture; a buffer holds as many times that as a run has pictures.
    pub bytes: usize,
}

/// A kernel in the target's language, specialised for shapes, storage and tile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Kernel {
    /// The file.
    pub file: String,
    /// The function to run.
    pub entry_point: String,
    /// Invocations of a workgroup.
    pub workgroup_size: [u32; 3],
    /// What is bound to it.
    pub bindings: Vec<Port>,
    /// Bytes of each of its variables in workgroup memory. Metal's host sets the length of threadgroup memory i
    /// to the i-th of them, rounded up to 16; elsewhere there is nothing to set.
    pub workgroup_memory: Vec<u32>,
    /// Of Direct3D, and of a kernel only whose grid depends on the picture: where three u32 go that are the
    /// workgroups of the dispatch in x, y and z (root constants are enough).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub counts: Option<At>,
}

/// A place of a kernel that a buffer is bound to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Port {
    /// The number by which dispatches name it.
    pub binding: u32,
    /// What the kernel does with it.
    pub access: Access,
    /// Where it is in the target's own counting.
    #[serde(flatten)]
    pub at: At,
    /// What a uniform holds.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fields: Vec<Field>,
}

/// What a kernel does with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Access {
    /// A storage buffer that is read.
    Read,
    /// A storage buffer that is written.
    Write,
    /// A uniform buffer.
    Uniform,
}

/// A place in a target's own counting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum At {
    /// WGSL: `@group(group) @binding(binding)`.
    Group {
        /// The group.
        group: u32,
    },
    /// SPIR-V: `DescriptorSet set`, `Binding binding`.
    Set {
        /// The set.
        set: u32,
    },
    /// MSL: `[[buffer(buffer)]]`.
    Buffer {
        /// The index.
        buffer: u32,
    },
    /// HLSL: `register(register, space)`, where `t` is a raw shader resource, `u` a raw unordered access, and `b` a
    /// constant buffer.
    Register {
        /// The register: `t0`.
        register: String,
        /// The space.
        space: u32,
    },
}

/// A field of a uniform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Field {
    /// Its name in the shader.
    pub name: String,
    /// `u32`, `i32` or `vec4<f32>`.
    #[serde(rename = "type")]
    pub ty: String,
    /// Bytes before it.
    pub offset: u32,
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dispatch {
    /// `stages.2.7 pointwise 14x14 256->256`.
    pub label: String,
    /// The number of its kernel.
    pub kernel: usize,
    /// Workgroups for one picture; for a batch the third number is that of its pictures.
    pub workgroups: [u32; 3],
    /// What is bound, one for each of its kernel's.
    pub bindings: Vec<Binding>,
}

/// A buffer as it is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Binding {
    /// The number of the kernel's binding.
    pub binding: u32,
    /// The buffer.
    #[serde(flatten)]
    pub buffer: Buffer,
    /// Whether it is written, else it is read.
    pub written: bool,
}

/// What is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Buffer {
    /// An activation buffer, all of it.
    Slot(usize),
    /// The range of a parameter.
    Param(usize),
}

/// Where the normalized pictures go, one behind the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Input {
    /// The slot.
    pub slot: usize,
    /// Height, width and the channels that count: red, green, blue.
    pub shape: [usize; 3],
    /// Channels as they lie in memory, row by row, pixel by pixel; those beyond `shape`'s are 0.
    pub channels: usize,
    /// Its scalars.
    pub dtype: String,
    /// Bytes of one picture.
    pub bytes: usize,
}

/// Where an output lies after the last dispatch, one picture's after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Output {
    /// `logits`, `features`, `probabilities`; `top` is the best classes, best first: a class, as a float, and its
    /// probability, which is NaN where a score was not finite.
    pub name: String,
    /// The slot.
    pub slot: usize,
    /// Height, width and the channels that count.
    pub shape: [usize; 3],
    /// Channels as they lie in memory, row by row, pixel by pixel; those beyond `shape`'s are 0.
    pub channels: usize,
    /// Its scalars.
    pub dtype: String,
    /// Bytes of one picture.
    pub bytes: usize,
}

/// How a picture becomes an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Preprocess {
    /// Height and width of the input.
    pub size: [usize; 2],
    /// The share of the resized picture that the crop keeps.
    pub crop_pct: f64,
    /// `center`, `squash` or `border`, as in [`CropMode`](crate::preprocess::CropMode).
    pub crop_mode: String,
    /// `bilinear` or `bicubic`, both antialiased.
    pub interpolation: String,
    /// Subtracted from each channel after division by 255.
    pub mean: [f32; 3],
    /// Divides each channel last.
    pub std: [f32; 3],
    /// `rgb`; `grey`, where the first resize reads pixels as their luma (`grey` of its uniform is 1), and mean, std and
    /// fill are the first of theirs beside 0, 1 and 0; or `none`, where the input has other channels than pictures have.
    pub colour: String,
    /// One pass of the resize along one axis; its uniform is [`Pass`](crate::preprocess::Pass).
    pub resize: Kernel,
    /// From the crop to the input's slot; its uniform is [`Normalize`](crate::preprocess::Normalize).
    pub normalize: Kernel,
}
