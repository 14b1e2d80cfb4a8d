//! One test binary: a module per room of the library and per kernel.
#[cfg(feature = "hub")]
mod hub;
mod labels;

#[cfg(feature = "gpu")]
mod gpu;
#[cfg(feature = "gpu")]
mod kernels;
#[cfg(feature = "gpu")]
mod shaders;
#[cfg(feature = "cpu")]
mod cpu;
mod models;
mod reference;
