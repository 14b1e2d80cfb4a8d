//! What the processor calls itself.

/// The name that an x86 processor gives itself, as it stands there; `None` where it has none.
#[cfg(target_arch = "x86_64")]
#[allow(unused_unsafe)] // newer compilers know that it is safe
pub fn brand() -> Option<String> {
    use std::arch::x86_64::__cpuid;
    const FIRST: u32 = 0x8000_0002;
    const LAST: u32 = 0x8000_0004;
    // SAFETY: every x86-64 processor has the instruction, and the first leaf says which others it has.
    let leaf = |leaf| unsafe { __cpuid(leaf) };
    if leaf(0x8000_0000).eax < LAST {
        return None;
    }
    let words = (FIRST..=LAST).map(leaf).flat_map(|found| [found.eax, found.ebx, found.ecx, found.edx]);
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).take_while(|&byte| byte != 0).collect();
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
