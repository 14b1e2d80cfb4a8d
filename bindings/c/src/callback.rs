//! Which threads are inside the log's function of the caller's.

use std::cell::Cell;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is inside it: then it may hold any lock of ours or of wgpu's.
pub(crate) fn inside() -> bool {
    INSIDE.try_with(Cell::get).unwrap_or(false)
}

/// Enters it, unless the calling thread is inside already, or is ending.
pub(crate) fn enter() -> bool {
    INSIDE.try_with(|inside| !inside.replace(true)).unwrap_or(false)
}

/// Leaves it.
pub(crate) fn leave() {
    INSIDE.set(false);
}
