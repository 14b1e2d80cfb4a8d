//! Direct3D's own compiler as a judge of HLSL: the command that `DXC` names, else `dxc`.

use std::{fs, path::PathBuf, process::Command, sync::Mutex, thread};

/// A text that must compile.
pub struct Text {
    pub name: String,
    pub hlsl: String,
    pub entry_point: String,
    /// Such as `cs_6_2`; those from there on have 16-bit scalars.
    pub profile: &'static str,
    /// Which HLSL it is.
    pub year: &'static str,
}

/// Compiles each of `texts` to DXIL, which the compiler also validates. Says loudly when there is no compiler.
///
/// # Panics
/// With all that it says when it refuses a text; when `DXC` names what cannot be run.
pub fn check(texts: &[Text]) {
    let named = std::env::var_os("DXC");
    let dxc = &named.clone().unwrap_or("dxc".into());
    if let Err(error) = Command::new(dxc).arg("-help").output() {
        assert!(named.is_none(), "DXC={}: {error}", dxc.display());
        let what = format_args!("{} texts for Direct3D; install dxc, or let DXC name it", texts.len());
        return crate::skipped(what);
    }
    let refused = &Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for share in texts.chunks(texts.len().div_ceil(threads).max(1)) {
            scope.spawn(move || {
                let said = share.iter().filter_map(|text| compile(dxc, text).err());
                refused.lock().unwrap().extend(said.collect::<Vec<_>>());
            });
        }
    });
    let refused = refused.lock().unwrap();
    assert!(refused.is_empty(), "{} of {} refused:\n{}", refused.len(), texts.len(), refused.join("\n"));
    eprintln!("{} texts compiled by {}", texts.len(), dxc.display());
}

/// What is said of `text` when it is refused.
fn compile(dxc: &std::ffi::OsStr, text: &Text) -> Result<(), String> {
    let thread = format!("{:?}", thread::current().id());
    let file = |ending| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("dxc-{thread}.{ending}"));
    let (hlsl, dxil) = (file("hlsl"), file("dxil"));
    let _ = fs::remove_file(&dxil);
    fs::write(&hlsl, &text.hlsl).unwrap();
    let mut command = Command::new(dxc);
    command.args(["-E", &text.entry_point, "-T", text.profile, "-HV", text.year, "-Ges"]);
    if text.profile >= "cs_6_2" {
        command.arg("-enable-16bit-types");
    }
    let run = command.arg("-Fo").arg(&dxil).arg(&hlsl).output().unwrap();
    // A compiler that writes nothing has compiled nothing.
    match run.status.success() && fs::read(&dxil).is_ok_and(|bytes| bytes.starts_with(b"DXBC")) {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&run.stderr);
            Err(format!("{} for {} of {}, {}: {said}", text.name, text.profile, text.year, run.status))
        }
    }
}
