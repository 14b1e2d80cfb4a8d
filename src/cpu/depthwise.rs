//! Each channel convolved by itself, into one or more.

use std::ops::Range;

use super::{
    activation::Activated,
    blocks::{BLOCK, Buffer, blocks, small_cut},
    microkernels::{self, Isa},
    team::{Cut, Grid},
    workspace::Workspace,
};
use crate::{
    graph::{Activation, Conv, Window},
    tensor::Shape,
};

/// A depthwise convolution for one size of map.
pub struct Depthwise {
    isa: Isa,
    window: Window,
    src: Shape,
    dst: Shape,
    /// Channels made of each.
    multiplier: usize,
    /// `[multiplier][blocks][rows of the kernel][its columns][16]`: the first channel made of each, then the second.
    taps: Buffer,
    /// `[multiplier][blocks][16]`.
    bias: Buffer,
    activated: Activated,
    /// A row of zeros, read where the kernel hangs over the map's edge.
    zeros: Buffer,
}

impl Depthwise {
    /// For pictures that go from shape `src` to `dst`; weight `[dst_c][rows][columns]`.
    pub fn new(
        isa: Isa,
        conv: &Conv,
        [src, dst]: [Shape; 2],
        weight: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Depthwise {
        assert_eq!(conv.groups, src.c, "a group for each channel");
        let (area, multiplier) = (conv.window.area(), dst.c / src.c);
        let mut taps = Buffer::new(multiplier * blocks(src.c) * area * BLOCK);
        let mut biases = Buffer::new(multiplier * blocks(src.c) * BLOCK);
        for (at, (of, &bias)) in weight.chunks_exact(area).zip(bias).enumerate() {
            let (channel, made) = (at / multiplier, at % multiplier);
            let (block, lane) = (made * blocks(src.c) + channel / BLOCK, channel % BLOCK);
            biases.all_mut()[block * BLOCK + lane] = bias;
            for (tap, &value) in of.iter().enumerate() {
                taps.all_mut()[(block * area + tap) * BLOCK + lane] = value;
            }
        }
        let zeros = Buffer::new(src.w * BLOCK);
        let (window, activated) = (conv.window, Activated::by(activation));
        Depthwise { isa, window, src, dst, multiplier, taps, bias: biases, activated, zeros }
    }

    /// Blocks of channels read.
    pub fn blocks(&self) -> usize {
        blocks(self.src.c)
    }

    /// Output pixels of one picture.
    pub fn pixels(&self) -> usize {
        self.dst.pixels()
    }

    /// Computes `pixels` of what is made first of the channels in block `block` of the map `src`, into `dst`
    /// `[pixels][16]`.
    pub fn block(&self, src: &[f32], block: usize, pixels: Range<usize>, dst: &mut [f32]) {
        self.made(src, block, 0, pixels, dst);
    }

    /// The same of what is made of them after `made` others.
    fn made(&self, src: &[f32], block: usize, made: usize, pixels: Range<usize>, dst: &mut [f32]) {
        let area = self.window.area() * BLOCK;
        let len = src.len() / self.blocks();
        let of = made * self.blocks() + block;
        let what = microkernels::Depthwise {
            src: &src[block * len..][..len],
            h: self.src.h,
            w: self.src.w,
            window: self.window,
            taps: &self.taps.all()[of * area..][..area],
            bias: &self.bias.all()[of * BLOCK..][..BLOCK],
            clamp: self.activated.clamp,
            zeros: self.zeros.all(),
        };
        microkernels::depthwise(self.isa, &what, pixels, dst);
        self.activated.finish(self.isa, dst);
    }

    /// Computes the whole map `dst`.
    pub fn run(&self, frame: &Workspace, src: &[f32], dst: &mut [f32]) {
        let &Workspace { team, batch, .. } = frame;
        let pixels = batch * self.pixels();
        if self.multiplier > 1 {
            return self.multiply(frame, src, pixels, dst);
        }
        let grid = Grid::new(dst, pixels, small_cut(self.blocks(), pixels, team.members), team);
        team.run(&|member| {
            while let Some(mut rect) = grid.take(member) {
                for block in rect.blocks.clone() {
                    self.block(src, block, rect.pixels.clone(), rect.block(block));
                }
            }
        });
    }

    /// The same where several channels are made of each: those made first, those made second and so on, then side by side.
    fn multiply(
        &self,
        &Workspace { team, scratch, .. }: &Workspace,
        src: &[f32],
        pixels: usize,
        dst: &mut [f32],
    ) {
        let multiplier = self.multiplier;
        let cut = small_cut(blocks(self.dst.c), pixels, team.members);
        // A block that is read makes so many whole blocks.
        let cut = Cut { blocks: cut.blocks.next_multiple_of(multiplier), ..cut };
        let grid = Grid::new(dst, pixels, cut, team);
        team.run(&|member| {
            let mut scratch = scratch.of(member);
            while let Some(mut rect) = grid.take(member) {
                let wide = rect.pixels.len() * BLOCK;
                let all = scratch.at_least(multiplier * wide);
                let written = rect.blocks.clone();
                for first in written.clone().step_by(multiplier) {
                    for (made, part) in all.chunks_exact_mut(wide).enumerate() {
                        self.made(src, first / multiplier, made, rect.pixels.clone(), part);
                    }
                    for block in first..(first + multiplier).min(written.end) {
                        let dst = rect.block(block);
                        for lane in 0..BLOCK {
                            let at = (block - first) * BLOCK + lane;
                            let from = all[at % multiplier * wide..][..wide].iter();
                            let to = dst[lane..].iter_mut().step_by(BLOCK);
                            to.zip(from.skip(at / multiplier).step_by(BLOCK)).for_each(|(to, &x)| *to = x);
                        }
                    }
                }
            }
        });
    }
}
