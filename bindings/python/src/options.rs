//! What a model and a call are asked for, from Python's objects.

use std::{num::NonZero, path::PathBuf};

use mobileone::{
    checkpoint::{Note, Reading, Setting, Strides, Which},
    labels::Labels,
};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyBytes, PyDict, PyFrozenSet, PySet},
};

use crate::Error;

/// A number from 1 to `most`, which Python has without bounds.
pub fn count(name: &str, count: i64, most: i64) -> PyResult<NonZero<usize>> {
    let found = usize::try_from(count).ok().and_then(NonZero::new).filter(|_| count <= most);
    found.ok_or_else(|| match most {
        i64::MAX => Error::new_err(format!("{name} {count}: expected a number from 1")),
        _ => Error::new_err(format!("{name} {count}: expected a number from 1 to {most}")),
    })
}

/// A height and a width, or one number for both.
pub fn sides(size: &Bound<PyAny>) -> PyResult<(usize, usize)> {
    let both = size.extract().or_else(|_| size.extract().map(|side: usize| (side, side)));
    both.map_err(|_| Error::new_err(format!("size {size}: expected (height, width), or one number for both")))
}

/// What becomes of a picture that cannot be read.
#[derive(Clone, Copy, PartialEq)]
pub enum Errors {
    /// It ends the call.
    Raise,
    /// Its error takes the place of its answer.
    Return,
}

impl Errors {
    /// The one of this name.
    pub fn named(name: &str) -> PyResult<Errors> {
        match name {
            "raise" => Ok(Errors::Raise),
            "return" => Ok(Errors::Return),
            _ => Err(Error::new_err(format!("errors \"{name}\": expected raise or return"))),
        }
    }
}

/// The names of the classes, where they are not to be the model's own.
pub enum Names {
    /// Those that a file lists.
    File(PathBuf),
    /// These, in order.
    List(Vec<String>),
    /// These, each with its number.
    Numbered(Vec<(usize, String)>),
}

impl Names {
    /// A path, a sequence of names, or a dict from numbers to names or from names to numbers.
    pub fn of(object: &Bound<PyAny>) -> PyResult<Names> {
        if let Ok(path) = object.extract() {
            return Ok(Names::File(path));
        }
        let unordered = object.is_instance_of::<PySet>() || object.is_instance_of::<PyFrozenSet>();
        let expected = || {
            let found = object.get_type().qualname()?;
            Err(PyTypeError::new_err(format!(
                "labels are a path, a list of names, or a dict of numbers and names, not {found}"
            )))
        };
        if unordered || object.is_instance_of::<PyBytes>() {
            return expected();
        }
        if let Ok(dict) = object.cast::<PyDict>() {
            return numbered(dict);
        }
        let Ok(items) = object.try_iter() else { return expected() };
        let names = items.enumerate().map(|(at, item)| name(&item?, at)).collect::<PyResult<_>>()?;
        Ok(Names::List(names))
    }

    /// The labels of a model of `classes` classes that may have names of its own.
    pub fn choose(this: Option<Names>, own: Option<&[String]>, classes: usize) -> mobileone::Result<Labels> {
        match this {
            None => Labels::choose(None, own, classes),
            Some(Names::File(path)) => Labels::choose(Some(&path), own, classes),
            Some(Names::List(names)) if names.len() == classes => Labels::choose(None, Some(&names), classes),
            Some(Names::List(names)) => Err(mobileone::Error::Option(format!(
                "labels: {} names for a model of {classes} classes",
                names.len()
            ))),
            Some(Names::Numbered(names)) => Labels::numbered(names, classes),
        }
    }
}

/// The name of class `at`.
fn name(object: &Bound<PyAny>, at: usize) -> PyResult<String> {
    object.extract().or_else(|_| {
        let found = object.get_type().qualname()?;
        Err(PyTypeError::new_err(format!("labels: the name of class {at} is of type {found}, not str")))
    })
}

/// `{0: "cat"}`, with numbers that JSON may have made texts of; or `{"cat": 0}`.
fn numbered(dict: &Bound<PyDict>) -> PyResult<Names> {
    let pair = |(key, value): (Bound<PyAny>, Bound<PyAny>)| {
        if let (Ok(name), Ok(at)) = (key.extract::<String>(), value.extract::<usize>()) {
            return Ok((at, name));
        }
        let text = || key.extract::<String>().ok()?.trim().parse().ok();
        match key.extract::<usize>().ok().or_else(text) {
            Some(at) => Ok((at, name(&value, at)?)),
            None => Err(Error::new_err(format!("labels: {} is not the number of a class", key.repr()?))),
        }
    };
    Ok(Names::Numbered(dict.iter().map(pair).collect::<PyResult<_>>()?))
}

/// How a file of weights is to be read, as Python's `weights`, `strides` and `bn_eps` say.
pub fn reading(
    weights: Option<&str>,
    strides: Option<Bound<PyAny>>,
    bn_eps: Option<f64>,
) -> PyResult<Reading> {
    let Ok(weights) = weights.map_or(Ok(Which::default()), str::parse);
    let strides = strides.map(|strides| each_stride(&strides)).transpose()?;
    Ok(Reading { weights, strides, bn_eps })
}

/// The argument of Python's that decides a setting.
fn argument(setting: Setting) -> Option<&'static str> {
    match setting {
        Setting::Weights => Some("weights"),
        Setting::Strides => Some("strides"),
        Setting::Epsilon => Some("bn_eps"),
        _ => None,
    }
}

/// A note with the argument that decides otherwise.
pub fn with_argument(note: &Note) -> String {
    match note.setting.and_then(argument) {
        Some(name) => format!("{note} ({name}=)"),
        None => note.to_string(),
    }
}

/// The stride of the stem, and of each stage.
fn each_stride(object: &Bound<PyAny>) -> PyResult<Strides> {
    let all: Option<Vec<usize>> = object.extract().ok();
    match all.as_deref() {
        Some([stem, stages @ ..]) if !stages.is_empty() => {
            Ok(Strides { stem: *stem, stages: stages.to_vec() })
        }
        _ => Err(Error::new_err(format!(
            "strides {}: expected 1 or 2 for the stem and for each stage, such as (1, 2, 2, 2, 2)",
            object.repr()?
        ))),
    }
}
