//! What is given to the network.

#[cfg(feature = "gpu")]
use crate::preprocess::{PixelFormat, Rotation};
use crate::{preprocess::Pixels, tensor::Tensor};

/// What is given to the network.
///
/// ```
/// use mobileone::{Device, Input, Model, Options, Session, picture, sample};
///
/// let model = Model::from_bytes(sample::DIGITS)?;
/// let session = Session::new(&Device::open("cpu")?, &model, &Options::of(&model))?;
/// let picture = picture::decode(sample::PICTURES[7].1)?;
/// let answer = session.run(Input::Pixels(picture.pixels()))?;
/// assert_eq!(answer.top[0][0].index, 7);
/// # Ok::<(), mobileone::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Normalized pictures, `[n, h, w, 3]`.
    Tensor(&'a Tensor),
    /// One picture in the host's memory, preprocessed on the device.
    Pixels(Pixels<'a>),
    /// One picture in a texture of the session's own GPU, which it never leaves.
    #[cfg(feature = "gpu")]
    Texture(PixelTexture<'a>),
    /// One picture in a buffer of the session's own GPU, which it never leaves.
    #[cfg(feature = "gpu")]
    Buffer(PixelBuffer<'a>),
}

/// A picture in a texture of two dimensions and one sample, of format RGBA8 or BGRA8; its first mip level is read.
///
/// The network sees the bytes as they are stored: those of an sRGB format are not decoded, as those of a picture
/// file are not.
#[cfg(feature = "gpu")]
#[derive(Clone, Copy, Debug)]
pub struct PixelTexture<'a> {
    /// The texture, made with the usage `COPY_SRC`.
    pub texture: &'a wgpu::Texture,
    /// Left, top, width and height of the part to use, before rotation; all of it if `None`.
    pub crop: Option<[usize; 4]>,
    /// How to turn it upright.
    pub rotation: Rotation,
}

/// A picture in a buffer, its pixels as in [`Pixels`].
#[cfg(feature = "gpu")]
#[derive(Clone, Copy, Debug)]
pub struct PixelBuffer<'a> {
    /// The buffer, made with the usage `COPY_SRC`.
    pub buffer: &'a wgpu::Buffer,
    /// Where the first row begins, in bytes; a multiple of 4.
    pub offset: u64,
    /// Width and height, in pixels.
    pub size: (usize, usize),
    /// Bytes from one row to the next, a multiple of 4.
    pub stride: usize,
    /// The order of the bytes.
    pub format: PixelFormat,
    /// Left, top, width and height of the part to use, before rotation; all of it if `None`.
    pub crop: Option<[usize; 4]>,
    /// How to turn it upright.
    pub rotation: Rotation,
}
