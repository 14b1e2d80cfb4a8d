//! Windows that slide over a map, and convolutions over them.

use super::op::{channels, countable};
use crate::tensor::Shape;

/// A window that slides over a map. Of each pair the first is that of rows, the second that of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Steps between outputs.
    pub stride: [usize; 2],
    /// Steps between the taps of the kernel; 1 leaves no gaps.
    pub dilation: [usize; 2],
    /// Places around the map, before its first row (column) and after its last.
    pub padding: [[usize; 2]; 2],
}

impl Window {
    /// A square kernel without gaps, with one stride both ways and one padding on all sides.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Window {
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding: [[padding; 2]; 2] }
    }

    /// The one that all of a map lies under.
    pub fn whole(src: Shape) -> Window {
        Window { kernel: [src.h, src.w], ..Window::square(1, 1, 0) }
    }

    /// The same with its taps so far apart.
    pub fn dilated(self, dilation: usize) -> Window {
        Window { dilation: [dilation; 2], ..self }
    }

    /// Taps of the kernel.
    pub fn area(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Places from the first tap to the last, along `axis` (0 for rows, 1 for columns); `None` where no number holds it.
    pub fn extent(&self, axis: usize) -> Option<usize> {
        self.kernel[axis].checked_sub(1)?.checked_mul(self.dilation[axis])?.checked_add(1)
    }

    /// Rows (or columns) written from `src` rows (or columns); `None` where the kernel reaches further than they do with
    /// their padding.
    pub fn dst_len(&self, axis: usize, src: usize) -> Option<usize> {
        let [before, after] = self.padding[axis];
        let padded = before.checked_add(after)?.checked_add(src)?;
        padded.checked_sub(self.extent(axis)?)?.checked_div(self.stride[axis])?.checked_add(1)
    }

    /// The row (or column) below tap `tap` of output `at`, if it is inside of `src` rows (or columns).
    pub fn under(&self, axis: usize, at: usize, tap: usize, src: usize) -> Option<usize> {
        let place = at * self.stride[axis] + tap * self.dilation[axis];
        place.checked_sub(self.padding[axis][0]).filter(|&place| place < src)
    }

    /// Whether each output is made of one pixel, its own.
    pub fn is_point(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [[0, 0], [0, 0]]
    }

    /// The side, stride and padding of a square window without gaps, the same on all sides.
    pub fn as_square(&self) -> Option<[usize; 3]> {
        let [kernel, stride, padding] = [self.kernel[0], self.stride[0], self.padding[0][0]];
        (*self == Window::square(kernel, stride, padding)).then_some([kernel, stride, padding])
    }

    /// What it makes of a map of `src`, of as many channels.
    pub(super) fn shape(&self, src: Shape) -> Result<Shape, String> {
        let Window { kernel, stride, dilation, padding } = *self;
        if kernel.contains(&0) || stride.contains(&0) || dilation.contains(&0) {
            return Err(format!("{self}: kernel, stride and dilation are 1 at least"));
        }
        let (Some(h), Some(w)) = (self.dst_len(0, src.h), self.dst_len(1, src.w)) else {
            return Err(format!("{self} is larger than {src} with its padding"));
        };
        // Places are counted from the corner of the padded map, in steps of the stride.
        let around = |axis: usize, len: usize| {
            padding[axis].iter().fold(len, |sum, &padding| sum.saturating_add(padding))
        };
        countable(Shape { h: around(0, src.h), w: around(1, src.w), ..src })?;
        for step in stride.into_iter().chain(dilation) {
            countable(Shape { h: step, w: 1, ..src })
                .map_err(|_| format!("{self}: a step of {step} is too large"))?;
        }
        Ok(Shape { h, w, ..src })
    }
}

/// `a kernel of 3x3, stride 2, padding 1`; what goes without saying is left out.
impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let pair = |[a, b]: [usize; 2]| if a == b { format!("{a}") } else { format!("{a}x{b}") };
        write!(f, "a kernel of {}x{}", self.kernel[0], self.kernel[1])?;
        write!(f, ", stride {}", pair(self.stride))?;
        if self.dilation != [1, 1] {
            write!(f, ", dilation {}", pair(self.dilation))?;
        }
        match self.padding {
            [[0, 0], [0, 0]] => Ok(()),
            [[top, bottom], [left, right]] if top == bottom && left == right => {
                write!(f, ", padding {}", pair([top, left]))
            }
            [[top, bottom], [left, right]] => write!(f, ", padding {top}, {bottom}, {left}, {right}"),
        }
    }
}

/// A convolution's geometry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Channels read.
    pub src_c: usize,
    /// Channels written.
    pub dst_c: usize,
    /// Groups that `src_c` and `dst_c` are cut into, each convolved by itself: 1 is dense.
    pub groups: usize,
    /// What slides; around the map are zeros.
    pub window: Window,
}

impl Conv {
    /// A 1x1 convolution.
    pub fn pointwise(src_c: usize, dst_c: usize) -> Conv {
        Conv { src_c, dst_c, groups: 1, window: Window::square(1, 1, 0) }
    }

    /// A convolution of each of `c` channels by itself.
    pub fn depthwise(c: usize, window: Window) -> Conv {
        Conv { src_c: c, dst_c: c, groups: c, window }
    }

    /// Channels that one output reads: those of its group.
    pub fn depth(&self) -> usize {
        self.src_c.checked_div(self.groups).unwrap_or(0)
    }

    /// The weight's shape: `[dst_c, src_c / groups, rows, columns]`.
    pub fn weight(&self) -> [usize; 4] {
        [self.dst_c, self.depth(), self.window.kernel[0], self.window.kernel[1]]
    }

    /// Whether each channel is convolved by itself, into one.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.src_c && self.groups == self.dst_c
    }

    /// Whether it is a matrix product over pixels.
    pub fn is_pointwise(&self) -> bool {
        self.window.is_point() && self.groups == 1
    }

    /// What it writes for a map of `src`.
    pub(super) fn shape(&self, src: Shape) -> Result<Shape, String> {
        let Conv { src_c, dst_c, groups, .. } = *self;
        channels(src, src_c)?;
        if groups == 0 || !src_c.is_multiple_of(groups) || !dst_c.is_multiple_of(groups) {
            return Err(format!("{groups} groups do not divide {src_c} and {dst_c} channels"));
        }
        Ok(Shape { c: dst_c, ..self.window.shape(src)? })
    }
}
