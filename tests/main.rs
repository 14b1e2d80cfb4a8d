//! One test binary: a module per room of the library and per kernel.

#[cfg(feature = "cpu")]
mod cpu;
mod models;
mod reference;
mod refused;
mod reparam;
