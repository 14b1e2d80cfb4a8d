//! MobileOne image classification: WGSL compute shaders on any GPU, and the CPU where there is none.
//!
//! A checkpoint becomes a graph; a graph becomes a plan; a plan runs in a session.

pub mod checkpoint;
mod error;
pub mod graph;
pub mod models;
#[cfg(feature = "image")]
pub mod picture;
pub mod preprocess;
pub mod session;
pub mod tensor;
pub mod verify;
mod weights;

pub use checkpoint::Checkpoint;
pub use error::{Error, Result};
pub use graph::Graph;
pub use models::Model;
pub use preprocess::{Pixels, Preprocess};
pub use session::{Answer, Device, DeviceInfo, DeviceKind, Input, Options, Outputs, Session, Top};
pub use tensor::{DType, Shape, Tensor};
pub use weights::{Array, Weights};
