//! Over the channels of a pixel: the softmax, and the largest.

use super::{
    activation::{exp, exponentials},
    blocks::{BLOCK, blocks},
    elementwise::pixel,
    team::{Cut, Grid},
    workspace::Workspace,
};

/// Pixels that a member takes at once.
const PIXELS: usize = 64;

/// Where channel `c` of pixel `at` stands in a map in blocks of `pixels`.
fn place(c: usize, at: usize, pixels: usize) -> usize {
    (c / BLOCK * pixels + at) * BLOCK + c % BLOCK
}

/// `dst = exp(src) / sum of exp(src)` over the `channels` of each of `pixels`; NaN where a value is not finite but -inf.
pub fn softmax(
    &Workspace { isa, team, .. }: &Workspace,
    src: &[f32],
    channels: usize,
    pixels: usize,
    dst: &mut [f32],
) {
    let grid = Grid::new(dst, pixels, Cut { blocks: blocks(channels), pixels: PIXELS }, team);
    team.run(&|member| {
        while let Some(mut rect) = grid.take(member) {
            let (pixels_here, blocks) = (rect.pixels.clone(), rect.blocks.clone());
            isa.compiled(
                #[inline(always)]
                || {
                    let (mut largest, mut sums) = ([f32::NEG_INFINITY; PIXELS], [0f64; PIXELS]);
                    for (at, largest) in pixels_here.clone().zip(&mut largest) {
                        let mut most = [f32::NEG_INFINITY; BLOCK];
                        for block in blocks.clone() {
                            let values = counted(pixel(src, block * pixels + at), channels - block * BLOCK);
                            for lane in 0..BLOCK {
                                most[lane] =
                                    if values[lane] > most[lane] { values[lane] } else { most[lane] };
                            }
                        }
                        *largest = halved(most, |a, b| if b > a { b } else { a });
                    }
                    for block in blocks.clone() {
                        let dst = rect.block(block);
                        let each = pixels_here.clone().zip(largest);
                        for ((at, largest), dst) in each.zip(dst.chunks_exact_mut(BLOCK)) {
                            let values = counted(pixel(src, block * pixels + at), channels - block * BLOCK);
                            for lane in 0..BLOCK {
                                dst[lane] = values[lane] - largest;
                            }
                        }
                        exponentials(dst);
                        for (sum, dst) in sums.iter_mut().zip(dst.chunks_exact(BLOCK)) {
                            *sum += f64::from(halved(*pixel(dst, 0), |a, b| a + b));
                        }
                    }
                    for block in blocks.clone() {
                        for (dst, sum) in rect.block(block).chunks_exact_mut(BLOCK).zip(sums) {
                            dst.iter_mut().for_each(|power| *power /= sum as f32);
                        }
                    }
                },
            );
        }
    });
}

/// The first `count` channels of a pixel, the others -inf, whose exponential is 0.
#[inline(always)]
fn counted(src: &[f32; BLOCK], count: usize) -> [f32; BLOCK] {
    std::array::from_fn(
        #[inline(always)]
        |lane| if lane < count { src[lane] } else { f32::NEG_INFINITY },
    )
}

/// Sixteen values put together, those of one half with those of the other.
#[inline(always)]
fn halved<T: Copy>(values: [T; BLOCK], with: impl Fn(T, T) -> T) -> T {
    let eight: [T; 8] = std::array::from_fn(|at| with(values[at], values[at + 8]));
    let four: [T; 4] = std::array::from_fn(|at| with(eight[at], eight[at + 4]));
    with(with(four[0], four[2]), with(four[1], four[3]))
}

/// The `k` largest of the `channels` of each of `batch` vectors, each with its value, or its softmax: the largest first, of
/// equals the lower channel first, NaN last. They are sorted where they are written, a pixel for each.
pub fn best(src: &[f32], channels: usize, batch: usize, (k, softmax): (usize, bool), dst: &mut [f32]) {
    for (at, dst) in dst.chunks_exact_mut(k * BLOCK).take(batch).enumerate() {
        let value = |c: usize| src[place(c, at, batch)];
        let mut found = 0;
        for c in (0..channels).filter(|&c| !value(c).is_nan()) {
            let smaller = |place: &usize| dst[place * BLOCK + 1] < value(c);
            let place = found - (0..found).rev().take_while(smaller).count();
            if place < k {
                found = (found + 1).min(k);
                dst.copy_within(place * BLOCK..(found - 1) * BLOCK, (place + 1) * BLOCK);
                (dst[place * BLOCK], dst[place * BLOCK + 1]) = (c as f32, value(c));
            }
        }
        let nan = (0..channels).filter(|&c| value(c).is_nan());
        for (dst, c) in dst[found * BLOCK..].chunks_exact_mut(BLOCK).zip(nan) {
            (dst[0], dst[1]) = (c as f32, value(c));
        }
        if softmax {
            let largest = (0..channels).map(value).fold(f32::NEG_INFINITY, f32::max);
            let sum = (0..channels).map(|c| f64::from(exp(value(c) - largest))).sum::<f64>() as f32;
            for dst in dst.chunks_exact_mut(BLOCK) {
                dst[1] = match channels {
                    1 => 1.0 / (1.0 + exp(-dst[1])), // the sigmoid
                    _ => exp(dst[1] - largest) / sum,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    #[test]
    fn agree_with_the_reference() {
        for classes in [1usize, 2, 5, 1000] {
            // Distinct, equal in pairs, all equal, and far apart.
            let rows: [fn(usize) -> f32; 4] = [
                |i| ((i as f64 * 0.618_033_988_749_895).fract() * 20.0 - 10.0) as f32,
                |i| (i * 7 % 10 / 2) as f32,
                |_| -3.0,
                |i| if i % 3 == 1 { 3e38 } else { -3e38 + (i % 100) as f32 * 1e36 },
            ];
            for (row, value) in rows.iter().enumerate() {
                let logits: Vec<f32> = (0..classes).map(value).collect();
                let k = classes.min(3);
                let mut src = vec![0.0; logits.len().next_multiple_of(BLOCK)];
                src[..classes].copy_from_slice(&logits);
                let mut dst = vec![0.0; k * BLOCK];
                best(&src, classes, 1, (k, true), &mut dst);
                let expected = reference::softmax(&logits);
                for (found, (index, _)) in dst.chunks(BLOCK).zip(reference::top_k(&logits, k)) {
                    assert_eq!(found[0], index as f32, "{classes} row {row}");
                    let (a, b) = (found[1], expected[index]);
                    assert!((a - b).abs() <= 4e-6 * b + 1e-37, "{classes} row {row}: {a} {b}");
                }
            }
        }
    }
}
