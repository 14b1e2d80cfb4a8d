//! Running a plan one dispatch at a time, for judges: every output is poisoned first and read back after.

use std::sync::Arc;

use super::{Engine, layout};
use crate::{
    error::{Error, Result},
    graph::NodeId,
    plan::{Buffer, DST, GUARD, Place},
    preprocess::Pixels,
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
    /// What is wrong whatever the values: a stray write, padding that is not zero, an error of the device.
    pub fault: Option<String>,
}

impl Engine {
    /// Runs `input` dispatch by dispatch. Before each, the buffer it writes is filled with NaN, and so is a
    /// guard band behind it. The trace ends with the first dispatch that the device cannot run.
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
        let mut trace = Vec::new();
        for at in 0..self.plan.dispatches.len() {
            match self.trace_one(at, batch) {
                Ok(traced) => trace.push(traced),
                Err(error) => {
                    let label = self.plan.dispatches[at].label.clone();
                    let fault = Some(error.to_string());
                    trace.push(Traced { label, output: None, answer: Vec::new(), fault });
                    break;
                }
            }
        }
        Ok(trace)
    }

    /// The input that the device makes of a picture, `[1, h, w, c]`.
    ///
    /// # Errors
    /// Those of [`Engine::submit_pixels`].
    pub fn prepared(self: &Arc<Engine>, pixels: &Pixels) -> Result<Tensor> {
        // An answer that cannot be one says nothing of the input.
        let _ = self.submit_pixels(pixels)?.wait();
        let place = self.plan.places[0];
        let bytes = self.read_slot(place.slot, |_| ())?;
        Ok(layout::unpad(&bytes[..place.bytes()], place, 1).0)
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
        let bytes = self.gpu.scoped(&dispatch.label, || {
            self.read_slot(slot, |encoder| {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                self.record_one(&mut pass, at, batch);
            })
        })??;
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

    /// Runs what `record` records and reads the whole slot after it.
    fn read_slot(&self, slot: usize, record: impl FnOnce(&mut wgpu::CommandEncoder)) -> Result<Vec<u8>> {
        let device = &self.gpu.device;
        let size = self.slots[slot].size();
        let readback = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("trace"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        record(&mut encoder);
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
