//! Measuring: round trips of sessions and their statistics, and what a device can do at most.
//!
//! A round trip goes from an input tensor in host memory to logits in host memory, through the public
//! [`Session`]. All times are seconds.
//!
//! ```
//! use mobileone::{Device, Model, Options, Session, Shape, bench::{self, Bounds, Stats}, sample};
//!
//! let model = Model::from_bytes(sample::DIGITS)?;
//! let session = Session::new(&Device::open("cpu")?, &model, &Options::of(&model))?;
//! let input = bench::input(Shape::new(1, 80, 80, 3))?;
//! let bounds = Bounds { seconds: 0.1, iterations: 20 };
//! let stats = Stats::of(&bench::round_trips(&session, &input, bounds, |_| {})?);
//! println!("{:.2} ms", 1e3 * stats.median);
//! # Ok::<(), mobileone::Error>(())
//! ```

mod limit;
mod stats;

use std::time::Instant;

use crate::{Error, Input, Result, Session, Shape, Tensor, options::MOST_PIXELS};

pub use crate::limit::{Limit, SETS};
pub use stats::{Stats, quantile, trim};

/// When a series of round trips ends: at whichever bound comes first, but not before [`LEAST`] of them.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Seconds from the beginning of the first.
    pub seconds: f64,
    /// Round trips.
    pub iterations: usize,
}

/// The fewest round trips of a series that only time bounds.
pub const LEAST: usize = 3;

impl Bounds {
    /// The share that is done after `count` round trips and `seconds`: 1 or more is the end.
    fn done(self, count: usize, seconds: f64) -> f64 {
        let counted = count as f64 / self.iterations as f64;
        let timed = (seconds / self.seconds).min(count as f64 / LEAST as f64);
        counted.max(timed)
    }
}

/// Runs `input` again and again; gives the seconds of each round trip, and calls `progress` with the share done
/// after each.
///
/// # Errors
/// Those of [`Session::run`].
pub fn round_trips(
    session: &Session,
    input: &Tensor,
    bounds: Bounds,
    mut progress: impl FnMut(f64),
) -> Result<Vec<f64>> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    loop {
        let start = Instant::now();
        session.run(Input::Tensor(input))?;
        samples.push(start.elapsed().as_secs_f64());
        let done = bounds.done(samples.len(), begun.elapsed().as_secs_f64());
        progress(done.min(1.0));
        if done >= 1.0 {
            return Ok(samples);
        }
    }
}

/// An input of `shape` whose values look normalized: between -2 and 2, the same for the same shape.
///
/// # Errors
/// [`Error::Option`] for more than 64 Mi pixels in all.
pub fn input(shape: Shape) -> Result<Tensor> {
    let Shape { n, h, w, .. } = shape;
    if n.saturating_mul(h).saturating_mul(w) > MOST_PIXELS {
        return Err(Error::Option(format!(
            "{n} pictures of {h}x{w} are too many at once (at most {MOST_PIXELS} pixels): make the batch or the size smaller"
        )));
    }
    let mut tensor = Tensor::zeros(shape);
    let mut state = 1u32;
    for value in tensor.data_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = (state >> 8) as f32 / (1 << 22) as f32 - 2.0;
    }
    Ok(tensor)
}
