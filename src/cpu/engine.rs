//! The executor behind a session: frames that wait their turn, and tickets.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex},
    task::{Context, Poll, Waker},
};

use super::Executor;
use crate::{
    answer::{Answer, Top},
    error::{Error, Result},
    graph::Graph,
    models::Model,
    options::Options,
    plan::Outputs,
    preprocess::{Pixels, Preprocess, Scratch},
    reference,
    tensor::{Shape, Tensor},
    weights::Weights,
};

/// The largest batch of one submit: more gains nothing and costs memory.
const MOST_PICTURES: usize = 64;

/// The processor's threads, shared by the sessions of one device.
pub struct Threads(Arc<rayon::ThreadPool>);

impl Threads {
    /// One thread per core, or as many as `RAYON_NUM_THREADS` says.
    ///
    /// # Errors
    /// [`Error::Device`] when the system gives none.
    pub fn new() -> Result<Threads> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(Threads::default_count()).build();
        let pool = pool.map_err(|error| Error::Device { wanted: "cpu".into(), reason: error.to_string() })?;
        Ok(Threads(Arc::new(pool)))
    }

    /// Threads that a new pool would have.
    pub fn default_count() -> usize {
        let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|count| count.parse().ok());
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        asked.filter(|&count| count > 0).unwrap_or_else(cores)
    }

    /// Threads of this pool.
    pub fn count(&self) -> usize {
        self.0.current_num_threads()
    }
}

/// Every node's output for `input`.
///
/// # Errors
/// Those of [`Executor::new`].
pub fn trace(threads: &Threads, graph: &Graph, weights: &Weights, input: &Tensor) -> Result<Vec<Tensor>> {
    let Shape { n, h, w, .. } = input.shape();
    Ok(Executor::new(graph, weights, (h, w), n, threads.0.clone())?.trace(input))
}

/// A model on the processor.
pub struct Engine {
    threads: Arc<rayon::ThreadPool>,
    outputs: Outputs,
    preprocess: Preprocess,
    batch: usize,
    frames: usize,
    input: Shape,
    lines: String,
    work: Mutex<Work>,
}

/// What waits, and the executor while nobody runs it.
struct Work {
    executor: Option<Executor>,
    waiting: VecDeque<Arc<Job>>,
    in_flight: usize,
}

/// One inference: its input, then its answer.
struct Job {
    batch: usize,
    state: Mutex<State>,
    done: Condvar,
}

/// `input` until it runs, `answer` from then until it is taken.
#[derive(Default)]
struct State {
    input: Option<Vec<f32>>,
    answer: Option<Result<Answer>>,
    waker: Option<Waker>,
    taken: bool,
}

impl Job {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while a job is kept")
    }
}

impl Engine {
    /// Packs `model` for inputs of `input`.
    ///
    /// # Errors
    /// Those of [`Executor::new`].
    pub fn new(threads: Arc<Threads>, model: &Model, input: Shape, options: &Options) -> Result<Engine> {
        let size = (input.h, input.w);
        let new = |batch| Executor::new(&model.graph, &model.weights, size, batch, threads.0.clone());
        let mut batch = options.batch.min(MOST_PICTURES);
        let mut executor = new(batch);
        // Large inputs leave memory for fewer at once.
        while batch > 1 && matches!(executor, Err(Error::Input(_))) {
            batch /= 2;
            executor = new(batch);
        }
        let executor = executor?;
        let work = Work { executor: Some(executor), waiting: VecDeque::new(), in_flight: 0 };
        Ok(Engine {
            threads: threads.0.clone(),
            outputs: options.outputs,
            preprocess: options.preprocess.clone(),
            batch,
            frames: options.frames,
            input,
            lines: describe(&model.graph, input),
            work: Mutex::new(work),
        })
    }

    /// Pictures that one submit may hold.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// A line per node.
    pub fn describe(&self) -> String {
        self.lines.clone()
    }

    /// Starts one picture; its preparation is done before this returns.
    ///
    /// # Errors
    /// As [`Engine::submit`]; also those of [`Preprocess::run_into`].
    pub fn submit_pixels(self: &Arc<Engine>, pixels: &Pixels) -> Result<Ticket> {
        let mut input = vec![0.0; self.input.len()];
        self.preprocess.run_into(pixels, &mut Scratch::default(), &mut input)?;
        self.start(input, 1)
    }

    /// Starts pictures `[batch, h, w, c]`.
    ///
    /// # Errors
    /// [`Error::Busy`] when all frames are in flight.
    pub fn submit(self: &Arc<Engine>, pictures: &[f32], batch: usize) -> Result<Ticket> {
        self.start(pictures.to_vec(), batch)
    }

    fn start(self: &Arc<Engine>, input: Vec<f32>, batch: usize) -> Result<Ticket> {
        let state = Mutex::new(State { input: Some(input), ..State::default() });
        let job = Arc::new(Job { batch, state, done: Condvar::new() });
        let mut work = self.work.lock().expect("no panic while work is kept");
        if work.in_flight >= self.frames {
            return Err(Error::Busy);
        }
        work.in_flight += 1;
        work.waiting.push_back(job.clone());
        let idle = work.executor.is_some();
        drop(work);
        if idle {
            let engine = self.clone();
            self.threads.spawn(move || engine.drain());
        }
        Ok(Ticket { engine: self.clone(), job })
    }

    /// Runs what waits. Whoever holds the executor takes every job there is; the others go away, so no
    /// thread of the pool ever waits for another.
    fn drain(&self) {
        let mut work = self.work.lock().expect("no panic while work is kept");
        let Some(mut executor) = work.executor.take() else { return };
        while let Some(job) = work.waiting.pop_front() {
            drop(work);
            let input = job.state().input.take().expect("a job runs once");
            executor.run(&input, job.batch);
            let answer = self.answer(&executor, &input, job.batch);
            let waker = {
                let mut state = job.state();
                state.answer = Some(answer);
                state.waker.take()
            };
            job.done.notify_all();
            waker.into_iter().for_each(Waker::wake);
            work = self.work.lock().expect("no panic while work is kept");
        }
        work.executor = Some(executor);
    }

    /// What the executor computed, judged as a GPU's answer is.
    fn answer(&self, executor: &Executor, input: &[f32], batch: usize) -> Result<Answer> {
        let (features, logits) = (executor.features(), executor.logits().unwrap_or(&[]));
        let (channels, classes) = (features.len() / batch, logits.len() / batch);
        let mut answer = Answer { batch, ..Answer::default() };
        for picture in 0..batch {
            let features = &features[picture * channels..][..channels];
            let logits = &logits[picture * classes..][..classes];
            let broken = features.iter().chain(logits).any(|value| !value.is_finite());
            if broken || features.iter().all(|&value| value == 0.0) {
                let input = &input[picture * input.len() / batch..][..input.len() / batch];
                if input.iter().any(|value| !value.is_finite()) {
                    return Err(Error::Input(format!("picture {picture} has values that are not finite")));
                }
                let what =
                    if broken { "values of the answer are not finite" } else { "all features are zero" };
                let reason = format!("picture {picture}: {what}, though its input is sound");
                return Err(Error::DeviceFailure { device: "CPU".into(), reason });
            }
            if self.outputs.features {
                answer.features.extend(features);
            }
            if self.outputs.logits {
                answer.logits.extend(logits);
            }
            let softmax = reference::softmax(logits);
            let best = reference::top_k(logits, self.outputs.top_k);
            let top = best.into_iter().map(|(index, _)| Top { index, probability: softmax[index] });
            answer.top.push(top.collect());
            if self.outputs.probabilities {
                answer.probabilities.extend(softmax);
            }
        }
        Ok(answer)
    }
}

/// An inference in flight on the processor. Dropped, it gives its answer up.
pub struct Ticket {
    engine: Arc<Engine>,
    job: Arc<Job>,
}

impl Ticket {
    /// The answer if it has come; `None` if it has not. Never waits.
    ///
    /// # Errors
    /// [`Error::Input`] for values that are not finite, or an answer that was taken already;
    /// [`Error::DeviceFailure`].
    pub fn try_take(&mut self) -> Result<Option<Answer>> {
        let mut state = self.job.state();
        if state.taken {
            return Err(Error::Input("the answer of this ticket was taken already".into()));
        }
        state.taken = state.answer.is_some();
        state.answer.take().transpose()
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// As [`Ticket::try_take`].
    pub fn wait(mut self) -> Result<Answer> {
        let state = self.job.state();
        let waiting = |state: &mut State| state.answer.is_none() && !state.taken;
        drop(self.job.done.wait_while(state, waiting).expect("no panic while a job is kept"));
        self.try_take().map(|answer| answer.expect("the job is done"))
    }
}

impl Future for Ticket {
    type Output = Result<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<Result<Answer>> {
        match self.try_take().transpose() {
            Some(answer) => Poll::Ready(answer),
            None => {
                let mut state = self.job.state();
                state.waker = Some(context.waker().clone());
                // The answer may have come in between.
                if state.answer.is_some() {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.engine.work.lock().expect("no panic while work is kept").in_flight -= 1;
    }
}

/// A line per node: what it is, what it writes, what it costs.
fn describe(graph: &Graph, input: Shape) -> String {
    let (shapes, costs) = (graph.shapes(input), graph.costs(input));
    let line = |(id, node): (usize, &crate::graph::Node)| {
        let Shape { h, w, c, .. } = shapes[id];
        let src = shapes[node.inputs[0]].c;
        let size = format!("{h}x{w} {src}->{c}");
        format!("{id:3}  {:<28} {size:<18} {:>11} MACs\n", node.name, costs[id].macs)
    };
    graph.nodes.iter().enumerate().skip(1).map(line).collect()
}
