//! What a series of times amounts to.

/// Statistics of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stats {
    /// Values.
    pub count: usize,
    /// The least.
    pub min: f64,
    /// A twentieth of the values lie below.
    pub p5: f64,
    /// Half of the values lie below.
    pub median: f64,
    /// A twentieth of the values lie above.
    pub p95: f64,
    /// The largest.
    pub max: f64,
    /// The average.
    pub mean: f64,
}

impl Stats {
    /// Statistics of `samples`, in any order.
    ///
    /// # Panics
    /// When there are none.
    pub fn of(samples: &[f64]) -> Stats {
        let sorted = sorted(samples);
        Stats {
            count: sorted.len(),
            min: sorted[0],
            p5: quantile(&sorted, 0.05),
            median: quantile(&sorted, 0.5),
            p95: quantile(&sorted, 0.95),
            max: sorted[sorted.len() - 1],
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
        }
    }
}

/// The value below which the share `q` of `sorted` lies, by linear interpolation between neighbours.
///
/// # Panics
/// When there are none, or `q` is not between 0 and 1.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    assert!((0.0..=1.0).contains(&q), "a share of {q}");
    let place = q * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// `samples` in order, without the `count` least and the `count` largest of them; all of them when nothing would
/// be left.
pub fn trim(samples: &[f64], count: usize) -> Vec<f64> {
    let sorted = sorted(samples);
    match sorted.len() > 2 * count {
        true => sorted[count..sorted.len() - count].to_vec(),
        false => sorted,
    }
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}
