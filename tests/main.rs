//! One test binary: a module per room of the library and per kernel.
#[cfg(feature = "image")]
mod picture;
mod preprocess;
