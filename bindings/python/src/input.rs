//! Python's objects to pictures and tensors. Values are copied while the GIL is held, so that nobody changes them
//! while the device reads them.

use std::{
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use mobileone::{
    Shape,
    picture::{self, Picture},
};
use numpy::{PyArrayDyn, PyReadonlyArrayDyn, PyUntypedArray, prelude::*};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyByteArray, PyBytes, PyList, PyMemoryView, PyTuple},
};

use crate::{
    Error,
    canvas::{Canvas, pixels},
    pil,
};

/// What a call was given.
pub struct Given<'py> {
    /// The pictures or values.
    pub what: What<'py>,
    /// Whether it was one picture by itself, and not a list or a batch.
    pub alone: bool,
}

/// Pictures, or values that are normalized already.
pub enum What<'py> {
    /// Paths, files and their bytes, images of PIL, arrays `[h, w, 3]` or `[h, w, 4]` of uint8.
    Pictures(Vec<Bound<'py, PyAny>>),
    /// `[n, h, w, c]`, aligned, C-contiguous.
    Values(PyReadonlyArrayDyn<'py, f32>),
}

/// Sorts `object`; `one` is the network's input, as values have it.
pub fn sort<'py>(object: &Bound<'py, PyAny>, one: Shape, values: bool) -> PyResult<Given<'py>> {
    let pictures = |list: Vec<Bound<'py, PyAny>>, alone| {
        if list.is_empty() {
            return Err(Error::new_err("input: nothing was given: at least one picture is needed"));
        }
        Ok(Given { what: What::Pictures(list), alone })
    };
    if let Ok(list) = object.cast::<PyList>() {
        return pictures(list.iter().collect(), false);
    }
    if let Ok(tuple) = object.cast::<PyTuple>() {
        return pictures(tuple.iter().collect(), false);
    }
    let Ok(array) = object.cast::<PyUntypedArray>() else {
        return pictures(vec![object.clone()], true);
    };
    let shape = array.shape();
    if object.cast::<PyArrayDyn<u8>>().is_ok() {
        return match shape.len() {
            4 => pictures(object.try_iter()?.collect::<PyResult<_>>()?, false),
            _ => pictures(vec![object.clone()], true),
        };
    }
    let Ok(floats) = object.cast::<PyArrayDyn<f32>>() else {
        return Err(wrong_type(array, values));
    };
    if !values {
        return Err(Error::new_err(
            "input: an array of float32, which logits() and features() take; a picture is an array of uint8",
        ));
    }
    let Shape { h, w, c, .. } = one;
    let alone = match *shape {
        [n, ref picture @ ..] if n > 0 && *picture == [h, w, c] => false,
        ref picture if *picture == [h, w, c] => true,
        _ => {
            let hint = match *shape {
                [_, channels, _, _] if channels == c => "; x.transpose(0, 2, 3, 1) makes NHWC of NCHW",
                [channels, _, _] if channels == c => "; x.transpose(1, 2, 0) makes HWC of CHW",
                _ => "",
            };
            return Err(Error::new_err(format!(
                "input: expected [n, {h}, {w}, {c}] with n at least 1, or [{h}, {w}, {c}], found {shape:?}{hint}"
            )));
        }
    };
    Ok(Given { what: What::Values(dense(floats)?.readonly()), alone })
}

fn wrong_type(array: &Bound<PyUntypedArray>, values: bool) -> PyErr {
    let found = array.dtype();
    let expected = if values { "uint8 (pictures) or float32 (normalized values)" } else { "uint8" };
    Error::new_err(format!("input: an array of {found}: expected {expected}"))
}

/// `array`, or a copy of it where its elements do not lie side by side, or not where their type wants them.
fn dense<'py>(array: &Bound<'py, PyArrayDyn<f32>>) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    if array.is_c_contiguous() && array.readonly().as_slice().is_ok() {
        return Ok(array.clone());
    }
    Ok(array.call_method1("copy", ("C",))?.cast_into()?)
}

/// A picture that is still in its file.
pub enum Encoded<'py> {
    At(PathBuf),
    Bytes(Bound<'py, PyBytes>),
}

impl Encoded<'_> {
    /// What can be read without the GIL.
    pub fn file(&self) -> File<'_> {
        match self {
            Encoded::At(path) => File::At(path),
            Encoded::Bytes(bytes) => File::Bytes(bytes.as_bytes()),
        }
    }
}

/// As [`Encoded`], borrowed.
pub enum File<'a> {
    At(&'a Path),
    Bytes(&'a [u8]),
}

impl File<'_> {
    /// Decodes it. A decoder that panics costs its picture, not the program.
    pub fn read(&self) -> mobileone::Result<Picture> {
        const BROKE: &str = "the decoder broke on it: the file is damaged";
        match *self {
            File::At(path) => catch_unwind(|| picture::open(path))
                .unwrap_or_else(|_| Err(mobileone::Error::File { path: path.into(), reason: BROKE.into() })),
            File::Bytes(bytes) => catch_unwind(|| picture::decode(bytes))
                .unwrap_or_else(|_| Err(mobileone::Error::Input(format!("picture: {BROKE}")))),
        }
    }
}

/// Draws the picture that `object` is, or gives its file, to be read without the GIL. With `exif`, an image of PIL is
/// turned upright as files are.
pub fn take<'py>(
    object: &Bound<'py, PyAny>,
    exif: bool,
    canvas: &mut Canvas,
) -> PyResult<Option<Encoded<'py>>> {
    if let Ok(text) = object.extract::<String>()
        && is_address(&text)
    {
        return Err(PyValueError::new_err(format!(
            "{text}: pictures are not fetched: give their bytes, such as urllib.request.urlopen(url).read()"
        )));
    }
    if let Ok(path) = object.extract() {
        return Ok(Some(Encoded::At(path)));
    }
    if let Ok(array) = object.cast::<PyArrayDyn<u8>>() {
        return pixels(array, None, canvas).map(|()| None);
    }
    if let Ok(array) = object.cast::<PyUntypedArray>() {
        return Err(wrong_type(array, false));
    }
    if let Some(bytes) = bytes(object)? {
        return Ok(Some(Encoded::Bytes(bytes)));
    }
    match object.getattr("mode") {
        Ok(mode) if object.hasattr("convert")? => {
            return pil::draw(object, &mode.extract::<String>()?, exif, canvas).map(|()| None);
        }
        _ => {}
    }
    if object.hasattr("read")? {
        return Ok(Some(Encoded::Bytes(content(object)?)));
    }
    // A response of requests.
    if let Ok(content) = object.getattr("content")
        && let Some(bytes) = bytes(&content)?
    {
        return Ok(Some(Encoded::Bytes(bytes)));
    }
    Err(PyTypeError::new_err(format!(
        "a picture is a path, a file's bytes, a file object, an image of PIL, or an array of uint8, not {}",
        object.get_type().qualname()?
    )))
}

/// Whether `text` is the address of something on the web.
fn is_address(text: &str) -> bool {
    let begins =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    begins("http://") || begins("https://")
}

/// `object` if it is bytes, or a copy of what it holds if it is a bytearray or a memoryview.
fn bytes<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Some(bytes.clone()));
    }
    if object.is_instance_of::<PyByteArray>() || object.is_instance_of::<PyMemoryView>() {
        return Ok(Some(object.py().get_type::<PyBytes>().call1((object,))?.cast_into()?));
    }
    Ok(None)
}

/// All of a file object: from its beginning where it has one, as PIL reads it, since it may just have been written.
fn content<'py>(file: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if file.hasattr("seekable")? && file.call_method0("seekable")?.is_truthy()? {
        file.call_method1("seek", (0,))?;
    }
    let found = file.call_method0("read")?;
    bytes(&found)?.ok_or_else(|| {
        let kind = found.get_type().qualname().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!(
            "a file object that gives {kind}, not bytes: open it in binary mode (\"rb\")"
        ))
    })
}
