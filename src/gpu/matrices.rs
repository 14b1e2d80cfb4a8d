//! Cooperative matrices: taken where they are asked for, and examined before anything runs on them.
//!
//! No device that has them was at hand when this was written: the shader is proven valid and translated, and its results
//! are for this examination to judge on each device anew.

use std::sync::Arc;

use super::{Engine, Gpu};
use crate::{
    error::{Error, Result},
    graph::{Activation, Conv, FEATURES, Graph, Op},
    kernels::ways,
    options::{Options, Outputs},
    plan::Tuning,
    preprocess::{Colour, CropMode, Interpolation, Preprocess},
    reference,
    tensor::{DType, Shape, Tensor},
    weights::Weights,
};

/// Rows and columns of the matrices that there are shaders for, the better first.
const SIZES: [u32; 2] = [16, 8];
/// Relative error of a layer whose maps are stored in f16.
const BOUND: f64 = 1e-3;

impl Gpu {
    /// This device opened anew with its cooperative matrices, which have computed two layers correctly in each way.
    ///
    /// # Errors
    /// [`Error::Option`] where it has none for products of f16 with sums in f32, or is the caller's own;
    /// [`Error::Device`] where the driver refuses, or where they compute wrongly.
    pub fn with_matrices(&self) -> Result<Gpu> {
        let none = |reason: &str| Error::Option(format!("{} {reason}", self.info));
        let adapter =
            self.adapter.as_ref().ok_or_else(|| none("was not opened here: its matrices are not used"))?;
        let size = size(adapter).ok_or_else(|| {
            none(
                "has no cooperative matrices of 8x8 or 16x16 with products of f16 and sums in f32 (Metal has them from \
                 Apple7 on, Vulkan with VK_KHR_cooperative_matrix); run without --matrices",
            )
        })?;
        let gpu = Arc::new(pollster::block_on(Gpu::request(adapter, self.info.clone(), size))?);
        examine(&gpu)?;
        Ok(Arc::into_inner(gpu).expect("what examined it is gone"))
    }
}

/// The size of matrices that there is a shader for, with products of f16 and sums in f32.
fn size(adapter: &wgpu::Adapter) -> Option<usize> {
    let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
        | wgpu::Features::SUBGROUP
        | wgpu::Features::SHADER_F16;
    let all = adapter.cooperative_matrix_properties();
    let has = |size: &u32| {
        all.iter().any(|one| {
            [one.m_size, one.n_size, one.k_size] == [*size; 3]
                && one.ab_type == wgpu::CooperativeScalarType::F16
                && one.cr_type == wgpu::CooperativeScalarType::F32
        })
    };
    let found = SIZES.into_iter().find(has).filter(|_| adapter.features().contains(needed));
    found.map(|size| size as usize)
}

/// What a device with matrices is asked for.
#[allow(unsafe_code)]
pub fn enable(descriptor: &mut wgpu::DeviceDescriptor) {
    descriptor.required_features |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    // SAFETY: wgpu asks for the word of whoever turns on what it calls experimental. Matrices are turned on where they
    // were asked for by name, are used by one shader whose loads and stores stay inside its buffers, and are examined
    // before anything else runs on them.
    descriptor.experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
}

/// Runs two layers in each way that the device has for them, and compares them with the reference.
fn examine(gpu: &Arc<Gpu>) -> Result<()> {
    let wrong = |label: &str, what: &str| Error::Device {
        wanted: gpu.info.name.clone(),
        reason: format!("its cooperative matrices compute {label} wrongly: {what}; run without --matrices"),
    };
    let (graph, weights) = layers();
    // No tile divides its pixels, and two pictures lie behind each other.
    let shape = Shape::new(2, 7, 9, graph.input_channels());
    let input = Tensor::new(shape, values(shape.len(), 5))?;
    let checked = graph.check(&weights, shape)?;
    let preprocess = Preprocess {
        size: (shape.h, shape.w),
        crop_pct: 1.0,
        crop_mode: CropMode::Center,
        interpolation: Interpolation::Bilinear,
        mean: [0.0; 3],
        std: [1.0; 3],
        colour: Colour::Rgb,
    };
    for choice in ways::MATRIX.choices().filter(|choice| choice.tile[0] == gpu.limits.matrix) {
        let options = Options {
            preprocess: preprocess.clone(),
            batch: shape.n,
            dtype: DType::F16,
            outputs: Outputs::named([FEATURES]),
            frames: 1,
            tuning: Tuning::only(choice),
            checked: false,
            cache: None,
        };
        let engine = Arc::new(Engine::of(gpu.clone(), &graph, &weights, shape, &options)?);
        let used = engine.plan().dispatches.iter().filter(|one| one.choice == Some(choice)).count();
        assert_eq!(used, 2, "both layers run on matrices");
        let mut src = input.clone();
        for traced in engine.trace(&input)?.into_iter().take(2) {
            if let Some(fault) = traced.fault {
                return Err(wrong(&traced.label, &fault));
            }
            let (id, found) = traced.outputs.into_iter().next().expect("a layer leaves its map");
            let expected = reference::node(&checked, id, &[&src]);
            let off = relative(found.data(), expected.data());
            if off.is_nan() || off > BOUND {
                return Err(wrong(&traced.label, &format!("off by {off:.1e}")));
            }
            src = found;
        }
    }
    Ok(())
}

/// Two pointwise layers, of channels that no power of two above 16 divides.
fn layers() -> (Graph, Weights) {
    let mut graph = Graph::default();
    let mut weights = Weights::new();
    let mut last = graph.push("input", Op::Input { channels: 32 }, &[]);
    for (name, src_c, dst_c, activation) in
        [("first", 32, 80, Activation::Relu), ("second", 80, 48, Activation::None)]
    {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        weights.insert(&weight, &[dst_c, src_c, 1, 1], values(dst_c * src_c, dst_c));
        weights.insert(&bias, &[dst_c], values(dst_c, 3));
        let conv = Conv::pointwise(src_c, dst_c);
        last = graph.push(name, Op::Conv { conv, weight, bias: Some(bias), activation }, &[last]);
    }
    let features = graph.push("pool", Op::MEAN, &[last]);
    graph.give(FEATURES, features);
    (graph, weights)
}

/// Values that f16 holds as they are, of both signs, and in no order that a transposition would keep.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|at| ((at * 37 + at / 7 * 11 + seed) % 61) as f32 / 64.0 - 0.46875).collect()
}

/// `|a - b| / |b|`.
fn relative(a: &[f32], b: &[f32]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let off = square(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    (off / square(&mut b.iter().map(|&b| f64::from(b)))).sqrt()
}
