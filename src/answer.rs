//! What comes back from a session.

/// One of the best classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Top {
    /// The class.
    pub index: usize,
    /// Its softmax.
    pub probability: f32,
}

/// What came back; what was not asked for is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Pictures.
    pub batch: usize,
    /// `[batch, classes]`.
    pub logits: Vec<f32>,
    /// `[batch, classes]`.
    pub probabilities: Vec<f32>,
    /// `[batch, channels]`.
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
