//! The device that GPU tests run on.

use mobileone::Device;

/// What `MOBILEONE_TEST_DEVICE` names: `vulkan` unless told otherwise.
pub fn wanted() -> String {
    std::env::var("MOBILEONE_TEST_DEVICE").unwrap_or("vulkan".into())
}

/// Fails where `REQUIRE_GPU=1`, else says loudly that something is skipped.
pub fn missing(what: &str) {
    let required = std::env::var("REQUIRE_GPU").is_ok_and(|value| value == "1");
    assert!(!required, "REQUIRE_GPU=1, but {what}; install mesa-vulkan-drivers");
    crate::skipped(format_args!("{what}; install mesa-vulkan-drivers to run the GPU tests"));
}

/// The device that is [`wanted`], or `None` where it is [`missing`].
pub fn device() -> Option<Device> {
    // Opened anew each time: a device that is never dropped crashes Mesa as the process ends.
    Device::open(&wanted()).map_err(|error| missing(&error.to_string())).ok()
}
