//! Over the channels of a pixel: the softmax, and the largest.

use super::{
    blocks::{BLOCK, blocks},
    team::{Cut, Grid, Team},
};

/// Pixels that a member takes at once.
const PIXELS: usize = 64;

/// Where channel `c` of pixel `at` stands in a map in blocks of `pixels`.
fn place(c: usize, at: usize, pixels: usize) -> usize {
    (c / BLOCK * pixels + at) * BLOCK + c % BLOCK
}

/// `dst = exp(src) / sum of exp(src)` over the `channels` of each of `pixels`.
pub fn softmax(team: &Team, src: &[f32], channels: usize, pixels: usize, dst: &mut [f32]) {
    let grid = Grid::new(dst, pixels, Cut { blocks: blocks(channels), pixels: PIXELS }, team);
    team.run(&|member| {
        let mut values = Vec::new();
        while let Some(mut rect) = grid.take(member) {
            for at in rect.pixels.clone() {
                values.clear();
                values.extend((0..channels).map(|c| src[place(c, at, pixels)]));
                of_one(&mut values);
                let inside = at - rect.pixels.start;
                for (block, values) in values.chunks(BLOCK).enumerate() {
                    rect.block(block)[inside * BLOCK..][..values.len()].copy_from_slice(values);
                }
            }
        }
    });
}

/// The `k` largest of the `channels` of each of `batch` vectors, each with its value, or its softmax.
pub fn best(src: &[f32], channels: usize, batch: usize, (k, softmax): (usize, bool), dst: &mut [f32]) {
    let mut values = Vec::with_capacity(channels);
    for at in 0..batch {
        values.clear();
        values.extend((0..channels).map(|c| src[place(c, at, batch)]));
        let found = largest(&values, k);
        if softmax && channels == 1 {
            values[0] = 1.0 / (1.0 + (-values[0]).exp());
        } else if softmax {
            of_one(&mut values);
        }
        for (dst, c) in dst[at * k * BLOCK..].chunks_exact_mut(BLOCK).zip(found) {
            (dst[0], dst[1]) = (c as f32, values[c]);
        }
    }
}

/// The softmax of one vector, in its place; NaN where a value is not finite but -inf.
fn of_one(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter_mut().for_each(|value| *value = (*value - largest).exp());
    let sum = values.iter().map(|&power| f64::from(power)).sum::<f64>() as f32;
    values.iter_mut().for_each(|power| *power /= sum);
}

/// The `k` largest: the largest first, of equals the lower index first; what is NaN is passed over at first.
fn largest(values: &[f32], k: usize) -> Vec<usize> {
    let mut best: Vec<usize> = Vec::with_capacity(k + 1);
    let nan = (0..values.len()).filter(|&at| values[at].is_nan());
    for at in (0..values.len()).filter(|&at| !values[at].is_nan()) {
        let place = best.partition_point(|&other| values[other] >= values[at]);
        if place < k {
            best.insert(place, at);
            best.truncate(k);
        }
    }
    best.extend(nan);
    best.truncate(k);
    best
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
