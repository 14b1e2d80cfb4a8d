//! A model as files (feature `export`): for an engine that has a GPU layer of its own, and no place for wgpu.
//!
//! [`export`] gives, and [`Export::write`] puts into a folder:
//!
//! - `plan.json`: what to run on which buffers ([`Manifest`], field by field);
//! - `weights.bin`: every parameter, packed as the kernels read it;
//! - each specialised kernel once, in the language of a [`Target`], named as
//!   `07-pointwise-14x14-256-256.wgsl`.
//!
//! The repository's `examples/vulkan` runs such a folder on Vulkan and knows nothing else of this library.
//!
//! ```
//! use mobileone::{Model, Options, export::{Target, export}, models::mobileone::{VARIANTS, synthetic}, plan::Limits};
//!
//! let model = Model::new(synthetic(&VARIANTS[0], 10, 0), mobileone::Form::Fused)?;
//! let files = export(&model, &Options::of(&model), Limits::LEAST, Target::Wgsl)?;
//! assert!(files.manifest.dispatches[1].label.starts_with("stages.0.0"));
//! files.write(std::env::temp_dir().join("mobileone-s0-wgsl"), true)?;
//! # Ok::<(), mobileone::Error>(())
//! ```
//!
//! # How to run it
//! Once:
//! 1. Make a buffer of `slots[i].bytes` times the batch for each slot. Nothing has to be cleared.
//! 2. Load `weights.bin` into a buffer; parameter `i` is the range `params[i].offset .. + params[i].bytes` of it.
//! 3. Make a pipeline of each kernel, from `entry_point`. It has no specialisation constants, push constants, or
//!    bindings but those in `bindings`, and its workgroup size is in it (Metal's host gives it again).
//!
//! For each run of `n` pictures, up to `batch`:
//! 1. Write the normalized pictures to the slot `input.slot`, one behind the other: f32 or f16, rows of pixels of
//!    four channels, red, green, blue, 0. That is `(value / 255 - mean) / std` of the upright, resized and
//!    cropped picture.
//! 2. For each of `dispatches`, in order: bind, and dispatch `workgroups[0] × workgroups[1] × n` workgroups. What one
//!    writes the next ones read, so a barrier from compute to compute stands between them. A binding of a slot is
//!    the whole slot. No dispatch binds one slot both to read and to write.
//! 3. Read `outputs`. A device that lost its work may say nothing of it: values that are not finite are a failure, so fill
//!    the slots of the outputs with NaN when they are made.
//!
//! All of this but the input and the read-back is the same in each run and may be recorded once per `n`.
//!
//! # What the targets want
//! | | compile | where things are bound |
//! | --- | --- | --- |
//! | `wgsl` | as it is; `enable f16` stands in it where it is needed | `@group(0) @binding(binding)` |
//! | `spirv` | SPIR-V 1.3, for Vulkan 1.1 on; f16 needs `shaderFloat16`, `storageBuffer16BitAccess` and `uniformAndStorageBuffer16BitAccess`; `requires.subgroup` is above 0 only where the limits were of a device that has subgroups of that one size | set 0, storage buffers (a uniform in the two kernels of the preprocessing) |
//! | `msl` | Metal 2.4 | `[[buffer(buffer)]]`; threadgroup memory `i` is as long as `workgroup_memory[i]`, rounded up to 16 bytes |
//! | `hlsl` | DXC with `-HV 2018` and `cs_6_0`, with f16 `cs_6_2` and `-enable-16bit-types`, as the first line of each file says; without f16 also FXC with `cs_5_1` | `register(register, space)`; `t` and `u` are raw (byte address) buffers |
//!
//! The tests judge WGSL and SPIR-V with validators and run the SPIR-V; where DXC is there they compile the HLSL to
//! DXIL. No compiler of Metal's and no FXC has seen a kernel yet.
//!
//! MSL here has no buffer of sizes, and HLSL no constants from the host: no kernel checks an index at run time, and
//! the grid stands in the text. So the sizes, ranges and workgroup counts must be those of the plan. Workgroup memory
//! need not be zeroed. Multiplications and additions may be contracted; other fast-math (reassociation, no NaN)
//! is at your own risk: a kernel tells NaN by its bits.
//!
//! # Pictures
//! `preprocess` describes what the input is made of, and has the two kernels that make it on the GPU, as this
//! library's own sessions do, with PIL's bytes. Three dispatches: `resize` along one axis from the picture's pixels
//! (RGBA, or BGRA with `swap`; their luma where the input is grey) to an intermediate picture, `resize` along the other
//! axis to the crop, `normalize` to the input's slot. Each pixel written is one invocation; workgroups of 64 may be folded into x and y. The picture
//! is bound at 0, what is written at 3, the uniform at 4. Their uniforms are
//! [`Pass`](crate::preprocess::Pass) twice and [`Normalize`](crate::preprocess::Normalize), whose fields and offsets stand
//! in `plan.json` too. `examples/vulkan/picture.rs` fills them for a whole, upright picture:
//!
//! - of the resized picture's `resized` pixels along an axis, the crop shows those from `start` on, and `width` or
//!   `height` of them; tap `t` of line `l` is pixel `origin + t * step_along + l * step_across` of the source, which
//!   has `length` pixels along the axis;
//! - `whole` and `rest` are quotient and remainder of `(2 * start + 1) * length` by `2 * resized`: the centre of the first
//!   pixel shown;
//! - the first pass goes over the lines only that the second one reads: `support * max(length / resized, 1)` pixels
//!   around those shown, where `support` is 1 for bilinear and 2 for bicubic;
//! - it is the horizontal one, unless the picture shrinks in height by more than twice the pixels by which it shrinks
//!   in width.
//!
//! On HLSL the grid of these two comes with the picture, so they have `counts`: three u32 at `register(b0, space1)`.

mod folder;
pub mod manifest;
mod translate;

use std::{collections::BTreeMap, path::Path};

pub use manifest::Manifest;

use crate::{
    error::{Error, Result},
    graph::Output,
    kernels::{normalize, resize},
    models::Model,
    options::Options,
    plan::{self, Limits, Plan},
    preprocess::{Colour, Preprocess},
    tasks::classify,
    tensor::{DType, Shape},
};

/// What `format` says in every `plan.json`.
pub const FORMAT: &str = "mobileone-plan";
/// What `version` says: raised when a reader of the last one would go wrong.
pub const VERSION: u32 = 2;
/// Parameters begin at multiples of so many bytes: Vulkan lets no device want more.
pub const ALIGNMENT: usize = 256;
/// The description.
pub const PLAN: &str = "plan.json";
/// The parameters.
pub const WEIGHTS: &str = "weights.bin";

/// A language for kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// WebGPU's.
    Wgsl,
    /// Metal's.
    Msl,
    /// Direct3D's.
    Hlsl,
    /// Vulkan's, as binary.
    Spirv,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 4] = [Target::Wgsl, Target::Msl, Target::Hlsl, Target::Spirv];

    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Target::Wgsl => "wgsl",
            Target::Msl => "msl",
            Target::Hlsl => "hlsl",
            Target::Spirv => "spirv",
        }
    }

    /// The ending of its files.
    fn ending(self) -> &'static str {
        match self {
            Target::Wgsl => "wgsl",
            Target::Msl => "metal",
            Target::Hlsl => "hlsl",
            Target::Spirv => "spv",
        }
    }

    /// What a plan may rely on, of what a device has: only Vulkan promises the size of a subgroup, and only its
    /// shaders can say that they want one. Cooperative matrices are experimental everywhere. How long a submit may take
    /// is the engine's own affair.
    fn limits(self, limits: Limits) -> Limits {
        let limits = Limits { matrix: 0, macs_per_second: 1 << 50, ..limits };
        match self {
            Target::Spirv => limits,
            Target::Wgsl | Target::Msl | Target::Hlsl => Limits { subgroup: 0, ..limits },
        }
    }
}

/// A model as files.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Export {
    /// What stands in `plan.json`.
    pub manifest: Manifest,
    /// Names and contents of all files, `plan.json` first.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Export {
    /// Puts the files into `folder`, which is made where it is missing: all of them or, after an error, none. A folder
    /// that has something in it is refused; with `force`, one that holds an export and nothing else is replaced.
    ///
    /// # Errors
    /// [`Error::File`] when the folder is not empty; [`Error::Io`].
    pub fn write(&self, folder: impl AsRef<Path>, force: bool) -> Result<()> {
        folder::write(folder.as_ref(), &self.files, force)
    }
}

/// `model` as files of `target`, planned for a device of `limits`, which are [`Limits::LEAST`] for one that is not known.
/// Of `options` the preprocessing (for the size), batch, storage, outputs and tuning count.
///
/// # Errors
/// Those of [`Plan::new`]; [`Error::Option`] for a size or a batch that the limits do not allow, and for more than 64 best
/// classes; [`Error::Tensor`] for a value that f16 cannot hold.
pub fn export(model: &Model, options: &Options, limits: Limits, target: Target) -> Result<Export> {
    let (h, w) = options.preprocess.size;
    options.preprocess.check()?;
    let input = Shape::new(1, h, w, model.graph.input_channels());
    if let Some(node) = model.graph.too_small(input) {
        let name = &node.name;
        return Err(Error::Option(format!("an input of {h}x{w} is too small for {name}")));
    }
    let limits = target.limits(limits);
    let (graph, weights) = (&classify::give(&model.graph, &options.outputs)?, &model.weights);
    let plan = Plan::new(graph, weights, input, options.dtype, limits, &options.tuning)?;
    if !(1..=plan.max_batch).contains(&options.batch) {
        let (most, batch) = (plan.max_batch, options.batch);
        return Err(Error::Option(format!(
            "a batch of {batch}: these limits allow 1 to {most} pictures of {h}x{w}"
        )));
    }
    let (params, packed) = pack(&plan, model)?;
    let mut kernels =
        Kernels { target, dtype: options.dtype, known: BTreeMap::new(), rows: Vec::new(), files: Vec::new() };
    let dispatches = plan.dispatches.iter().map(|dispatch| kernels.dispatch(dispatch, limits)).collect();
    let own = kernels.rows.len();
    let of_pictures = [
        ("resize", resize::kernel(), DType::F32),
        ("normalize", normalize::kernel(options.dtype), options.dtype),
    ];
    let [resize, normalize] = of_pictures.map(|(name, kernel, dtype)| {
        kernels.add(format!("preprocess-{name}"), &translate::text(&kernel, None), dtype)
    });
    let preprocess = preprocess(
        &options.preprocess,
        input.c,
        kernels.rows[resize].clone(),
        kernels.rows[normalize].clone(),
    );
    let requires = requires(&plan, &kernels.rows, options);
    kernels.rows.truncate(own);

    let mut files = vec![(WEIGHTS.to_string(), packed)];
    files.extend(kernels.files);
    let manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        made_by: concat!("mobileone ", env!("CARGO_PKG_VERSION")).into(),
        model: model.name.clone(),
        target: target.name().into(),
        dtype: options.dtype.to_string(),
        requires,
        batch: options.batch,
        max_batch: plan.max_batch,
        files: files.iter().map(|(name, _)| name.clone()).collect(),
        weights: manifest::WeightsFile {
            file: WEIGHTS.into(),
            bytes: files[0].1.len(),
            alignment: ALIGNMENT,
        },
        params,
        slots: plan.slots.iter().map(|&bytes| manifest::Slot { bytes: bytes.next_multiple_of(4) }).collect(),
        kernels: kernels.rows,
        dispatches,
        input: place_of_input(&plan),
        outputs: outputs(&plan),
        labels: model.labels.clone(),
        preprocess,
    };
    let mut text = serde_json::to_string_pretty(&manifest).expect("a manifest is plain data");
    text.push('\n');
    files.insert(0, (PLAN.into(), text.into_bytes()));
    Ok(Export { manifest, files })
}

/// Packs the parameters one behind the other.
fn pack(plan: &Plan, model: &Model) -> Result<(Vec<manifest::Param>, Vec<u8>)> {
    let mut packed = Vec::new();
    let mut params = Vec::with_capacity(plan.params.len());
    for param in &plan.params {
        packed.resize(packed.len().next_multiple_of(ALIGNMENT), 0);
        let bytes = param.bytes(&model.weights)?;
        let (name, dtype) = (param.name.clone(), param.dtype.to_string());
        params.push(manifest::Param { name, dtype, offset: packed.len(), bytes: bytes.len() });
        packed.extend(bytes);
    }
    packed.resize(packed.len().next_multiple_of(ALIGNMENT), 0);
    Ok((params, packed))
}

/// The kernels met so far, each text once.
struct Kernels {
    target: Target,
    dtype: DType,
    known: BTreeMap<String, usize>,
    rows: Vec<manifest::Kernel>,
    files: Vec<(String, Vec<u8>)>,
}

impl Kernels {
    /// The number of the kernel of `text`, which is added under `name` where it is new.
    fn add(&mut self, name: String, text: &str, dtype: DType) -> usize {
        if let Some(&known) = self.known.get(text) {
            return known;
        }
        let number = self.rows.len();
        let file = format!("{number:02}-{name}.{}", self.target.ending());
        let translated = translate::translate(&name, text, dtype, self.target);
        self.rows.push(manifest::Kernel {
            file: file.clone(),
            entry_point: translated.entry_point,
            workgroup_size: translated.workgroup_size,
            bindings: translated.ports,
            workgroup_memory: translated.workgroup_memory,
            counts: translated.counts,
        });
        self.files.push((file, translated.bytes));
        self.known.insert(text.into(), number);
        number
    }

    fn dispatch(&mut self, dispatch: &plan::Dispatch, limits: Limits) -> manifest::Dispatch {
        let workgroups = limits.grid(dispatch, 1);
        // What follows the node's name and the operation's: `14x14 256->256`.
        let words = dispatch.label.split(' ').skip_while(|word| !is_size(word));
        let stem = dispatch.kernel.shader.stem.replace('_', "-");
        let name = std::iter::once(stem)
            .chain(words.map(|word| word.replace("->", "-")))
            .collect::<Vec<_>>()
            .join("-");
        let kernel = self.add(name, &translate::text(&dispatch.kernel, Some(workgroups)), self.dtype);
        let bind = |binding: &plan::Binding| manifest::Binding {
            binding: binding.index,
            buffer: match binding.buffer {
                plan::Buffer::Slot(slot) => manifest::Buffer::Slot(slot),
                plan::Buffer::Param(param) => manifest::Buffer::Param(param),
            },
            written: binding.written,
        };
        let mut bindings: Vec<_> = dispatch.bindings.iter().map(bind).collect();
        bindings.sort_by_key(|binding| binding.binding);
        manifest::Dispatch { label: dispatch.label.clone(), kernel, workgroups, bindings }
    }
}

/// Whether a word of a label is a size or a count: `14x14`, `256->256`, `1000`.
fn is_size(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && !word.contains('.')
}

fn place_of_input(plan: &Plan) -> manifest::Input {
    let place = plan.place(0);
    let Shape { h, w, c, .. } = place.shape;
    manifest::Input {
        slot: place.slot,
        shape: [h, w, c],
        channels: place.shape.c4() * 4,
        dtype: place.dtype.to_string(),
        bytes: place.bytes(),
    }
}

fn outputs(plan: &Plan) -> Vec<manifest::Output> {
    let row = |Output { name, node }: &Output| {
        let place = plan.place(*node);
        let Shape { h, w, c, .. } = place.shape;
        manifest::Output {
            name: name.clone(),
            slot: place.slot,
            shape: [h, w, c],
            channels: place.shape.c4() * 4,
            dtype: place.dtype.to_string(),
            bytes: place.bytes(),
        }
    };
    plan.outputs.iter().map(row).collect()
}

fn requires(plan: &Plan, kernels: &[manifest::Kernel], options: &Options) -> manifest::Requires {
    let needs = |one: &plan::Dispatch| one.choice?.needs(&one.layer?);
    let lanes = plan.dispatches.iter().filter_map(needs).map(|needs| needs.lanes).max().unwrap_or(0);
    let slots = plan.slots.iter().map(|bytes| bytes * options.batch);
    let most = |of: fn(&manifest::Kernel) -> u32| kernels.iter().map(of).max().unwrap_or(0);
    let storage = |dispatch: &plan::Dispatch| dispatch.bindings.len();
    manifest::Requires {
        f16: options.dtype == DType::F16,
        subgroup: lanes,
        invocations: most(|kernel| kernel.workgroup_size.iter().product()),
        workgroup_memory: most(|kernel| kernel.workgroup_memory.iter().sum()),
        storage_buffers: plan.dispatches.iter().map(storage).max().unwrap_or(0),
        binding: slots.chain(plan.params.iter().map(plan::Param::size)).max().unwrap_or(0),
    }
}

fn preprocess(
    of: &Preprocess,
    channels: usize,
    resize: manifest::Kernel,
    normalize: manifest::Kernel,
) -> manifest::Preprocess {
    manifest::Preprocess {
        size: [of.size.0, of.size.1],
        crop_pct: of.crop_pct,
        crop_mode: format!("{:?}", of.crop_mode).to_lowercase(),
        interpolation: format!("{:?}", of.interpolation).to_lowercase(),
        mean: of.mean,
        std: of.std,
        colour: match Colour::of(channels) {
            Some(Colour::Rgb) => "rgb".into(),
            Some(Colour::Grey) => "grey".into(),
            None => "none".into(),
        },
        resize,
        normalize,
    }
}
