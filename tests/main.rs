//! One test binary: a module per room of the library and per kernel.
#[cfg(feature = "hub")]
mod hub;
mod labels;

#[cfg(feature = "cpu")]
mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(feature = "gpu")]
mod kernels;
mod models;
#[cfg(feature = "image")]
mod picture;
mod preprocess;
mod reference;
#[cfg(feature = "gpu")]
mod shaders;
