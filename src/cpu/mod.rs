//! The fast CPU executor of a graph: weights packed once, buffers laid out once, work cut into blocks whose
//! sizes depend on the shapes alone, so that any number of threads gives the same bits.

mod depthwise;
mod elementwise;
mod engine;
mod matmul;
mod step;

use std::{mem, sync::Arc};

pub use engine::{Engine, Threads, Ticket, trace};

use crate::{
    Error, Result,
    graph::{Graph, NodeId},
    options::MOST_PIXELS,
    tensor::{Shape, Tensor},
    weights::Weights,
};
use step::Kernel;

/// The most bytes of activations that an executor takes.
const MAX_BYTES: usize = 2 << 30;

/// A graph ready to run on the processor, for one input size and batches up to a largest.
pub struct Executor {
    pool: Arc<rayon::ThreadPool>,
    /// The step of node i + 1.
    steps: Vec<Step>,
    /// The slot of each node; that of the input is not used.
    places: Vec<usize>,
    /// Activations, shared by nodes whose lifetimes do not overlap.
    slots: Vec<Vec<f32>>,
    /// What each node writes for one picture.
    shapes: Vec<Shape>,
    features: NodeId,
    logits: Option<NodeId>,
    max_batch: usize,
    /// Pictures of the last run.
    batch: usize,
}

/// One node as it runs.
struct Step {
    kernel: Kernel,
    inputs: Vec<NodeId>,
}

impl Executor {
    /// Packs `weights` and lays out the buffers of `graph` for inputs of `size` (height, width) and batches
    /// of at most `max_batch`, to run on the threads of `pool`.
    ///
    /// # Errors
    /// [`Error::Input`] for an empty input or batch and for one that would take more than 2 GiB;
    /// [`Error::Tensor`] when `weights` are not those of `graph`.
    pub fn new(
        graph: &Graph,
        weights: &Weights,
        size: (usize, usize),
        max_batch: usize,
        pool: Arc<rayon::ThreadPool>,
    ) -> Result<Executor> {
        let (h, w) = size;
        if h == 0 || w == 0 || max_batch == 0 || h.checked_mul(w).is_none_or(|pixels| pixels > MOST_PIXELS) {
            return Err(Error::Input(format!("{max_batch} x {h}x{w} pixels is nothing, or too large")));
        }
        let shapes = graph.shapes(Shape::new(1, h, w, graph.input_channels()));
        let mut sizes: Vec<usize> = shapes.iter().map(|shape| shape.len()).collect();
        sizes[0] = 0; // the input is the caller's
        let (places, sizes) = graph.slots(&sizes);
        let scalars = sizes.iter().fold(0usize, |sum, &size| sum.saturating_add(size));
        let bytes = scalars.saturating_mul(max_batch).saturating_mul(size_of::<f32>());
        if bytes > MAX_BYTES {
            let reason = format!("{max_batch} x {h}x{w} pixels need {} MiB of activations", bytes >> 20);
            return Err(Error::Input(format!(
                "{reason}, more than 2048: make the batch or the size smaller"
            )));
        }
        let mut steps = Vec::new();
        for node in graph.nodes.iter().skip(1) {
            let kernel = Kernel::new(&node.op, weights, shapes[node.inputs[0]])?;
            steps.push(Step { kernel, inputs: node.inputs.clone() });
        }
        let slots = sizes.into_iter().map(|size| vec![0.0; size * max_batch]).collect();
        let (features, logits) = (graph.features, graph.logits);
        Ok(Executor { pool, steps, places, slots, shapes, features, logits, max_batch, batch: 0 })
    }

    /// Runs `batch` pictures, `[batch, h, w, c]`; the results are in [`Executor::features`] and
    /// [`Executor::logits`] afterwards.
    ///
    /// # Panics
    /// When `batch` is 0 or larger than planned for, or `input` does not hold exactly so many pictures.
    pub fn run(&mut self, input: &[f32], batch: usize) {
        self.each(input, batch, |_, _| {});
    }

    /// Pooled features of the last run, `[batch, channels]`.
    pub fn features(&self) -> &[f32] {
        self.output(self.features)
    }

    /// Logits of the last run, `[batch, classes]`, if the network has a classifier.
    pub fn logits(&self) -> Option<&[f32]> {
        self.logits.map(|id| self.output(id))
    }

    /// Runs `input` and keeps every node's output, in the order of the nodes; the first is `input` itself.
    ///
    /// # Panics
    /// As [`Executor::run`].
    pub fn trace(&mut self, input: &Tensor) -> Vec<Tensor> {
        let batch = input.shape().n;
        let shapes: Vec<Shape> = self.shapes.iter().map(|shape| shape.with_batch(batch)).collect();
        assert_eq!(input.shape(), shapes[0]);
        let mut outputs = vec![input.clone()];
        self.each(input.data(), batch, |id, output| {
            outputs.push(Tensor::new(shapes[id], output.to_vec()).expect("a node fills its shape"));
        });
        outputs
    }

    /// Runs the steps in order and shows each node's output.
    fn each(&mut self, input: &[f32], batch: usize, mut visit: impl FnMut(NodeId, &[f32]) + Send) {
        assert!((1..=self.max_batch).contains(&batch), "a batch of {batch}, planned for {}", self.max_batch);
        assert_eq!(input.len(), self.shapes[0].len() * batch, "{} x {batch}", self.shapes[0]);
        self.batch = batch;
        let Executor { pool, steps, places, slots, shapes, .. } = self;
        pool.install(|| {
            for (index, step) in steps.iter_mut().enumerate() {
                let id = index + 1;
                let mut buffer = mem::take(&mut slots[places[id]]);
                let dst = &mut buffer[..shapes[id].len() * batch];
                let src = |at: usize| match step.inputs[at] {
                    0 => input,
                    id => &slots[places[id]][..shapes[id].len() * batch],
                };
                let second = if step.inputs.len() > 1 { src(1) } else { &[] };
                step.kernel.run(src(0), second, dst, batch);
                visit(id, dst);
                slots[places[id]] = buffer;
            }
        });
    }

    fn output(&self, id: NodeId) -> &[f32] {
        &self.slots[self.places[id]][..self.shapes[id].len() * self.batch]
    }
}
