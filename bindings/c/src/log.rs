//! What the library and wgpu have to say, to a function of the caller's.

use std::{
    ffi::{c_char, c_void},
    sync::{PoisonError, RwLock},
};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::{
    callback,
    error::{Failure, MobileoneStatus, guard},
};

/// Nothing.
pub const MOBILEONE_LOG_OFF: u32 = 0;
/// What failed.
pub const MOBILEONE_LOG_ERROR: u32 = 1;
/// What may be wrong.
pub const MOBILEONE_LOG_WARN: u32 = 2;
/// What was opened, and why.
pub const MOBILEONE_LOG_INFO: u32 = 3;
/// What the GPU library does.
pub const MOBILEONE_LOG_DEBUG: u32 = 4;
/// All of it.
pub const MOBILEONE_LOG_TRACE: u32 = 5;

/// Takes a line of the log, in UTF-8, and its level; the line is gone when it returns. Any thread may call it, several at
/// once. It must not throw, nor wait for a thread that may be in a call. While it runs, every call of the same thread that
/// gives a status gives `MOBILEONE_BUSY`, and lines of this library are dropped.
pub type MobileoneLog = Option<unsafe extern "C" fn(level: u32, line: *const c_char, user: *mut c_void)>;

struct Callback {
    call: unsafe extern "C" fn(u32, *const c_char, *mut c_void),
    user: *mut c_void,
}

// SAFETY: the caller promises that any thread may call it, with the pointer that goes with it.
unsafe impl Send for Callback {}
// SAFETY: as above, several at once.
unsafe impl Sync for Callback {}

static CALLBACK: RwLock<Option<Callback>> = RwLock::new(None);

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record) {
        // A thread that is ending says nothing more.
        if !self.enabled(record.metadata()) || !callback::enter() {
            return;
        }
        if let Some(Callback { call, user }) = &*CALLBACK.read().unwrap_or_else(PoisonError::into_inner) {
            let level = match record.level() {
                Level::Error => MOBILEONE_LOG_ERROR,
                Level::Warn => MOBILEONE_LOG_WARN,
                Level::Info => MOBILEONE_LOG_INFO,
                Level::Debug => MOBILEONE_LOG_DEBUG,
                Level::Trace => MOBILEONE_LOG_TRACE,
            };
            let line = format!("{}: {}\0", record.target(), record.args());
            // SAFETY: the caller's function, with the caller's pointer; the line ends with a 0.
            unsafe { call(level, line.as_ptr().cast(), *user) };
        }
        callback::leave();
    }

    fn flush(&self) {}
}

static LOGGER: Logger = Logger;

/// Sets the function that gets the log's lines of `level` and of the levels below it, with `user`; null or
/// `MOBILEONE_LOG_OFF` ends it. When this returns, no thread is inside an earlier one any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_set_log(
    call: MobileoneLog,
    user: *mut c_void,
    level: u32,
) -> MobileoneStatus {
    guard(|| {
        let filter = match (level, call) {
            (MOBILEONE_LOG_OFF, _) | (..=MOBILEONE_LOG_TRACE, None) => LevelFilter::Off,
            (MOBILEONE_LOG_ERROR, _) => LevelFilter::Error,
            (MOBILEONE_LOG_WARN, _) => LevelFilter::Warn,
            (MOBILEONE_LOG_INFO, _) => LevelFilter::Info,
            (MOBILEONE_LOG_DEBUG, _) => LevelFilter::Debug,
            (MOBILEONE_LOG_TRACE, _) => LevelFilter::Trace,
            _ => return Err(Failure::argument(format!("level {level}: use a MOBILEONE_LOG_ number"))),
        };
        // An error: it is set already.
        let _ = log::set_logger(&LOGGER);
        let wanted = filter != LevelFilter::Off;
        let callback = call.filter(|_| wanted).map(|call| Callback { call, user });
        *CALLBACK.write().unwrap_or_else(PoisonError::into_inner) = callback;
        log::set_max_level(filter);
        Ok(())
    })
}
