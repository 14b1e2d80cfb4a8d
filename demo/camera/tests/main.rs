//! The demo's tests: conversions against their twin, the program without a window, and the window itself.

mod answers;
mod convert;
mod desk;
mod drops;
mod live;
mod loads;
mod run;
mod window;

use std::{
    process::{Command, Output},
    time::Duration,
};

/// How long anything may take, on a slow machine that draws in software and has other things to do: past it a test fails.
const PATIENCE: Duration = Duration::from_secs(180);

/// The program, with arguments.
fn camera(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camera"));
    // What was tuned on this machine has no say.
    command.env("MOBILEONE_CACHE", std::env::temp_dir().join("camera-test-no-cache"));
    command.args(args).env("XDG_RUNTIME_DIR", std::env::temp_dir());
    command
}

/// What it says when it succeeds.
fn says(args: &[&str]) -> (String, String) {
    let Output { status, stdout, stderr } = camera(args).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    let (stdout, stderr) = (text(stdout), text(stderr));
    assert!(status.success(), "{args:?}: {status}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

/// A folder of a test's own, empty.
fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("camera-test-{}-{name}", std::process::id()));
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    folder
}

/// Says on a line of its own what a test leaves out and why, past the harness, which swallows what tests that pass
/// print.
fn skipped(what: impl std::fmt::Display) {
    use std::io::Write;
    let line = format!("\nSKIPPED: {what}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
}

/// A device, or a loud skip where there is none.
fn gpu() -> Option<camera::gpu::Gpu> {
    let opened =
        camera::gpu::Gpu::open(&camera::gpu::instance(None), None, "auto", std::sync::Arc::new(|| {}));
    if let Err(reason) = &opened {
        assert!(std::env::var_os("REQUIRE_ALL").is_none(), "{reason}");
        skipped(format_args!("{reason}; install mesa-vulkan-drivers"));
    }
    opened.ok()
}

/// Whether `program` can be started; where it cannot, a test that needs it says so and stops, or fails where
/// everything has to be there (`REQUIRE_ALL=1`).
fn has(program: &str, package: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if !found {
        assert!(std::env::var_os("REQUIRE_ALL").is_none(), "{program} is missing: install {package}");
        skipped(format_args!("{program} is missing; install {package}"));
    }
    found
}
