//! The device that GPU tests run on.

use mobileone::Device;

/// A Vulkan device. Without one a test fails where `REQUIRE_GPU=1`, else it says loudly that it was skipped.
pub fn device() -> Option<Device> {
    // Opened anew each time: a device that is never dropped crashes Mesa as the process ends.
    match Device::open("vulkan") {
        Ok(device) => Some(device),
        Err(error) if std::env::var("REQUIRE_GPU").is_ok_and(|value| value == "1") => {
            panic!("REQUIRE_GPU=1, but {error}; install mesa-vulkan-drivers")
        }
        Err(error) => {
            eprintln!("SKIPPED: {error}; install mesa-vulkan-drivers to run the GPU tests");
            None
        }
    }
}
