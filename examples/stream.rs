//! A stream of pictures, several in flight at once, in the three ways to wait for an answer: by asking, by blocking,
//! and by `await` under no executor at all.
//!
//! ```sh
//! cargo run --example stream
//! ```

use std::{
    collections::VecDeque,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use mobileone::{Answer, Device, Error, Input, Model, Options, Result, Session, Ticket, picture, sample};

fn main() -> Result<()> {
    let model = Model::from_bytes(sample::DIGITS)?;
    let labels = model.labels.clone().unwrap_or_default();
    // So many pictures may be under way at once; each frame owns its buffers, so none is made per picture.
    let options = Options { frames: 3, ..Options::of(&model) };
    let wanted = std::env::var("MOBILEONE_DEVICE").unwrap_or("auto".into());
    let session = Session::new(&Device::open(&wanted)?, &model, &options)?;
    let pictures: Vec<picture::Picture> =
        sample::PICTURES.iter().map(|(_, bytes)| picture::decode(bytes)).collect::<Result<_>>()?;
    let say = |answer: &Answer| {
        let best = answer.top[0][0];
        println!("{:5.1}%  {}", 100.0 * best.probability, labels[best.index]);
    };

    // `submit` never waits. When all frames are in flight it says so, and the oldest answer is taken first.
    println!("by blocking");
    let mut flying: VecDeque<Ticket> = VecDeque::new();
    for picture in &pictures {
        let ticket = loop {
            match session.submit(Input::Pixels(picture.pixels())) {
                Err(Error::Busy) => say(&flying.pop_front().expect("a ticket holds each frame").wait()?),
                submitted => break submitted?,
            }
        };
        flying.push_back(ticket);
    }
    for ticket in flying {
        say(&ticket.wait()?);
    }

    // What a game does once per tick: look whether the answer has come, and go on.
    println!("by asking");
    let mut ticks = 0u32;
    let mut ticket = session.submit(Input::Pixels(pictures[0].pixels()))?;
    let answer = loop {
        match ticket.try_take()? {
            Some(answer) => break answer,
            None => ticks += 1,
        }
        thread::yield_now();
    };
    say(&answer);
    eprintln!("  (asked {ticks} times before it had come)");

    // A ticket is a future that any executor polls. This is the smallest of all executors.
    println!("by await");
    block_on(async {
        let first = session.submit(Input::Pixels(pictures[1].pixels()))?;
        let second = session.submit(Input::Pixels(pictures[2].pixels()))?;
        say(&first.await?);
        say(&second.await?);
        Ok(())
    })
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

/// Runs one future to its end on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
