//! The fast CPU executor of a graph: weights packed once, buffers laid out once. Each output is one sum in one
//! order, so that any number of threads gives the same bits, however the work is cut.

mod activation;
mod blocks;
mod concat;
mod depthwise;
mod elementwise;
mod engine;
mod job;
mod limit;
mod matmul;
pub mod microkernels;
mod pool;
mod processor;
mod resize;
mod softmax;
mod step;
mod team;
mod threads;
mod ticket;
mod workspace;

use std::{
    mem,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

pub use engine::{Engine, trace};
pub use limit::limit;
pub use microkernels::Isa;
pub use processor::processor;
pub use threads::Threads;
pub use ticket::Ticket;

use crate::{
    Error, Result,
    graph::{Checked, Cost, Graph, Node, NodeId, Op},
    options::MOST_PIXELS,
    profile::Profiled,
    tensor::{Shape, Tensor},
    weights::Weights,
};
use blocks::{BLOCK, Buffer, blocks, enter, leave};
use matmul::Layout;
use step::{Kernel, can_read_nhwc};
use team::{Board, Team};
use workspace::Workspace;

/// The most bytes of activations that an executor takes.
const MAX_BYTES: usize = 2 << 30;
/// About as many bytes of activations as should be in use at once; pictures of a batch run in groups.
const GROUP_BYTES: usize = 8 << 20;

/// A graph ready to run on the processor, for one input size and batches up to a largest.
pub struct Executor {
    pool: Arc<rayon::ThreadPool>,
    board: Arc<Board>,
    isa: Isa,
    /// The step of node i + 1.
    steps: Vec<Step>,
    /// What runs, in order.
    schedule: Vec<Entry>,
    /// The slot of each node; that of the input is used only where a step wants it in blocks.
    places: Vec<usize>,
    /// Activations of one group, shared by nodes whose lifetimes do not overlap.
    slots: Vec<Buffer>,
    /// What each node writes for one picture.
    shapes: Vec<Shape>,
    costs: Vec<Cost>,
    /// Whether a step wants the input in blocks.
    enters: bool,
    scratch: Scratch,
    /// Pictures that run together.
    group: usize,
    /// Of the whole batch, `[batch, h, w, c]` each.
    outputs: Vec<Output>,
    tail: Option<Tail>,
    max_batch: usize,
    /// Pictures of the last run.
    batch: usize,
}

/// One node as it runs.
struct Step {
    kernel: Kernel,
    inputs: Vec<NodeId>,
    label: String,
}

/// What runs between two barriers.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// One node.
    One(NodeId),
    /// A depthwise convolution and the pointwise one that alone reads it, the next node; this is the latter.
    Pair(NodeId),
}

impl Entry {
    /// The node that it finishes.
    fn node(self) -> NodeId {
        let (Entry::One(id) | Entry::Pair(id)) = self;
        id
    }
}

/// A node whose output is kept.
struct Output {
    id: NodeId,
    values: Vec<f32>,
}

/// What ends a network and goes over one vector per picture, as classifiers do: it runs on the whole batch at once.
struct Tail {
    /// Its first node; the others follow.
    first: NodeId,
    /// Which output is what it reads.
    src: usize,
    /// In blocks: what it reads, then what each of its nodes writes.
    buffers: Vec<Buffer>,
}

/// Memory of each member of a team.
pub struct Scratch(Vec<Mutex<Buffer>>);

impl Scratch {
    fn of(&self, member: usize) -> MutexGuard<'_, Buffer> {
        self.0[member].lock().expect("no panic while a step runs")
    }
}

impl Executor {
    /// Packs `weights` and lays out the buffers of `graph` for inputs of `size` (height, width) and batches
    /// of at most `max_batch`, to run on `threads` with the instructions of `isa`.
    ///
    /// # Errors
    /// Those of [`Graph::check`]; [`Error::Input`] for an empty input or batch and for one that would take more than
    /// 2 GiB.
    pub fn new(
        graph: &Graph,
        weights: &Weights,
        size: (usize, usize),
        max_batch: usize,
        threads: &Threads,
        isa: Isa,
    ) -> Result<Executor> {
        let (h, w) = size;
        if h == 0 || w == 0 || max_batch == 0 || h.checked_mul(w).is_none_or(|pixels| pixels > MOST_PIXELS) {
            return Err(Error::Input(format!("{max_batch} x {h}x{w} pixels is nothing, or too large")));
        }
        let input = Shape::new(1, h, w, graph.input_channels());
        let checked = graph.check(weights, input)?;
        let shapes = checked.shapes();
        let in_blocks = |node: &Node| node.inputs.contains(&0) && !can_read_nhwc(&node.op);
        let enters = graph.keeps(0) || graph.nodes.iter().any(in_blocks);
        let tail = tail(graph, shapes);
        let (schedule, lifetimes) = schedule(graph, tail.as_ref().map_or(usize::MAX, |tail| tail.first));
        let mut sizes: Vec<usize> = shapes.iter().map(|&shape| padded(shape)).collect();
        if !enters {
            sizes[0] = 0;
        }
        let (places, sizes) = lifetimes.slots(&sizes);
        let sum = |sizes: &[usize]| sizes.iter().fold(0usize, |sum, &size| sum.saturating_add(size));
        let largest = sizes.iter().max().copied().unwrap_or(0).max(1);
        let group = (GROUP_BYTES / size_of::<f32>() / largest).clamp(1, max_batch);
        // What is given, and what the tail reads.
        let mut kept: Vec<NodeId> = graph.outputs.iter().map(|output| output.node).collect();
        kept.extend(tail.as_ref().map(|tail| tail.src));
        // The input and what is kept are of the whole batch.
        let mut whole: Vec<usize> = kept.iter().chain(&[0]).map(|&id| shapes[id].len()).collect();
        // And so is what the tail reads and writes.
        whole.extend(tail.iter().flat_map(|tail| tail.buffers(shapes)));
        let scalars = sum(&sizes).saturating_mul(group).saturating_add(sum(&whole).saturating_mul(max_batch));
        let bytes = scalars.saturating_mul(size_of::<f32>());
        if bytes > MAX_BYTES {
            let reason = format!("{max_batch} x {h}x{w} pixels need {} MiB of activations", bytes >> 20);
            return Err(Error::Input(format!(
                "{reason}, more than 2048: make the batch or the size smaller"
            )));
        }
        let pool = threads.pool();
        let step = |(id, node): (NodeId, &Node)| {
            let nhwc = node.inputs[0] == 0 && can_read_nhwc(&node.op);
            let layout = if nhwc { Layout::Nhwc } else { Layout::Blocks };
            let kernel = Kernel::new(isa, &checked, id, layout);
            Step { kernel, inputs: node.inputs.clone(), label: label(&checked, id) }
        };
        let steps = pool.install(|| graph.nodes.iter().enumerate().skip(1).map(step).collect());
        let slots = sizes.into_iter().map(|size| Buffer::new(size * group)).collect();
        let output = |&id: &NodeId| Output { id, values: vec![0.0; shapes[id].len() * max_batch] };
        let outputs = kept.iter().map(output).collect();
        let tail = tail.map(|tail| Tail {
            first: tail.first,
            src: kept.len() - 1,
            buffers: tail.buffers(shapes).map(|size| Buffer::new(size * max_batch)).collect(),
        });
        Ok(Executor {
            isa,
            steps,
            schedule,
            places,
            slots,
            costs: checked.costs(),
            shapes: shapes.to_vec(),
            enters,
            scratch: Scratch((0..pool.current_num_threads()).map(|_| Mutex::default()).collect()),
            group,
            outputs,
            tail,
            max_batch,
            batch: 0,
            pool,
            board: Arc::default(),
        })
    }

    /// Runs `batch` pictures, `[batch, h, w, c]`; the results are in [`Executor::output`] afterwards.
    ///
    /// # Panics
    /// When `batch` is 0 or larger than planned for, or `input` does not hold exactly so many pictures.
    pub fn run(&mut self, input: &[f32], batch: usize) {
        let schedule = mem::take(&mut self.schedule);
        self.each(input, batch, &schedule, |_, _, _| {});
        self.schedule = schedule;
    }

    /// What the last run made of [`Graph::outputs`]`[at]`.
    pub fn output(&self, at: usize) -> Tensor {
        let Output { id, values } = &self.outputs[at];
        let shape = self.shapes[*id].with_batch(self.batch);
        Tensor::new(shape, values[..shape.len()].to_vec()).expect("values of the whole batch")
    }

    /// Runs `input` and keeps every node's output, in the order of the nodes; the first is `input` itself.
    ///
    /// # Panics
    /// As [`Executor::run`].
    pub fn trace(&mut self, input: &Tensor) -> Vec<Tensor> {
        let batch = input.shape().n;
        let shapes: Vec<Shape> = self.shapes.iter().map(|shape| shape.with_batch(batch)).collect();
        assert_eq!(input.shape(), shapes[0]);
        let mut outputs: Vec<Tensor> = shapes.iter().map(|&shape| Tensor::zeros(shape)).collect();
        outputs[0] = input.clone();
        let nodes: Vec<Entry> = (1..shapes.len()).map(Entry::One).collect();
        self.each(input.data(), batch, &nodes, |at, pictures, map| {
            let shape = shapes[at + 1];
            let one = shape.with_batch(1).len();
            let dst = &mut outputs[at + 1].data_mut()[pictures.start * one..pictures.end * one];
            leave(map, pictures.len() * shape.pixels(), shape.c, dst);
        });
        outputs
    }

    /// Runs `input` as [`Executor::run`] does, and says what each step took.
    ///
    /// # Panics
    /// As [`Executor::run`].
    pub fn profile(&mut self, input: &[f32], batch: usize) -> Vec<Profiled> {
        let schedule = mem::take(&mut self.schedule);
        let mut rows: Vec<Profiled> = schedule.iter().map(|&entry| self.unmeasured(entry, batch)).collect();
        let mut since = Instant::now();
        self.each(input, batch, &schedule, |at, _, _| {
            rows[at].seconds += since.elapsed().as_secs_f64();
            since = Instant::now();
        });
        self.schedule = schedule;
        rows
    }

    /// What `entry` is, before it is measured.
    fn unmeasured(&self, entry: Entry, batch: usize) -> Profiled {
        let (nodes, read) = match entry {
            Entry::One(id) => (id..id + 1, id),
            Entry::Pair(id) => (id - 1..id + 1, id - 1),
        };
        let last = nodes.end - 1;
        let labels: Vec<&str> = nodes.clone().map(|id| self.steps[id - 1].label.as_str()).collect();
        let sum = |of: fn(&Cost) -> u64| self.costs[nodes.clone()].iter().map(of).sum::<u64>();
        let read = self.steps[read - 1].inputs.iter().map(|&id| self.shapes[id].len()).sum::<usize>();
        let maps = (read + self.shapes[last].len()) as u64 * batch as u64;
        Profiled {
            label: labels.join(" + "),
            macs: sum(|cost| cost.macs) * batch as u64,
            bytes: (sum(|cost| cost.params) + maps) * size_of::<f32>() as u64,
            seconds: 0.0,
        }
    }

    /// Runs `entries` in order, a group of pictures after the other, and shows what each wrote: which entry, of
    /// which pictures, and the map in blocks.
    fn each(
        &mut self,
        input: &[f32],
        batch: usize,
        entries: &[Entry],
        mut visit: impl FnMut(usize, Range<usize>, &[f32]),
    ) {
        assert!((1..=self.max_batch).contains(&batch), "a batch of {batch}, planned for {}", self.max_batch);
        let one = self.shapes[0].len();
        assert_eq!(input.len(), one * batch, "{} x {batch}", self.shapes[0]);
        self.batch = batch;
        let (pool, board) = (self.pool.clone(), self.board.clone());
        team::lead(&pool, &board, |team| {
            let first_of_tail = self.tail.as_ref().map_or(usize::MAX, |tail| tail.first);
            let grouped = entries.iter().filter(|entry| entry.node() < first_of_tail).count();
            for first in (0..batch).step_by(self.group) {
                let pictures = first..(first + self.group).min(batch);
                let input = &input[pictures.start * one..pictures.end * one];
                if self.enters {
                    let dst = &mut self.slots[self.places[0]];
                    let len = pictures.len() * padded(self.shapes[0]);
                    enter(team, input, self.shapes[0].c, &mut dst.all_mut()[..len]);
                }
                for (at, &entry) in entries[..grouped].iter().enumerate() {
                    let id = self.step(team, entry, input, pictures.len());
                    let len = pictures.len() * padded(self.shapes[id]);
                    visit(at, pictures.clone(), &self.slots[self.places[id]].all()[..len]);
                }
                self.keep(pictures);
            }
            let Executor { tail, outputs, shapes, steps, isa, scratch, .. } = self;
            let Some(Tail { first, src, buffers }) = tail else { return };
            let frame = Workspace { isa: *isa, team, scratch, batch };
            let Output { id: read, values } = &outputs[*src];
            let (read, shape) = (*read, shapes[*read]);
            let dst = &mut buffers[0].all_mut()[..batch * padded(shape)];
            enter(team, &values[..batch * shape.len()], shape.c, dst);
            for (at, id) in (*first..shapes.len()).enumerate() {
                let (before, rest) = buffers.split_at_mut(at + 1);
                let dst = &mut rest[0].all_mut()[..batch * padded(shapes[id])];
                let Step { kernel, inputs, .. } = &steps[id - 1];
                let src = |at: usize| {
                    let input = inputs[at];
                    let buffer = if input == read { 0 } else { input - *first + 1 };
                    &before[buffer].all()[..batch * padded(shapes[input])]
                };
                kernel.run(&frame, &src, dst, batch * shapes[id].pixels());
                for output in outputs.iter_mut().filter(|output| output.id == id) {
                    let len = batch * shapes[id].len();
                    leave(dst, batch * shapes[id].pixels(), shapes[id].c, &mut output.values[..len]);
                }
                visit(grouped + at, 0..batch, dst);
            }
        });
    }

    /// Runs one entry for a group of `batch` pictures and gives the node that it finishes.
    fn step(&mut self, team: &Team, entry: Entry, input: &[f32], batch: usize) -> NodeId {
        let Executor { isa, steps, places, slots, shapes, scratch, .. } = self;
        let frame = Workspace { isa: *isa, team, scratch, batch };
        let mut one = |id: NodeId, depthwise: Option<NodeId>| {
            let mut buffer = mem::take(&mut slots[places[id]]);
            let dst = &mut buffer.all_mut()[..batch * padded(shapes[id])];
            let pixels = batch * shapes[id].pixels();
            let Step { kernel, inputs, .. } = &steps[id - 1];
            let src = |at: usize| match inputs[at] {
                0 if kernel.reads_nhwc() => input,
                id => &slots[places[id]].all()[..batch * padded(shapes[id])],
            };
            match (kernel, depthwise.map(|id| &steps[id - 1])) {
                (Kernel::Matrix(matrix), Some(Step { kernel: Kernel::Depthwise(depthwise), inputs, .. })) => {
                    let src = &slots[places[inputs[0]]].all()[..batch * padded(shapes[inputs[0]])];
                    matrix.run_after(depthwise, &frame, src, dst);
                }
                (_, Some(_)) => unreachable!("a pair is a depthwise and a pointwise convolution"),
                (kernel, None) => kernel.run(&frame, &src, dst, pixels),
            }
            slots[places[id]] = buffer;
            id
        };
        match entry {
            Entry::One(id) => one(id, None),
            Entry::Pair(id) => match &steps[id - 1].kernel {
                Kernel::Matrix(matrix) if !matrix.is_tall(batch * shapes[id].pixels(), team.members) => {
                    one(id - 1, None);
                    one(id, None)
                }
                _ => one(id, Some(id - 1)),
            },
        }
    }

    /// Keeps what a group wrote of the outputs.
    fn keep(&mut self, pictures: Range<usize>) {
        let later = self.tail.as_ref().map_or(usize::MAX, |tail| tail.first);
        for Output { id, values } in self.outputs.iter_mut().filter(|output| output.id < later) {
            let shape = self.shapes[*id];
            let dst = &mut values[pictures.start * shape.len()..pictures.end * shape.len()];
            let src = &self.slots[self.places[*id]].all()[..pictures.len() * padded(shape)];
            leave(src, pictures.len() * shape.pixels(), shape.c, dst);
        }
    }
}

/// Scalars of a map of one picture in blocks.
fn padded(shape: Shape) -> usize {
    shape.pixels().saturating_mul(blocks(shape.c) * BLOCK)
}

/// What runs in which order, and the graph with the lifetimes that this gives: a pair reads the input of its
/// depthwise convolution until its pointwise one is done. From `first_of_tail` on, each node runs by itself.
fn schedule(graph: &Graph, first_of_tail: NodeId) -> (Vec<Entry>, Graph) {
    let mut lifetimes = graph.clone();
    let mut schedule: Vec<Entry> = Vec::new();
    for id in 1..graph.nodes.len() {
        let depthwise = id - 1;
        if id < first_of_tail && graph.block(depthwise) == Some(id) {
            lifetimes.nodes[id].inputs.push(graph.nodes[depthwise].inputs[0]);
            schedule.pop();
            schedule.push(Entry::Pair(id));
        } else {
            schedule.push(Entry::One(id));
        }
    }
    (schedule, lifetimes)
}

/// The nodes of a tail, and what they read.
struct Nodes {
    src: NodeId,
    first: NodeId,
}

impl Nodes {
    /// Scalars, in blocks, of what they read and of what each writes, for one picture.
    fn buffers(&self, shapes: &[Shape]) -> impl Iterator<Item = usize> {
        std::iter::once(self.src).chain(self.first..shapes.len()).map(|id| padded(shapes[id]))
    }
}

/// The longest end of `graph` that has a linear layer, reads one vector, and goes over vectors alone.
fn tail(graph: &Graph, shapes: &[Shape]) -> Option<Nodes> {
    let mut found = None;
    let linear = |id: NodeId| matches!(graph.nodes[id].op, Op::Linear { .. });
    let last = (1..shapes.len()).rev().find(|&id| linear(id))?;
    for first in (1..=last).rev() {
        let mut read =
            graph.nodes[first..].iter().flat_map(|node| &node.inputs).filter(|&&input| input < first);
        let src = *read.next()?;
        if src == 0 || shapes[src].pixels() != 1 || !read.all(|&other| other == src) {
            break;
        }
        if linear(first) {
            found = Some(Nodes { src, first });
        }
    }
    found
}

/// `stages.2.7 14x14 256->256`.
fn label(checked: &Checked, id: NodeId) -> String {
    let Shape { h, w, c, .. } = checked.shapes()[id];
    format!("{} {h}x{w} {}->{c}", checked.graph().nodes[id].name, checked.src(id)[0].c)
}
