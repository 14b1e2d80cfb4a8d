//! Kernels: one file per shader, each of which turns shapes into a specialised text and packs its weights.
//!
//! Nothing here knows of a GPU library. A shader is plain WGSL, valid as it lies on disk; specialising it
//! rewrites `const` and `alias` lines at its head, and whole functions, by name, and nothing else.
//!
//! ```
//! use mobileone::{DType, kernels::normalize};
//!
//! let text = normalize::kernel(DType::F16).text();
//! assert!(text.starts_with("enable f16;\n") && text.contains("alias Scalar = f16;"));
//! ```

use crate::{
    graph::Activation,
    tensor::{DType, Shape},
};

pub mod activate;
pub mod activation;
pub mod affine;
pub mod binary;
pub mod block;
mod choice;
pub mod concat;
pub mod conv;
pub mod depthwise;
pub mod head;
pub mod interpolate;
pub mod limit;
pub mod linear;
pub mod normalize;
pub mod pointwise;
pub mod pool;
pub mod pool_window;
pub mod prepare;
pub mod resize;
pub mod softmax;
pub mod stem;
pub mod top;

pub use choice::{CHOICES, Choice, Kind};

/// Invocations in the workgroups of the map kernels.
const WORKGROUP: usize = 64;

/// A WGSL file.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shader {
    /// The file's name without `.wgsl`.
    pub stem: &'static str,
    /// The file's text.
    pub text: &'static str,
}

/// Names a file under `shaders/` and takes its text in.
macro_rules! shader {
    ($stem:literal) => {
        $crate::kernels::Shader { stem: $stem, text: include_str!(concat!("../../shaders/", $stem, ".wgsl")) }
    };
}
use shader;

/// Every shader of the library.
pub const SHADERS: &[&Shader] = &[
    &activate::SHADER,
    &affine::SHADER,
    &binary::SHADER,
    &block::DIRECT,
    &block::SHARED,
    &concat::SHADER,
    &conv::SHADER,
    &depthwise::SHADER,
    &head::SHADER,
    &interpolate::SHADER,
    &limit::BANDWIDTH,
    &limit::EMPTY,
    &limit::PEAK,
    &linear::SHADER,
    &normalize::SHADER,
    &pointwise::FAST,
    &pointwise::MATRIX,
    &pointwise::REGISTERS,
    &pointwise::SHARED,
    &pointwise::SPLIT,
    &pointwise::SUBGROUP,
    &pool::SHADER,
    &pool_window::SHADER,
    &prepare::SHADER,
    &resize::SHADER,
    &softmax::SHADER,
    &stem::SHADER,
    &top::SHADER,
];

/// The value of a line at a shader's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Literal {
    /// A `u32` constant.
    U32(u32),
    /// A `bool` constant.
    Bool(bool),
    /// The type behind an alias.
    Scalar(DType),
    /// That of a cooperative matrix: rows and columns, type, and role (`A`, `B` or `C`).
    Matrix(usize, DType, char),
}

impl From<usize> for Literal {
    fn from(value: usize) -> Literal {
        Literal::U32(u32::try_from(value).expect("a dimension below 2^32"))
    }
}

impl From<u32> for Literal {
    fn from(value: u32) -> Literal {
        Literal::U32(value)
    }
}

impl From<bool> for Literal {
    fn from(value: bool) -> Literal {
        Literal::Bool(value)
    }
}

impl From<DType> for Literal {
    fn from(value: DType) -> Literal {
        Literal::Scalar(value)
    }
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Literal::U32(value) => write!(f, "{value}u"),
            Literal::Bool(value) => write!(f, "{value}"),
            Literal::Scalar(dtype) => write!(f, "{dtype}"),
            Literal::Matrix(size, dtype, role) => write!(f, "coop_mat{size}x{size}<{dtype}, {role}>"),
        }
    }
}

/// A shader with its head filled in: what one pipeline is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kernel {
    /// The file.
    pub shader: &'static Shader,
    /// Names and values of the head's lines.
    pub head: Vec<(&'static str, Literal)>,
    /// Names and texts of functions that take the place of the file's own.
    pub functions: Vec<(&'static str, String)>,
    /// Workgroups for one picture.
    pub workgroups: usize,
}

impl Kernel {
    /// The specialised text: the pipeline's key.
    ///
    /// # Panics
    /// When it names a line or a function that the shader does not have: a broken invariant of the kernel's file.
    pub fn text(&self) -> String {
        let (mut pending, mut functions) = (self.head.clone(), self.functions.clone());
        let mut inside = false;
        let mut text = String::with_capacity(self.shader.text.len() + 64);
        if self.head.iter().any(|(_, value)| *value == Literal::Scalar(DType::F16)) {
            text.push_str("enable f16;\n");
        }
        for line in self.shader.text.lines() {
            if inside {
                inside = line != "}";
                continue;
            }
            let function = line.strip_prefix("fn ").and_then(|line| line.split('(').next());
            if let Some(at) = functions.iter().position(|(wanted, _)| Some(*wanted) == function) {
                text.push_str(&functions.swap_remove(at).1);
                inside = true;
                continue;
            }
            let name = head_name(line);
            match pending.iter().position(|(wanted, _)| Some(*wanted) == name) {
                Some(at) => {
                    let (_, value) = pending.swap_remove(at);
                    let (left, _) = line.split_once('=').expect("a head line has a value");
                    text.push_str(&format!("{left}= {value};\n"));
                }
                None => {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        assert!(pending.is_empty(), "{}.wgsl has no head line for {pending:?}", self.shader.stem);
        assert!(functions.is_empty(), "{}.wgsl has no function for {functions:?}", self.shader.stem);
        text
    }
}

/// The name that a head line defines.
fn head_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("const ").or_else(|| line.strip_prefix("alias "))?;
    rest.split([':', ' ', '=']).next()
}

/// The `act` of a kernel that writes a map of `dst`, four channels at a time.
fn act(activation: Activation, dst: Shape) -> (&'static str, String) {
    ("act", activation::function("act", activation, dst.c, true))
}

/// The kernel of a shader that goes over maps of `shape`, four channels of one pixel an invocation.
fn over_maps(shader: &'static Shader, shape: Shape, activation: Activation, dtype: DType) -> Kernel {
    Kernel {
        shader,
        head: vec![("Scalar", dtype.into()), ("PIXELS", shape.pixels().into()), ("C4", shape.c4().into())],
        functions: vec![act(activation, shape)],
        workgroups: (shape.pixels() * shape.c4()).div_ceil(WORKGROUP),
    }
}

/// How a parameter lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Packing {
    /// One value per channel, padded to a multiple of 4.
    Vector,
    /// `[SRC_C4, 4, DST_C4]` vec4s: pointwise and linear.
    Matrix,
    /// `[OUTS, SRC_C4, 4, LANES]` vec4s, so many lanes: pointwise, in subgroups.
    Panels(usize),
    /// `[KERNEL, KERNEL, C4]` vec4s.
    Depthwise,
    /// `[KERNEL, KERNEL, 3, DST_C4]` vec4s.
    Stem,
    /// `[KERNEL_H, KERNEL_W, DEPTH, 4, DST_C4]` vec4s, of so many groups: any convolution.
    Conv(usize),
}

impl Packing {
    /// The parameter's values in this order, padding zero.
    pub fn pack(self, shape: &[usize], data: &[f32]) -> Vec<f32> {
        match self {
            Packing::Vector => {
                let mut packed = data.to_vec();
                packed.resize(data.len().next_multiple_of(4), 0.0);
                packed
            }
            Packing::Matrix => pointwise::pack(shape[0], shape[1], data),
            Packing::Panels(lanes) => pointwise::pack_panels(shape[0], shape[1], lanes, data),
            Packing::Depthwise => depthwise::pack(shape[0], shape[2], data),
            Packing::Stem => stem::pack(shape, data),
            Packing::Conv(groups) => conv::pack(shape, groups, data),
        }
    }

    /// Scalars that [`Packing::pack`] makes of a parameter of `shape`.
    pub fn len(self, shape: &[usize]) -> usize {
        let c4 = |c: usize| c.next_multiple_of(4);
        match self {
            Packing::Vector => c4(shape[0]),
            Packing::Matrix => c4(shape[0]) * c4(shape[1]),
            Packing::Panels(lanes) => shape[0].next_multiple_of(4 * lanes) * c4(shape[1]),
            Packing::Depthwise => c4(shape[0]) * shape[2] * shape[3],
            Packing::Conv(groups) => conv::len(shape, groups),
            Packing::Stem => c4(shape[0]) * stem::channels(shape[1]) * shape[2] * shape[3],
        }
    }
}
