//! What comes back, into buffers of the caller's.

use std::mem::offset_of;

use engine::Answer;

use crate::{
    error::{Failure, MOBILEONE_BUFFER_TOO_SMALL, Result},
    session::Counts,
    structs::{self, Struct},
};

/// One of the best classes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MobileoneTop {
    /// The class.
    pub index: u32,
    /// Its softmax.
    pub probability: f32,
}

/// A buffer of the caller's for numbers, and how many there are.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MobileoneFloats {
    /// Where to write them, or null where they are not wanted.
    pub values: *mut f32,
    /// For how many there is place.
    pub capacity: usize,
    /// How many there are; written by every call that gives or would give them.
    pub count: usize,
}

/// A buffer of the caller's for the best classes, and how many there are.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MobileoneTops {
    /// Where to write them, or null where they are not wanted.
    pub values: *mut MobileoneTop,
    /// For how many there is place.
    pub capacity: usize,
    /// How many there are; written by every call that gives or would give them.
    pub count: usize,
}

/// What comes back of a batch, picture after picture. What the session was not made to give counts 0. Where the caller
/// gave a buffer that is too small, nothing but the counts is written, and the ticket stays open.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MobileoneAnswer {
    /// `sizeof(MobileoneAnswer)`, set by the caller.
    pub size: u32,
    /// Pictures.
    pub batch: u32,
    /// The best classes, best first: as many of each picture as the session's `top_k`, or all of them.
    pub top: MobileoneTops,
    /// `[batch][classes]`, before the softmax.
    pub logits: MobileoneFloats,
    /// `[batch][classes]`, the softmax of the logits.
    pub probabilities: MobileoneFloats,
    /// `[batch][features]`, what the classifier reads.
    pub features: MobileoneFloats,
}

// SAFETY: repr(C), begins with its size, and numbers and pointers only.
unsafe impl Struct for MobileoneAnswer {
    const NAME: &str = "MobileoneAnswer";
    const FIRST: usize = offset_of!(Self, features) + size_of::<MobileoneFloats>();
}

/// The caller's answer: what it has place for was looked at.
pub(crate) struct Out {
    to: *mut MobileoneAnswer,
    answer: MobileoneAnswer,
}

impl Out {
    /// Takes the caller's answer.
    ///
    /// # Safety
    /// `to` is null or leads to an answer, whose buffers have the places that it says and are none of ours.
    pub(crate) unsafe fn new(to: *mut MobileoneAnswer) -> Result<Out> {
        // SAFETY: as the caller promises.
        Ok(Out { to, answer: unsafe { structs::read(to) }? })
    }

    /// Writes the counts of `batch` pictures, and refuses buffers that are smaller.
    pub(crate) fn check(&mut self, batch: usize, counts: Counts) -> Result<()> {
        let answer = &mut self.answer;
        answer.batch = u32::try_from(batch).unwrap_or(u32::MAX);
        answer.top.count = batch.saturating_mul(counts.top);
        answer.logits.count = batch.saturating_mul(counts.logits);
        answer.probabilities.count = batch.saturating_mul(counts.probabilities);
        answer.features.count = batch.saturating_mul(counts.features);
        // SAFETY: the caller promised it to `new`.
        unsafe { structs::write(self.to, &self.answer) }?;
        let MobileoneAnswer { top, logits, probabilities, features, .. } = self.answer;
        let floats = |name, of: MobileoneFloats| (name, of.values.is_null(), of.capacity, of.count);
        let buffers = [
            ("top", top.values.is_null(), top.capacity, top.count),
            floats("logits", logits),
            floats("probabilities", probabilities),
            floats("features", features),
        ];
        match buffers.into_iter().find(|&(_, unwanted, capacity, count)| !unwanted && capacity < count) {
            Some((name, _, capacity, count)) => {
                let reason = format!("{name} takes {count} values, found place for {capacity}");
                Err(Failure::new(MOBILEONE_BUFFER_TOO_SMALL, reason))
            }
            None => Ok(()),
        }
    }

    /// Writes `found`, which is as large as what was checked.
    pub(crate) fn fill(self, found: &Answer) {
        let MobileoneAnswer { top, logits, probabilities, features, .. } = self.answer;
        for (to, from) in
            [(logits, found.logits()), (probabilities, found.probabilities()), (features, found.features())]
        {
            assert_eq!(from.len(), to.count, "a session gives what it was asked for");
            if !to.values.is_null() {
                // SAFETY: `check` saw that there is place for them; the caller's buffer is none of ours.
                unsafe {
                    to.values.cast::<u8>().copy_from_nonoverlapping(from.as_ptr().cast(), 4 * from.len())
                };
            }
        }
        let all = found.top.iter().flatten();
        assert_eq!(all.clone().count(), top.count, "a session gives as many classes as it was asked for");
        if !top.values.is_null() {
            for (at, one) in all.enumerate() {
                let one = MobileoneTop { index: one.index as u32, probability: one.probability };
                // SAFETY: `check` saw that there is place for so many.
                unsafe { top.values.add(at).write_unaligned(one) };
            }
        }
    }
}
