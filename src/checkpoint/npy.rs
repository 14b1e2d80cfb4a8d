//! NumPy's `.npy` files: one array of floating-point values.

use ::safetensors::Dtype;

use super::raw::{Content, Raw, Source, View};
use crate::{error::Result, weights::Array};

/// What a file begins with, before the two bytes of its version.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that is read, in bytes; NumPy's own are below 200.
const MAX_HEADER: usize = 1 << 16;

/// What a header says.
#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// The array in the file, under `name`: float16, float32 or float64, little-endian, in C or Fortran order.
///
/// # Errors
/// [`Error::File`](crate::Error::File) for another type of values, and for a file that is damaged or holds more than
/// one array.
pub(super) fn read<'a>(source: &Source<'a>, name: &str) -> Result<Raw<'a>> {
    let fault = |reason: String| source.fault(reason);
    let (text, data) = split(source.bytes).map_err(fault)?;
    let Header { descr, fortran_order, shape } = header(text).map_err(fault)?;
    let dtype = dtype(&descr).map_err(fault)?;
    let size = dtype.bitsize() / 8;
    let bytes = shape.iter().try_fold(size, |bytes: usize, &side| bytes.checked_mul(side));
    match bytes {
        Some(bytes) if bytes == data.len() => {}
        Some(bytes) if bytes < data.len() => {
            let more = data.len() - bytes;
            return Err(fault(format!("holds {more} bytes after its array: save one array to a file")));
        }
        _ => {
            let reason =
                format!("is cut off: shape {shape:?} does not fit its {} bytes of values", data.len());
            return Err(fault(reason));
        }
    }
    // In Fortran order the first dimension runs fastest
    let before = |at: usize| shape[..at].iter().fold(1, |size: usize, &side| size.saturating_mul(side));
    let strides = fortran_order.then(|| (0..shape.len()).map(before).collect());
    let view = View::new(dtype, shape, strides, 0, data).map_err(fault)?;
    Ok(Raw { name: name.into(), content: Content::Array(view) })
}

/// A file with `array` in f32, as `numpy.save` writes it.
///
/// # Panics
/// When the array's data does not fill its shape: a broken invariant of the caller.
pub(super) fn write(array: &Array) -> Vec<u8> {
    assert_eq!(array.shape.iter().product::<usize>(), array.data.len(), "the data fills the shape");
    let sides: String = array.shape.iter().map(|side| format!("{side}, ")).collect();
    let shape = match array.shape.len() {
        1 => sides.trim_end(),
        _ => sides.trim_end_matches(", "),
    };
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    // The values begin at a multiple of 64
    let begin = MAGIC.len() + 4;
    let length = (begin + text.len() + 1).next_multiple_of(64) - begin;
    text += &" ".repeat(length - text.len() - 1);
    text.push('\n');
    let length = u16::try_from(length).expect("shapes are short").to_le_bytes();
    let mut bytes = [MAGIC, &[1, 0], &length, text.as_bytes()].concat();
    bytes.extend(array.data.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// A file's header and what follows it.
fn split(bytes: &[u8]) -> Result<(&str, &[u8]), String> {
    const CUT: &str = "is cut off: its header is incomplete";
    let rest = bytes.strip_prefix(MAGIC).ok_or("is not a NumPy array")?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or(CUT)?;
    let (length, rest) = match version {
        [1, _] => {
            let (length, rest) = rest.split_first_chunk().ok_or(CUT)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        [2 | 3, _] => {
            let (length, rest) = rest.split_first_chunk().ok_or(CUT)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        [major, minor] => {
            return Err(format!("is a NumPy array of version {major}.{minor}; 1 to 3 are read"));
        }
    };
    if length > MAX_HEADER {
        return Err(format!("has a header of {length} bytes, far more than an array's"));
    }
    let (text, data) = rest.split_at_checked(length).ok_or(CUT)?;
    let text = std::str::from_utf8(text).map_err(|_| "has a header that is not text")?;
    Ok((text, data))
}

/// The scalars that `descr` names.
fn dtype(descr: &str) -> Result<Dtype, String> {
    let (order, kind) = descr.split_at_checked(1).unwrap_or(("", descr));
    let name = match kind {
        "f2" if order == "<" => return Ok(Dtype::F16),
        "f4" if order == "<" => return Ok(Dtype::F32),
        "f8" if order == "<" => return Ok(Dtype::F64),
        "f2" | "f4" | "f8" => "big-endian values".into(),
        "b1" => "booleans".into(),
        "u1" => "uint8, which a picture's pixels are and normalized values are not".into(),
        "O" => "Python objects".into(),
        _ => match kind.split_at_checked(1) {
            Some(("i", size)) => format!("integers of {size} bytes"),
            Some(("u", size)) => format!("unsigned integers of {size} bytes"),
            Some(("c", size)) => format!("complex numbers of {size} bytes"),
            Some(("U" | "S", _)) => "texts".into(),
            _ => "values of another type".into(),
        },
    };
    Err(format!("holds {name} (dtype {descr:?}): save float32, as in numpy.save(path, x.astype(\"<f4\"))"))
}

/// What the text of a header says: a Python dictionary with three known keys.
fn header(text: &str) -> Result<Header, String> {
    let mut rest = Rest(text);
    parse(&mut rest).ok_or_else(|| {
        let text: String = text.trim().chars().take(120).collect();
        match text.contains("'descr': [") {
            true => "holds records (a structured dtype): save one array of float32".into(),
            false => format!("has a header that is not an array's: {text:?}"),
        }
    })
}

fn parse(rest: &mut Rest) -> Option<Header> {
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    rest.eat("{")?;
    while rest.eat("}").is_none() {
        let key = rest.quoted()?;
        rest.eat(":")?;
        // A key that stands twice is of no array
        let new = match key {
            "descr" => descr.replace(rest.quoted()?.to_string()).is_none(),
            "fortran_order" => fortran_order.replace(rest.bool()?).is_none(),
            "shape" => shape.replace(rest.shape()?).is_none(),
            _ => false,
        };
        if !new {
            return None;
        }
        if rest.eat(",").is_none() {
            rest.eat("}")?;
            break;
        }
    }
    let whole = rest.0.trim_matches([' ', '\n', '\t']).is_empty();
    whole.then_some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape? })
}

/// What of a header is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn eat(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(token)?;
        Some(())
    }

    fn quoted(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (inside, rest) = text[1..].split_once(quote)?;
        self.0 = rest;
        Some(inside)
    }

    fn bool(&mut self) -> Option<bool> {
        match self.eat("True") {
            Some(()) => Some(true),
            None => self.eat("False").map(|()| false),
        }
    }

    /// `()`, `(3,)`, `(1, 3)`; Python 2 wrote `(1L, 3L)`.
    fn shape(&mut self) -> Option<Vec<usize>> {
        let mut sides = Vec::new();
        self.eat("(")?;
        while self.eat(")").is_none() {
            let text = self.0.trim_start();
            let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
            sides.push(digits.parse().ok()?);
            self.0 = rest.strip_prefix('L').unwrap_or(rest);
            if self.eat(",").is_none() {
                self.eat(")")?;
                break;
            }
        }
        Some(sides)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn of(text: &str, data: &[u8]) -> Vec<u8> {
        [MAGIC, &[1, 0], &(text.len() as u16).to_le_bytes(), text.as_bytes(), data].concat()
    }

    fn values(bytes: &[u8]) -> Result<Array, String> {
        let source = Source { path: Path::new("x.npy"), bytes };
        let raw = read(&source, "x").map_err(|error| error.to_string())?;
        super::super::decode(&raw, &mut bytes.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn numpys_own_bytes() {
        // numpy.save of numpy.arange(6, dtype).reshape(2, 3), and of its copy in Fortran order.
        let numbers = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0f32];
        let le = |numbers: &[f32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
        let half = |n: &f32| half::f16::from_f32(*n).to_le_bytes();
        let rows = [
            ("'<f4', 'fortran_order': False", le(&numbers)),
            ("'<f4', 'fortran_order': True", le(&[0.0, 3.0, 1.0, 4.0, 2.0, 5.0])),
            (
                "'<f8', 'fortran_order': False",
                numbers.iter().flat_map(|&n| f64::from(n).to_le_bytes()).collect(),
            ),
            ("'<f2', 'fortran_order': False", numbers.iter().flat_map(half).collect()),
        ];
        for (dtype, data) in &rows {
            let text = format!("{{'descr': {dtype}, 'shape': (2, 3), }}             \n");
            let array = values(&of(&text, data)).unwrap();
            assert_eq!((&array.shape[..], &array.data[..]), (&[2, 3][..], &numbers[..]), "{dtype}");
            // Versions 2 and 3 have a longer length.
            for version in [2, 3] {
                let length = (text.len() as u32).to_le_bytes();
                let bytes = [MAGIC, &[version, 0], &length, text.as_bytes(), data].concat();
                assert_eq!(values(&bytes).unwrap(), array, "{dtype}, version {version}");
            }
        }
        let scalar =
            values(&of("{'descr': '<f4', 'fortran_order': False, 'shape': (), }\n", &le(&[7.0]))).unwrap();
        assert_eq!((scalar.shape.len(), scalar.data), (0, vec![7.0]));
        let old =
            values(&of("{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }\n", &le(&[7.0, 8.0])));
        assert_eq!(old.unwrap().shape, [2]);
    }

    #[test]
    fn what_is_written_is_numpys() {
        let array = Array { shape: vec![2, 3], data: (0..6u8).map(f32::from).collect() };
        let bytes = write(&array);
        assert_eq!(bytes.len(), 128 + 24);
        assert!(bytes.starts_with(
            b"\x93NUMPY\x01\0\x76\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }    "
        ));
        assert_eq!(bytes[127], b'\n');
        assert_eq!(values(&bytes).unwrap(), array);
        for shape in [vec![], vec![1], vec![0, 4], vec![1, 1, 1, 1]] {
            let array = Array { data: vec![0.5; shape.iter().product()], shape };
            assert_eq!(values(&write(&array)).unwrap(), array);
        }
    }

    #[test]
    fn files_that_lie_are_refused() {
        let with = |dtype: &str, shape: &str| {
            format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n")
        };
        let four = [0; 16];
        let rows: &[(Vec<u8>, &str)] = &[
            (of(&with("<f4", "(4,)"), &four[..12]), "is cut off"),
            (of(&with("<f4", "(3,)"), &four), "holds 4 bytes after its array"),
            (of(&with("<f4", "(99999999999, 99999999999)"), &four), "is cut off"),
            (of(&with("<f4", "(99999999999999999999999,)"), &four), "not an array's"),
            (of(&with("<f4", "(-4,)"), &four), "not an array's"),
            (of(&with("<f4", "(4"), &four), "not an array's"),
            (of(&with("<f4", "(1,1,1,1,1,1,1,1,1,4)"), &four), "10 dimensions"),
            (of(&with(">f4", "(4,)"), &four), "big-endian"),
            (of(&with("|u1", "(16,)"), &four), "uint8"),
            (of(&with("<i8", "(2,)"), &four), "integers of 8 bytes"),
            (of(&with("<c8", "(2,)"), &four), "complex numbers"),
            (of(&with("|b1", "(16,)"), &four), "booleans"),
            (of(&with("|O", "(2,)"), &four), "Python objects"),
            (of(&with("", "(2,)"), &four), "another type"),
            (of(&with("é", "(2,)"), &four), "another type"),
            (of("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,), }\n", &four), "records"),
            (of("{'descr': '<f4', 'shape': (4,), }\n", &four), "not an array's"),
            (
                of("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", &four),
                "not an array's",
            ),
            (of("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)} + 1", &four), "not an array's"),
            (of("", &four), "not an array's"),
            (of("\u{fffd}", &four), "not an array's"),
            ([MAGIC, &[9, 0, 0, 0]].concat(), "version 9.0"),
            ([MAGIC, &[2, 0, 0xff, 0xff, 0xff, 0xff]].concat(), "header of 4294967295 bytes"),
            ([MAGIC, &[1, 0, 0xff, 0xff]].concat(), "header is incomplete"),
            ([MAGIC, &[1]].concat(), "header is incomplete"),
        ];
        for (bytes, expected) in rows {
            let error = values(bytes).unwrap_err();
            assert!(error.contains(expected) && error.lines().count() == 1, "{expected}: {error}");
        }
    }

    #[test]
    fn damaged_files_do_no_harm() {
        let bytes = write(&Array { shape: vec![2, 3], data: vec![1.0; 6] });
        for at in 0..128 {
            for value in [0, b'9', b'(', b'\'', 0xff, bytes[at] ^ 1, bytes[at] ^ 16] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                if let Ok(array) = values(&damaged) {
                    assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
                }
            }
            assert!(values(&bytes[..at]).is_err());
        }
    }
}
