//! From a picture to the network's input: resize, crop, normalize (the host twin of the shaders).

/// How a picture is made to fit before the crop; timm's `crop_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
pub enum Interpolation {
    /// A triangle.
    Bilinear,
    /// A cubic, a = -0.5.
    Bicubic,
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
    /// Subtracted from each channel after division by 255.
    pub mean: [f32; 3],
    /// Divides each channel last.
    pub std: [f32; 3],
}

/// The order of the bytes of a pixel; the fourth is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// Red first.
    Rgba8,
    /// Blue first.
    Bgra8,
}

/// Quarter turns, clockwise, that bring the picture upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// It is upright.
    #[default]
    None,
    /// A quarter turn clockwise.
    Quarter,
    /// Upside down.
    Half,
    /// A quarter turn counter-clockwise.
    ThreeQuarters,
}

/// A picture in memory, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// Rows of 4-byte pixels.
    pub bytes: &'a [u8],
    /// Width and height, in pixels.
    pub size: (usize, usize),
    /// Bytes from one row to the next.
    pub stride: usize,
    /// The order of the bytes.
    pub format: PixelFormat,
    /// Left, top, width and height of the part to use, before rotation; all of it if `None`.
    pub crop: Option<[usize; 4]>,
    /// How to turn it upright.
    pub rotation: Rotation,
}
