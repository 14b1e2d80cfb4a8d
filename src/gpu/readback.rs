//! What a frame brings back: the outputs, judged and read.

use std::ops::Range;

use super::{
    Engine,
    frame::{Frame, STAMP},
    layout::{is_finite, unpad},
};
use crate::{
    answer::{Answer, judge},
    error::{Error, Result},
    plan::Place,
    tasks::classify::{self, is_top},
    tensor::{DType, Shape},
};

/// An output of the last inference on the device, for shaders of the caller's: it stays until the next one runs.
///
/// The buffer begins with what is said here, picture after picture, pixel after pixel, channels padded with zeros to a
/// multiple of 4, and is longer: later bytes are of other maps, so take counts from `shape` and not from `arrayLength`. It
/// has the usages `STORAGE`, `COPY_SRC` and `COPY_DST`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OutputBuffer<'a> {
    /// The buffer. Before the first inference its first value is NaN.
    pub buffer: &'a wgpu::Buffer,
    /// What it holds for one picture; the best classes are `[1, 1, k, 2]`, each a class and its probability.
    pub shape: Shape,
    /// How it is stored.
    pub dtype: DType,
}

impl Engine {
    /// The buffer of an output.
    pub fn output(&self, name: &str) -> Option<OutputBuffer<'_>> {
        let output = self.plan.outputs.iter().find(|output| output.name == name)?;
        let Place { slot, shape, dtype } = self.plan.place(output.node);
        Some(OutputBuffer { buffer: &self.slots[slot], shape, dtype })
    }

    /// Where each output of a batch stands in a read-back buffer, in the order of the plan's.
    fn parts(&self, batch: usize) -> impl Iterator<Item = (Place, Range<usize>)> {
        let mut end = 0;
        self.plan.outputs.iter().map(move |output| {
            let place = self.plan.place(output.node);
            let begin = end;
            // Copies go by words.
            end = (begin + place.bytes() * batch).next_multiple_of(4);
            (place, begin..begin + place.bytes() * batch)
        })
    }

    /// Bytes of all outputs of a batch.
    pub(super) fn readback_bytes(&self, batch: usize) -> usize {
        self.parts(batch).last().map_or(0, |(_, part)| part.end.next_multiple_of(4))
    }

    /// Fills the beginning of each output with NaN: an output that no shader wrote is no answer.
    pub(super) fn poison(&self) {
        for (place, _) in self.parts(1) {
            self.gpu.queue.write_buffer(&self.slots[place.slot], 0, &[0xff; 8]);
        }
    }

    /// Records the copies of the outputs, and of the stamp that lies in `upload`.
    pub(super) fn record_readback(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        frame: &Frame,
        (upload, stamped): (&wgpu::Buffer, u64),
        batch: usize,
    ) {
        for (place, part) in self.parts(batch) {
            let (at, bytes) = (part.start as u64, part.len().next_multiple_of(4) as u64);
            encoder.copy_buffer_to_buffer(&self.slots[place.slot], 0, &frame.readback, at, bytes);
        }
        let end = self.readback_bytes(batch) as u64;
        encoder.copy_buffer_to_buffer(upload, stamped, &frame.readback, end, STAMP as u64);
    }

    /// The answer in a settled frame.
    /// `encoded` says that the caller had the commands.
    pub(super) fn read(&self, frame: &Frame, batch: usize, encoded: bool) -> Result<Answer> {
        self.gpu.check()?;
        if frame.mapping().failed {
            return Err(self.gpu.failure("a buffer could not be read back: the device is lost or reset"));
        }
        let end = self.readback_bytes(batch);
        let mapped = frame.readback.get_mapped_range(..(end + STAMP) as u64);
        let mapped = mapped.map_err(|error| self.gpu.failure(format!("read-back: {error}")))?;
        if mapped[end..] != frame.stamp.to_le_bytes() {
            return Err(match encoded {
                true => Error::Input("the encoder was refused when it was submitted".into()),
                false => self.gpu.failure("its commands did not run: the device is lost or reset"),
            });
        }
        let input = self.plan.place(0);
        let sound = |picture: usize| {
            let staged = frame.staging.get(picture * input.bytes()..);
            staged.is_none_or(|from| is_finite(&from[..input.bytes().min(from.len())], input.dtype))
        };
        let fail = |reason| self.gpu.failure(format!("{reason}; try `mobileone verify`, f32, or the CPU"));
        // Nothing is made here but what the caller gets.
        let (mut outputs, mut top) = (Vec::new(), None);
        outputs.reserve_exact(self.names.iter().filter(|name| !is_top(name, &self.wanted)).count());
        for (name, (place, part)) in self.names.iter().zip(self.parts(batch)) {
            if is_top(name, &self.wanted) {
                // f32, and as it lies a pair and its padding each.
                let (values, each) = (bytemuck::cast_slice(&mapped[part]), place.shape.pixels() * 4);
                judge(name, values, each, sound, fail)?;
                top = Some(classify::read(values, each, 4));
            } else {
                let tensor = unpad(&mapped[part], place, batch).0;
                judge(name, tensor.data(), place.shape.len(), sound, fail)?;
                outputs.push((name.clone(), tensor));
            }
        }
        Ok(Answer::new(batch, outputs, top, &self.wanted))
    }
}
