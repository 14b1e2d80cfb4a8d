//! The executor behind a session, and the frames that wait their turn.

use std::{
    any::Any,
    collections::VecDeque,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use super::{Executor, Isa, Threads, job::Job, threads::ALONE};
use crate::{
    answer::{Answer, judge},
    error::{Error, Result},
    graph::{Checked, Graph, Node, NodeId},
    options::{Options, Outputs},
    preprocess::{Pixels, Preprocess, Scratch},
    profile::Profiled,
    tasks::classify::{self, is_top},
    tensor::{Shape, Tensor},
    weights::Weights,
};

/// The largest batch of one submit: more gains nothing and costs memory.
const MOST_PICTURES: usize = 64;

/// Every node's output for `input`.
///
/// # Errors
/// Those of [`Executor::new`].
pub fn trace(threads: &Threads, graph: &Graph, weights: &Weights, input: &Tensor) -> Result<Vec<Tensor>> {
    let Shape { n, h, w, .. } = input.shape();
    Ok(Executor::new(graph, weights, (h, w), n, threads, Isa::best())?.trace(input))
}

/// A model on the processor.
pub struct Engine {
    threads: Arc<rayon::ThreadPool>,
    /// The names of the outputs, in the graph's order.
    names: Vec<Arc<str>>,
    wanted: Outputs,
    preprocess: Preprocess,
    batch: usize,
    frames: usize,
    input: Shape,
    lines: String,
    work: Mutex<Work>,
    /// A job is done, or the executor is free.
    changed: Condvar,
}

/// What waits, and the executor while nobody runs it.
struct Work {
    executor: Option<Executor>,
    /// Why there is no executor any more.
    failed: Option<String>,
    waiting: VecDeque<Waiting>,
    /// Frames that are taken.
    in_flight: usize,
    /// Memory of frames that are free.
    free: Vec<Memory>,
}

/// What a frame needs, kept for the next one.
#[derive(Default)]
struct Memory {
    /// `[batch, h, w, c]`.
    input: Vec<f32>,
    scratch: Scratch,
}

/// One of the session's frames, given back when dropped.
pub(super) struct Frame(Arc<Engine>);

impl Frame {
    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.0
    }

    /// # Errors
    /// [`Error::Busy`] when all frames are taken.
    fn take(engine: &Arc<Engine>) -> Result<Frame> {
        let mut work = engine.work();
        if work.in_flight >= engine.frames {
            return Err(Error::Busy);
        }
        work.in_flight += 1;
        Ok(Frame(engine.clone()))
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.0.work().in_flight -= 1;
    }
}

/// One inference from when it is queued, as its ticket holds it.
pub(super) struct Flight {
    pub(super) job: Arc<Job>,
    pub(super) frame: Arc<Frame>,
}

/// One inference before it runs. The ticket has the frame too: it is free when the inference has run, or was
/// passed over, and the ticket is gone.
struct Waiting {
    job: Arc<Job>,
    frame: Arc<Frame>,
    memory: Memory,
    batch: usize,
}

impl Engine {
    /// Packs `weights` for `graph` and inputs of `input`.
    ///
    /// # Errors
    /// Those of [`Executor::new`].
    pub fn new(
        threads: Arc<Threads>,
        graph: &Graph,
        weights: &Weights,
        input: Shape,
        options: &Options,
    ) -> Result<Engine> {
        let size = (input.h, input.w);
        let graph = &classify::give(graph, &options.outputs)?;
        let checked = graph.check(weights, input.with_batch(1))?;
        let new = |batch| Executor::new(graph, weights, size, batch, &threads, Isa::best());
        let mut batch = options.batch.min(MOST_PICTURES);
        let mut executor = new(batch);
        // Large inputs leave memory for fewer at once.
        while batch > 1 && matches!(executor, Err(Error::Input(_))) {
            batch /= 2;
            executor = new(batch);
        }
        let executor = executor?;
        let work = Work {
            executor: Some(executor),
            failed: None,
            waiting: VecDeque::new(),
            in_flight: 0,
            free: Vec::new(),
        };
        Ok(Engine {
            threads: threads.pool(),
            wanted: options.outputs.clone(),
            names: graph.outputs.iter().map(|output| output.name.as_str().into()).collect(),
            preprocess: options.preprocess.clone(),
            batch,
            frames: options.frames,
            input,
            lines: describe(&checked),
            work: Mutex::new(work),
            changed: Condvar::new(),
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

    /// Prepares one picture and queues it.
    pub(super) fn start_pixels(self: &Arc<Engine>, pixels: &Pixels) -> Result<Flight> {
        let frame = Frame::take(self)?;
        let mut memory = self.work().free.pop().unwrap_or_default();
        memory.input.resize(self.input.len(), 0.0);
        if let Err(refused) = self.preprocess.run_into(pixels, &mut memory.scratch, &mut memory.input) {
            self.work().free.push(memory);
            return Err(refused);
        }
        start(frame, memory, 1)
    }

    /// Queues pictures `[batch, h, w, c]`.
    pub(super) fn start(self: &Arc<Engine>, pictures: &[f32], batch: usize) -> Result<Flight> {
        let frame = Frame::take(self)?;
        let mut memory = self.work().free.pop().unwrap_or_default();
        memory.input.clear();
        memory.input.extend_from_slice(pictures);
        start(frame, memory, batch)
    }

    /// Whether all frames are in flight.
    pub fn is_busy(&self) -> bool {
        self.work().in_flight >= self.frames
    }

    /// Runs `batch` pictures and says what each step took; waits while another inference runs.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`] when this inference or an earlier one failed so that none can follow.
    pub fn profile(self: &Arc<Engine>, pictures: &[f32], batch: usize) -> Result<Vec<Profiled>> {
        let busy = |work: &mut Work| work.executor.is_none() && work.failed.is_none();
        let mut work = self.wait_while(busy);
        if let Some(reason) = &work.failed {
            return Err(failure(reason));
        }
        let mut executor = work.executor.take().expect("it is there unless it failed");
        drop(work);
        match caught(|| executor.profile(pictures, batch)) {
            Ok(rows) => {
                self.work().executor = Some(executor);
                self.changed.notify_all();
                // What came in the meantime found nobody idle.
                self.drain(None);
                Ok(rows)
            }
            Err(reason) => {
                self.fail(&reason, None);
                Err(failure(&reason))
            }
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().expect("no panic while work is kept")
    }

    fn wait_while(&self, condition: impl FnMut(&mut Work) -> bool) -> MutexGuard<'_, Work> {
        self.changed.wait_while(self.work(), condition).expect("no panic while work is kept")
    }

    /// Runs what waits, or, for one who waits for `until`, what waits before it, and then has the pool go on.
    /// Whoever holds the executor takes every job there is. The others go away; one of them who waits for a job
    /// comes again when the executor is free, for all threads of the pool may be such. A job whose ticket is gone
    /// is passed over.
    fn drain(self: &Arc<Engine>, until: Option<&Job>) {
        let mut work = self.work();
        let Some(mut executor) = work.executor.take() else { return };
        while until.is_none_or(|job| !job.is_done())
            && let Some(Waiting { job, frame, memory, batch }) = work.waiting.pop_front()
        {
            drop(work);
            let wanted = Arc::strong_count(&job) > 1;
            let run = || {
                executor.run(&memory.input, batch);
                self.answer(&executor, &memory.input, batch)
            };
            let answer = wanted.then(|| caught(run)).transpose();
            self.work().free.push(memory);
            // Before the answer: whoever takes it may submit again at once.
            drop(frame);
            match answer {
                Ok(answer) => job.finish(answer),
                Err(reason) => return self.fail(&reason, Some(&job)),
            }
            work = self.work();
            self.changed.notify_all();
        }
        work.executor = Some(executor);
        self.changed.notify_all();
        let left = !work.waiting.is_empty();
        drop(work);
        if left {
            self.go_on();
        }
    }

    /// Works until `job` is done, and sleeps while somebody else has the executor.
    pub(super) fn finish(self: &Arc<Engine>, job: &Job) {
        while !job.is_done() {
            self.drain(Some(job));
            drop(self.wait_while(|work| work.executor.is_none() && !job.is_done()));
        }
    }

    /// Gives up, for the executor is lost: so are answered the job that ran, all who wait, and who come.
    fn fail(&self, reason: &str, job: Option<&Job>) {
        let mut work = self.work();
        work.failed = Some(reason.into());
        let waiting = mem::take(&mut work.waiting);
        drop(work);
        let answer = |job: &Job| job.finish(Some(Err(failure(reason))));
        job.into_iter().for_each(answer);
        for Waiting { job, frame, .. } in waiting {
            drop(frame);
            answer(&job);
        }
        // Under the lock, so that nobody is between his look and his sleep.
        let _work = self.work();
        self.changed.notify_all();
    }

    /// Has the pool run what waits.
    fn go_on(self: &Arc<Engine>) {
        if ALONE {
            return self.drain(None);
        }
        let engine = self.clone();
        self.threads.spawn(move || engine.drain(None));
    }

    /// What the executor computed, judged.
    fn answer(&self, executor: &Executor, input: &[f32], batch: usize) -> Result<Answer> {
        let one = input.len() / batch;
        let sound = |picture: usize| input[picture * one..][..one].iter().all(|value| value.is_finite());
        let (mut outputs, mut top) = (Vec::with_capacity(self.names.len()), None);
        for (at, name) in self.names.iter().enumerate() {
            let tensor = executor.output(at);
            let each = tensor.shape().with_batch(1).len();
            judge(name, tensor.data(), each, sound, |reason| failure(&reason))?;
            match is_top(name, &self.wanted) {
                true => top = Some(classify::read(tensor.data(), each, 2)),
                false => outputs.push((name.clone(), tensor)),
            }
        }
        Ok(Answer::new(batch, outputs, top, &self.wanted))
    }
}

/// Does `work`, or says how it panicked.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let text = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("no message").into(),
    };
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| format!("an inference panicked: {}", text(panic)))
}

fn failure(reason: &str) -> Error {
    Error::DeviceFailure { device: "CPU".into(), reason: reason.into() }
}

/// Queues an inference, and sees to it that somebody runs it.
///
/// # Errors
/// [`Error::DeviceFailure`] when there is no executor any more.
fn start(frame: Frame, memory: Memory, batch: usize) -> Result<Flight> {
    let (engine, frame, job) = (frame.0.clone(), Arc::new(frame), Arc::<Job>::default());
    let flight = Flight { job: job.clone(), frame: frame.clone() };
    let mut work = engine.work();
    if let Some(reason) = &work.failed {
        return Err(failure(reason)); // the lock goes before the frame, which takes it
    }
    work.waiting.push_back(Waiting { job, frame, memory, batch });
    let idle = work.executor.is_some();
    drop(work);
    if idle {
        engine.go_on();
    }
    Ok(flight)
}

/// A line per node: what it is, what it writes, what it costs.
fn describe(checked: &Checked) -> String {
    let costs = checked.costs();
    let line = |(id, node): (NodeId, &Node)| {
        let Shape { h, w, c, .. } = checked.shapes()[id];
        let size = format!("{h}x{w} {}->{c}", checked.src(id)[0].c);
        format!("{id:3}  {:<28} {size:<18} {:>11} MACs\n", node.name, costs[id].macs)
    };
    checked.graph().nodes.iter().enumerate().skip(1).map(line).collect()
}
