//! One test binary: a module per room of the library and per kernel.

#[cfg(feature = "cpu")]
mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(feature = "gpu")]
mod kernels;
mod models;
mod reference;
mod session;
#[cfg(feature = "gpu")]
mod shaders;
mod reparam;
mod checkpoint;
