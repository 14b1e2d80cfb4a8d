//! What the parts of a run cost.

/// What one dispatch, or one node on the CPU, costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Profiled {
    /// Its label in the plan.
    pub label: String,
    /// Multiply-adds of the batch.
    pub macs: u64,
    /// Bytes read and written, each counted once.
    pub bytes: u64,
    /// How long it took, at best.
    pub seconds: f64,
}
