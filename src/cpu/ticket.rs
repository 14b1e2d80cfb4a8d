//! An inference on the processor, as whoever waits for it sees it.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::engine::{Engine, Flight};
use crate::{
    answer::Answer,
    error::{Error, Result},
    preprocess::Pixels,
};

/// An inference in flight on the processor. Dropped, it gives its answer up.
pub struct Ticket(Flight);

impl Engine {
    /// Starts one picture; its preparation is done before this returns.
    ///
    /// # Errors
    /// As [`Engine::submit`]; also those of [`Preprocess::run_into`](crate::Preprocess::run_into).
    pub fn submit_pixels(self: &Arc<Engine>, pixels: &Pixels) -> Result<Ticket> {
        self.start_pixels(pixels).map(Ticket)
    }

    /// Starts pictures `[batch, h, w, c]`.
    ///
    /// # Errors
    /// [`Error::Busy`] when all frames are in flight; [`Error::DeviceFailure`] when an earlier inference failed so
    /// that none can follow.
    pub fn submit(self: &Arc<Engine>, pictures: &[f32], batch: usize) -> Result<Ticket> {
        self.start(pictures, batch).map(Ticket)
    }
}

impl Ticket {
    /// The answer if it has come; `None` if it has not. Never waits.
    ///
    /// # Errors
    /// [`Error::Input`] for values that are not finite, or an answer that was taken already;
    /// [`Error::DeviceFailure`].
    pub fn try_take(&mut self) -> Result<Option<Answer>> {
        let mut state = self.0.job.state();
        if state.taken {
            return Err(Error::Input("the answer of this ticket was taken already".into()));
        }
        state.taken = state.answer.is_some();
        state.answer.take().transpose()
    }

    /// Waits for the answer, and works towards it meanwhile.
    ///
    /// # Errors
    /// As [`Ticket::try_take`].
    pub fn wait(mut self) -> Result<Answer> {
        self.0.frame.engine().finish(&self.0.job);
        self.try_take().map(|answer| answer.expect("the job is done"))
    }
}

impl Future for Ticket {
    type Output = Result<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<Result<Answer>> {
        match self.try_take().transpose() {
            Some(answer) => Poll::Ready(answer),
            None => {
                let mut state = self.0.job.state();
                state.waker = Some(context.waker().clone());
                // The answer may have come in between.
                if state.answer.is_some() {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    }
}
