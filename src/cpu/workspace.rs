//! What every step runs on, and with.

use super::{Scratch, microkernels::Isa, team::Team};

/// What a step runs on, and with.
pub struct Workspace<'a> {
    pub isa: Isa,
    pub team: &'a Team<'a>,
    pub scratch: &'a Scratch,
    pub batch: usize,
}
