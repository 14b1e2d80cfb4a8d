//! One test binary: a module per room of the library and per kernel.
mod labels;
