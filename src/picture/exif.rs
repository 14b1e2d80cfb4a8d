//! The orientation in EXIF's data.

use image::metadata::Orientation;

/// The orientation that the data, from their TIFF header on, say; `None` where they say none that is known.
///
/// EXIF wants a SHORT; other whole numbers are what some programs write.
pub fn orientation(exif: &[u8]) -> Option<Orientation> {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let big = match exif.first_chunk()? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    // A number of one to four bytes.
    let number = |at: usize, count: usize| {
        let bytes = exif.get(at..at.checked_add(count)?)?;
        let add = |sum: u32, byte: &u8| sum << 8 | u32::from(*byte);
        Some(if big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    };
    let entries = number(4, 4)? as usize;
    for entry in 0..number(entries, 2)? as usize {
        let at = entries + 2 + entry * 12;
        if number(at, 2)? != 0x112 {
            continue;
        }
        // Bytes, SHORTs and LONGs, without a sign and with one.
        let size = match number(at + 2, 2)? {
            1 | 6 => 1,
            3 | 8 => 2,
            4 | 9 => 4,
            _ => return None,
        };
        let value = number(at + 8, size).filter(|_| number(at + 4, 4) == Some(1))?;
        return Orientation::from_exif(u8::try_from(value).ok()?);
    }
    None
}
