//! Running a plan one dispatch at a time, for judges: every output is poisoned first and read back after.

use std::sync::Arc;

use super::{Engine, layout};
use crate::{
    error::{Error, Result},
    graph::NodeId,
    plan::{Buffer, GUARD},
    preprocess::Pixels,
    tensor::Tensor,
};

/// What one dispatch wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    /// The dispatch's label.
    pub label: String,
    /// The nodes that it finished, in running order.
    pub nodes: Vec<NodeId>,
    /// The outputs of those of them that leave one.
    pub outputs: Vec<(NodeId, Tensor)>,
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
        let place = self.plan.place(0);
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
                    let (nodes, outputs) = Default::default();
                    trace.push(Traced { label, nodes, outputs, fault });
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
        let _ = self.run_pixels(None, pixels)?.wait();
        let place = self.plan.place(0);
        let bytes = self.read_slots(&[place.slot], |_| ())?;
        Ok(layout::unpad(&bytes[0][..place.bytes()], place, 1).0)
    }

    fn trace_one(&self, at: usize, batch: usize) -> Result<Traced> {
        let dispatch = &self.plan.dispatches[at];
        let written = dispatch.bindings.iter().filter(|binding| binding.written);
        let slot = |buffer| match buffer {
            Buffer::Slot(slot) => slot,
            Buffer::Param(_) => unreachable!("a dispatch writes a parameter"),
        };
        let slots: Vec<usize> = written.map(|binding| slot(binding.buffer)).collect();
        for &slot in &slots {
            let poison = vec![0xff; self.slots[slot].size() as usize];
            self.gpu.queue.write_buffer(&self.slots[slot], 0, &poison);
        }
        let contents = self.gpu.scoped(&dispatch.label, || {
            self.read_slots(&slots, |encoder| {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                self.record_one(&mut pass, at, batch);
            })
        })??;
        let (label, nodes) = (dispatch.label.clone(), dispatch.nodes.clone());
        let mut traced = Traced { label, nodes, outputs: Vec::new(), fault: None };
        for (slot, bytes) in slots.into_iter().zip(contents) {
            let place =
                |&id: &NodeId| self.plan.places[id].filter(|place| place.slot == slot).map(|at| (id, at));
            let (id, place) = dispatch.nodes.iter().find_map(place).expect("a dispatch writes its nodes");
            let (written, rest) = bytes.split_at(place.bytes() * batch);
            if rest.iter().any(|&byte| byte != 0xff) {
                traced.fault = Some(format!("it wrote behind its output (guard of {GUARD} bytes)"));
            }
            let (tensor, padding) = layout::unpad(written, place, batch);
            if padding != 0.0 {
                traced.fault = Some(format!("padding lanes hold {padding}, not zero"));
            }
            traced.outputs.push((id, tensor));
        }
        Ok(traced)
    }

    /// Runs what `record` records and reads whole slots after it.
    fn read_slots(
        &self,
        slots: &[usize],
        record: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<Vec<Vec<u8>>> {
        let device = &self.gpu.device;
        let readback = |&slot: &usize| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("trace"),
                size: self.slots[slot].size(),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let buffers: Vec<wgpu::Buffer> = slots.iter().map(readback).collect();
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        record(&mut encoder);
        for (&slot, buffer) in slots.iter().zip(&buffers) {
            encoder.copy_buffer_to_buffer(&self.slots[slot], 0, buffer, 0, buffer.size());
        }
        self.gpu.queue.submit([encoder.finish()]);
        buffers.iter().for_each(|buffer| buffer.map_async(wgpu::MapMode::Read, .., |_| ()));
        let polled = device.poll(wgpu::PollType::wait_indefinitely());
        polled.map_err(|error| self.gpu.failure(error.to_string()))?;
        let read = |buffer: &wgpu::Buffer| match buffer.get_mapped_range(..) {
            Ok(mapped) => Ok(mapped.to_vec()),
            Err(error) => Err(self.gpu.failure(format!("read-back: {error}"))),
        };
        buffers.iter().map(read).collect()
    }
}
