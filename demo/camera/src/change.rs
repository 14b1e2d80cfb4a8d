//! What a soaked run changes, as the command names it.

/// What a soaked run changes.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Between the built-in model and the same as a file.
    Model,
    /// Between the CPU executor and the window's device.
    Device,
    /// The size of what is drawn to.
    Size,
    /// To the scene, begun anew.
    Source,
    /// Between f16 and f32.
    Half,
}
