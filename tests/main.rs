//! One test binary: a module per room of the library and per kernel.

/// `base` but for some fields: other crates have no literals of what may grow.
macro_rules! limits {
    ($base:expr, $($field:ident: $value:expr),+) => {{
        let mut limits: mobileone::plan::Limits = $base;
        $(limits.$field = $value;)+
        limits
    }};
}

/// Says on a line of its own what a test leaves out and why, past the harness, which swallows what tests that pass
/// print.
#[allow(dead_code)] // where the features leave nothing out
fn skipped(what: impl std::fmt::Display) {
    use std::io::Write;
    let line = format!("\nSKIPPED: {what}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
}

#[cfg(any(feature = "cpu", feature = "gpu"))]
mod bench;
#[cfg(feature = "cpu")]
mod channels;
mod checkpoint;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(any(feature = "cpu", feature = "gpu"))]
mod device;
#[cfg(all(feature = "cpu", feature = "gpu"))]
mod doors;
#[cfg(feature = "gpu")]
mod dxc;
#[cfg(all(feature = "export", feature = "gpu"))]
mod export;
#[cfg(feature = "gpu")]
mod frame;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(all(feature = "cpu", feature = "gpu"))]
mod graphs;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "gpu")]
mod kernels;
mod labels;
#[cfg(feature = "cpu")]
mod microkernels;
mod models;
#[cfg(feature = "image")]
mod picture;
#[cfg(all(feature = "cpu", feature = "gpu"))]
mod pixels;
mod plan;
mod preprocess;
mod reference;
mod refused;
mod reparam;
mod rooms;
#[cfg(all(feature = "cpu", feature = "gpu", feature = "image", feature = "sample"))]
mod sample;
#[cfg(feature = "cpu")]
mod session;
#[cfg(feature = "gpu")]
mod shaders;
#[cfg(feature = "gpu")]
mod tune;
mod ways;
