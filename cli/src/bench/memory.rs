//! The most memory that the process has in use, as Linux counts it.

/// A count from its beginning on.
pub struct Peak {
    /// Bytes that were resident then; `None` where that is not counted.
    before: Option<u64>,
}

impl Peak {
    /// Begins to count anew.
    pub fn begin() -> Peak {
        let counts = cfg!(target_os = "linux") && std::fs::write("/proc/self/clear_refs", "5").is_ok();
        Peak { before: bytes("VmRSS:").filter(|_| counts) }
    }

    /// The most bytes that were resident at once, and how much more that is than at the beginning; `None` on systems
    /// other than Linux.
    pub fn bytes(&self) -> Option<(u64, u64)> {
        let (before, peak) = (self.before?, bytes("VmHWM:")?);
        Some((peak, peak.saturating_sub(before)))
    }
}

fn bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
