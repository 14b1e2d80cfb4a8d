//! From a picture to the network's input: resize, crop, normalize (the host twin of the shaders).
//!
//! The numbers are those of timm's evaluation transform over PIL's 8-bit antialiased resize, byte for byte.
//! [`Geometry`] says where the crop lies, [`Passes`] what is computed, as plain numbers that this module
//! follows on the host and `shaders/{resize,normalize}.wgsl` on a GPU.
//!
//! ```
//! use mobileone::{Model, Pixels, preprocess::{PixelFormat, Rotation}, sample};
//!
//! let preprocess = Model::from_bytes(sample::DIGITS)?.preprocess;
//! // A camera's frame: rows that are longer than the picture, blue first, lying on its side.
//! let frame = vec![128; 512 * 96];
//! let pixels = Pixels {
//!     bytes: &frame,
//!     size: (120, 96),
//!     stride: 512,
//!     format: PixelFormat::Bgra8,
//!     crop: Some([12, 0, 96, 96]),
//!     rotation: Rotation::Quarter,
//! };
//! let input = preprocess.run(&pixels)?;
//! assert_eq!(input.shape().to_string(), "[1, 80, 80, 3]");
//! # Ok::<(), mobileone::Error>(())
//! ```

mod passes;
mod pixels;
mod resample;
mod yuv;

pub use passes::{Normalize, Pass, Passes};
pub use pixels::{PixelFormat, Pixels, Rotation, View};
#[cfg(feature = "gpu")]
pub(crate) use pixels::{Raster, cropped};
pub use resample::Scratch;
pub use yuv::{Yuv, YuvMatrix, YuvPlanes, YuvRange, YuvWeights};

use crate::{
    error::{Error, Result},
    tensor::{Shape, Tensor},
};

/// The longest side of an input.
const MAX_INPUT: usize = 4096;
/// The longest side of a resized picture: with it, positions along an axis stay within 32 bits on a device.
const MAX_RESIZED: f64 = (1 << 28) as f64;

/// How a picture is made to fit before the crop; timm's `crop_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CropMode {
    /// The short side is resized, the middle is kept.
    Center,
    /// Both sides are resized, the middle is kept.
    Squash,
    /// The long side is resized, the rest is filled with the mean.
    Border,
}

/// The filter of the resize: PIL's antialiased ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interpolation {
    /// A triangle.
    Bilinear,
    /// A cubic, a = -0.5.
    Bicubic,
}

impl CropMode {
    /// All of them, as timm's `config.json` calls them.
    pub const NAMES: &[(&str, CropMode)] =
        &[("center", CropMode::Center), ("squash", CropMode::Squash), ("border", CropMode::Border)];

    /// What timm's `config.json` calls it.
    pub fn name(self) -> &'static str {
        name(CropMode::NAMES, self)
    }
}

fn name<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, named)| *named == value).expect("every value has a name").0
}

impl Interpolation {
    /// All of them, as timm's `config.json` calls them.
    pub const NAMES: &[(&str, Interpolation)] =
        &[("bilinear", Interpolation::Bilinear), ("bicubic", Interpolation::Bicubic)];

    /// What timm's `config.json` calls it.
    pub fn name(self) -> &'static str {
        name(Interpolation::NAMES, self)
    }

    /// How far the filter reaches on each side, in pixels of the coarser picture.
    pub fn support(self) -> f64 {
        match self {
            Interpolation::Bilinear => 1.0,
            Interpolation::Bicubic => 2.0,
        }
    }

    /// The filter at distance `x` from its centre.
    pub fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Interpolation::Bilinear => (1.0 - x).max(0.0),
            Interpolation::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Interpolation::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Interpolation::Bicubic => 0.0,
        }
    }
}

/// What the channels of an input are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Colour {
    /// Red, green and blue.
    #[default]
    Rgb,
    /// One channel: PIL's "L", which is ITU-R 601-2's luma of 8 bits, taken before the resize.
    Grey,
}

impl Colour {
    /// Of a network that reads `channels`; `None` where no picture has them, so that it is given tensors.
    pub fn of(channels: usize) -> Option<Colour> {
        match channels {
            1 => Some(Colour::Grey),
            3 => Some(Colour::Rgb),
            _ => None,
        }
    }

    /// Channels of the input.
    pub fn channels(self) -> usize {
        match self {
            Colour::Rgb => 3,
            Colour::Grey => 1,
        }
    }

    /// A value per channel: of grey, the mean of three, as timm takes it.
    pub fn fit(self, values: [f32; 3]) -> [f32; 3] {
        match self {
            Colour::Rgb => values,
            Colour::Grey if values == [values[0]; 3] => values,
            Colour::Grey => [(values.iter().map(|&value| f64::from(value)).sum::<f64>() / 3.0) as f32; 3],
        }
    }
}

/// How pictures become inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// Height and width of the input.
    pub size: (usize, usize),
    /// The share of the resized picture that the crop keeps.
    pub crop_pct: f64,
    /// How it is made to fit.
    pub crop_mode: CropMode,
    /// The filter.
    pub interpolation: Interpolation,
    /// Subtracted from each channel after division by 255; of grey, the first is.
    pub mean: [f32; 3],
    /// Divides each channel last; of grey, the first does.
    pub std: [f32; 3],
    /// What the channels are.
    pub colour: Colour,
}

/// Mean and standard deviation as [`Preprocess`] takes them, for pixels of 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Units {
    /// The mean, if it was given.
    pub mean: Option<[f32; 3]>,
    /// The standard deviation, if it was given.
    pub std: Option<[f32; 3]>,
    /// Whether they were given for pixels of 0 to 255, and divided by 255.
    pub bytes: bool,
}

/// What configurations give for pixels of 0 to 255 (123.675, 58.395) or of 0 to 1 (0.485, 0.229), told apart by the
/// values: above 2 only the former are of use. A mean of 0 fits both, and so does a standard deviation of 1, which
/// Caffe's networks have beside a mean of 103.939.
///
/// # Errors
/// A reason, when the two are for different pixels or for none.
///
/// ```
/// use mobileone::preprocess::units;
///
/// let given = units(Some([123.675, 116.28, 103.53]), Some([58.395, 57.12, 57.375]))?;
/// assert_eq!((given.mean, given.std, given.bytes), (Some([0.485, 0.456, 0.406]), Some([0.229, 0.224, 0.225]), true));
/// # Ok::<(), String>(())
/// ```
pub fn units(mean: Option<[f64; 3]>, std: Option<[f64; 3]>) -> Result<Units, String> {
    let above = |values: [f64; 3]| values.iter().any(|value| value.abs() > 2.0);
    let (large_mean, large_std) = (mean.is_some_and(above), std.is_some_and(above));
    let bytes = large_mean || large_std;
    let fits = match (mean, std) {
        (Some(_), Some(std)) if large_mean && !large_std => std.iter().all(|&std| std >= 1.0),
        (Some(mean), Some(_)) if large_std && !large_mean => mean == [0.0; 3],
        _ => true,
    };
    if !fits {
        let (mean, std) = (mean.unwrap_or_default(), std.unwrap_or_default());
        return Err(format!(
            "mean {mean:?} and std {std:?}: one is for pixels of 0 to 255, the other for pixels of 0 to 1; give both \
             for the same"
        ));
    }
    if let Some(values) = [mean, std].into_iter().flatten().find(|v| v.iter().any(|v| v.abs() > 255.0)) {
        return Err(format!("{values:?}: neither for pixels of 0 to 1 nor of 0 to 255"));
    }
    let scale = if bytes { 255.0 } else { 1.0 };
    let scaled = |values: [f64; 3]| values.map(|value| (value / scale) as f32);
    Ok(Units { mean: mean.map(scaled), std: std.map(scaled), bytes })
}

impl Units {
    /// A line for people where values for pixels of 0 to 255 were divided; `what` names them.
    pub fn note(&self, what: &str) -> Option<String> {
        let values = [("mean", self.mean), ("std", self.std)].into_iter();
        let values = values.filter_map(|(name, values)| values.map(|values| format!("{name} {values:?}")));
        let values: Vec<String> = values.collect();
        self.bytes.then(|| {
            format!(
                "{what}: for pixels of 0 to 255, divided by 255 for pixels of 0 to 1: {}",
                values.join(", ")
            )
        })
    }
}

/// Where the crop lies in the resized picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Width and height of the whole resized picture, in pixels.
    pub resized: (usize, usize),
    /// Left and top of the crop in the resized picture; negative where the picture is padded instead.
    pub offset: (i32, i32),
    /// The colour of the padding.
    pub fill: [u8; 3],
}

impl Preprocess {
    /// Whether these values can be followed.
    ///
    /// # Errors
    /// [`Error::Option`] naming the first that cannot.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::Option(what));
        let (h, w) = self.size;
        if !(1..=MAX_INPUT).contains(&h) || !(1..=MAX_INPUT).contains(&w) {
            return refuse(format!("input size {h}x{w}: each side must be 1 to {MAX_INPUT} pixels"));
        }
        let scaled = self.scaled();
        if !(1.0..=MAX_RESIZED).contains(&scaled.0) || !(1.0..=MAX_RESIZED).contains(&scaled.1) {
            return refuse(format!("crop_pct {}: must be a share such as 0.875", self.crop_pct));
        }
        if self.mean.iter().any(|mean| !mean.is_finite()) {
            return refuse(format!("mean {:?}: must be three finite numbers", self.mean));
        }
        if self.mean.iter().any(|mean| mean.abs() > 2.0) {
            let mean = self.mean;
            return refuse(format!("mean {mean:?}: must be for pixels of 0 to 1; divide by 255"));
        }
        if self.std.iter().any(|std| !(std.is_normal() && *std > 0.0)) {
            return refuse(format!("std {:?}: must be three numbers above 0", self.std));
        }
        Ok(())
    }

    /// Width and height of which the crop is the middle.
    fn scaled(&self) -> (f64, f64) {
        let scaled = |side: usize| (side as f64 / self.crop_pct).floor();
        (scaled(self.size.1), scaled(self.size.0))
    }

    /// Where the crop lies for a picture of `size` (width, height), as it stands after crop and rotation.
    ///
    /// # Errors
    /// [`Error::Option`] when [`check`](Self::check) fails; [`Error::Input`] for a side of 0 or
    /// above 65,535, and when the picture is so narrow that nothing, or too much, would be left of it.
    pub fn geometry(&self, size: (usize, usize)) -> Result<Geometry> {
        self.check()?;
        pixels::check_size(size)?;
        let (w, h) = (size.0 as f64, size.1 as f64);
        let (sw, sh) = self.scaled();
        let resized = match self.crop_mode {
            CropMode::Squash => (sw, sh),
            // The square case truncates the long side, the other ones round to even: as torchvision and timm do.
            CropMode::Center if sw == sh => {
                let long = |side: usize| (sw as u64 * side as u64 / size.0.min(size.1) as u64) as f64;
                (long(size.0), long(size.1))
            }
            CropMode::Center | CropMode::Border => {
                let (rw, rh) = (w / sw, h / sh);
                let ratio = if self.crop_mode == CropMode::Border { rw.max(rh) } else { rw.min(rh) };
                ((w / ratio).round_ties_even(), (h / ratio).round_ties_even())
            }
        };
        if !(1.0..=MAX_RESIZED).contains(&resized.0) || !(1.0..=MAX_RESIZED).contains(&resized.1) {
            return Err(Error::Input(format!(
                "a picture of {}x{} is too narrow: it would be resized to {}x{}",
                size.0, size.1, resized.0, resized.1
            )));
        }
        let offset = |resized: f64, target: usize| match resized - target as f64 {
            spare if spare >= 0.0 => (spare / 2.0).round_ties_even() as i32,
            missing => -((-missing / 2.0).floor() as i32),
        };
        Ok(Geometry {
            resized: (resized.0 as usize, resized.1 as usize),
            offset: (offset(resized.0, self.size.1), offset(resized.1, self.size.0)),
            fill: match self.crop_mode {
                CropMode::Center | CropMode::Squash => [0; 3],
                CropMode::Border => self.mean.map(|mean| (255.0 * mean).round_ties_even() as u8),
            },
        })
    }

    /// The input tensor `[1, h, w, c]` of a picture: three channels, or one of grey.
    ///
    /// # Errors
    /// [`Error::Input`] when the picture contradicts itself or is too narrow; [`Error::Option`] when these
    /// values cannot be followed.
    pub fn run(&self, pixels: &Pixels) -> Result<Tensor> {
        self.check()?;
        let mut tensor = Tensor::zeros(Shape::new(1, self.size.0, self.size.1, self.colour.channels()));
        self.run_into(pixels, &mut Scratch::default(), tensor.data_mut())?;
        Ok(tensor)
    }

    /// Writes the input of a picture to `dst` (`[h, w, c]`); what `scratch` holds is reused, so that nothing
    /// is allocated for another picture of the same size.
    ///
    /// # Errors
    /// As [`run`](Self::run); also [`Error::Input`] when `dst` has another length.
    pub fn run_into(&self, pixels: &Pixels, scratch: &mut Scratch, dst: &mut [f32]) -> Result<()> {
        let view = pixels.view()?;
        let passes = Passes::new(self, &view)?;
        let ((h, w), c) = (self.size, self.colour.channels());
        if dst.len() != h * w * c {
            return Err(Error::Input(format!("an input of {h}x{w}x{c} does not fit {} values", dst.len())));
        }
        let crop = scratch.resample(&passes, view.of(pixels.bytes));
        match self.colour {
            Colour::Rgb => passes.normalize.run::<3>(crop, dst),
            Colour::Grey => passes.normalize.run::<1>(crop, dst),
        }
        Ok(())
    }
}
