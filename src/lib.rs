//! MobileOne image classification: WGSL compute shaders on any GPU, and the CPU where there is none.
//!
//! A checkpoint becomes a graph; a graph becomes a plan; a plan runs in a session.

pub mod checkpoint;
#[cfg(feature = "cpu")]
pub mod cpu;
mod device;
mod error;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod graph;
#[cfg(feature = "hub")]
pub mod hub;
pub mod kernels;
pub mod labels;
pub mod models;
#[cfg(feature = "image")]
pub mod picture;
pub mod plan;
pub mod preprocess;
pub mod reference;
pub mod reparam;
pub mod session;
pub mod tensor;
pub mod verify;
mod weights;

pub use checkpoint::Checkpoint;
pub use device::{Device, DeviceInfo, DeviceKind};
pub use error::{Error, Result};
pub use graph::Graph;
pub use models::{Form, Model};
pub use preprocess::{Pixels, Preprocess};
pub use session::{Answer, Input, Options, Outputs, Session, Ticket, Top};
pub use tensor::{DType, Shape, Tensor};
pub use weights::{Array, Weights};

/// The README's example, compiled by the tests.
#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
