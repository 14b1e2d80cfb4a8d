//! What Python sees of the library's errors.

use std::{ffi::CString, io::ErrorKind, path::Path};

use mobileone::Error::{File, Io};
use pyo3::{
    create_exception,
    exceptions::{PyException, PyUserWarning},
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyType},
};

create_exception!(
    mobileone,
    Error,
    PyException,
    "What went wrong, in one line that names the thing and what to do about it."
);

/// Python's classes of what the system says of files, and the numbers of those that have one.
const OF_THE_SYSTEM: [(&str, i32); 4] =
    [("FileNotFoundError", 2), ("PermissionError", 13), ("IsADirectoryError", 21), ("OSError", 5)];

/// The classes of [`OF_THE_SYSTEM`], each of which is an [`Error`] and Python's own of that name.
fn classes(py: Python<'_>) -> PyResult<&[Py<PyType>]> {
    static CLASSES: PyOnceLock<Vec<Py<PyType>>> = PyOnceLock::new();
    let make = |name| {
        let fields = PyDict::new(py);
        fields.set_item("__module__", "mobileone")?;
        fields.set_item("__doc__", format!("A mobileone.Error that is Python's own {name} too."))?;
        let bases = (py.get_type::<Error>(), py.import("builtins")?.getattr(name)?);
        Ok(py.get_type::<PyType>().call1((name, bases, fields))?.cast_into()?.unbind())
    };
    let all = || OF_THE_SYSTEM.into_iter().map(|(name, _)| make(name)).collect::<PyResult<Vec<_>>>();
    Ok(CLASSES.get_or_try_init(py, all)?)
}

/// Puts the classes into the module.
pub fn add_to(module: &Bound<PyModule>) -> PyResult<()> {
    let classes = classes(module.py())?;
    OF_THE_SYSTEM.iter().zip(classes).try_for_each(|((name, _), class)| module.add(*name, class))
}

/// The class for a fault of this kind, its number, the reason and the file as `OSError` takes them. `None` where the system
/// has not been asked.
fn of_the_system(
    py: Python,
    kind: ErrorKind,
    number: Option<i32>,
    reason: &str,
    path: &Path,
) -> Option<PyErr> {
    let at = match kind {
        ErrorKind::NotFound => 0,
        ErrorKind::PermissionDenied => 1,
        ErrorKind::IsADirectory => 2,
        _ => 3,
    };
    let number = if at < 3 { OF_THE_SYSTEM[at].1 } else { number? };
    // Its end repeats the number.
    let reason = reason.split(" (os error ").next().unwrap_or(reason).to_string();
    let class = match classes(py) {
        Ok(classes) => classes[at].bind(py).clone(),
        Err(error) => return Some(error),
    };
    Some(PyErr::from_type(class, (number, reason, path.as_os_str().to_owned())))
}

/// An error of the library, which names `about` first unless it does so itself.
pub fn refused(py: Python, about: Option<&str>, error: &mobileone::Error) -> PyErr {
    let found = match error {
        Io { path, source } => {
            of_the_system(py, source.kind(), source.raw_os_error(), &source.to_string(), path)
        }
        File { path, reason } => match path.try_exists() {
            Ok(true) => None,
            Ok(false) => of_the_system(py, ErrorKind::NotFound, None, reason, path),
            Err(error) => of_the_system(py, error.kind(), error.raw_os_error(), &error.to_string(), path),
        },
        _ => None,
    };
    let line = error.to_string();
    found.unwrap_or_else(|| {
        Error::new_err(match about {
            Some(about) if !line.contains(about) => format!("{about}: {line}"),
            _ => line,
        })
    })
}

/// An error of the library that is about a picture, which a folder is not.
pub fn refused_picture(py: Python, error: &mobileone::Error) -> PyErr {
    let folder = match error {
        File { path, reason } if path.is_dir() => {
            of_the_system(py, ErrorKind::IsADirectory, None, reason, path)
        }
        _ => None,
    };
    folder.unwrap_or_else(|| refused(py, None, error))
}

/// An error of the library's, which now says which picture of a list it is about.
pub fn of_a_list(py: Python, error: PyErr, at: usize) -> PyErr {
    if !error.is_instance_of::<Error>(py) {
        return error;
    }
    let value = error.value(py);
    let part = |name| value.getattr(name).ok();
    match (part("errno"), part("strerror"), part("filename")) {
        (Some(number), Some(reason), Some(file)) => {
            let reason = format!("picture {at} of the list: {reason}");
            PyErr::from_type(value.get_type(), (number.unbind(), reason, file.unbind()))
        }
        _ => Error::new_err(format!("picture {at} of the list: {value}")),
    }
}

/// Hands a line to Python's warnings, where a program may make an error of it.
pub fn warn(py: Python, line: &str) -> PyResult<()> {
    let line = CString::new(line.replace('\0', " ")).expect("no NUL is left");
    PyErr::warn(py, &py.get_type::<PyUserWarning>(), &line, 1)
}
