//! Python's objects to pictures and tensors. Values are copied while the GIL is held, so that nobody changes them
//! while the device reads them.

use std::path::PathBuf;

use mobileone::picture::{self, Picture};
use numpy::{PyArrayDyn, PyReadonlyArrayDyn, PyUntypedArray, prelude::*};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyList, PyTuple},
};

use crate::Error;

/// What a call was given.
pub struct Given<'py> {
    /// The pictures or values.
    pub what: What<'py>,
    /// Whether it was one picture by itself, and not a list or a batch.
    pub alone: bool,
}

/// Pictures, or values that are normalized already.
pub enum What<'py> {
    /// Paths, images of PIL, arrays `[h, w, 3]` or `[h, w, 4]` of uint8.
    Pictures(Vec<Bound<'py, PyAny>>),
    /// `[n, h, w, 3]`, aligned, C-contiguous.
    Values(PyReadonlyArrayDyn<'py, f32>),
}

/// A picture of more would take over a gigabyte here.
const MAX_PIXELS: usize = 1 << 28;

/// Sorts `object`; `size` is the network's input, as values have it.
pub fn sort<'py>(object: &Bound<'py, PyAny>, (h, w): (usize, usize), values: bool) -> PyResult<Given<'py>> {
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
    let alone = match *shape {
        [n, height, width, 3] if n > 0 && (height, width) == (h, w) => false,
        [height, width, 3] if (height, width) == (h, w) => true,
        _ => {
            let hint = match *shape {
                [_, 3, ..] if shape.len() == 4 => "; x.transpose(0, 2, 3, 1) makes NHWC of NCHW",
                [3, ..] if shape.len() == 3 => "; x.transpose(1, 2, 0) makes HWC of CHW",
                _ => "",
            };
            return Err(Error::new_err(format!(
                "input: expected [n, {h}, {w}, 3] with n at least 1, or [{h}, {w}, 3], found {shape:?}{hint}"
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

/// Puts the picture that `object` is into `picture`, or gives its path, to be read later.
pub fn take(object: &Bound<PyAny>, picture: &mut Picture) -> PyResult<Option<PathBuf>> {
    if let Ok(path) = object.extract::<PathBuf>() {
        return Ok(Some(path));
    }
    if let Ok(array) = object.cast::<PyArrayDyn<u8>>() {
        return pixels(array, picture).map(|()| None);
    }
    if let Ok(array) = object.cast::<PyUntypedArray>() {
        return Err(wrong_type(array, false));
    }
    match object.getattr("mode") {
        Ok(mode) if object.hasattr("convert")? => {
            pil(object, &mode.extract::<String>()?, picture).map(|()| None)
        }
        _ => Err(PyTypeError::new_err(format!(
            "a picture is a path, an image of PIL, or an array of uint8, not {}",
            object.get_type().qualname()?
        ))),
    }
}

/// An image of PIL, as it stands: upright or not.
fn pil<'py>(image: &Bound<'py, PyAny>, mode: &str, picture: &mut Picture) -> PyResult<()> {
    let numpy = image.py().import("numpy")?;
    let array = |image: &Bound<'py, PyAny>| numpy.call_method1("asarray", (image,));
    let converted = match mode {
        "RGB" => array(image)?,
        // PIL would cut these off at 255.
        "I;16" | "I;16L" | "I;16B" | "I;16N" => {
            let wide = array(image)?.call_method1("astype", ("uint32",))?;
            let rounded = wide.add(128)?.floor_div(257)?.call_method1("astype", ("uint8",))?;
            numpy.call_method1("stack", ((&rounded, &rounded, &rounded), -1))?
        }
        "I" | "F" => {
            return Err(Error::new_err(format!(
                "input: an image of mode {mode}, whose values have no known range: convert it to RGB"
            )));
        }
        _ => {
            let alpha = mode.ends_with(['A', 'a']) || image.getattr("info")?.contains("transparency")?;
            array(&image.call_method1("convert", (if alpha { "RGBA" } else { "RGB" },))?)?
        }
    };
    pixels(converted.cast::<PyArrayDyn<u8>>()?, picture)
}

/// An array `[h, w, 3]` or `[h, w, 4]`; alpha is laid over white, as it is in files.
fn pixels(array: &Bound<PyArrayDyn<u8>>, picture: &mut Picture) -> PyResult<()> {
    let (height, width, channels) = match *array.shape() {
        [h, w, c @ (3 | 4)] if h > 0 && w > 0 => (h, w, c),
        ref shape => {
            return Err(Error::new_err(format!(
                "input: a picture of shape {shape:?}: expected [height, width, 3] or [height, width, 4]"
            )));
        }
    };
    if width.checked_mul(height).is_none_or(|pixels| pixels > MAX_PIXELS) {
        let most = MAX_PIXELS >> 20;
        return Err(Error::new_err(format!(
            "input: a picture of {width}x{height}: at most {most} megapixels; shrink it first"
        )));
    }
    (picture.width, picture.height) = (width, height);
    picture.rgba.resize(width * height * 4, 255);
    let rgba = picture.rgba.as_chunks_mut::<4>().0;
    let array = array.readonly();
    for (dst, row) in rgba.chunks_mut(width).zip(array.as_array().outer_iter()) {
        match row.as_slice() {
            Some(row) if channels == 3 => widen(dst, row),
            Some(row) => dst.copy_from_slice(row.as_chunks().0),
            // Of a view whose pixels lie apart.
            None => {
                for (dst, at) in dst.iter_mut().zip(row.outer_iter()) {
                    *dst = [at[0], at[1], at[2], *at.get(3).unwrap_or(&255)];
                }
            }
        }
    }
    if channels == 4 {
        rgba.iter_mut().for_each(picture::lay_over_white);
    }
    Ok(())
}

/// Makes RGB RGBA. Four bytes are read as one word, of which the last is the next pixel's: half the time.
fn widen(dst: &mut [[u8; 4]], rgb: &[u8]) {
    let words = rgb.windows(4).step_by(3).map(|src| u32::from_le_bytes([src[0], src[1], src[2], src[3]]));
    for (dst, word) in dst.iter_mut().zip(words) {
        *dst = (word | 0xff00_0000).to_le_bytes();
    }
    // The last pixel has no next one.
    if let (Some(dst), &[.., r, g, b]) = (dst.last_mut(), rgb) {
        *dst = [r, g, b, 255];
    }
}
