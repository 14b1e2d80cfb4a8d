//! What comes back, into buffers of the caller's.

use std::{ffi::c_char, mem::offset_of, ptr};

use engine::{
    Answer, Tensor,
    graph::{FEATURES, LOGITS},
    tasks::classify::PROBABILITIES,
};

use crate::{
    error::{Failure, MOBILEONE_BUFFER_TOO_SMALL, Result},
    gives::Gives,
    structs::{self, Struct, slice, slice_mut, text},
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

/// A buffer of the caller's for an output of this name, and how many values there are.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MobileoneNamed {
    /// The output's name (UTF-8), one that `mobileone_session_outputs` lists.
    pub name: *const c_char,
    /// Where to write the values, or null where they are not wanted: `[batch][channels][height][width]` of a map,
    /// `[batch][channels]` of a vector.
    pub values: *mut f32,
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
    /// Buffers for outputs by name, or null; logits, probabilities and features have names too. A name that the session
    /// does not give is `MOBILEONE_INVALID_ARGUMENT`.
    pub named: *mut MobileoneNamed,
    /// Number of these buffers.
    pub named_count: usize,
}

// SAFETY: repr(C), begins with its size, and numbers and pointers only.
unsafe impl Struct for MobileoneAnswer {
    const NAME: &str = "MobileoneAnswer";
    const FIRST: usize = offset_of!(Self, features) + size_of::<MobileoneFloats>();
}

const NO_FLOATS: MobileoneFloats = MobileoneFloats { values: ptr::null_mut(), capacity: 0, count: 0 };

/// An answer of which nothing is wanted.
pub(crate) const NOTHING: MobileoneAnswer = MobileoneAnswer {
    size: size_of::<MobileoneAnswer>() as u32,
    batch: 0,
    top: MobileoneTops { values: ptr::null_mut(), capacity: 0, count: 0 },
    logits: NO_FLOATS,
    probabilities: NO_FLOATS,
    features: NO_FLOATS,
    named: ptr::null_mut(),
    named_count: 0,
};

/// The caller's answer: what it has place for was looked at.
pub(crate) struct Out {
    to: *mut MobileoneAnswer,
    answer: MobileoneAnswer,
}

impl Out {
    /// Takes the caller's answer.
    ///
    /// # Safety
    /// `to` is null or leads to an answer, whose buffers have the places that it says and are none of ours, and whose names
    /// end with a 0.
    pub(crate) unsafe fn new(to: *mut MobileoneAnswer) -> Result<Out> {
        // SAFETY: as the caller promises.
        Ok(Out { to, answer: unsafe { structs::read(to) }? })
    }

    /// Writes the counts of `batch` pictures, and refuses buffers that are smaller and names that the session does not
    /// give.
    pub(crate) fn check(&mut self, batch: usize, gives: &Gives) -> Result<()> {
        let answer = &mut self.answer;
        let count = |name: &str| gives.of(name).map_or(0, |shape| shape.with_batch(batch).len());
        answer.batch = u32::try_from(batch).unwrap_or(u32::MAX);
        answer.top.count = batch.saturating_mul(gives.top);
        answer.logits.count = count(LOGITS);
        answer.probabilities.count = count(PROBABILITIES);
        answer.features.count = count(FEATURES);
        // SAFETY: the caller promised it to `new`.
        let named = unsafe { slice_mut(answer.named, answer.named_count, "named") }?;
        for (at, one) in named.iter_mut().enumerate() {
            // SAFETY: as above.
            let name = unsafe { text(one.name, "the name of a named buffer") }?;
            if gives.of(name).is_none() {
                let known: Vec<&str> = gives.outputs.iter().map(|(name, _)| name.as_str()).collect();
                let known = if known.is_empty() { "none by name".into() } else { known.join(", ") };
                return Err(Failure::argument(format!("named[{at}]: {name:?}: the session gives {known}")));
            }
            one.count = count(name);
        }
        // SAFETY: as above.
        unsafe { structs::write(self.to, &self.answer) }?;
        let MobileoneAnswer { top, logits, probabilities, features, .. } = self.answer;
        let floats = |name, of: MobileoneFloats| (name, of.values.is_null(), of.capacity, of.count);
        let buffers = [
            ("top", top.values.is_null(), top.capacity, top.count),
            floats("logits", logits),
            floats("probabilities", probabilities),
            floats("features", features),
        ];
        let named = named.iter().map(|one| {
            // SAFETY: as above.
            let name = unsafe { text(one.name, "the name of a named buffer") }.unwrap_or("named");
            (name, one.values.is_null(), one.capacity, one.count)
        });
        let mut buffers = buffers.into_iter().chain(named);
        match buffers.find(|&(_, unwanted, capacity, count)| !unwanted && capacity < count) {
            Some((name, _, capacity, count)) => {
                let reason = format!("{name} takes {count} values, found place for {capacity}");
                Err(Failure::new(MOBILEONE_BUFFER_TOO_SMALL, reason))
            }
            None => Ok(()),
        }
    }

    /// Writes `found`, which is as large as what was checked.
    pub(crate) fn fill(self, found: &Answer) {
        let MobileoneAnswer { top, logits, probabilities, features, named, named_count, .. } = self.answer;
        let write = |name: &str, values: *mut f32, count: usize| {
            let tensor = found.get(name);
            let given = tensor.map_or(0, |tensor| tensor.data().len());
            assert_eq!(given, count, "a session gives what it was asked for");
            if let Some(tensor) = tensor.filter(|_| !values.is_null()) {
                // SAFETY: `check` saw that there is place for them; the caller's buffer is none of ours.
                unsafe { write_nchw(tensor, values) };
            }
        };
        for (name, to) in [(LOGITS, logits), (PROBABILITIES, probabilities), (FEATURES, features)] {
            write(name, to.values, to.count);
        }
        // SAFETY: the caller promised it to `new`, and `check` saw it.
        let named = unsafe { slice(named, named_count, "named") }.unwrap_or_default();
        for one in named {
            // SAFETY: as above.
            if let Ok(name) = unsafe { text(one.name, "the name of a named buffer") } {
                write(name, one.values, one.count);
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

/// Channels that are written together: a cache line of what is read.
const LINE: usize = 16;

/// Writes the values as `[n][c][h][w]`, without memory in between.
///
/// # Safety
/// `to` has place for them, aligned or not, and is none of the tensor's own.
unsafe fn write_nchw(tensor: &Tensor, to: *mut f32) {
    let (shape, pixels) = (tensor.shape(), tensor.shape().pixels());
    if pixels == 1 || shape.c == 1 {
        let bytes = size_of_val(tensor.data());
        // SAFETY: as the caller promises; the order is the same.
        unsafe { to.cast::<u8>().copy_from_nonoverlapping(tensor.data().as_ptr().cast(), bytes) };
        return;
    }
    for (at, picture) in tensor.data().chunks(pixels * shape.c).enumerate() {
        for first in (0..shape.c).step_by(LINE) {
            for (pixel, values) in picture.chunks(shape.c).enumerate() {
                for (channel, &value) in values.iter().enumerate().skip(first).take(LINE) {
                    // SAFETY: as the caller promises; it is within `n * c * pixels`.
                    unsafe { to.add((at * shape.c + channel) * pixels + pixel).write_unaligned(value) };
                }
            }
        }
    }
}
