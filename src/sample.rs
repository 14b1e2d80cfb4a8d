//! A model in the box (feature `sample`): a small MobileOne that reads the digit held up to a camera.
//!
//! Its eleven classes are the digits and "nothing"; its input is 80x80. The repository's `train/` makes the
//! file, and its README says how well it reads and on what. Ten pictures of digits, and two of none, come with it.
//!
//! ```
//! use mobileone::{Form, Model, sample};
//!
//! let model = Model::new(sample::digits()?, Form::Fused)?;
//! assert_eq!(model.labels.unwrap()[10], "nothing");
//! assert!(sample::PICTURES[7].0.starts_with("seven"));
//! # Ok::<(), mobileone::Error>(())
//! ```

use crate::{Checkpoint, error::Result};

/// What a program calls the model where it takes names of models.
pub const NAME: &str = "digits";

/// The file: safetensors, fused, f16, with labels, preprocessing, training figures and licence.
pub static DIGITS: &[u8] = include_bytes!("sample/digits.safetensors");

/// The model as [`Model::new`](crate::Model::new) takes it.
///
/// # Errors
/// None for the file that is built in.
pub fn digits() -> Result<Checkpoint> {
    Checkpoint::from_bytes(DIGITS)
}

macro_rules! pictures {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!("../demo/images/", $name)))),*]
    };
}

/// JPEG files to try it on, and their names, which begin with what they show.
pub static PICTURES: &[(&str, &[u8])] = pictures![
    "zero-on-paper.jpg" "one-handwritten.jpg" "two-on-phone.jpg" "three-on-note.jpg" "four-handwritten.jpg"
    "five-on-paper.jpg" "six-on-phone.jpg" "seven-handwritten.jpg" "eight-on-paper.jpg" "nine-handwritten.jpg"
    "nothing-letter-k.jpg" "nothing-desk.jpg"
];
