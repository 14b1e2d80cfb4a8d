//! The `mobileone` command.

mod cli;

fn main() -> std::process::ExitCode {
    #[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
    runtime_folder();
    cli::main()
}

/// Names a runtime folder where the user has none: drivers look for a display in it, and the library that they do that
/// with complains on standard error of its absence. Nothing can lie in the one named, by anybody: it is no folder.
#[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
#[allow(unsafe_code)]
fn runtime_folder() {
    let absolute = |value: std::ffi::OsString| std::path::Path::new(&value).is_absolute();
    if !std::env::var_os("XDG_RUNTIME_DIR").is_some_and(absolute) {
        // SAFETY: no other thread runs yet that could read the environment meanwhile.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", "/dev/null") };
    }
}
