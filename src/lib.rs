//! MobileOne image classification: WGSL compute shaders on any GPU, and the CPU where there is none.
//!
//! A checkpoint becomes a graph; a graph becomes a plan; a plan runs in a session.

mod error;
pub mod graph;
pub mod preprocess;
pub mod tensor;
mod weights;

pub use error::{Error, Result};
pub use graph::Graph;
pub use preprocess::{Pixels, Preprocess};
pub use tensor::{DType, Shape, Tensor};
pub use weights::{Array, Weights};
