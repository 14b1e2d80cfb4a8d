//! Image classification with MobileOne and its kin: WGSL compute shaders on any GPU, and the CPU where there is none.
//!
//! *A checkpoint becomes a graph; a graph becomes a plan; a plan runs in a session.*
//!
//! - A [`Checkpoint`] is a file's tensors under canonical names, and what the file says of itself. Which names make a
//!   network, the [`models::FAMILIES`] say.
//! - A [`Model`] is a [`Graph`] with its [`Weights`], the branches of training folded into one convolution each.
//! - A [`plan::Plan`] is what a GPU will do: dispatches of specialised shaders over a few buffers, as plain data.
//! - A [`Session`] runs a model on a [`Device`], the same way whatever the device: [`Session::run`] waits,
//!   [`Session::submit`] gives a [`Ticket`].
//! - `export` (a feature) writes a plan, its weights and its shaders as files, for an engine without wgpu.
//!
//! Begin with [`Session`]: a model, a device, a picture, and its answer are
//!
#![cfg_attr(all(feature = "sample", feature = "image"), doc = "```")]
#![cfg_attr(not(all(feature = "sample", feature = "image")), doc = "```ignore")]
//! use mobileone::{Device, Input, Model, Options, Session, labels::Labels, picture, sample};
//!
//! let model = Model::from_bytes(sample::DIGITS)?; // or Model::load("mobileone_s1.safetensors")?
//! let labels = Labels::choose(None, model.labels.as_deref(), model.graph.classes().unwrap_or(0))?;
//! let session = Session::new(&Device::open("auto")?, &model, &Options::of(&model))?;
//! let picture = picture::decode(sample::PICTURES[0].1)?; // or picture::open("photo.jpg")?
//! let answer = session.run(Input::Pixels(picture.pixels()))?;
//! println!("{} at {:.0} %", labels.name(answer.top[0][0].index), 100.0 * answer.top[0][0].probability);
//! # Ok::<(), mobileone::Error>(())
//! ```
//!
//! # Features
//! `gpu` and `cpu` are the two kinds of device, and `image` reads picture files: these are the default. `pth` reads PyTorch's
//! checkpoints, `hub` models by their ids; `sample` is a small model inside; `export` as above.
//!
//! What contributors may rely on, and how to add an activation, an operation, a kernel or a network, is in the repository's
//! README under "The ground plan".

mod answer;
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub mod bench;
pub mod checkpoint;
#[cfg(feature = "cpu")]
#[doc(hidden)] // The executor behind a session; public for its judges.
pub mod cpu;
#[cfg(any(feature = "cpu", feature = "gpu"))]
mod device;
mod error;
#[cfg(feature = "export")]
pub mod export;
#[doc(hidden)] // For the command's own files.
pub mod files;
#[cfg(feature = "gpu")]
#[doc(hidden)] // The engine behind a session; public for its judges.
pub mod gpu;
pub mod graph;
mod home;
pub mod hub;
mod info;
#[cfg(any(feature = "cpu", feature = "gpu"))]
mod input;
pub mod kernels;
pub mod labels;
#[cfg(any(feature = "cpu", feature = "gpu"))]
mod limit;
mod limits;
pub mod models;
pub mod named;
mod near;
mod options;
#[cfg(feature = "image")]
pub mod picture;
pub mod plan;
pub mod preprocess;
#[cfg(any(feature = "cpu", feature = "gpu"))]
mod profile;
pub mod reference;
pub mod reparam;
#[cfg(feature = "sample")]
pub mod sample;
#[cfg(any(feature = "cpu", feature = "gpu"))]
mod session;
pub mod tasks;
pub mod tensor;
#[cfg(any(feature = "cpu", feature = "gpu"))]
mod ticket;
#[cfg(feature = "gpu")]
pub mod tune;
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub mod verify;
mod weights;

pub use answer::Answer;
pub use checkpoint::Checkpoint;
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub use device::Device;
pub use error::{Error, Result};
#[cfg(feature = "gpu")]
pub use gpu::OutputBuffer;
pub use graph::Graph;
pub use info::{DeviceInfo, DeviceKind};
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub use input::Input;
#[cfg(feature = "gpu")]
pub use input::{PixelBuffer, PixelTexture};
pub use models::{Form, Model};
pub use options::{Options, Outputs};
pub use preprocess::{Pixels, Preprocess};
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub use profile::Profiled;
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub use session::Session;
pub use tasks::classify::Top;
pub use tensor::{DType, Shape, Tensor};
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub use ticket::Ticket;
pub use weights::{Array, Weights};
/// The wgpu whose devices, textures and buffers this version takes; its major version is a major of ours.
#[cfg(feature = "gpu")]
pub use wgpu;

/// The README's example, compiled by the tests.
#[cfg(all(doctest, feature = "gpu", feature = "image"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
