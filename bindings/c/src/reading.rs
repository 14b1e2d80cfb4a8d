//! How a file of weights is read, where it leaves that open.

use std::{ffi::c_char, mem::offset_of};

use engine::checkpoint::{Note, Reading, Setting, Strides, Which};

use crate::{
    error::{Failure, Result},
    structs::{Struct, slice, text},
};

/// How a file of weights is read, whatever it says itself. All 0 but for the `size` leaves everything to the file; what
/// had to be guessed is a warning in the log.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MobileoneReading {
    /// `sizeof(MobileoneReading)`, set by the caller.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Which network of a file that holds several: `raw`, `ema`, or its name in the file (UTF-8). Null for the averaged
    /// one (EMA) where there is one.
    pub weights: *const c_char,
    /// The strides of the stem and of each stage, 1 or 2 each. Null for those that the file says or shows, else the
    /// paper's.
    pub strides: *const u32,
    /// How many strides there are; 5 for a network of four stages.
    pub strides_count: usize,
    /// The epsilon of every batch normalization; 0 for the file's, else 1e-5.
    pub bn_eps: f64,
}

// SAFETY: repr(C), begins with its size, and numbers and pointers only.
unsafe impl Struct for MobileoneReading {
    const NAME: &str = "MobileoneReading";
    const FIRST: usize = offset_of!(Self, bn_eps) + size_of::<f64>();
}

impl MobileoneReading {
    /// The same as the library has it.
    ///
    /// # Safety
    /// `weights` is null or leads to a text that ends with a 0; `strides` is null or leads to `strides_count` numbers.
    pub(crate) unsafe fn of(&self) -> Result<Reading> {
        if self.reserved != 0 {
            return Err(Failure::argument("MobileoneReading.reserved must be 0"));
        }
        let weights = match self.weights.is_null() {
            true => Which::default(),
            false => {
                // SAFETY: not null, and as the caller promises.
                let Ok(which) = unsafe { text(self.weights, "weights") }?.parse();
                which
            }
        };
        // SAFETY: as the caller promises.
        let strides = match unsafe { slice(self.strides, self.strides_count, "strides") }? {
            [] => None,
            [stem, stages @ ..] if !stages.is_empty() => {
                let stages = stages.iter().map(|&stride| stride as usize).collect();
                Some(Strides { stem: *stem as usize, stages })
            }
            _ => return Err(Failure::argument("1 stride: give the stem's and one for each stage")),
        };
        let bn_eps = Some(self.bn_eps).filter(|&epsilon| epsilon != 0.0);
        Ok(Reading { weights, strides, bn_eps })
    }
}

/// A note with the field of [`MobileoneReading`] that decides otherwise.
pub(crate) fn with_field(note: &Note) -> String {
    let field = match note.setting {
        Some(Setting::Weights) => "weights",
        Some(Setting::Strides) => "strides",
        Some(Setting::Epsilon) => "bn_eps",
        _ => return note.to_string(),
    };
    format!("{note} (MobileoneReading.{field})")
}
