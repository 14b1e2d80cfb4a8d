//! Running a plan one dispatch at a time, for judges: every output is poisoned first and read back after.

use std::sync::Arc;

use super::{Engine, engine::GUARD, layout};
use crate::{
    error::{Error, Result},
    graph::NodeId,
    plan::{Buffer, DST, Place},
    tensor::Tensor,
};

/// What one dispatch wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    /// The dispatch's label.
    pub label: String,
    /// The node that it finished and its output; `None` for the answer.
    pub output: Option<(NodeId, Tensor)>,
    /// The words of the answers; empty for a node.
    pub answer: Vec<u32>,
    /// What is wrong whatever the values: a stray write, padding that is not zero.
    pub fault: Option<String>,
}

impl Engine {
    /// Runs `input` dispatch by dispatch. Before each, the buffer it writes is filled with NaN, and so is a
    /// guard band behind it.
    ///
    /// # Errors
    /// [`Error::Input`] for a batch over [`Engine::batch`]; [`Error::DeviceFailure`].
    pub fn trace(self: &Arc<Engine>, input: &Tensor) -> Result<Vec<Traced>> {
        let batch = input.shape().n;
        if batch == 0 || batch > self.batch() {
            return Err(Error::Input(format!("a trace takes 1 to {} pictures, found {batch}", self.batch())));
        }
        let place = self.plan.places[0];
        let mut bytes = Vec::new();
        layout::pad(input.data(), place, &mut bytes);
        self.gpu.queue.write_buffer(&self.slots[place.slot], 0, &bytes);
        (0..self.plan.dispatches.len()).map(|at| self.trace_one(at, batch)).collect()
    }

    fn trace_one(&self, at: usize, batch: usize) -> Result<Traced> {
        let dispatch = &self.plan.dispatches[at];
        let dst = dispatch.bindings.iter().find(|binding| binding.index == DST);
        let slot = match dst.map(|binding| binding.buffer) {
            Some(Buffer::Slot(slot)) => slot,
            other => unreachable!("a dispatch writes {other:?}"),
        };
        let size = self.slots[slot].size();
        self.gpu.queue.write_buffer(&self.slots[slot], 0, &vec![0xff; size as usize]);
        let bytes = self.gpu.scoped(&dispatch.label, || self.run_one(at, slot, batch))??;
        let written = match dispatch.nodes[..] {
            [node] => self.plan.places[node].bytes() * batch,
            _ => self.plan.slots[slot] * batch,
        };
        let (written, rest) = bytes.split_at(written);
        let mut fault = None;
        if rest.iter().any(|&byte| byte != 0xff) {
            fault = Some(format!("it wrote behind its output (guard of {GUARD} bytes)"));
        }
        let mut traced = Traced { label: dispatch.label.clone(), output: None, answer: Vec::new(), fault };
        match dispatch.nodes[..] {
            [node] => {
                let place: Place = self.plan.places[node];
                let (tensor, padding) = layout::unpad(written, place, batch);
                if padding != 0.0 {
                    traced.fault = Some(format!("padding lanes hold {padding}, not zero"));
                }
                traced.output = Some((node, tensor));
            }
            _ => traced.answer = bytemuck::pod_collect_to_vec(written),
        }
        Ok(traced)
    }

    /// Runs one dispatch and reads the whole slot that it writes.
    fn run_one(&self, at: usize, slot: usize, batch: usize) -> Result<Vec<u8>> {
        let device = &self.gpu.device;
        let size = self.slots[slot].size();
        let readback = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("trace"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            self.record_one(&mut pass, at, batch);
        }
        encoder.copy_buffer_to_buffer(&self.slots[slot], 0, &readback, 0, size);
        self.gpu.queue.submit([encoder.finish()]);
        readback.map_async(wgpu::MapMode::Read, .., |_| ());
        let polled = device.poll(wgpu::PollType::wait_indefinitely());
        polled.map_err(|error| self.gpu.failure(error.to_string()))?;
        let mapped = readback.get_mapped_range(..);
        let mapped = mapped.map_err(|error| self.gpu.failure(format!("read-back: {error}")))?;
        Ok(mapped.to_vec())
    }
}
