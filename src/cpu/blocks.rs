//! How maps lie in memory: `[blocks][pixels][16]`, the pixels those of all pictures, channels past the last one
//! written but never read. A vector per picture is a map of one pixel each.

use std::ops::Range;

use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};

pub use super::microkernels::BLOCK;
use super::team::{Cut, Grid, Team};

/// One pixel of one block, where a vector load crosses no line of the cache.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Lane([f32; BLOCK]);

/// Aligned memory.
#[derive(Clone, Debug, Default)]
pub struct Buffer(Vec<Lane>);

impl Buffer {
    /// `scalars` zeros, a multiple of 16.
    pub fn new(scalars: usize) -> Buffer {
        assert_eq!(scalars % BLOCK, 0);
        Buffer(vec![Lane::zeroed(); scalars / BLOCK])
    }

    /// `values`, then zeros up to a whole block.
    pub fn of(values: &[f32]) -> Buffer {
        let mut buffer = Buffer::new(values.len().next_multiple_of(BLOCK));
        buffer.all_mut()[..values.len()].copy_from_slice(values);
        buffer
    }

    pub fn all(&self) -> &[f32] {
        cast_slice(&self.0)
    }

    pub fn all_mut(&mut self) -> &mut [f32] {
        cast_slice_mut(&mut self.0)
    }

    /// The first `scalars`, after growing where there are fewer.
    pub fn at_least(&mut self, scalars: usize) -> &mut [f32] {
        if self.0.len() * BLOCK < scalars {
            self.0.resize(scalars.div_ceil(BLOCK), Lane::zeroed());
        }
        &mut self.all_mut()[..scalars]
    }
}

/// Blocks of `channels`.
pub fn blocks(channels: usize) -> usize {
    channels.div_ceil(BLOCK)
}

/// `pixels` of a map of `width` columns, row by row: each row's number, counted through all pictures, and the columns.
pub fn rows(pixels: Range<usize>, width: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    (pixels.start / width..pixels.end.div_ceil(width)).map(move |row| {
        let first = row * width;
        (row, pixels.start.max(first) - first..pixels.end.min(first + width) - first)
    })
}

/// Rectangles of some thousand scalars, several to a member, who has the same pixels in every map.
pub fn small_cut(blocks: usize, pixels: usize, members: usize) -> Cut {
    const PIXELS: usize = 512;
    let pixels_each = pixels.div_ceil(members).min(PIXELS);
    let across = pixels.div_ceil(pixels_each);
    let fair = (blocks * across).div_ceil(2 * members).max(1);
    Cut { blocks: (PIXELS / pixels_each).clamp(1, fair), pixels: pixels_each }
}

/// `src` `[pixels][channels]` into blocks.
pub fn enter(team: &Team, src: &[f32], channels: usize, dst: &mut [f32]) {
    let pixels = src.len() / channels;
    let grid = Grid::new(dst, pixels, small_cut(blocks(channels), pixels, team.members), team);
    team.run(&|member| {
        while let Some(mut rect) = grid.take(member) {
            for block in rect.blocks.clone() {
                let first = block * BLOCK;
                let count = BLOCK.min(channels - first);
                let from = src[rect.pixels.start * channels..].chunks_exact(channels);
                for (dst, src) in rect.block(block).chunks_exact_mut(BLOCK).zip(from) {
                    dst[..count].copy_from_slice(&src[first..first + count]);
                    dst[count..].fill(0.0);
                }
            }
        }
    });
}

/// The first `channels` of `src`, in blocks of `pixels`, into `dst` `[pixels][channels]`.
pub fn leave(src: &[f32], pixels: usize, channels: usize, dst: &mut [f32]) {
    for (block, src) in src.chunks_exact(pixels * BLOCK).enumerate() {
        let first = block * BLOCK;
        let count = BLOCK.min(channels - first);
        for (dst, src) in dst.chunks_exact_mut(channels).zip(src.chunks_exact(BLOCK)) {
            dst[first..first + count].copy_from_slice(&src[..count]);
        }
    }
}
