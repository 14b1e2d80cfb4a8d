//! What is measured: rates, times, memory, and how often the label was right.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// One labelled frame.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When its label came.
    pub answered: Instant,
    /// From the source's having it to its label, in seconds.
    pub latency: f32,
    /// From its submission, or the label of the frame before where that came later, to its label, in seconds.
    pub engine: f32,
    /// What the engine's thread spent on it: upload, preprocessing's and network's commands, in seconds.
    pub host: f32,
}

/// The samples of a run, or of its last seconds.
#[derive(Clone, Debug)]
pub struct Figures {
    samples: VecDeque<Sample>,
    keep: usize,
    /// Frames labelled.
    pub labelled: u64,
    /// Of those, the ones whose truth is known.
    pub judged: u64,
    /// Of those judged, the right ones.
    pub right: u64,
    /// Of those judged, the ones in which a digit comes or goes, so that two labels are right.
    pub between: u64,
    /// Labels that came for a frame older than the one before: none.
    pub disorder: u64,
    /// Frames that were not looked at.
    pub dropped: u64,
    newest: Option<u64>,
}

/// What is shown of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Labelled frames per second.
    pub rate: f32,
    /// The median of the latency, in seconds.
    pub latency: f32,
    /// Its 99th percentile.
    pub latency_99: f32,
    /// The median of the engine's time, in seconds.
    pub engine: f32,
    /// The median of the host's time, in seconds.
    pub host: f32,
}

impl Figures {
    /// Figures of the last `keep` frames.
    pub fn new(keep: usize) -> Figures {
        Figures {
            samples: VecDeque::with_capacity(keep),
            keep,
            labelled: 0,
            judged: 0,
            right: 0,
            between: 0,
            disorder: 0,
            dropped: 0,
            newest: None,
        }
    }

    /// Adds the frame `id`, and what became of its judgement if it was judged: whether it was right, and whether
    /// it lies between two digits.
    pub fn add(&mut self, id: u64, sample: Sample, judged: Option<(bool, bool)>) {
        if self.samples.len() == self.keep {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.labelled += 1;
        self.disorder += u64::from(self.newest.is_some_and(|newest| newest >= id));
        self.newest = Some(id);
        if let Some((right, between)) = judged {
            self.judged += 1;
            self.right += u64::from(right);
            self.between += u64::from(between);
        }
    }

    /// Their summary over the last `span`.
    pub fn summary(&self, span: Duration) -> Summary {
        let Some(last) = self.samples.back() else { return Summary::default() };
        let within = |sample: &&Sample| last.answered.duration_since(sample.answered) <= span;
        let recent: Vec<&Sample> = self.samples.iter().rev().take_while(within).collect();
        let time = last.answered.duration_since(recent[recent.len() - 1].answered).as_secs_f32();
        let part = |share: f64, of: fn(&Sample) -> f32| {
            let mut values: Vec<f32> = recent.iter().map(|sample| of(sample)).collect();
            values.sort_by(f32::total_cmp);
            values[((values.len() - 1) as f64 * share).round() as usize]
        };
        Summary {
            rate: if time > 0.0 { (recent.len() - 1) as f32 / time } else { 0.0 },
            latency: part(0.5, |sample| sample.latency),
            latency_99: part(0.99, |sample| sample.latency),
            engine: part(0.5, |sample| sample.engine),
            host: part(0.5, |sample| sample.host),
        }
    }

    /// The samples of the last `span` before `now`, oldest first.
    pub fn recent(&self, now: Instant, span: Duration) -> Vec<Sample> {
        let within = |sample: &&Sample| now.saturating_duration_since(sample.answered) <= span;
        let count = self.samples.iter().rev().take_while(within).count();
        self.samples.range(self.samples.len() - count..).copied().collect()
    }
}

/// Bytes that this program holds in memory; `None` where the system does not tell.
pub fn memory() -> Option<u64> {
    memory_stats::memory_stats().map(|stats| stats.physical_mem as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_last_frames() {
        let (begun, mut figures) = (Instant::now(), Figures::new(100));
        assert_eq!(figures.summary(Duration::MAX).rate, 0.0);
        for id in 0..200u64 {
            let answered = begun + Duration::from_millis(10 * id);
            let latency = (id % 100) as f32;
            let sample = Sample { answered, latency, engine: 1.0, host: 2.0 };
            figures.add(id, sample, (id % 2 == 0).then_some((id % 4 == 0, false)));
        }
        let all = figures.summary(Duration::MAX);
        assert!((all.rate - 100.0).abs() < 0.1, "{all:?}");
        assert_eq!((all.latency, all.latency_99, all.engine, all.host), (50.0, 98.0, 1.0, 2.0));
        let last = figures.summary(Duration::from_millis(95));
        assert_eq!((last.latency, last.latency_99), (95.0, 99.0));
        assert_eq!((figures.labelled, figures.judged, figures.right, figures.disorder), (200, 100, 50, 0));
        let again = Sample { answered: begun, latency: 0.0, engine: 0.0, host: 0.0 };
        figures.add(199, again, None);
        assert_eq!(figures.disorder, 1);
    }
}
