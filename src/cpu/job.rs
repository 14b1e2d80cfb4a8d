//! One inference as its ticket and its executor see it.

use std::{
    sync::{Mutex, MutexGuard},
    task::Waker,
};

use crate::{answer::Answer, error::Result};

/// The state of one inference, which its ticket shares with the executor.
#[derive(Default)]
pub(super) struct Job(Mutex<State>);

/// `answer` from when it has run until it is taken.
#[derive(Default)]
pub(super) struct State {
    pub answer: Option<Result<Answer>>,
    pub waker: Option<Waker>,
    pub taken: bool,
}

impl Job {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while a job is kept")
    }

    /// Whether there will be no other answer than there is.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.answer.is_some() || state.taken
    }

    /// Stores the answer and wakes the task that waits for it; `None` where the ticket was dropped before the run.
    pub(super) fn finish(&self, answer: Option<Result<Answer>>) {
        let mut state = self.state();
        state.answer = answer;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}
