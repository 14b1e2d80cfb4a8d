//! An inference on the processor, as whoever waits for it sees it.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use super::engine::Frame;
use crate::{
    answer::Answer,
    error::{Error, Result},
};

/// One inference as its ticket sees it.
#[derive(Default)]
pub(super) struct Job(Mutex<State>);

/// `answer` from when it has run until it is taken.
#[derive(Default)]
struct State {
    answer: Option<Result<Answer>>,
    waker: Option<Waker>,
    taken: bool,
}

impl Job {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while a job is kept")
    }

    /// Whether there will be no other answer than there is.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.answer.is_some() || state.taken
    }

    /// Gives the answer to whoever asks; `None` where nobody will.
    pub(super) fn finish(&self, answer: Option<Result<Answer>>) {
        let mut state = self.state();
        state.answer = answer;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// An inference in flight on the processor. Dropped, it gives its answer up.
pub struct Ticket {
    pub(super) job: Arc<Job>,
    pub(super) frame: Arc<Frame>,
}

impl Ticket {
    /// The answer if it has come; `None` if it has not. Never waits.
    ///
    /// # Errors
    /// [`Error::Input`] for values that are not finite, or an answer that was taken already;
    /// [`Error::DeviceFailure`].
    pub fn try_take(&mut self) -> Result<Option<Answer>> {
        let mut state = self.job.state();
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
        self.frame.engine().finish(&self.job);
        self.try_take().map(|answer| answer.expect("the job is done"))
    }
}

impl Future for Ticket {
    type Output = Result<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<Result<Answer>> {
        match self.try_take().transpose() {
            Some(answer) => Poll::Ready(answer),
            None => {
                let mut state = self.job.state();
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
