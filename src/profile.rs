//! What the parts of a frame cost, measured.

/// One step of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Profiled {
    /// What ran: `stages.2.7 pointwise 14x14 256->256`.
    pub label: String,
    /// Multiply-adds, of the whole batch.
    pub macs: u64,
    /// Bytes of weights, of maps read and of maps written, each counted once, of the whole batch.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
}
