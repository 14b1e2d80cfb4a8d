//! Python's door: `mobileone.Model(...)(picture)`.
//!
//! Objects of Python become pictures or tensors ([`input`]), the library's [`mobileone::Session`] runs them with the
//! GIL released ([`model`]), and arrays and small objects go back. There is no second engine here.

mod input;
mod model;

use pyo3::{create_exception, exceptions::PyException, prelude::*};

create_exception!(
    mobileone,
    Error,
    PyException,
    "What went wrong, in one line that names the thing and what to do about it."
);

/// An error of the library as Python sees it, which names `about` first unless it does so itself.
fn refused(about: Option<&str>, error: &mobileone::Error) -> PyErr {
    let line = error.to_string();
    Error::new_err(match about {
        Some(about) if !line.contains(about) => format!("{about}: {line}"),
        _ => line,
    })
}

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
    #[pymodule_export]
    use super::{Device, Error, devices, model::Model, model::Top};

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
