//! Where pixels go, and how arrays of them get there.

use mobileone::{
    Preprocess,
    picture::{Alpha, Picture},
};
use numpy::{PyArrayDyn, ndarray::Axis, prelude::*};
use pyo3::prelude::*;

use crate::{Error, errors::refused};

/// A picture of more would take over a gigabyte here.
const MAX_PIXELS: usize = 1 << 28;

/// Where pixels go: only those are written that the network reads.
pub struct Canvas<'a> {
    pub picture: &'a mut Picture,
    pub preprocess: &'a Preprocess,
}

impl Canvas<'_> {
    /// Makes place for a picture of this width and height, and says what of it is to be written: left, top, width and
    /// height.
    pub fn begin(&mut self, py: Python, (width, height): (usize, usize)) -> PyResult<[usize; 4]> {
        if width.checked_mul(height).is_none_or(|pixels| pixels > MAX_PIXELS) {
            let most = MAX_PIXELS >> 20;
            return Err(Error::new_err(format!(
                "input: a picture of {width}x{height}: at most {most} megapixels; shrink it first"
            )));
        }
        let region = self.preprocess.region((width, height)).map_err(|error| refused(py, None, &error))?;
        (self.picture.width, self.picture.height) = (width, height);
        self.picture.rgba.resize(width * height * 4, 255);
        Ok(region)
    }

    /// The `w` pixels of row `y` from `left` on.
    pub fn row(&mut self, y: usize, left: usize, w: usize) -> &mut [[u8; 4]] {
        let rgba = self.picture.rgba.as_chunks_mut::<4>().0;
        &mut rgba[y * self.picture.width + left..][..w]
    }
}

/// Draws an array `[h, w, 3]` or `[h, w, 4]`. Alpha is laid over white as it is in files: as `known`, or as the whole array
/// shows.
pub fn pixels(array: &Bound<PyArrayDyn<u8>>, known: Option<Alpha>, canvas: &mut Canvas) -> PyResult<()> {
    let (height, width, channels) = match *array.shape() {
        [h, w, c @ (3 | 4)] if h > 0 && w > 0 => (h, w, c),
        ref shape => {
            let hint = if shape.len() == 1 { "; a file's bytes are given as bytes" } else { "" };
            return Err(Error::new_err(format!(
                "input: a picture of shape {shape:?}: expected [height, width, 3] or [height, width, 4]{hint}"
            )));
        }
    };
    let [left, top, w, h] = canvas.begin(array.py(), (width, height))?;
    let array = array.readonly();
    let array = array.as_array();
    let alpha = || known.unwrap_or_else(|| Alpha::of(array.index_axis(Axis(2), 3).iter().copied()));
    let alpha = (channels == 4).then(alpha);
    for (y, row) in array.outer_iter().enumerate().skip(top).take(h) {
        let dst = canvas.row(y, left, w);
        match row.as_slice().map(|row| &row[channels * left..][..channels * w]) {
            Some(row) if channels == 3 => widen(dst, row),
            Some(row) => dst.copy_from_slice(row.as_chunks().0),
            // Of a view whose pixels lie apart.
            None => {
                for (dst, at) in dst.iter_mut().zip(row.outer_iter().skip(left)) {
                    *dst = [at[0], at[1], at[2], *at.get(3).unwrap_or(&255)];
                }
            }
        }
        if let Some(alpha) = alpha {
            alpha.lay_over_white(dst);
        }
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
