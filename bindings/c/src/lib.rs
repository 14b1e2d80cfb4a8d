//! The C ABI of mobileone: numbers for handles, statuses for errors, structs that grow, buffers of the caller's.
//!
//! `include/mobileone.h` is what cbindgen makes of these files, and the tests hold it to that; its head says the rules
//! of pointers, threads and versions.
//!
//! # Invariants
//! - A handle is looked up in a table; none is a pointer.
//! - No panic passes [`error::guard`], through which every function that can fail goes.
//! - Nothing of the caller's is kept but the log's function; nothing of ours is the caller's to free.
//! - Nothing is allocated per frame but what the Rust library allocates itself.

mod answer;
mod callback;
mod device;
mod error;
mod gives;
mod handles;
mod input;
mod log;
#[cfg(target_vendor = "apple")]
mod metal;
mod model;
mod options;
mod outputs;
mod reading;
mod session;
mod structs;
#[cfg(test)]
mod tests;
mod ticket;

use std::ffi::c_char;

/// The version of this ABI: it grows when something is added. What is there stays as it is.
pub const MOBILEONE_ABI_VERSION: u32 = 4;

/// The `MOBILEONE_ABI_VERSION` that the library was made with: at least that of the header, or it lacks something.
#[unsafe(no_mangle)]
pub extern "C" fn mobileone_abi_version() -> u32 {
    MOBILEONE_ABI_VERSION
}

/// The library's version, such as `0.1.0`.
#[unsafe(no_mangle)]
pub extern "C" fn mobileone_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}
