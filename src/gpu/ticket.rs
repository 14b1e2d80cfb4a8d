//! An inference in flight, as whoever waits for it sees it.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use super::{Engine, Gpu, frame::Frame};
use crate::{
    answer::Answer,
    error::{Error, Result},
    info::DeviceKind,
};

/// How long a submit may take before the device counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long its buffers may take to come back once the work has ended.
const HANDOVER: Duration = Duration::from_secs(5);
/// How many times as long both may take on a software device, which shares the processor with everything else.
const SOFTWARE: u32 = 10;

/// An inference in flight on a GPU. Dropped, it gives its frame back and its answer up.
pub struct Ticket {
    pub(super) engine: Arc<Engine>,
    pub(super) frame: Option<Frame>,
    pub(super) batch: usize,
    /// `None` where an encoder of the caller's has the commands.
    pub(super) submission: Option<wgpu::SubmissionIndex>,
}

impl Ticket {
    /// The answer if it has come; `None` if it has not. Never waits.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`], or [`Error::Input`] for values that are not finite, an answer that was taken
    /// already, or an encoder that was dropped or refused.
    pub fn try_take(&mut self) -> Result<Option<Answer>> {
        let polled = self.gpu().device.poll(wgpu::PollType::Poll);
        polled.map_err(|error| self.gpu().failure(error.to_string()))?;
        let Some(frame) = &self.frame else {
            return Err(Error::Input("the answer of this ticket was taken already".into()));
        };
        let (pending, dropped) = {
            let mapping = frame.mapping();
            (mapping.pending > 0, mapping.dropped)
        };
        if pending {
            return self.gpu().check().map(|()| None);
        }
        let answer = match dropped {
            true => Err(Error::Input("the encoder was dropped and not submitted".into())),
            false => self.engine.read(frame, self.batch, self.submission.is_none()),
        };
        self.release();
        answer.map(Some)
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// As [`Ticket::try_take`]; [`Error::Input`] too when the encoder has not been submitted, and in a browser, where
    /// nobody may wait.
    pub fn wait(mut self) -> Result<Answer> {
        if cfg!(target_arch = "wasm32") {
            return Err(Error::Input("a page cannot wait: await the ticket, or use run_async".into()));
        }
        let slower = if self.gpu().info.kind == DeviceKind::Software { SOFTWARE } else { 1 };
        let (patience, handover) = (PATIENCE * slower, HANDOVER * slower);
        let submission_index = self.submission.clone();
        let poll = wgpu::PollType::Wait { submission_index, timeout: Some(patience) };
        if let Err(error) = self.gpu().device.poll(poll) {
            let reason = format!("no answer within {} s: {error}", patience.as_secs());
            return Err(self.gpu().fail(reason));
        }
        let begun = Instant::now();
        loop {
            match self.try_take()? {
                Some(answer) => return Ok(answer),
                None if self.submission.is_none() => {
                    return Err(Error::Input("submit the encoder before waiting for its answer".into()));
                }
                // Another thread that polls may be about to hand them over.
                None if begun.elapsed() < handover => thread::sleep(Duration::from_micros(20)),
                None => return Err(self.gpu().fail("the work ended but its buffers did not come back")),
            }
        }
    }

    fn gpu(&self) -> &Gpu {
        &self.engine.gpu
    }

    fn release(&mut self) {
        if let Some(frame) = self.frame.take() {
            self.engine.frames.lock().expect("no panic while frames are kept").push(frame);
        }
    }
}

impl Future for Ticket {
    type Output = Result<Answer>;

    /// Polls the device itself: no executor of a certain kind and no hidden thread are needed. A browser polls its
    /// devices, and wakes.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<Result<Answer>> {
        if let Some(frame) = &self.frame {
            frame.mapping().waker = Some(context.waker().clone());
        }
        match self.try_take().transpose() {
            Some(answer) => Poll::Ready(answer),
            None => {
                if !cfg!(target_arch = "wasm32") {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.release();
    }
}
