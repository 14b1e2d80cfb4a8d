//! An inference in flight, whatever the device.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{answer::Answer, error::Result};

/// An inference in flight. Dropped, it gives its answer up.
///
/// ```
/// # use mobileone::{Device, Input, Model, Options, Session, Shape, Tensor, sample};
/// # let model = Model::from_bytes(sample::DIGITS)?;
/// # let session = Session::new(&Device::open("cpu")?, &model, &Options::of(&model))?;
/// # let picture = Tensor::zeros(Shape::new(1, 80, 80, 3));
/// let mut ticket = session.submit(Input::Tensor(&picture))?;
/// // Once per turn of a loop that has other things to do; `ticket.wait()` and `ticket.await` are the other ways.
/// let answer = loop {
///     match ticket.try_take()? {
///         Some(answer) => break answer,
///         None => std::thread::yield_now(),
///     }
/// };
/// assert_eq!(answer.batch, 1);
/// # Ok::<(), mobileone::Error>(())
/// ```
pub struct Ticket(pub(crate) TicketOn);

pub(crate) enum TicketOn {
    #[cfg(feature = "cpu")]
    Cpu(crate::cpu::Ticket),
    #[cfg(feature = "gpu")]
    Gpu(crate::gpu::Ticket),
}

impl Ticket {
    /// The answer if it has come, `None` if it has not; never waits. An answer is taken once.
    ///
    /// # Errors
    /// [`Error::DeviceFailure`](crate::Error::DeviceFailure) when the device failed or its answer cannot be one;
    /// [`Error::Input`](crate::Error::Input) when the input held values that are not finite.
    pub fn try_take(&mut self) -> Result<Option<Answer>> {
        match &mut self.0 {
            #[cfg(feature = "cpu")]
            TicketOn::Cpu(ticket) => ticket.try_take(),
            #[cfg(feature = "gpu")]
            TicketOn::Gpu(ticket) => ticket.try_take(),
        }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// As [`Ticket::try_take`].
    pub fn wait(self) -> Result<Answer> {
        match self.0 {
            #[cfg(feature = "cpu")]
            TicketOn::Cpu(ticket) => ticket.wait(),
            #[cfg(feature = "gpu")]
            TicketOn::Gpu(ticket) => ticket.wait(),
        }
    }
}

impl Future for Ticket {
    type Output = Result<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<Result<Answer>> {
        match &mut self.0 {
            #[cfg(feature = "cpu")]
            TicketOn::Cpu(ticket) => Pin::new(ticket).poll(context),
            #[cfg(feature = "gpu")]
            TicketOn::Gpu(ticket) => Pin::new(ticket).poll(context),
        }
    }
}
