//! What the parts of a run cost.

/// What one dispatch, or one step on the CPU, costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Profiled {
    /// Its label in the plan: `stages.2.7 pointwise 14x14 256->256`.
    pub label: String,
    /// Multiply-adds of the batch.
    pub macs: u64,
    /// Bytes of weights, of maps read and of maps written, each counted once, of the batch.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
}
