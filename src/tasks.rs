//! What networks are for: a task appends to a graph what makes answers of its outputs, and reads them.

pub mod classify;
