//! What a model and a call are asked for, from Python's objects.

use std::{collections::BTreeMap, num::NonZero, path::PathBuf};

use mobileone::labels::Labels;
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
}

impl Names {
    /// A path, a sequence of names, or a dict of names by the class's number.
    pub fn of(object: &Bound<PyAny>) -> PyResult<Names> {
        if let Ok(path) = object.extract() {
            return Ok(Names::File(path));
        }
        let unordered = object.is_instance_of::<PySet>() || object.is_instance_of::<PyFrozenSet>();
        let expected = || {
            let found = object.get_type().qualname()?;
            Err(PyTypeError::new_err(format!(
                "labels are a path, a list of names, or a dict of names by number, not {found}"
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

    /// The labels of a model that has so many classes, and maybe names of its own.
    pub fn choose(this: Option<Names>, own: Option<&[String]>, classes: usize) -> mobileone::Result<Labels> {
        match this {
            None => Labels::choose(None, own, classes),
            Some(Names::File(path)) => Labels::choose(Some(&path), own, classes),
            Some(Names::List(names)) if names.len() == classes => Labels::choose(None, Some(&names), classes),
            Some(Names::List(names)) => Err(mobileone::Error::Option(format!(
                "labels: {} names for a model of {classes} classes",
                names.len()
            ))),
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

/// Names by their numbers, which JSON makes texts of.
fn numbered(dict: &Bound<PyDict>) -> PyResult<Names> {
    let mut names = BTreeMap::new();
    for (key, value) in dict {
        let text = || key.extract::<String>().ok()?.parse().ok();
        let Some(at) = key.extract::<usize>().ok().or_else(text) else {
            return Err(Error::new_err(format!("labels: {} is no number of a class", key.repr()?)));
        };
        if names.insert(at, name(&value, at)?).is_some() {
            return Err(Error::new_err(format!("labels: class {at} has two names")));
        }
    }
    match names.keys().enumerate().find(|&(at, &key)| at != key) {
        Some((missing, _)) => Err(Error::new_err(format!("labels: no name for class {missing}"))),
        None => Ok(Names::List(names.into_values().collect())),
    }
}
