//! Python's door: `mobileone.Model(...)(picture)`.
//!
//! Objects of Python become pictures or tensors ([`input`], [`pil`], [`canvas`]), the library's [`mobileone::Session`]
//! runs them with the GIL released ([`model::run`]), and arrays and small objects go back ([`model`]). There is no second
//! engine here.

mod arrow;
mod canvas;
mod errors;
mod input;
mod model;
mod options;
mod pil;

use errors::{Error, refused};
use pyo3::prelude::*;

/// A device of this machine.
#[pyclass(frozen, eq, module = "mobileone")]
#[derive(PartialEq)]
struct Device {
    /// The adapter's name.
    #[pyo3(get)]
    name: String,
    /// vulkan, metal, dx12, gl or cpu.
    #[pyo3(get)]
    backend: &'static str,
    /// What it is: discrete GPU, integrated GPU, virtual GPU, GPU, software GPU, or CPU.
    #[pyo3(get)]
    kind: String,
    /// Driver and version, as the driver says them.
    #[pyo3(get)]
    driver: String,
    /// Features that matter here, such as f16, subgroups, timestamps.
    #[pyo3(get)]
    features: Vec<&'static str>,
    text: String,
}

impl From<&mobileone::DeviceInfo> for Device {
    fn from(info: &mobileone::DeviceInfo) -> Device {
        Device {
            name: info.name.clone(),
            backend: info.backend,
            kind: info.kind.to_string(),
            driver: info.driver.clone(),
            features: info.features.clone(),
            text: info.to_string(),
        }
    }
}

#[pymethods]
impl Device {
    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        format!("<mobileone.Device {}>", self.text)
    }
}

/// devices()
/// --
///
/// Every device of this machine, best first; software GPUs and then the CPU come last.
#[pyfunction]
fn devices(py: Python) -> Vec<Device> {
    py.detach(mobileone::Device::list).iter().map(Device::from).collect()
}

/// The compiled half of the package `mobileone`.
#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::{Device, Error, devices, model::Model, model::Top};

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::errors::add_to(module)?;
        // A method of its own has a text that help() shows; `__call__` by itself would have Python's.
        let model = module.py().get_type::<Model>();
        model.setattr("__call__", model.getattr("classify")?)
    }
}
