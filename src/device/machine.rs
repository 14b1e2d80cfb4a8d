//! Whether this is still the machine on which no GPU was found: looking for one takes longer than a small network.

use std::path::{Path, PathBuf};

use crate::files::{sum, write_whole};

/// What the file at `memory` says of `machine`: which of `reasons` there was for taking the CPU. None, where it is of
/// another machine, or of this one with other drivers.
pub fn recall(memory: &Path, machine: u64, reasons: &[&'static str]) -> Option<&'static str> {
    let text = std::fs::read_to_string(memory).ok()?;
    reasons.iter().copied().find(|reason| text == said(machine, reason))
}

/// Keeps it in the file. One that cannot be written is left out: it saves time only.
pub fn keep(memory: &Path, machine: u64, reason: &str) {
    let folder = memory.parent().map_or(Ok(()), std::fs::create_dir_all);
    let _ = folder.and_then(|()| write_whole(memory, said(machine, reason).as_bytes()));
}

fn said(machine: u64, reason: &str) -> String {
    format!("{machine:016x} {} {reason}\n", env!("CARGO_PKG_VERSION"))
}

/// All that a GPU or a driver that comes or goes changes, summed up: the devices, with who may use them; the drivers'
/// manifests; the variables that steer drivers; and the system's start, after which anything may be different. `None`
/// where that is not known: on systems other than Linux, and where the variables name other files.
pub fn shown() -> Option<u64> {
    let named =
        ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES", "__EGL_VENDOR_LIBRARY_FILENAMES"];
    if !cfg!(target_os = "linux") || named.iter().any(|name| std::env::var_os(name).is_some()) {
        return None;
    }
    let mut lines = vec![std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?];
    lines.extend(user());
    lines.extend(["/dev", "/dev/dri"].iter().flat_map(|folder| entries(Path::new(folder))));
    // NVIDIA's devices appear when they are used first, its driver before that.
    lines.push(std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default());
    lines.extend(entries(Path::new("/sys/class/drm")));
    lines.extend(manifests().iter().flat_map(|folder| entries(folder)));
    lines.extend(variables());
    Some(sum(lines.iter().flat_map(|line| line.bytes().chain([b'\n']))))
}

/// Who this process is to the files of devices.
fn user() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let wanted = |line: &&str| ["Uid:", "Gid:", "Groups:"].iter().any(|field| line.starts_with(field));
    status.lines().filter(wanted).map(String::from).collect()
}

/// What lies in `folder`, in order: names, owners and rights, and of files, which are written anew with their driver,
/// what they lead to, how long they are and since when. Consoles, whose owners change as people come and go, are left
/// out.
fn entries(folder: &Path) -> Vec<String> {
    let Ok(all) = std::fs::read_dir(folder) else { return Vec::new() };
    let line = |entry: std::fs::DirEntry| {
        let (name, path) = (entry.file_name().display().to_string(), entry.path());
        let console = ["tty", "vcs", "console"].iter().any(|known| name.starts_with(known));
        if console && folder == Path::new("/dev") {
            return None;
        }
        let data = path.metadata().ok()?;
        #[cfg(unix)]
        let owner = {
            use std::os::unix::fs::MetadataExt;
            (data.mode(), data.uid(), data.gid(), data.rdev())
        };
        #[cfg(not(unix))]
        let owner = ();
        let file = data.is_file().then(|| (path.canonicalize().ok(), data.len(), data.modified().ok()));
        Some(format!("{name} {owner:?} {file:?}"))
    };
    let mut lines: Vec<String> = all.flatten().filter_map(line).collect();
    lines.sort();
    lines
}

/// Folders where drivers of Vulkan and of GL are listed.
fn manifests() -> Vec<PathBuf> {
    let list =
        |name: &str, usual: &str| std::env::var(name).ok().filter(|v| !v.is_empty()).unwrap_or(usual.into());
    let home = list("HOME", "/");
    let bases = [
        list("XDG_DATA_DIRS", "/usr/local/share:/usr/share"),
        list("XDG_CONFIG_DIRS", "/etc/xdg"),
        list("XDG_DATA_HOME", &format!("{home}/.local/share")),
        list("XDG_CONFIG_HOME", &format!("{home}/.config")),
        "/etc:/usr/local/etc:/usr/local/share:/usr/share:/run/opengl-driver/share".into(),
    ];
    let bases = bases.iter().flat_map(|list| list.split(':')).filter(|base| !base.is_empty());
    bases
        .flat_map(|base| ["vulkan/icd.d", "glvnd/egl_vendor.d"].map(|end| Path::new(base).join(end)))
        .collect()
}

/// The variables that drivers and their loaders read.
fn variables() -> Vec<String> {
    let known =
        ["VK_", "WGPU_", "MESA_", "LIBGL_", "GALLIUM_", "EGL_", "__EGL_", "__GLX_", "__NV_", "DRI_", "LD_"];
    let ours = |name: &str| {
        known.iter().any(|start| name.starts_with(start)) || ["DISPLAY", "WAYLAND_DISPLAY"].contains(&name)
    };
    let all = std::env::vars_os().map(|(name, value)| (name.display().to_string(), value));
    let mut lines: Vec<String> = all
        .filter(|(name, _)| ours(name))
        .map(|(name, value)| format!("{name}={}", value.display()))
        .collect();
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_recalled_of_one_machine() {
        let folder = std::env::temp_dir().join(format!("mobileone-machine-{}", std::process::id()));
        let memory = folder.join("deep").join("no-gpu");
        let reasons = ["nothing", "only software"];
        assert_eq!(recall(&memory, 1, &reasons), None, "no file, no word");
        keep(&memory, 1, reasons[1]);
        assert_eq!(recall(&memory, 1, &reasons), Some(reasons[1]));
        assert_eq!(recall(&memory, 2, &reasons), None, "another machine");
        assert_eq!(recall(&memory, 1, &reasons[..1]), None, "no reason of ours");
        keep(&memory, 2, reasons[0]);
        assert_eq!((recall(&memory, 2, &reasons), recall(&memory, 1, &reasons)), (Some(reasons[0]), None));
        std::fs::write(&memory, "0000000000000002").unwrap();
        assert_eq!(recall(&memory, 2, &reasons), None, "damaged");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// A driver that is installed, replaced or removed shows; so does who may use a device.
    #[test]
    #[cfg(target_os = "linux")]
    fn entries_tell_what_changed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("mobileone-entries-{}", std::process::id()));
        assert_eq!(entries(&folder), [""; 0]);
        std::fs::create_dir_all(&folder).unwrap();
        let mut seen = vec![entries(&folder)];
        let path = folder.join("icd.json");
        std::fs::write(&path, "{}").unwrap();
        seen.push(entries(&folder));
        std::fs::write(&path, "{ }").unwrap();
        seen.push(entries(&folder));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        seen.push(entries(&folder));
        std::fs::rename(&path, folder.join("other.json")).unwrap();
        seen.push(entries(&folder));
        for (at, one) in seen.iter().enumerate() {
            assert!(!seen[..at].contains(one), "{seen:?}");
        }
        assert_eq!(entries(&folder), seen[4], "what is the same is the same");
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(shown(), shown());
    }
}
