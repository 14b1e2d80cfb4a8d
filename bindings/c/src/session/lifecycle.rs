//! Closing, pausing and resuming: what becomes of a session's tickets then.

use std::sync::{PoisonError, atomic::Ordering};

use super::{MobileoneSession, SESSIONS};
use crate::{
    error::{MobileoneStatus, guard},
    ticket,
};

/// Closes a session and its tickets. Calls that other threads are in end as they would have; the device's memory is
/// freed after the last of them.
#[unsafe(no_mangle)]
pub extern "C" fn mobileone_session_close(session: MobileoneSession) -> MobileoneStatus {
    guard(|| {
        if let Some(open) = SESSIONS.remove(session)? {
            open.closed.store(true, Ordering::SeqCst);
            ticket::close_all(&open);
        }
        Ok(())
    })
}

/// Takes no more work, and returns when the GPU has none of this session any more; what was in flight has its answers,
/// which can still be taken. For a phone, whose system ends programs that give the GPU work in the background.
#[unsafe(no_mangle)]
pub extern "C" fn mobileone_session_pause(session: MobileoneSession) -> MobileoneStatus {
    guard(|| {
        let open = SESSIONS.get(session)?;
        open.paused.store(true, Ordering::SeqCst);
        let _alone = open.gate.write().unwrap_or_else(PoisonError::into_inner);
        ticket::settle_all(&open);
        open.settle()
    })
}

/// Takes work again.
#[unsafe(no_mangle)]
pub extern "C" fn mobileone_session_resume(session: MobileoneSession) -> MobileoneStatus {
    guard(|| {
        SESSIONS.get(session)?.paused.store(false, Ordering::SeqCst);
        Ok(())
    })
}
