//! Each channel convolved by itself.

use std::ops::Range;

use super::{
    blocks::{BLOCK, Buffer, blocks, small_cut},
    elementwise::Activated,
    microkernels::{self, Isa},
    team::{Grid, Team},
};
use crate::{
    graph::{Activation, Conv},
    tensor::Shape,
};

/// A depthwise convolution for one size of map.
pub struct Depthwise {
    isa: Isa,
    /// Side of the kernel, stride and padding.
    square: [usize; 3],
    src: Shape,
    dst: Shape,
    /// `[blocks][k][k][16]`.
    taps: Buffer,
    /// `[blocks][16]`.
    bias: Buffer,
    activated: Activated,
    /// A row of zeros, read where the kernel hangs over the map's edge.
    zeros: Buffer,
}

impl Depthwise {
    /// For pictures that go from shape `src` to `dst`; weight `[c][k][k]`.
    pub fn new(
        isa: Isa,
        conv: &Conv,
        [src, dst]: [Shape; 2],
        weight: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Depthwise {
        assert!(conv.is_depthwise(), "no loops for {conv:?}");
        let square = conv.window.as_square().expect("a square window");
        let area = conv.window.area();
        let mut taps = Buffer::new(blocks(src.c) * area * BLOCK);
        for (channel, of) in weight.chunks_exact(area).enumerate() {
            for (tap, &value) in of.iter().enumerate() {
                taps.all_mut()[(channel / BLOCK * area + tap) * BLOCK + channel % BLOCK] = value;
            }
        }
        let zeros = Buffer::new(src.w * BLOCK);
        let (bias, activated) = (Buffer::of(bias), Activated::by(activation));
        Depthwise { isa, square, src, dst, taps, bias, activated, zeros }
    }

    /// Blocks of channels.
    pub fn blocks(&self) -> usize {
        blocks(self.src.c)
    }

    /// Output pixels of one picture.
    pub fn pixels(&self) -> usize {
        self.dst.pixels()
    }

    /// Computes `pixels` of block `block` of the map `src` into `dst` `[pixels][16]`.
    pub fn block(&self, src: &[f32], block: usize, pixels: Range<usize>, dst: &mut [f32]) {
        let [kernel, stride, padding] = self.square;
        let area = kernel * kernel * BLOCK;
        let len = src.len() / self.blocks();
        let what = microkernels::Depthwise {
            src: &src[block * len..][..len],
            h: self.src.h,
            w: self.src.w,
            kernel,
            stride,
            padding,
            taps: &self.taps.all()[block * area..][..area],
            bias: &self.bias.all()[block * BLOCK..][..BLOCK],
            relu: self.activated.relu,
            zeros: self.zeros.all(),
        };
        microkernels::depthwise(self.isa, &what, pixels, dst);
        if let Some(after) = self.activated.after {
            after(dst);
        }
    }

    /// Computes the whole map `dst` of `batch` pictures.
    pub fn run(&self, team: &Team, src: &[f32], dst: &mut [f32], batch: usize) {
        let pixels = batch * self.pixels();
        let grid = Grid::new(dst, pixels, small_cut(self.blocks(), pixels, team.members), team);
        team.run(&|member| {
            while let Some(mut rect) = grid.take(member) {
                for block in rect.blocks.clone() {
                    self.block(src, block, rect.pixels.clone(), rect.block(block));
                }
            }
        });
    }
}
