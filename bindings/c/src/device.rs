//! Devices: the GPUs of the machine, and the CPU.

use std::{ffi::c_char, mem::offset_of};

use engine::{Device, DeviceKind};

use crate::{
    error::{MobileoneStatus, guard},
    handles::{Kind, Table},
    structs::{Struct, fixed, place, text, write},
};

/// A device, until `mobileone_device_close`. 0 is none.
pub type MobileoneDevice = u64;

/// A GPU with memory of its own.
pub const MOBILEONE_DEVICE_DISCRETE: u32 = 0;
/// A GPU that shares the processor's memory.
pub const MOBILEONE_DEVICE_INTEGRATED: u32 = 1;
/// A GPU inside a virtual machine.
pub const MOBILEONE_DEVICE_VIRTUAL: u32 = 2;
/// Something else that calls itself a GPU.
pub const MOBILEONE_DEVICE_OTHER: u32 = 3;
/// A GPU emulated on the processor; far slower than the CPU.
pub const MOBILEONE_DEVICE_SOFTWARE: u32 = 4;
/// This library's own executor on the processor.
pub const MOBILEONE_DEVICE_CPU: u32 = 5;

pub(crate) static DEVICES: Table<Device> = Table::new(Kind::Device);

/// What a device is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MobileoneDeviceInfo {
    /// `sizeof(MobileoneDeviceInfo)`, set by the caller.
    pub size: u32,
    /// A `MOBILEONE_DEVICE_` number.
    pub kind: u32,
    /// `vulkan`, `metal`, `dx12`, `gl` or `cpu`.
    pub backend: [c_char; 16],
    /// The adapter's name.
    pub name: [c_char; 128],
    /// Driver and version, as the driver says them.
    pub driver: [c_char; 128],
    /// Why this one was taken.
    pub why: [c_char; 256],
}

// SAFETY: repr(C), begins with its size, and numbers only.
unsafe impl Struct for MobileoneDeviceInfo {
    const NAME: &str = "MobileoneDeviceInfo";
    const FIRST: usize = offset_of!(Self, why) + size_of::<[c_char; 256]>();
}

/// Opens the device that `name` describes: `auto` (the best GPU, else the CPU), `cpu`, `gpu`, a backend (`vulkan`,
/// `metal`, `dx12`, `gl`), `software`, or a part of an adapter's name. Sessions share it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_device_open(
    name: *const c_char,
    device: *mut MobileoneDevice,
) -> MobileoneStatus {
    guard(|| {
        // SAFETY: the header's promise of pointers.
        let (device, name) = unsafe { (place(device, "device")?, text(name, "name")?) };
        let opened = Device::open(name)?;
        log::info!("{}: {}", opened.info(), opened.why());
        *device = DEVICES.insert(opened)?;
        Ok(())
    })
}

/// Says what a device is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_device_info(
    device: MobileoneDevice,
    info: *mut MobileoneDeviceInfo,
) -> MobileoneStatus {
    guard(|| {
        let opened = DEVICES.get(device)?;
        let found = opened.info();
        let value = MobileoneDeviceInfo {
            size: 0,
            kind: match found.kind {
                DeviceKind::Discrete => MOBILEONE_DEVICE_DISCRETE,
                DeviceKind::Integrated => MOBILEONE_DEVICE_INTEGRATED,
                DeviceKind::Virtual => MOBILEONE_DEVICE_VIRTUAL,
                DeviceKind::Software => MOBILEONE_DEVICE_SOFTWARE,
                DeviceKind::Cpu => MOBILEONE_DEVICE_CPU,
                // What it says, and kinds that C does not know yet.
                _ => MOBILEONE_DEVICE_OTHER,
            },
            backend: fixed(found.backend),
            name: fixed(&found.name),
            driver: fixed(&found.driver),
            why: fixed(opened.why()),
        };
        // SAFETY: the header's promise of pointers.
        unsafe { write(info, &value) }
    })
}

/// Closes a device. Sessions on it go on.
#[unsafe(no_mangle)]
pub extern "C" fn mobileone_device_close(device: MobileoneDevice) -> MobileoneStatus {
    guard(|| DEVICES.remove(device).map(drop))
}
