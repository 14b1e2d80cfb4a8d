//! Statuses, the message of a thread's last failure, and the wall that no panic passes.

use std::{
    any::Any,
    borrow::Cow,
    cell::RefCell,
    ffi::c_char,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering},
};

/// What became of a call: one of the `MOBILEONE_` statuses. `mobileone_last_error` says more.
pub type MobileoneStatus = i32;

/// It is done.
pub const MOBILEONE_OK: MobileoneStatus = 0;
/// The answer has not come yet: poll again. This is no failure, and leaves no message.
pub const MOBILEONE_NOT_READY: MobileoneStatus = 1;
/// All frames are in flight, or the ticket is in use by another thread: take an answer first. Or it was called by the
/// log's function.
pub const MOBILEONE_BUSY: MobileoneStatus = 2;
/// The session is paused.
pub const MOBILEONE_PAUSED: MobileoneStatus = 3;
/// The handle was closed, was never given out, or is of another kind.
pub const MOBILEONE_INVALID_HANDLE: MobileoneStatus = 4;
/// A pointer is null, the `size` of a struct is wrong, or a number has no meaning here.
pub const MOBILEONE_INVALID_ARGUMENT: MobileoneStatus = 5;
/// A buffer of the caller's is too small; how much it takes was written to the count beside it.
pub const MOBILEONE_BUFFER_TOO_SMALL: MobileoneStatus = 6;
/// A file cannot be read, or is not what it says.
pub const MOBILEONE_FILE: MobileoneStatus = 7;
/// The file holds no network that runs here.
pub const MOBILEONE_MODEL: MobileoneStatus = 8;
/// A picture or tensor contradicts itself or does not fit the session.
pub const MOBILEONE_INPUT: MobileoneStatus = 9;
/// An option that is not possible on this device.
pub const MOBILEONE_OPTION: MobileoneStatus = 10;
/// There is no such device.
pub const MOBILEONE_NO_DEVICE: MobileoneStatus = 11;
/// The device failed, was lost, or gave an answer that cannot be one: open it anew.
pub const MOBILEONE_DEVICE_FAILURE: MobileoneStatus = 12;
/// A fault of this library.
pub const MOBILEONE_INTERNAL: MobileoneStatus = 13;
/// The process was forked off one that had called before, whose threads and GPU it does not have: make the first call
/// in the process that uses the library.
pub const MOBILEONE_FORKED: MobileoneStatus = 14;

/// Why a call ends with another status than `MOBILEONE_OK`.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: MobileoneStatus,
    message: Cow<'static, str>,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(status: MobileoneStatus, message: impl Into<Cow<'static, str>>) -> Failure {
        Failure { status, message: message.into() }
    }

    pub(crate) fn argument(message: impl Into<Cow<'static, str>>) -> Failure {
        Failure::new(MOBILEONE_INVALID_ARGUMENT, message)
    }
}

/// Nothing is wrong, but nothing has come.
pub(crate) const NOT_READY: Failure =
    Failure { status: MOBILEONE_NOT_READY, message: Cow::Borrowed("the answer has not come yet") };

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Failure {
        use engine::Error::*;
        let status = match &error {
            Io { .. } | File { .. } | Weights { .. } => MOBILEONE_FILE,
            Input(_) => MOBILEONE_INPUT,
            Metadata { place: "reading", .. } | Option(_) => MOBILEONE_OPTION,
            Tensor { .. } | Metadata { .. } | Model(_) => MOBILEONE_MODEL,
            Device { .. } => MOBILEONE_NO_DEVICE,
            DeviceFailure { .. } => MOBILEONE_DEVICE_FAILURE,
            // Without a text of its own: it is asked for at every frame of a hot loop.
            Busy => return Failure::new(MOBILEONE_BUSY, "all frames are in flight: take an answer first"),
            _ => MOBILEONE_INTERNAL,
        };
        let line = match &error {
            Weights { .. } => format!("{error} (MobileoneReading.weights)"),
            Metadata { place: "reading", field, reason } => format!("MobileoneReading.{field}: {reason}"),
            _ => error.to_string(),
        };
        Failure::new(status, line)
    }
}

thread_local! {
    /// The message, ended by a 0; empty before the first failure.
    static LAST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Whether this is another process than the one that called first: its locks may be held for ever by threads that it
/// does not have.
fn forked() -> bool {
    static FIRST: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id();
    FIRST
        .compare_exchange(0, process, Ordering::Relaxed, Ordering::Relaxed)
        .is_err_and(|first| first != process)
}

/// Does `work` and gives its status; keeps the message of a failure for the calling thread. A panic is one, and so is
/// being called by the log's function, or in a process that was forked off.
pub(crate) fn guard(work: impl FnOnce() -> Result<()>) -> MobileoneStatus {
    let work = || match crate::callback::inside() {
        _ if forked() => Err(Failure::new(
            MOBILEONE_FORKED,
            "this process was forked off one that had called already: make the first call here, or start it anew",
        )),
        true => Err(Failure::new(MOBILEONE_BUSY, "called by the log's function: call when it has returned")),
        false => work(),
    };
    let failure = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return MOBILEONE_OK,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::new(MOBILEONE_INTERNAL, format!("a fault of this library: {}", said(&*panic))),
    };
    if failure.status != MOBILEONE_NOT_READY {
        keep(&failure.message);
    }
    failure.status
}

fn said(panic: &dyn Any) -> &str {
    match panic.downcast_ref::<String>() {
        Some(text) => text,
        None => panic.downcast_ref::<&str>().copied().unwrap_or("a panic"),
    }
}

/// A thread that is ending has no place for it any more.
fn keep(message: &str) {
    let _ = LAST.try_with(|last| {
        let mut last = last.borrow_mut();
        last.clear();
        last.extend(message.bytes().map(|byte| if byte == 0 { b' ' } else { byte }));
        last.push(0);
    });
}

/// What went wrong in the last call of this thread that failed, in one line of UTF-8; empty where none did.
/// It stays as it is until the next call of this thread that fails.
#[unsafe(no_mangle)]
pub extern "C" fn mobileone_last_error() -> *const c_char {
    LAST.try_with(|last| match last.borrow().as_slice() {
        [] => c"".as_ptr(),
        text => text.as_ptr().cast(),
    })
    .unwrap_or(c"".as_ptr())
}
