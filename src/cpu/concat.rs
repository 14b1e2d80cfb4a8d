//! The channels of one map after those of the other.

use super::{
    blocks::BLOCK,
    elementwise::{each, same},
    workspace::Workspace,
};

/// Joins maps of one size.
pub struct Concat {
    /// Of each block of what is written.
    blocks: Vec<Vec<Part>>,
}

/// Lanes of a block that stand side by side in a block of an input too.
struct Part {
    input: usize,
    /// The input's block, and the first lane in it.
    block: usize,
    from: usize,
    /// The first lane written.
    to: usize,
    lanes: usize,
}

impl Concat {
    /// The plan for inputs with these numbers of channels, in order.
    pub fn new(channels: impl Iterator<Item = usize>) -> Concat {
        let mut blocks: Vec<Vec<Part>> = Vec::new();
        let mut written = 0;
        for (input, channels) in channels.enumerate() {
            let mut read = 0;
            while read < channels {
                let (to, from) = (written % BLOCK, read % BLOCK);
                let lanes = (channels - read).min(BLOCK - to).min(BLOCK - from);
                if to == 0 {
                    blocks.push(Vec::new());
                }
                let parts = blocks.last_mut().expect("the first lane of a block before the others");
                parts.push(Part { input, block: read / BLOCK, from, to, lanes });
                (read, written) = (read + lanes, written + lanes);
            }
        }
        Concat { blocks }
    }

    /// Computes the whole map `dst`; `src` gives each input.
    pub fn run<'a>(
        &self,
        &Workspace { team, .. }: &Workspace,
        src: &(dyn Fn(usize) -> &'a [f32] + Sync),
        pixels: usize,
        dst: &mut [f32],
    ) {
        each(team, dst, pixels, |rect, block| {
            for &Part { input, block: src_block, from, to, lanes } in &self.blocks[block] {
                let src = same(src(input), rect, src_block, pixels);
                let dst = rect.block(block);
                // All lanes that the input's block has, or those that count.
                if from == 0 && to == 0 {
                    dst.copy_from_slice(src);
                    continue;
                }
                for (dst, src) in dst.chunks_exact_mut(BLOCK).zip(src.chunks_exact(BLOCK)) {
                    dst[to..to + lanes].copy_from_slice(&src[from..from + lanes]);
                }
            }
        });
    }
}
