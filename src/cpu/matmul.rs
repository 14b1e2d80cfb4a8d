//! Matrix products over pixels.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    blocks::{BLOCK, Buffer, blocks},
    depthwise::Depthwise,
    elementwise::Activated,
    microkernels::{Isa, Product, product},
    step::Frame,
    team::{Cut, Grid, Rect, Team},
};
use crate::{
    graph::{Activation, Conv},
    tensor::Shape,
};

/// The most pixels of one rectangle: with its inputs it should stay in a core's own cache.
const MOST: usize = 196;
/// Fewer pixels than this are not worth the weights that are read for them: channels are cut instead.
const FEW: usize = 56;

/// Output channels that are computed together.
struct Panel {
    blocks: usize,
    /// `[runs][run][blocks * 16]`.
    weight: Buffer,
    /// `[blocks * 16]`.
    bias: Buffer,
}

/// A matrix with a bias, packed for [`product`].
pub struct Matrix {
    isa: Isa,
    panels: Vec<Panel>,
    runs: usize,
    run: usize,
    activated: Activated,
}

impl Matrix {
    /// Packs `weight` `[dst_c][runs * run]`.
    pub fn new(
        isa: Isa,
        weight: &[f32],
        bias: &[f32],
        (runs, run): (usize, usize),
        activation: Activation,
    ) -> Matrix {
        let src_c = runs * run;
        let mut first = 0;
        let panels: Vec<(usize, usize)> = isa
            .panels(blocks(bias.len()))
            .into_iter()
            .map(|blocks| {
                first += blocks;
                (first - blocks, blocks)
            })
            .collect();
        let panel = |(first, blocks): (usize, usize)| {
            let channels = first * BLOCK..bias.len().min((first + blocks) * BLOCK);
            let width = blocks * BLOCK;
            let mut packed = Buffer::new(src_c * width);
            let rows = &weight[channels.start * src_c..channels.end * src_c];
            let all = packed.all_mut();
            for (lane, row) in rows.chunks_exact(src_c).enumerate() {
                for (to, &value) in all[lane..].iter_mut().step_by(width).zip(row) {
                    *to = value;
                }
            }
            let mut padded = Buffer::new(width);
            padded.all_mut()[..channels.len()].copy_from_slice(&bias[channels]);
            Panel { blocks, weight: packed, bias: padded }
        };
        let panels = panels.into_par_iter().map(panel).collect();
        Matrix { isa, panels, runs, run, activated: Activated::by(activation) }
    }

    /// Blocks of output channels.
    fn blocks(&self) -> usize {
        self.panels.iter().map(|panel| panel.blocks).sum()
    }

    /// How `pixels` and the output channels are cut.
    pub fn cut(&self, pixels: usize, members: usize) -> Cut {
        let blocks = self.blocks();
        if members == 1 {
            return Cut { blocks, pixels: pixels.div_ceil(pixels.div_ceil(MOST)) };
        }
        let rounds = pixels.div_ceil(members * MOST);
        let parts = (members * rounds).min(pixels / FEW).max(1);
        let pixels = pixels.div_ceil(parts);
        if parts >= members {
            return Cut { blocks, pixels };
        }
        // As Isa::panels allows.
        let blocks = blocks.div_ceil((2 * members).div_ceil(parts)).next_multiple_of(2).max(4);
        Cut { blocks, pixels }
    }

    /// Whether `pixels` are cut only, not channels too.
    pub fn is_tall(&self, pixels: usize, members: usize) -> bool {
        self.cut(pixels, members).blocks >= self.blocks()
    }

    /// Fills `rect` from `src`, the inputs of `src_pixels` pixels, of which those from `first` on are wanted.
    fn fill(&self, src: &[f32], src_pixels: usize, first: usize, rect: &mut Rect) {
        let mut block = 0;
        for panel in &self.panels {
            if rect.blocks.contains(&block) {
                let what = Product {
                    src,
                    src_pixels,
                    first,
                    runs: self.runs,
                    run: self.run,
                    weight: panel.weight.all(),
                    bias: panel.bias.all(),
                    relu: self.activated.relu,
                };
                match panel.blocks {
                    1 => product(self.isa, &what, &mut rect.some::<1>(block)),
                    2 => product(self.isa, &what, &mut rect.some::<2>(block)),
                    _ => product(self.isa, &what, &mut rect.some::<3>(block)),
                }
                if let Some(after) = self.activated.after {
                    for block in block..block + panel.blocks {
                        after(rect.block(block));
                    }
                }
            }
            block += panel.blocks;
        }
    }

    /// Multiplies every pixel of `src` into `dst`.
    pub fn run(&self, team: &Team, src: &[f32], dst: &mut [f32], pixels: usize) {
        let grid = Grid::new(dst, pixels, self.cut(pixels, team.members), team);
        team.run(&|member| {
            while let Some(mut rect) = grid.take(member) {
                self.fill(src, pixels, rect.pixels.start, &mut rect);
            }
        });
    }

    /// Multiplies every pixel that `depthwise` makes of `src` into `dst`, with no map in between.
    pub fn run_after(
        &self,
        depthwise: &Depthwise,
        &Frame { team, scratch, batch, .. }: &Frame,
        src: &[f32],
        dst: &mut [f32],
    ) {
        let pixels = batch * depthwise.pixels();
        let grid = Grid::new(dst, pixels, self.cut(pixels, team.members), team);
        team.run(&|member| {
            let mut scratch = scratch.of(member);
            while let Some(mut rect) = grid.take(member) {
                let wide = rect.pixels.len();
                let middle = scratch.at_least(depthwise.blocks() * wide * BLOCK);
                for (block, middle) in middle.chunks_exact_mut(wide * BLOCK).enumerate() {
                    depthwise.block(src, block, rect.pixels.clone(), middle);
                }
                self.fill(middle, wide, 0, &mut rect);
            }
        });
    }
}

/// What a dense convolution reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[n][h][w][c]`: the input.
    Nhwc,
    /// `[blocks][n * h * w][16]`: any other map.
    Blocks,
}

/// A dense convolution of any kernel, stride and padding, for one size of map.
pub struct Dense {
    /// Side of the kernel, stride and padding.
    square: [usize; 3],
    src: Shape,
    dst: Shape,
    pub layout: Layout,
    /// A run for each row of the kernel: `[k][src_c]`.
    matrix: Matrix,
}

impl Dense {
    /// For pictures that go from shape `src` to `dst`; weight `[dst_c][k][k][src_c]`.
    pub fn new(
        isa: Isa,
        conv: &Conv,
        ([src, dst], layout): ([Shape; 2], Layout),
        weight: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Dense {
        assert_eq!(conv.groups, 1, "no loops for {conv:?}");
        let square @ [kernel, ..] = conv.window.as_square().expect("a square window");
        let matrix = Matrix::new(isa, weight, bias, (kernel, kernel * conv.src_c), activation);
        Dense { square, src, dst, layout, matrix }
    }

    /// Computes the whole map `dst` of `batch` pictures.
    pub fn run(&self, &Frame { team, scratch, batch, .. }: &Frame, src: &[f32], dst: &mut [f32]) {
        let pixels = batch * self.dst.pixels();
        let Cut { pixels: wide, .. } = self.matrix.cut(pixels, team.members);
        let grid = Grid::new(dst, pixels, Cut { blocks: self.matrix.blocks(), pixels: wide }, team);
        team.run(&|member| {
            let mut scratch = scratch.of(member);
            while let Some(mut rect) = grid.take(member) {
                let wide = rect.pixels.len();
                let patches = scratch.at_least(self.square[0] * blocks(self.matrix.run) * wide * BLOCK);
                self.gather(src, batch, rect.pixels.clone(), patches);
                self.matrix.fill(patches, wide, 0, &mut rect);
            }
        });
    }

    /// What lies under the kernel at `pixels`, zeros outside of the map: `[k][blocks of k * src_c][pixels][16]`.
    fn gather(&self, src: &[f32], batch: usize, pixels: Range<usize>, patches: &mut [f32]) {
        let Dense {
            square: [_, stride, padding],
            src: from,
            dst: Shape { h: dst_h, w: dst_w, .. },
            matrix,
            ..
        } = self;
        let wide = pixels.len() * BLOCK;
        let mut at = pixels.start;
        while at < pixels.end {
            let (row, x) = (at / dst_w, at % dst_w);
            let end = (*dst_w).min(x + pixels.end - at);
            let part = (at - pixels.start) * BLOCK..(at - pixels.start + end - x) * BLOCK;
            for (index, patches) in patches.chunks_exact_mut(wide).enumerate() {
                let (ky, first) = (index / blocks(matrix.run), index % blocks(matrix.run) * BLOCK);
                let y = (row % dst_h * stride + ky).checked_sub(*padding);
                let dst = &mut patches[part.clone()];
                match (y.filter(|&y| y < from.h), self.layout) {
                    (None, _) => dst.fill(0.0),
                    (Some(y), Layout::Nhwc) => {
                        let row = (row / dst_h * from.h + y) * from.w * from.c;
                        self.row(src, row, x..end, first, dst);
                    }
                    (Some(y), Layout::Blocks) => {
                        let row = (row / dst_h * from.h + y) * from.w;
                        self.row_of_blocks(src, batch * from.pixels(), row, x..end, first, dst);
                    }
                }
            }
            at += end - x;
        }
    }

    /// Sixteen scalars under one row of the kernel, from `first` on, at the outputs `columns` of the row that
    /// begins at scalar `row`: `[columns][16]`. Past the kernel's row anything is written.
    fn row(&self, src: &[f32], row: usize, columns: Range<usize>, first: usize, dst: &mut [f32]) {
        let Dense { square: [_, stride, padding], src: from, matrix, .. } = self;
        let (step, padding, width) = (stride * from.c, padding * from.c, from.w * from.c);
        // Outputs whose sixteen scalars can be read as they lie: within the row where the kernel reads.
        let reach = (matrix.run - first).min(BLOCK);
        let begin = padding.saturating_sub(first).div_ceil(step);
        let end = src.len().checked_sub(BLOCK).map_or(0, |last| {
            let past = (last + 1 + padding).min((row + width + 1 + padding).saturating_sub(reach));
            past.saturating_sub(row + first).div_ceil(step)
        });
        let middle = begin.clamp(columns.start, columns.end)..end.clamp(columns.start, columns.end);
        let middle = middle.start..middle.end.max(middle.start);
        let edge = |columns: Range<usize>, dst: &mut [f32]| {
            for (x, dst) in columns.zip(dst.chunks_exact_mut(BLOCK)) {
                for (lane, dst) in dst.iter_mut().enumerate() {
                    let at = (x * step + first + lane).checked_sub(padding).filter(|&at| at < width);
                    *dst = at.map_or(0.0, |at| src[row + at]);
                }
            }
        };
        let (left, rest) = dst.split_at_mut((middle.start - columns.start) * BLOCK);
        let (dst, right) = rest.split_at_mut(middle.len() * BLOCK);
        edge(columns.start..middle.start, left);
        edge(middle.end..columns.end, right);
        if !middle.is_empty() {
            let src = &src[row + middle.start * step + first - padding..];
            matrix.isa.compiled(
                #[inline(always)]
                || {
                    let src = src.windows(BLOCK).step_by(step);
                    for (dst, src) in dst.chunks_exact_mut(BLOCK).zip(src) {
                        dst.copy_from_slice(src);
                    }
                },
            );
        }
    }

    /// The same of a map in blocks of `pixels`, whose row begins at pixel `row`.
    fn row_of_blocks(
        &self,
        src: &[f32],
        pixels: usize,
        row: usize,
        columns: Range<usize>,
        first: usize,
        dst: &mut [f32],
    ) {
        let Dense { square: [_, stride, padding], src: from, .. } = self;
        for (x, dst) in columns.zip(dst.chunks_exact_mut(BLOCK)) {
            for (lane, dst) in dst.iter_mut().enumerate() {
                let (kx, channel) = ((first + lane) / from.c, (first + lane) % from.c);
                let column = (x * stride + kx).checked_sub(*padding).filter(|&column| column < from.w);
                *dst = column.map_or(0.0, |column| {
                    src[(channel / BLOCK * pixels + row + column) * BLOCK + channel % BLOCK]
                });
            }
        }
    }
}
