//! What a frame brings back: health, softmax and the best classes.

use super::{Kernel, Shader, shader};
use crate::graph::Graph;

/// The shader.
pub const SHADER: Shader = shader!("answer");

/// The best classes that the kernel finds at most, a round each.
pub const MOST_TOP: usize = 64;

/// The outputs that a session computes and brings back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Scores before the softmax.
    pub logits: bool,
    /// Softmax of the logits; of a single class, its sigmoid.
    pub probabilities: bool,
    /// So many best classes, all of them at most.
    pub top_k: usize,
    /// Pooled features before the classifier.
    pub features: bool,
}

/// Where things stand in the answer of one picture, in words of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layout {
    /// Classes; 0 without a classifier.
    pub classes: usize,
    /// Whether the softmax is written.
    pub probabilities: bool,
    /// Best classes written.
    pub top: usize,
}

impl Layout {
    /// The layout of what is wanted of `graph`: no more best classes than classes, no softmax without them.
    pub fn of(graph: &Graph, wanted: Outputs) -> Layout {
        let classes = graph.classes().unwrap_or(0);
        Layout { classes, probabilities: wanted.probabilities && classes > 0, top: wanted.top_k.min(classes) }
    }

    /// Words of one picture's answer: two of health, the softmax, two per best class.
    pub fn words(&self) -> usize {
        self.top_at() + 2 * self.top
    }

    /// Where the softmax begins.
    pub fn probabilities_at(&self) -> usize {
        2
    }

    /// Where the best classes begin.
    pub fn top_at(&self) -> usize {
        2 + if self.probabilities { self.classes } else { 0 }
    }
}

/// The kernel that ends every plan; `features` channels before the classifier.
pub fn kernel(features: usize, layout: Layout) -> Kernel {
    assert!(layout.top <= layout.classes, "no more best classes than classes");
    Kernel {
        shader: &SHADER,
        head: vec![
            ("FEATURES", features.into()),
            ("FEATURES_C4", features.div_ceil(4).into()),
            ("CLASSES", layout.classes.into()),
            ("CLASSES_C4", layout.classes.div_ceil(4).into()),
            ("PROBABILITIES", layout.probabilities.into()),
            ("TOP", layout.top.into()),
        ],
        workgroups: 1,
    }
}
