//! What comes back from a session.

use std::sync::Arc;

#[cfg(any(feature = "cpu", feature = "gpu"))]
use crate::{
    error::{Error, Result},
    options::Outputs,
    tasks::classify,
};
use crate::{
    graph::{FEATURES, LOGITS},
    tasks::classify::{PROBABILITIES, Top},
    tensor::{Shape, Tensor},
};

/// What came back of what was asked for.
///
/// ```
/// use mobileone::{Device, Input, Model, Options, Outputs, Session, Shape, Tensor, sample};
///
/// let model = Model::from_bytes(sample::DIGITS)?;
/// let options = Options { outputs: Outputs::named(["features"]).and_best(1), ..Options::of(&model) };
/// let session = Session::new(&Device::open("cpu")?, &model, &options)?;
/// let answer = session.run(Input::Tensor(&Tensor::zeros(Shape::new(1, 80, 80, 3))))?;
/// assert_eq!(answer.get("features").unwrap().shape(), Shape::new(1, 1, 1, 256));
/// println!("class {} at {:.0} %", answer.top[0][0].index, 100.0 * answer.top[0][0].probability);
/// # Ok::<(), mobileone::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// Pictures.
    pub batch: usize,
    /// The outputs that were asked for by name, in that order: `[batch, h, w, c]` each.
    pub outputs: Vec<(Arc<str>, Tensor)>,
    /// `[batch][k]`: the best classes, best first, of equal ones the lower class.
    pub top: Vec<Vec<Top>>,
}

impl Answer {
    /// Of a batch's outputs, which were computed for `wanted`, and of the best classes where a device found them.
    #[cfg(any(feature = "cpu", feature = "gpu"))]
    pub(crate) fn new(
        batch: usize,
        mut outputs: Vec<(Arc<str>, Tensor)>,
        top: Option<Vec<Vec<Top>>>,
        wanted: &Outputs,
    ) -> Answer {
        let top =
            top.or_else(|| classify::take(&mut outputs, wanted)).unwrap_or_else(|| vec![Vec::new(); batch]);
        Answer { batch, outputs, top }
    }

    /// The output of a name, if it was asked for.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.outputs.iter().find(|(known, _)| **known == *name).map(|(_, tensor)| tensor)
    }

    /// `[batch, classes]`: scores before the softmax; empty where they were not asked for.
    pub fn logits(&self) -> &[f32] {
        self.values(LOGITS)
    }

    /// `[batch, classes]`: the softmax of the logits, of a single class its sigmoid; empty where it was not asked for.
    pub fn probabilities(&self) -> &[f32] {
        self.values(PROBABILITIES)
    }

    /// `[batch, features]`: one vector per picture before any classifier; empty where they were not asked for.
    pub fn features(&self) -> &[f32] {
        self.values(FEATURES)
    }

    fn values(&self, name: &str) -> &[f32] {
        self.get(name).map_or(&[], |tensor| tensor.data())
    }

    /// Appends the answers of further pictures to the same questions.
    pub fn extend(&mut self, other: Answer) {
        if self.batch == 0 {
            *self = other;
            return;
        }
        self.batch += other.batch;
        self.top.extend(other.top);
        for ((_, all), (_, more)) in self.outputs.iter_mut().zip(other.outputs) {
            let shape: Shape = all.shape().with_batch(all.shape().n + more.shape().n);
            let mut data = std::mem::replace(all, Tensor::zeros(Shape::new(0, 0, 0, 0))).into_data();
            data.extend_from_slice(more.data());
            *all = Tensor::new(shape, data).expect("maps of one size");
        }
    }
}

/// Sees that every value of an output is finite, `one` of each picture: the one judge of what any device gives. `sound` says
/// of a picture of the input whether its values are.
///
/// # Errors
/// [`Error::Input`] for the first picture that is not answered soundly where its input is to blame; else what `fail` makes
/// of the reason.
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub(crate) fn judge(
    name: &str,
    values: &[f32],
    one: usize,
    sound: impl Fn(usize) -> bool,
    fail: impl Fn(String) -> Error,
) -> Result<()> {
    // Of all at once, which compilers make vectors of; a second look says where.
    if values.iter().fold(true, |all, value| all & value.is_finite()) {
        return Ok(());
    }
    let broken = values.iter().position(|value| !value.is_finite()).expect("one of them");
    let picture = broken / one;
    if !sound(picture) {
        return Err(Error::Input(format!("picture {picture} has values that are not finite")));
    }
    let count = values[picture * one..][..one].iter().filter(|value| !value.is_finite()).count();
    Err(fail(format!(
        "picture {picture}: {count} of the {one} values of {name} are not finite, though its input is sound"
    )))
}
