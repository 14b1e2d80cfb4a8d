//! A graph becomes a plan: which kernels run, in which order, on which buffers.
//!
//! A plan is plain data. It names parameters and how each is packed and never holds their bytes; it knows
//! of no GPU library, and two plans of the same inputs are equal.
//!
//! ```
//! use mobileone::{DType, Model, Shape, plan::{Limits, Plan, Tuning}, sample};
//!
//! let model = Model::from_bytes(sample::DIGITS)?;
//! let (input, tuning) = (Shape::new(1, 80, 80, 3), Tuning::default());
//! let plan = Plan::new(&model.graph, &model.weights, input, DType::F16, Limits::LEAST, &tuning)?;
//! print!("{plan}"); // a line per dispatch
//! assert_eq!(plan.dispatches[0].label, "stem 40x40 3->16");
//! assert!(plan.dispatches[0].kernel.text().starts_with("enable f16;"));
//! # Ok::<(), mobileone::Error>(())
//! ```

mod build;
mod limits;
mod storage;
mod tuning;

pub use limits::GUARD;
pub use storage::storage;
pub use tuning::Tuning;

pub use crate::{
    kernels::{Layer, Param},
    limits::{Class, Limits},
};

use crate::{
    error::{Error, Result},
    graph::{Checked, Cost, Graph, NodeId, Op, Output},
    kernels::{Choice, Kernel, Kind},
    tensor::{DType, Shape},
    weights::Weights,
};

/// A buffer of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// An activation buffer.
    Slot(usize),
    /// A packed parameter.
    Param(usize),
}

/// A buffer bound to a shader: `@binding(index)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The number in the shader.
    pub index: u32,
    /// The buffer.
    pub buffer: Buffer,
    /// Whether the shader writes it, else it reads it.
    pub written: bool,
}

/// One dispatch. Its last node's output is the slot at binding 3.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Dispatch {
    /// `stages.2.7 pointwise 14x14 256->256`: the name in the plan, in errors, in profiles, on the device.
    pub label: String,
    /// What runs.
    pub kernel: Kernel,
    /// On what.
    pub bindings: Vec<Binding>,
    /// The nodes that are finished by it, in running order. Those that have a
    /// [place](Plan::places) leave their output there.
    pub nodes: Vec<NodeId>,
    /// Multiply-adds for one picture.
    pub macs: u64,
    /// Bytes of the maps read and written, for one picture.
    pub maps: u64,
    /// How it is computed, where there is a choice.
    pub choice: Option<Choice>,
    /// What it computes, where there is a choice.
    pub layer: Option<Layer>,
}

/// The binding that every kernel writes; some write the next one too.
pub const DST: u32 = 3;

/// Where a node's output lies.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Place {
    /// The slot.
    pub slot: usize,
    /// The shape for one picture.
    pub shape: Shape,
    /// How it is [stored](storage).
    pub dtype: DType,
}

impl Place {
    /// Bytes for one picture, channels padded to a multiple of 4.
    pub fn bytes(&self) -> usize {
        self.shape.pixels() * self.shape.c4() * 4 * self.dtype.size()
    }
}

/// What to run for one batch: dispatches over slots and parameters.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// How a picture's bytes become the input.
    pub front: Choice,
    /// The layer that this is a choice of.
    pub prepared: Layer,
    /// In running order, from the input on.
    pub dispatches: Vec<Dispatch>,
    /// Bytes of each activation buffer, for one picture.
    pub slots: Vec<usize>,
    /// The parameters.
    pub params: Vec<Param>,
    /// Where each node's output lies; `None` for those that never leave the dispatch that computes them.
    pub places: Vec<Option<Place>>,
    /// What it gives.
    pub outputs: Vec<Output>,
    /// Pictures that one submit may hold on the device that the plan was made for.
    pub max_batch: usize,
}

impl Plan {
    /// Plans `graph` for one picture of `input` (its batch is ignored).
    ///
    /// # Errors
    /// Those of [`Graph::check`]; [`Error::Model`], naming the node, for what no shader computes;
    /// [`Error::Option`] when the device's limits are too low for even one picture.
    pub fn new(
        graph: &Graph,
        weights: &Weights,
        input: Shape,
        dtype: DType,
        limits: Limits,
        tuning: &Tuning,
    ) -> Result<Plan> {
        let shape = input.with_batch(1);
        let checked = graph.check(weights, shape)?;
        let (kind, fast) = (Kind::Front, tuning.fast);
        let prepared = Layer { kind, src: shape, dst: shape, dtype, fast, window: [1, 1], matrix: 0 };
        let mut plan = Plan {
            front: tuning.choice(&prepared, &limits),
            prepared,
            dispatches: Vec::new(),
            slots: Vec::new(),
            params: Vec::new(),
            places: Vec::new(),
            outputs: graph.outputs.clone(),
            max_batch: 0,
        };
        let costs = checked.costs();
        let macs = costs.iter().fold(0u64, |macs, cost| macs.saturating_add(cost.macs));
        let stored = storage(&checked, dtype);
        build::Source { checked, stored, costs, dtype, limits, tuning }.build(&mut plan)?;
        let slots = plan.places.iter().flatten().map(|place| place.slot + 1).max().unwrap_or(0);
        plan.slots = vec![0; slots];
        for place in plan.places.iter().flatten() {
            plan.slots[place.slot] = plan.slots[place.slot].max(place.bytes());
        }
        plan.max_batch = limits.batch(&plan, macs)?;
        Ok(plan)
    }

    /// Where the output of a node lies that leaves one.
    ///
    /// # Panics
    /// When the node's output stays inside a dispatch.
    pub fn place(&self, id: NodeId) -> Place {
        self.places[id].expect("the node leaves its output")
    }

    /// Bytes that a dispatch reads and writes for a batch, each counted once.
    pub fn bytes(&self, dispatch: &Dispatch, batch: usize) -> u64 {
        let param = |binding: &Binding| match binding.buffer {
            Buffer::Param(at) => (self.params[at].len * self.params[at].dtype.size()) as u64,
            Buffer::Slot(_) => 0,
        };
        dispatch.maps * batch as u64 + dispatch.bindings.iter().map(param).sum::<u64>()
    }

    /// The index of a parameter, which is added where it is new.
    fn param(&mut self, param: &Param) -> usize {
        if let Some(at) = self.params.iter().position(|known| known == param) {
            return at;
        }
        self.params.push(param.clone());
        self.params.len() - 1
    }

    /// Bytes of all activation buffers for one picture.
    pub fn activation_bytes(&self) -> usize {
        self.slots.iter().sum()
    }

    /// Bytes of all parameters as they lie on the device.
    pub fn param_bytes(&self) -> usize {
        self.params.iter().map(|param| param.len * param.dtype.size()).sum()
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        for (at, dispatch) in self.dispatches.iter().enumerate() {
            let choice = dispatch.choice.map_or(String::new(), |choice| format!("  {choice}"));
            let dst = dispatch.bindings.iter().find(|binding| binding.index == DST);
            let slot = match dst.map(|binding| binding.buffer) {
                Some(Buffer::Slot(slot)) => slot,
                other => unreachable!("a dispatch writes {other:?}"),
            };
            writeln!(
                f,
                "{at:3}  {:<44} {:>6} {:<10}  {:>11} MACs  slot {slot}{choice}",
                dispatch.label,
                dispatch.kernel.workgroups,
                if dispatch.kernel.workgroups == 1 { "workgroup" } else { "workgroups" },
                dispatch.macs
            )?;
        }
        Ok(())
    }
}
