//! What a frame brings back: the answers, logits and features, judged and read.

use super::{
    Engine,
    frame::{Frame, STAMP},
    layout::is_finite,
};
use crate::{
    answer::{Answer, Top, top_k},
    error::{Error, Result},
    kernels::answer::Layout,
    plan::Place,
};

/// What the last inference left on the device, for shaders of the caller's: it stays until the next one runs.
///
/// Each buffer begins with what is said here, picture after picture, and is longer: later bytes are of other maps, so
/// take counts from `layout` and not from `arrayLength`. All have the usages `STORAGE`, `COPY_SRC` and `COPY_DST`.
#[derive(Clone, Copy, Debug)]
pub struct OutputBuffers<'a> {
    /// `[batch, layout.words()]` words of 32 bits: how many logits and features are not finite, the largest
    /// feature's size as f32 (0 where nothing ran), the softmax, then the best classes, each an index and its softmax.
    pub answer: &'a wgpu::Buffer,
    /// What stands where in the answer of a picture.
    pub layout: Layout,
    /// `[batch, classes rounded up to a multiple of 4]` of f32; `None` where there is no classifier.
    pub logits: Option<&'a wgpu::Buffer>,
    /// `[batch, features rounded up to a multiple of 4]` of f32: what the classifier reads, pooled over the last map.
    pub features: &'a wgpu::Buffer,
}

/// Where things stand in a read-back buffer: the answers, then the logits, then the features.
pub(super) struct Parts {
    answer: usize,
    logits: usize,
    features: usize,
}

impl Parts {
    pub fn of(engine: &Engine, batch: usize) -> Parts {
        let plan = &engine.plan;
        let bytes = |wanted: bool, place: Option<Place>| {
            place.filter(|_| wanted).map_or(0, |place| place.bytes() * batch)
        };
        Parts {
            answer: plan.slots[plan.answer] * batch,
            logits: bytes(engine.outputs.logits, plan.logits.map(|id| plan.place(id))),
            features: bytes(engine.outputs.features, Some(plan.place(plan.features))),
        }
    }

    pub fn total(&self) -> usize {
        self.answer + self.logits + self.features
    }
}

impl Engine {
    /// The buffers of the outputs.
    pub fn outputs(&self) -> OutputBuffers<'_> {
        let plan = &self.plan;
        OutputBuffers {
            answer: &self.slots[plan.answer],
            layout: plan.layout,
            logits: plan.logits.map(|id| &self.slots[plan.place(id).slot]),
            features: &self.slots[plan.place(plan.features).slot],
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
        let parts = Parts::of(self, batch);
        let plan = &self.plan;
        let mut copy = |slot: usize, at: usize, bytes: usize| {
            if bytes > 0 {
                let (at, bytes) = (at as u64, bytes as u64);
                encoder.copy_buffer_to_buffer(&self.slots[slot], 0, &frame.readback, at, bytes);
            }
        };
        copy(plan.answer, 0, parts.answer);
        if let Some(id) = plan.logits {
            copy(plan.place(id).slot, parts.answer, parts.logits);
        }
        copy(plan.place(plan.features).slot, parts.answer + parts.logits, parts.features);
        let (end, bytes) = (parts.total() as u64, STAMP as u64);
        encoder.copy_buffer_to_buffer(upload, stamped, &frame.readback, end, bytes);
    }

    /// The answer in a settled frame.
    /// `encoded` says that the caller had the commands.
    pub(super) fn read(&self, frame: &Frame, batch: usize, encoded: bool) -> Result<Answer> {
        self.gpu.check()?;
        if frame.mapping().failed {
            return Err(self.gpu.failure("a buffer could not be read back: the device is lost or reset"));
        }
        let parts = Parts::of(self, batch);
        let mapped = frame.readback.get_mapped_range(..(parts.total() + STAMP) as u64);
        let mapped = mapped.map_err(|error| self.gpu.failure(format!("read-back: {error}")))?;
        let words: &[u32] = bytemuck::cast_slice(&mapped);
        let (&stamp, words) = words.split_last().expect("a stamp");
        if stamp != frame.stamp {
            return Err(match encoded {
                true => Error::Input("the encoder was refused when it was submitted".into()),
                false => self.gpu.failure("its commands did not run: the device is lost or reset"),
            });
        }
        let (answer, rest) = words.split_at(parts.answer / 4);
        let (logits, features) = rest.split_at(parts.logits / 4);
        self.judge(answer, frame.tensor.then_some(&frame.staging))?;
        let layout = self.plan.layout;
        // Nothing is made here but what the caller gets.
        let floats = |values: &mut Vec<f32>, words: &[u32]| {
            values.extend(words.iter().map(|&word| f32::from_bits(word)));
        };
        let vectors = |words: &[u32], id: Option<usize>| {
            let Some(c) = id.map(|id| self.plan.place(id).shape.c) else { return Vec::new() };
            let rows = words.chunks_exact(c.next_multiple_of(4));
            let mut values = Vec::with_capacity(rows.len() * c);
            rows.for_each(|row| floats(&mut values, &row[..c]));
            values
        };
        let softmaxes = if layout.probabilities { batch * layout.classes } else { 0 };
        let mut probabilities = Vec::with_capacity(softmaxes);
        let mut top = Vec::with_capacity(batch);
        for one in answer.chunks_exact(layout.words()) {
            let begin = probabilities.len();
            if layout.probabilities {
                floats(&mut probabilities, &one[layout.probabilities_at()..][..layout.classes]);
            }
            let softmax = &probabilities[begin..];
            let pairs = one[layout.top_at()..].chunks_exact(2);
            let best =
                pairs.map(|pair| Top { index: pair[0] as usize, probability: f32::from_bits(pair[1]) });
            top.push(match layout.top < self.outputs.top_k.min(layout.classes) {
                true => top_k(softmax, softmax, self.outputs.top_k),
                false => best.collect(),
            });
        }
        if !self.outputs.probabilities {
            probabilities = Vec::new();
        }
        Ok(Answer {
            batch,
            logits: vectors(logits, self.plan.logits),
            probabilities,
            features: vectors(features, Some(self.plan.features)),
            top,
        })
    }

    /// Reads the health words: what cannot be an answer is the device's failure, or that of a tensor put in.
    fn judge(&self, answer: &[u32], tensor: Option<&Vec<u8>>) -> Result<()> {
        let input = self.plan.place(0);
        for (picture, words) in answer.chunks_exact(self.plan.layout.words()).enumerate() {
            let (broken, largest) = (words[0], f32::from_bits(words[1]));
            if broken == 0 && largest > 0.0 {
                continue;
            }
            let one = tensor.map_or(&[][..], |tensor| &tensor[picture * input.bytes()..][..input.bytes()]);
            if !is_finite(one, input.dtype) {
                let dtype = input.dtype;
                let reason = format!("picture {picture} has values that are not finite in {dtype}");
                return Err(Error::Input(reason));
            }
            let what = match broken {
                0 => "all features are zero".to_string(),
                count => format!("{count} values of the answer are not finite"),
            };
            return Err(self.gpu.failure(format!(
                "picture {picture}: {what}, though its input is sound; \
                 try `mobileone verify`, f32, or the CPU"
            )));
        }
        Ok(())
    }
}
