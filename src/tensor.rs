//! Shapes, scalar types and host tensors.
//!
//! ```
//! use mobileone::{Shape, Tensor};
//!
//! // PyTorch's order in, channels last inside.
//! let picture = Tensor::from_nchw(Shape::new(1, 1, 2, 3), &[1.0, 2.0, 10.0, 20.0, 100.0, 200.0])?;
//! assert_eq!(picture.data(), [1.0, 10.0, 100.0, 2.0, 20.0, 200.0]);
//! # Ok::<(), mobileone::Error>(())
//! ```

use crate::error::{Error, Result};

/// The scalar type of stored weights or activations. Sums are always f32 or wider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
}

impl DType {
    /// Bytes of one scalar.
    pub fn size(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F16 => 2,
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
        })
    }
}

/// Batch, height, width and channels of an activation, stored in that order (NHWC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// Pictures in the batch.
    pub n: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// The shape `[n, h, w, c]`.
    pub const fn new(n: usize, h: usize, w: usize, c: usize) -> Shape {
        Shape { n, h, w, c }
    }

    /// Scalars in the tensor; `usize::MAX` where they are more, which no memory holds.
    pub fn len(self) -> usize {
        [self.h, self.w, self.c].into_iter().fold(self.n, usize::saturating_mul)
    }

    /// Whether the tensor holds nothing.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Pixels of one picture.
    pub fn pixels(self) -> usize {
        self.h.saturating_mul(self.w)
    }

    /// Groups of four channels, the last one padded.
    pub fn c4(self) -> usize {
        self.c.div_ceil(4)
    }

    /// The same with another batch.
    pub fn with_batch(self, n: usize) -> Shape {
        Shape { n, ..self }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "[{}, {}, {}, {}]", self.n, self.h, self.w, self.c)
    }
}

/// A dense f32 activation on the host, NHWC.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Shape,
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor of `shape` over `data`, NHWC without padding.
    ///
    /// # Errors
    /// [`Error::Input`] when `data` does not hold exactly `shape.len()` values.
    pub fn new(shape: Shape, data: Vec<f32>) -> Result<Tensor> {
        if data.len() != shape.len() {
            return Err(Error::Input(format!("{shape} needs {} values, found {}", shape.len(), data.len())));
        }
        Ok(Tensor { shape, data })
    }

    /// A tensor of `shape` holding zeros.
    pub fn zeros(shape: Shape) -> Tensor {
        Tensor { shape, data: vec![0.0; shape.len()] }
    }

    /// A tensor from values in NCHW order, as PyTorch stores them; `shape` is still `[n, h, w, c]`.
    ///
    /// # Errors
    /// [`Error::Input`] when `nchw` does not hold exactly `shape.len()` values.
    pub fn from_nchw(shape: Shape, nchw: &[f32]) -> Result<Tensor> {
        if nchw.len() != shape.len() {
            return Err(Error::Input(format!("{shape} needs {} values, found {}", shape.len(), nchw.len())));
        }
        let (pixels, c, one) = (shape.pixels(), shape.c, shape.with_batch(1).len().max(1));
        let mut data = vec![0.0; nchw.len()];
        for (picture, planes) in data.chunks_mut(one).zip(nchw.chunks(one)) {
            for channel in 0..c {
                for pixel in 0..pixels {
                    picture[pixel * c + channel] = planes[channel * pixels + pixel];
                }
            }
        }
        Tensor::new(shape, data)
    }

    /// The values in NCHW order, as PyTorch stores them.
    pub fn to_nchw(&self) -> Vec<f32> {
        let (pixels, c, one) = (self.shape.pixels(), self.shape.c, self.shape.with_batch(1).len().max(1));
        let mut nchw = Vec::with_capacity(self.data.len());
        for picture in self.data.chunks(one) {
            for channel in 0..c {
                nchw.extend((0..pixels).map(|pixel| picture[pixel * c + channel]));
            }
        }
        nchw
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The values, NHWC.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values, NHWC, to write to.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The values, NHWC, taken out.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// The pictures `range` of the batch, borrowed.
    pub fn pictures(&self, range: std::ops::Range<usize>) -> &[f32] {
        let one = self.shape.with_batch(1).len();
        &self.data[range.start * one..range.end * one]
    }
}
