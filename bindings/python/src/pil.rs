//! Images of PIL to pixels: from their own memory where PIL hands it out.

use mobileone::picture::Alpha;
use numpy::PyArrayDyn;
use pyo3::{prelude::*, sync::PyOnceLock};

use crate::{
    Error,
    arrow::Pixels,
    canvas::{Canvas, pixels},
};

/// EXIF's tag of the orientation.
const ORIENTATION: u16 = 0x0112;
/// Pixels of a part that is copied at once: it stays in the cache until it is read.
const PART: usize = 1 << 16;

/// Draws `image`, of this mode; with `exif` turned upright as its EXIF data says, else as it stands.
pub fn draw<'py>(image: &Bound<'py, PyAny>, mode: &str, exif: bool, canvas: &mut Canvas) -> PyResult<()> {
    let py = image.py();
    // Of a GIF's file, in which what is transparent was meant so.
    let meant = image.getattr("format").is_ok_and(|format| format.eq("GIF").unwrap_or(false));
    let mut image = image.clone();
    if exif {
        let orientation = image.call_method0("getexif")?.call_method1("get", (ORIENTATION, 1))?;
        // Of an image that is upright PIL would make a copy.
        if !orientation.eq(1)? {
            image = py.import("PIL.ImageOps")?.call_method1("exif_transpose", (image,))?;
        }
    }
    let array = |image: &Bound<'py, PyAny>| py.import("numpy")?.call_method1("asarray", (image,));
    let alpha = match mode {
        "RGB" => false,
        "RGBA" => true,
        // PIL would cut these off at 255.
        "I;16" | "I;16L" | "I;16B" | "I;16N" => {
            let wide = array(&image)?.call_method1("astype", ("uint32",))?;
            let rounded = wide.add(128)?.floor_div(257)?.call_method1("astype", ("uint8",))?;
            let stacked = py.import("numpy")?.call_method1("stack", ((&rounded, &rounded, &rounded), -1))?;
            return pixels(stacked.cast::<PyArrayDyn<u8>>()?, None, canvas);
        }
        "I" | "F" => {
            return Err(Error::new_err(format!(
                "input: an image of mode {mode}, whose values have no known range: convert it to RGB"
            )));
        }
        _ => {
            let alpha = mode.ends_with(['A', 'a']) || image.getattr("info")?.contains("transparency")?;
            image = image.call_method1("convert", (if alpha { "RGBA" } else { "RGB" },))?;
            alpha
        }
    };
    // What is wrong with a file shows here, in PIL's own words.
    image.call_method0("load")?;
    let size = image.getattr("size")?.extract()?;
    let region @ [left, top, w, h] = canvas.begin(py, size)?;
    if !copy(&image, size, region, canvas)? {
        let known = meant.then_some(Alpha::Filled);
        return pixels(array(&image)?.cast::<PyArrayDyn<u8>>()?, known, canvas);
    }
    if alpha {
        let of_row = |row: &[[u8; 4]]| Alpha::of(row.iter().map(|pixel| pixel[3]));
        let unseen = !meant && (top..top + h).all(|y| of_row(canvas.row(y, left, w)) == Alpha::Unfilled);
        // Something may be seen outside the region.
        let alpha = match unseen {
            true => Alpha::of(most_alpha(&image)?),
            false => Alpha::Filled,
        };
        (top..top + h).for_each(|y| alpha.lay_over_white(canvas.row(y, left, w)));
    }
    Ok(())
}

/// The most alpha of an image of mode RGBA.
fn most_alpha(image: &Bound<PyAny>) -> PyResult<Option<u8>> {
    let extrema: Vec<(u8, u8)> = image.call_method0("getextrema")?.extract()?;
    Ok(extrema.last().map(|&(_, most)| most))
}

/// Copies the region of an image of this size from PIL's memory, if PIL hands it out.
fn copy(
    image: &Bound<PyAny>,
    (width, height): (usize, usize),
    [left, top, w, h]: [usize; 4],
    canvas: &mut Canvas,
) -> PyResult<bool> {
    let py = image.py();
    let own = if keeps_its_word(py) { Pixels::of(image) } else { None };
    if let Some(own) = own.filter(|own| own.count() == width * height) {
        (top..top + h).for_each(|y| own.copy(y * width + left, canvas.row(y, left, w)));
        return Ok(true);
    }
    if !is_dense(py) {
        return Ok(false);
    }
    // It lies in several blocks, or in a file: what PIL makes of its parts does not.
    let rows = (PART / w).clamp(1, h);
    for first in (top..top + h).step_by(rows) {
        let end = (first + rows).min(top + h);
        let part = image.call_method1("crop", ((left, first, left + w, end),))?;
        let part = Pixels::of(&part).filter(|part| part.count() == w * (end - first));
        let Some(part) = part else { return Ok(false) };
        (first..end).for_each(|y| part.copy((y - first) * w, canvas.row(y, left, w)));
    }
    Ok(true)
}

/// Whether PIL refuses to hand out an image whose rows do not follow one another, as it does from 13 on. Before, it hands
/// out the gaps between them as if they were pixels, and one that lies in a file or another's memory ends the process.
fn keeps_its_word(py: Python) -> bool {
    static FROM_13: PyOnceLock<bool> = PyOnceLock::new();
    let major = || -> PyResult<bool> {
        let version: String = py.import("PIL")?.getattr("__version__")?.extract()?;
        Ok(version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .is_some_and(|major: u32| major >= 13))
    };
    *FROM_13.get_or_init(py, || major().unwrap_or(false))
}

/// Whether the rows of an image that PIL makes now follow one another without gaps.
fn is_dense(py: Python) -> bool {
    let alignment = || -> PyResult<usize> {
        py.import("PIL.Image")?.getattr("core")?.call_method0("get_alignment")?.extract()
    };
    alignment().is_ok_and(|alignment| alignment == 1)
}
