//! One test binary: a module per room of the library and per kernel.
#[cfg(feature = "hub")]
mod hub;
mod labels;
