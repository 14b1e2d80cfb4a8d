//! A row of the table: one model on one device.

use std::{path::Path, time::Instant};

use mobileone::{
    DType, DeviceKind, Error, Input, Model, Options, Outputs, Profiled, Session, Shape, Tensor,
    bench::{Bounds, Limit, Stats, input, round_trips, trim},
};

use super::{
    Args, Progress, Protocol,
    memory::Peak,
    report::{Row, ms},
};
use crate::{
    loaded::load_again,
    opened::{MATRICES_IN_F16, Settled, hardware},
    out::{Stop, chain},
};

/// Samples that modelbench drops at each end.
const DROPPED: usize = 10;
/// Runs that are profiled for the device's own time.
const PROFILED: usize = 3;
/// The most warm-ups after the first answer.
const WARM_UPS: usize = 3;

/// Why there is no row.
pub enum Left {
    /// The device cannot do it.
    Out(String),
    /// Something is wrong.
    Stop(Stop),
}

impl From<Error> for Left {
    fn from(error: Error) -> Left {
        match error {
            Error::Option(_) => Left::Out(chain(&error)),
            _ => Left::Stop(error.into()),
        }
    }
}

impl From<Stop> for Left {
    fn from(stop: Stop) -> Left {
        Left::Stop(stop)
    }
}

/// One row's work.
pub struct Work<'a> {
    pub args: &'a Args,
    pub spec: &'a str,
    pub model: &'a Model,
    pub on: &'a Settled,
    pub limit: Option<&'a Limit>,
    pub batch: usize,
    pub size: (usize, usize),
}

impl std::fmt::Display for Work<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Work { spec, on, batch, size: (h, w), .. } = self;
        write!(f, "{spec} on {}, {}, {batch}x{h}x{w}", on.device.info(), on.dtype_name())
    }
}

impl Work<'_> {
    pub fn measure(&self, progress: &Progress) -> Result<Row, Left> {
        if self.args.matrices && self.on.dtype() == DType::F32 {
            return Err(Left::Out(MATRICES_IN_F16.into()));
        }
        let channels = self.model.graph.input_channels();
        let shape = Shape::new(self.batch, self.size.0, self.size.1, channels);
        let x = input(shape)?;
        let peak = Peak::begin();
        let begun = Instant::now();
        let session = self.session(self.model)?;
        session.run(Input::Tensor(&x))?;
        let device_bytes = session.device_bytes();
        let first_ms = begun.elapsed().as_secs_f64() * 1e3;
        let runs = if self.on.device.info().kind == DeviceKind::Cpu { 1 } else { PROFILED };
        let profile = self.profile(&session, &x, runs)?;
        let sum = |profile: &Vec<Profiled>| profile.iter().map(|step| step.seconds).sum::<f64>();
        let device_ms = profile.as_ref().filter(|_| runs > 1).map(|profile| sum(profile) * 1e3);
        let floors = |limit: &Limit| {
            profile.as_ref().map(|steps| limit.floors(steps, self.on.dtype()).iter().sum::<f64>())
        };
        let floor_ms = self.limit.and_then(floors).map(|seconds| seconds * 1e3);
        let samples = match self.args.protocol {
            Protocol::RoundTrips => self.round_trips(&session, &x, progress)?,
            Protocol::Modelbench => {
                drop(session);
                self.modelbench(&x, progress)?
            }
        };
        let costs = self.model.graph.check(&self.model.weights, shape)?.costs();
        let macs = costs.iter().map(|cost| cost.macs).sum::<u64>() * self.batch as u64;
        let info = self.on.device.info();
        let stats = Stats::of(&samples);
        let variant = self.model.architecture.variant;
        Ok(Row {
            model: self.spec.into(),
            name: self.model.name.clone(),
            device: info.to_string(),
            kind: info.kind,
            on: hardware(info),
            driver: info.driver.clone(),
            dtype: self.on.dtype_name(),
            batch: self.batch,
            input: [self.batch, channels, self.size.0, self.size.1],
            macs,
            iterations: stats.count,
            median_ms: ms(stats.median),
            p5_ms: ms(stats.p5),
            p95_ms: ms(stats.p95),
            min_ms: ms(stats.min),
            max_ms: ms(stats.max),
            average_ms: ms(stats.mean),
            pictures_per_second: self.batch as f64 / stats.median,
            load_ms: 0.0,
            first_ms,
            device_ms,
            floor_ms,
            peak_bytes: peak.bytes().map(|(peak, _)| peak),
            host_bytes: peak.bytes().map(|(_, more)| more),
            device_bytes,
            top1_paper: variant.filter(|_| self.model.graph.classes() == Some(1000)).map(|known| known.top1),
            samples_ms: match self.args.protocol {
                Protocol::RoundTrips => Vec::new(),
                Protocol::Modelbench => samples.iter().map(|&sample| ms(sample)).collect(),
            },
        })
    }

    /// The steps of all chunks in which the session takes a batch; `None` where the device has no timestamps.
    fn profile(&self, session: &Session, x: &Tensor, runs: usize) -> Result<Option<Vec<Profiled>>, Error> {
        let mut steps = Vec::new();
        let mut whole: Option<Vec<Profiled>> = None;
        for from in (0..self.batch).step_by(session.batch()) {
            let to = (from + session.batch()).min(self.batch);
            // All whole chunks take the same.
            let full = to - from == session.batch();
            let chunk = match &whole {
                Some(chunk) if full => chunk.clone(),
                _ => {
                    let part = Tensor::new(x.shape().with_batch(to - from), x.pictures(from..to).to_vec())?;
                    match session.profile(&part, runs) {
                        Ok(chunk) => chunk,
                        Err(Error::Option(_)) => return Ok(None),
                        Err(error) => return Err(error),
                    }
                }
            };
            steps.extend(chunk.iter().cloned());
            whole = whole.or(full.then_some(chunk));
        }
        Ok(Some(steps))
    }

    fn session(&self, model: &Model) -> Result<Session, Error> {
        let options = Options { batch: self.batch, ..Options::of(model) };
        let mut options = self.on.options(options);
        options.preprocess.size = self.size;
        options.outputs = Outputs::of(&model.graph);
        self.on.session(model, &options)
    }

    fn round_trips(&self, session: &Session, x: &Tensor, progress: &Progress) -> Result<Vec<f64>, Error> {
        let Args { seconds, iterations, .. } = *self.args;
        let begun = Instant::now();
        for _ in 0..WARM_UPS {
            if begun.elapsed().as_secs_f64() < seconds / 4.0 {
                session.run(Input::Tensor(x))?;
            }
        }
        let bounds = Bounds { seconds, iterations: iterations as usize };
        round_trips(session, x, bounds, |share| progress.set(share))
    }

    fn modelbench(&self, x: &Tensor, progress: &Progress) -> Result<Vec<f64>, Left> {
        let Args { rounds, inferences, .. } = *self.args;
        let bounds = Bounds { seconds: f64::INFINITY, iterations: inferences as usize };
        let mut samples = Vec::new();
        for round in 0..rounds {
            let model = load_again(Path::new(self.spec), &self.args.read)?;
            let session = self.session(&model)?;
            session.run(Input::Tensor(x))?;
            let done = |share| progress.set((f64::from(round) + share) / f64::from(rounds));
            samples.extend(round_trips(&session, x, bounds, done)?);
        }
        Ok(trim(&samples, DROPPED))
    }
}
