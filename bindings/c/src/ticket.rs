//! Tickets: inferences in flight.

use std::sync::Arc;

use engine::{Answer, Ticket};

use crate::{
    answer::{MobileoneAnswer, Out},
    error::{Failure, MobileoneStatus, NOT_READY, Result, guard},
    handles::{Kind, Table},
    input::MobileonePicture,
    session::{MobileoneSession, Open, SESSIONS, closed},
    structs::{place, slice},
};

/// An inference in flight, until its answer or its failure is taken, or `mobileone_cancel`. 0 is none.
pub type MobileoneTicket = u64;

/// One inference.
pub(crate) struct Flight {
    session: Arc<Open>,
    batch: usize,
    state: State,
}

enum State {
    Flying(Ticket),
    /// Waited for by whoever paused the session.
    Landed(Result<Answer>),
}

static TICKETS: Table<Flight> = Table::new(Kind::Ticket);

/// Gives `flying`, of `batch` pictures, a ticket.
pub(crate) fn begin(session: &Arc<Open>, flying: Ticket, batch: usize) -> Result<MobileoneTicket> {
    let flight = Flight { session: session.clone(), batch, state: State::Flying(flying) };
    let ticket = TICKETS.insert(flight)?;
    // Another thread may have closed the session, and its tickets, in between.
    if session.is_closed() {
        let _ = TICKETS.remove(ticket);
        return Err(closed());
    }
    Ok(ticket)
}

fn of(session: &Arc<Open>) -> Vec<MobileoneTicket> {
    TICKETS.handles(|flight| Arc::ptr_eq(&flight.session, session))
}

/// Closes the tickets of a session that was closed. One that a thread works with ends with that.
pub(crate) fn close_all(session: &Arc<Open>) {
    for ticket in of(session) {
        let _ = TICKETS.remove(ticket);
    }
}

/// Waits for all that is in flight of a session whose gate the caller holds alone.
pub(crate) fn settle_all(session: &Arc<Open>) {
    for ticket in of(session) {
        // An error: it was cancelled in between.
        let Ok(mut loan) = TICKETS.lend(ticket) else { continue };
        let flight = loan.value();
        let waiting = Failure::new(crate::error::MOBILEONE_INTERNAL, "nobody waited for this answer");
        flight.state = match std::mem::replace(&mut flight.state, State::Landed(Err(waiting))) {
            State::Flying(flying) => State::Landed(flying.wait().map_err(Failure::from)),
            landed => landed,
        };
        loan.give_back();
    }
}

/// Takes the answer of `ticket`, which closes it, as a failure does; a buffer that is too small leaves it open.
///
/// # Safety
/// As [`Out::new`].
unsafe fn finish(ticket: MobileoneTicket, answer: *mut MobileoneAnswer, wait: bool) -> Result<()> {
    // SAFETY: as the caller promises.
    let mut out = unsafe { Out::new(answer) }?;
    let session = TICKETS.look(ticket, |flight| flight.session.clone())?;
    // Before the loan: whoever pauses has the gate, and then no ticket is lent.
    let Some(_turn) = session.take_turn(wait) else { return Err(NOT_READY) };
    let mut loan = TICKETS.lend(ticket)?;
    if session.is_closed() {
        return Err(closed());
    }
    let flight = loan.value();
    if let Err(refused) = out.check(flight.batch, &session.gives) {
        loan.give_back();
        return Err(refused);
    }
    let found = match &mut flight.state {
        State::Flying(flying) if !wait => match flying.try_take()? {
            Some(found) => found,
            None => {
                loan.give_back();
                return Err(NOT_READY);
            }
        },
        _ => match loan.take().state {
            State::Flying(flying) => flying.wait()?,
            State::Landed(landed) => landed?,
        },
    };
    out.fill(&found);
    Ok(())
}

/// Starts one picture and does not wait: `MOBILEONE_BUSY` where all frames are in flight, which is known before the
/// picture is looked at: take an answer first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_submit(
    session: MobileoneSession,
    picture: *const MobileonePicture,
    ticket: *mut MobileoneTicket,
) -> MobileoneStatus {
    guard(|| {
        // SAFETY: the header's promise of pointers.
        let ticket = unsafe { place(ticket, "ticket") }?;
        let open = SESSIONS.get(session)?;
        let _turn = open.enter()?;
        open.has_room()?;
        // SAFETY: as above.
        let flying = unsafe { open.with_picture(picture, |input| Ok(open.engine.submit(input)?)) }?;
        *ticket = begin(&open, flying, 1)?;
        Ok(())
    })
}

/// Starts the tensor of `count` values `[n][height][width][channels]`, normalized as the model wants it, and does not
/// wait: `MOBILEONE_BUSY` where all frames are in flight. `n` is at most the session's batch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_submit_tensor(
    session: MobileoneSession,
    values: *const f32,
    count: usize,
    ticket: *mut MobileoneTicket,
) -> MobileoneStatus {
    guard(|| {
        // SAFETY: the header's promise of pointers.
        let (ticket, values) = unsafe { (place(ticket, "ticket")?, slice(values, count, "values")?) };
        let open = SESSIONS.get(session)?;
        let _turn = open.enter()?;
        open.has_room()?;
        let submit = |input: engine::Input, batch| Ok((open.engine.submit(input)?, batch));
        let (flying, batch) = open.with_tensor(values, submit)?;
        *ticket = begin(&open, flying, batch)?;
        Ok(())
    })
}

/// Takes the answer if it has come, which closes the ticket: `MOBILEONE_NOT_READY` if it has not. Never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_poll(
    ticket: MobileoneTicket,
    answer: *mut MobileoneAnswer,
) -> MobileoneStatus {
    // SAFETY: the header's promise of pointers.
    guard(|| unsafe { finish(ticket, answer, false) })
}

/// Waits for the answer and takes it, which closes the ticket. On the CPU the caller's thread works towards it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_wait(
    ticket: MobileoneTicket,
    answer: *mut MobileoneAnswer,
) -> MobileoneStatus {
    // SAFETY: the header's promise of pointers.
    guard(|| unsafe { finish(ticket, answer, true) })
}

/// Gives an answer up and closes the ticket. A thread that waits for it gets it nevertheless.
#[unsafe(no_mangle)]
pub extern "C" fn mobileone_cancel(ticket: MobileoneTicket) -> MobileoneStatus {
    guard(|| TICKETS.remove(ticket).map(drop))
}
