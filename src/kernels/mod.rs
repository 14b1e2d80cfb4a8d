//! Kernels: one file per shader. Each turns a run of nodes into a specialised text, says what is bound to it, and packs its
//! weights.
//!
//! [`ways`] is the table of those that compete for a layer. Nothing here knows of a GPU library. A shader is plain WGSL,
//! valid as it lies on disk; specialising it rewrites `const` and `alias` lines at its head, and whole functions, by
//! name, and nothing else.
//!
//! ```
//! use mobileone::{DType, kernels::normalize};
//!
//! let text = normalize::kernel(DType::F16).text();
//! assert!(text.starts_with("enable f16;\n") && text.contains("alias Scalar = f16;"));
//! ```

use crate::{
    graph::{NodeId, Op},
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
mod layer;
pub mod limit;
pub mod linear;
pub mod normalize;
mod param;
pub mod pointwise;
pub mod pool;
pub mod pool_window;
pub mod prepare;
pub mod resize;
mod site;
pub mod softmax;
pub mod stem;
pub mod top;
pub mod ways;

pub use choice::Choice;
pub use layer::{Kind, Layer};
pub use param::{Packing, Param};
pub use site::Site;
pub use ways::{Tile, choices};

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

/// The shaders that are no [way](ways) of a layer among others.
const OTHERS: &[&Shader] = &[
    &activate::SHADER,
    &affine::SHADER,
    &binary::SHADER,
    &concat::SHADER,
    &interpolate::SHADER,
    &limit::BANDWIDTH,
    &limit::EMPTY,
    &limit::PEAK,
    &linear::SHADER,
    &normalize::SHADER,
    &pool::SHADER,
    &pool_window::SHADER,
    &resize::SHADER,
    &softmax::SHADER,
    &top::SHADER,
];

/// Every shader of the library.
pub fn shaders() -> impl Iterator<Item = &'static Shader> {
    ways::WAYS.iter().filter_map(|way| way.shader).chain(OTHERS.iter().copied())
}

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

/// Names and values of lines at a shader's head.
pub type Head = Vec<(&'static str, Literal)>;

/// What is bound to a kernel of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Port {
    /// The output of a node, which it reads.
    Read(NodeId),
    /// The output of a node, which it writes.
    Write(NodeId),
    /// A parameter.
    Param(Param),
}

/// A shader with its head filled in, what one pipeline is made of; and what a plan binds to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kernel {
    /// The file.
    pub shader: &'static Shader,
    /// Names and values of the head's lines.
    pub head: Head,
    /// Names and texts of functions that take the place of the file's own.
    pub functions: Vec<(&'static str, String)>,
    /// Workgroups for one picture.
    pub workgroups: usize,
    /// The shader's bindings in order; none for what is not a plan's.
    pub ports: Vec<(u32, Port)>,
}

impl Kernel {
    /// A kernel that is not a plan's.
    fn by_itself(shader: &'static Shader, head: Head, workgroups: usize) -> Kernel {
        Kernel { shader, head, functions: Vec::new(), workgroups, ports: Vec::new() }
    }

    /// The kernel that computes the nodes of `site`: with `choice` where there are several ways, as there are for every
    /// convolution and for nodes that are computed at once.
    ///
    /// # Errors
    /// What no shader computes.
    pub fn new(site: &Site, choice: Option<Choice>) -> Result<Kernel, String> {
        if let Some(choice) = choice {
            return choice.kernel(site);
        }
        match site.op(site.last()) {
            Op::Linear { .. } => linear::kernel(site),
            Op::Affine { .. } => affine::kernel(site),
            Op::Binary { with, .. } => binary::kernel(site, *with),
            Op::Concat => concat::kernel(site),
            Op::Resize { filter, .. } => interpolate::kernel(site, *filter),
            op if op.is_mean() => pool::kernel(site),
            Op::Pool { pooling, window } => pool_window::kernel(site, *pooling, *window),
            Op::Softmax => softmax::kernel(site),
            Op::Activate(_) => activate::kernel(site),
            Op::TopK { k, softmax } => top::kernel(site, *k, *softmax),
            op @ (Op::Input { .. } | Op::Conv { .. }) => Err(format!("{op:?} without a choice")),
        }
    }

    /// The specialised text: the pipeline's key.
    ///
    /// # Panics
    /// When it names a line or a function that the shader does not have: a broken invariant of the kernel's file.
    pub fn text(&self) -> String {
        let (mut pending, mut functions) = (self.head.clone(), self.functions.clone());
        let mut inside = false;
        let mut text = String::with_capacity(self.shader.text.len() + 64);
        let in_head = self.head.iter().any(|(_, value)| *value == Literal::Scalar(DType::F16));
        if in_head || self.functions.iter().any(|(_, text)| text.contains("<f16>")) {
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

/// The sizes of a tile.
fn sizes<const N: usize>(tile: Tile) -> Result<[usize; N], String> {
    tile.try_into().map_err(|_| format!("tiles of {tile:?}"))
}

/// The `act` of a kernel that writes the output of `site` four channels at a time.
fn act(site: &Site) -> (&'static str, String) {
    ("act", activation::function("act", site.activation(site.last()), site.dst().c, true))
}

/// Workgroups of a shader that writes four channels of one pixel of a map of `dst` an invocation.
fn map_workgroups(dst: Shape) -> usize {
    (dst.pixels() * dst.c4()).div_ceil(WORKGROUP)
}

/// The kernel of a shader that goes over maps of one shape, four channels of one pixel an invocation.
fn over_maps(site: &Site, shader: &'static Shader, ports: Vec<(u32, Port)>) -> Kernel {
    let (pixels, c4) = (site.dst().pixels(), site.dst().c4());
    Kernel {
        shader,
        head: vec![("Scalar", site.scalar().into()), ("PIXELS", pixels.into()), ("C4", c4.into())],
        functions: vec![act(site)],
        workgroups: map_workgroups(site.dst()),
        ports,
    }
}
