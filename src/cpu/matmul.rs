//! Matrix products over pixels, and convolutions that become such.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    activation::Activated,
    blocks::{BLOCK, Buffer, blocks, rows},
    depthwise::Depthwise,
    microkernels::{Isa, Product, product},
    team::{Cut, Grid, Rect, Team},
    workspace::Workspace,
};
use crate::{
    graph::{Activation, Conv, Window},
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

    /// Fills the blocks of `rect` from `block` on, which this matrix makes, from `src`, the inputs of `src_pixels`
    /// pixels, of which those from `first` on are wanted.
    fn fill(&self, (src, src_pixels): (&[f32], usize), first: usize, rect: &mut Rect, mut block: usize) {
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
                    clamp: self.activated.clamp,
                };
                match panel.blocks {
                    1 => product(self.isa, &what, &mut rect.some::<1>(block)),
                    2 => product(self.isa, &what, &mut rect.some::<2>(block)),
                    _ => product(self.isa, &what, &mut rect.some::<3>(block)),
                }
                for block in block..block + panel.blocks {
                    self.activated.finish(self.isa, rect.block(block));
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
                self.fill((src, pixels), rect.pixels.start, &mut rect, 0);
            }
        });
    }

    /// Multiplies every pixel that `depthwise` makes of `src` into `dst`, with no map in between.
    pub fn run_after(
        &self,
        depthwise: &Depthwise,
        &Workspace { team, scratch, batch, .. }: &Workspace,
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
                self.fill((middle, wide), 0, &mut rect, 0);
            }
        });
    }
}

/// What a convolution reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[n][h][w][c]`: the input.
    Nhwc,
    /// `[blocks][n * h * w][16]`: any other map.
    Blocks,
}

/// A convolution of any window and groups, for one size of map: pixels under the kernel are gathered, then multiplied.
pub struct Dense {
    window: Window,
    src: Shape,
    dst: Shape,
    pub layout: Layout,
    /// In the order of the channels that they write: one, unless there are groups.
    parts: Vec<Part>,
}

/// Blocks of output channels that read the same input channels.
struct Part {
    /// The first block.
    block: usize,
    /// The channels read: those of all groups that the blocks have channels of.
    src: Range<usize>,
    /// A run for what is gathered at once: a tap's channels, or those of a row of the kernel.
    matrix: Matrix,
}

impl Dense {
    /// For pictures that go from shape `src` to `dst`; weight `[dst_c][src_c / groups][rows][columns]`.
    pub fn new(
        isa: Isa,
        conv: &Conv,
        ([src, dst], layout): ([Shape; 2], Layout),
        weight: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Dense {
        let Conv { dst_c, groups, window, .. } = *conv;
        let (area, depth, group) = (window.area(), conv.depth(), dst_c / groups);
        let channels = |blocks: &Range<usize>| blocks.start * BLOCK..dst_c.min(blocks.end * BLOCK);
        let read = |blocks: &Range<usize>| {
            let channels = channels(blocks);
            channels.start / group * depth..((channels.end - 1) / group + 1) * depth
        };
        let mut parts: Vec<Range<usize>> = Vec::new();
        for block in 0..blocks(dst_c) {
            match parts.last_mut() {
                Some(last) if read(last) == read(&(block..block + 1)) => last.end = block + 1,
                _ => parts.push(block..block + 1),
            }
        }
        let part = |blocks: Range<usize>| {
            let (src, channels) = (read(&blocks), channels(&blocks));
            // `[channels][rows][columns][src]`, zeros where a channel is of another group.
            let mut matrix = vec![0.0; channels.len() * area * src.len()];
            for (c, row) in channels.clone().zip(matrix.chunks_exact_mut(area * src.len())) {
                let first = c / group * depth - src.start;
                for (at, &value) in weight[c * depth * area..][..depth * area].iter().enumerate() {
                    row[at % area * src.len() + first + at / area] = value;
                }
            }
            let across = across(&window, layout);
            let runs = (area / across, across * src.len());
            Part {
                block: blocks.start,
                matrix: Matrix::new(isa, &matrix, &bias[channels], runs, activation),
                src,
            }
        };
        Dense { window, src, dst, layout, parts: parts.into_iter().map(part).collect() }
    }

    /// How the map is cut.
    fn cut(&self, pixels: usize, members: usize) -> Cut {
        /// About as many scalars as should be gathered at once.
        const PATCHES: usize = 1 << 17;
        let blocks = blocks(self.dst.c);
        match (self.parts.as_slice(), self.layout) {
            ([one], Layout::Nhwc) => Cut { blocks, ..one.matrix.cut(pixels, members) },
            ([one], Layout::Blocks) => {
                let cut = one.matrix.cut(pixels, members);
                let most = (PATCHES / (one.matrix.runs * one.matrix.run)).max(FEW);
                Cut { pixels: cut.pixels.div_ceil(cut.pixels.div_ceil(most)), ..cut }
            }
            // Parts begin at any block.
            _ => Cut { blocks, pixels: pixels.div_ceil(2 * members * pixels.div_ceil(2 * members * MOST)) },
        }
    }

    /// Computes the whole map `dst`.
    pub fn run(&self, &Workspace { team, scratch, batch, .. }: &Workspace, src: &[f32], dst: &mut [f32]) {
        let pixels = batch * self.dst.pixels();
        let grid = Grid::new(dst, pixels, self.cut(pixels, team.members), team);
        team.run(&|member| {
            let mut scratch = scratch.of(member);
            while let Some(mut rect) = grid.take(member) {
                let wide = rect.pixels.len();
                for part in &self.parts {
                    let Part { block, src: channels, matrix } = part;
                    let aligned = channels.start % BLOCK == 0 && self.layout == Layout::Blocks;
                    if aligned && self.window.is_point() {
                        let src = (&src[channels.start * pixels..], pixels);
                        matrix.fill(src, rect.pixels.start, &mut rect, *block);
                        continue;
                    }
                    let patches = scratch.at_least(matrix.runs * blocks(matrix.run) * wide * BLOCK);
                    self.gather(part, src, batch, rect.pixels.clone(), patches);
                    matrix.fill((patches, wide), 0, &mut rect, *block);
                }
            }
        });
    }

    /// What `part` reads at `pixels`, zeros outside of the map: `[runs][blocks of a run][pixels][16]`.
    fn gather(&self, part: &Part, src: &[f32], batch: usize, pixels: Range<usize>, patches: &mut [f32]) {
        let Dense { window, src: from, dst: to, layout, .. } = self;
        let (blocks, across) = (blocks(part.matrix.run), across(window, *layout));
        let (wide, mut at) = (pixels.len() * BLOCK, 0);
        for (row, columns) in rows(pixels, to.w) {
            let here = at..at + columns.len() * BLOCK;
            at = here.end;
            for (index, patches) in patches.chunks_exact_mut(wide).enumerate() {
                let (tap, first) = (index / blocks * across, index % blocks * BLOCK);
                let (ky, kx) = (tap / window.kernel[1], tap % window.kernel[1]);
                let dst = &mut patches[here.clone()];
                let Some(y) = window.under(0, row % to.h, ky, from.h) else {
                    dst.fill(0.0);
                    continue;
                };
                let row = (row / to.h * from.h + y) * from.w;
                match layout {
                    Layout::Nhwc => {
                        let place = kx * window.dilation[1] * from.c + first;
                        let reach = (part.matrix.run - first).min(BLOCK);
                        self.row(part.matrix.isa, src, row * from.c, columns.clone(), (place, reach), dst);
                    }
                    Layout::Blocks => {
                        let (channel, pixels) = (part.src.start + first, batch * from.pixels());
                        let block =
                            |block: usize| src.get((block * pixels + row) * BLOCK..)?.get(..from.w * BLOCK);
                        let read = [channel / BLOCK, channel / BLOCK + 1].map(block);
                        self.row_of_blocks(read, columns.clone(), (kx, channel % BLOCK), dst);
                    }
                }
            }
        }
    }

    /// Sixteen scalars from `place` in the padded row on, of which the first `reach` count, at the outputs `columns` of
    /// the row that begins at scalar `row`: `[columns][16]`. What does not count may be anything.
    fn row(
        &self,
        isa: Isa,
        src: &[f32],
        row: usize,
        columns: Range<usize>,
        (place, reach): (usize, usize),
        dst: &mut [f32],
    ) {
        let Dense { window, src: from, .. } = self;
        let (step, width) = (window.stride[1] * from.c, from.w * from.c);
        let padding = window.padding[1][0] * from.c;
        // Outputs whose sixteen scalars can be read as they lie: within the row where they count.
        let begin = padding.saturating_sub(place).div_ceil(step);
        let end = src.len().checked_sub(BLOCK).map_or(0, |last| {
            let past = (last + 1 + padding).min((row + width + 1 + padding).saturating_sub(reach));
            past.saturating_sub(row + place).div_ceil(step)
        });
        let middle = begin.clamp(columns.start, columns.end)..end.clamp(columns.start, columns.end);
        let middle = middle.start..middle.end.max(middle.start);
        let edge = |columns: Range<usize>, dst: &mut [f32]| {
            for (x, dst) in columns.zip(dst.chunks_exact_mut(BLOCK)) {
                for (lane, dst) in dst.iter_mut().enumerate() {
                    let at = (x * step + place + lane).checked_sub(padding).filter(|&at| at < width);
                    *dst = at.map_or(0.0, |at| src[row + at]);
                }
            }
        };
        let (left, rest) = dst.split_at_mut((middle.start - columns.start) * BLOCK);
        let (dst, right) = rest.split_at_mut(middle.len() * BLOCK);
        edge(columns.start..middle.start, left);
        edge(middle.end..columns.end, right);
        if !middle.is_empty() {
            let src = &src[row + middle.start * step + place - padding..];
            isa.compiled(
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

    /// The same of a row in blocks, of tap `kx`: of sixteen channels from lane `first` of the one block on, the rest from
    /// the next one, if there is one.
    fn row_of_blocks(
        &self,
        read: [Option<&[f32]>; 2],
        columns: Range<usize>,
        (kx, first): (usize, usize),
        dst: &mut [f32],
    ) {
        let [Some(here), next] = read else { unreachable!("a block of the input") };
        for (x, dst) in columns.zip(dst.chunks_exact_mut(BLOCK)) {
            let Some(column) = self.window.under(1, x, kx, self.src.w) else {
                dst.fill(0.0);
                continue;
            };
            let here = &here[column * BLOCK..][..BLOCK];
            if first == 0 {
                dst.copy_from_slice(here);
                continue;
            }
            dst[..BLOCK - first].copy_from_slice(&here[first..]);
            if let Some(next) = next {
                dst[BLOCK - first..].copy_from_slice(&next[column * BLOCK..][..first]);
            }
        }
    }
}

/// Taps that are gathered at once: those of a row of the kernel where they lie side by side, channels and all.
fn across(window: &Window, layout: Layout) -> usize {
    match layout {
        Layout::Nhwc if window.dilation[1] == 1 => window.kernel[1],
        _ => 1,
    }
}
