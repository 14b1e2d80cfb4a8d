//! What comes back from a session.

/// One of the best classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Top {
    /// The class.
    pub index: usize,
    /// Its softmax; its sigmoid where it is the only class.
    pub probability: f32,
}

/// What came back; what was not asked for is empty.
///
/// ```
/// use mobileone::{Answer, Top};
///
/// let answer = Answer { batch: 1, top: vec![vec![Top { index: 3, probability: 0.75 }]], ..Answer::default() };
/// for (picture, top) in answer.top.iter().enumerate() {
///     println!("picture {picture}: class {} at {:.0}%", top[0].index, 100.0 * top[0].probability);
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Pictures.
    pub batch: usize,
    /// `[batch, classes]`: scores before the softmax.
    pub logits: Vec<f32>,
    /// `[batch, classes]`: the softmax of the logits; of a single class, its sigmoid.
    pub probabilities: Vec<f32>,
    /// `[batch, features]`: what the classifier reads, pooled over the last map.
    pub features: Vec<f32>,
    /// `[batch][k]`, best first; of equal ones the lower class.
    pub top: Vec<Vec<Top>>,
}

impl Answer {
    /// Appends the answers of further pictures.
    pub fn extend(&mut self, other: Answer) {
        self.batch += other.batch;
        self.logits.extend(other.logits);
        self.probabilities.extend(other.probabilities);
        self.features.extend(other.features);
        self.top.extend(other.top);
    }
}

/// The softmax of one picture's logits; of a single class, its sigmoid.
#[cfg(feature = "cpu")]
pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    if let &[logit] = logits {
        return vec![1.0 / (1.0 + (-logit).exp())];
    }
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum = powers.iter().map(|&power| f64::from(power)).sum::<f64>() as f32;
    powers.iter_mut().for_each(|power| *power /= sum);
    powers
}

/// The `k` best of one picture's classes (all of them if there are fewer), by their logits, none of them NaN.
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub(crate) fn top_k(logits: &[f32], probabilities: &[f32], k: usize) -> Vec<Top> {
    let mut best: Vec<usize> = Vec::with_capacity(k.min(logits.len()) + 1);
    for (index, logit) in logits.iter().enumerate() {
        let place = best.partition_point(|&other| logits[other] >= *logit);
        if place < k {
            best.insert(place, index);
            best.truncate(k);
        }
    }
    best.into_iter().map(|index| Top { index, probability: probabilities[index] }).collect()
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;
    use crate::reference;

    #[test]
    fn one_class_has_a_sigmoid() {
        for (logit, expected) in
            [(0.0, 0.5), (1.0, 0.731_058_6), (-1.0, 0.268_941_43), (90.0, 1.0), (-200.0, 0.0)]
        {
            for found in [softmax(&[logit]), reference::softmax(&[logit])] {
                assert!(matches!(found[..], [p] if (p - expected).abs() <= 1e-6), "{logit}: {found:?}");
            }
        }
    }

    #[test]
    fn agree_with_the_reference() {
        for classes in [0usize, 1, 2, 5, 1000] {
            // Distinct, equal in pairs, all equal, and far apart.
            let rows: [fn(usize) -> f32; 4] = [
                |i| ((i as f64 * 0.618_033_988_749_895).fract() * 20.0 - 10.0) as f32,
                |i| (i * 7 % 10 / 2) as f32,
                |_| -3.0,
                |i| if i % 3 == 1 { 3e38 } else { -3e38 + (i % 100) as f32 * 1e36 },
            ];
            for (row, value) in rows.iter().enumerate() {
                let logits: Vec<f32> = (0..classes).map(value).collect();
                let (found, expected) = (softmax(&logits), reference::softmax(&logits));
                for (a, b) in found.iter().zip(&expected) {
                    assert!((a - b).abs() <= 4e-6 * b + 1e-37, "{classes} row {row}: {a} {b}");
                }
                for k in [0, 1, 3, 2000] {
                    let indices: Vec<usize> = top_k(&logits, &found, k).iter().map(|top| top.index).collect();
                    let best: Vec<usize> = reference::top_k(&logits, k).into_iter().map(|(i, _)| i).collect();
                    assert_eq!(indices, best, "{classes} row {row}, {k} best");
                }
            }
        }
    }
}
