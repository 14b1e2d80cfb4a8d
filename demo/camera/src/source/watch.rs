//! A camera on a thread of its own: drivers may wait for a frame for ever, and then it is left to itself.

use super::{camera::Camera, sent::Sent};
use crate::plain::plain;
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a camera may take to open, to send a frame and to close.
const PATIENCE: Duration = Duration::from_secs(5);
const OPENING: Duration = Duration::from_secs(10);
/// How long one that hung is left alone.
const REST: Duration = Duration::from_secs(30);

enum Ask {
    Open,
    Frame(Vec<u8>),
    Close,
}

enum Reply {
    Opened(Result<String, String>),
    Frame(Vec<u8>, Result<Sent, String>),
    Closed,
}

/// A camera that is not waited for without end.
pub struct Watched {
    make: Arc<dyn Fn() -> Camera + Send + Sync>,
    line: Option<(Sender<Ask>, Receiver<Reply>)>,
    hung: Option<Instant>,
}

impl Watched {
    /// What `make` makes, on its thread; made again after it hung.
    pub fn new(make: impl Fn() -> Camera + Send + Sync + 'static) -> Watched {
        Watched { make: Arc::new(make), line: None, hung: None }
    }

    /// Opens it, and says what it is.
    ///
    /// # Errors
    /// What the camera says, or that it says nothing.
    pub fn open(&mut self) -> Result<String, String> {
        if self.hung.is_some_and(|hung| hung.elapsed() < REST) {
            return Err("it does not answer".into());
        }
        if self.line.is_none() {
            self.line = Some(start(self.make.clone())?);
        }
        match self.ask(Ask::Open, OPENING)? {
            Reply::Opened(opened) => opened,
            Reply::Frame(..) | Reply::Closed => Err("it gives wrong answers".into()),
        }
    }

    /// Waits for a frame, which is written to `bytes` and given back.
    ///
    /// # Errors
    /// What the camera says, or that it sends nothing.
    pub fn frame(&mut self, bytes: Vec<u8>) -> Result<(Vec<u8>, Sent), String> {
        match self.ask(Ask::Frame(bytes), PATIENCE)? {
            Reply::Frame(bytes, sent) => Ok((bytes, sent?)),
            Reply::Opened(_) | Reply::Closed => Err("it gives wrong answers".into()),
        }
    }

    /// Lets go of it.
    pub fn close(&mut self) {
        if self.line.is_some() {
            self.ask(Ask::Close, PATIENCE).ok();
        }
    }

    fn ask(&mut self, ask: Ask, patience: Duration) -> Result<Reply, String> {
        let (asks, replies) = self.line.as_ref().ok_or("it is closed")?;
        if asks.send(ask).is_ok()
            && let Ok(reply) = replies.recv_timeout(patience)
        {
            return Ok(reply);
        }
        // Its thread ends once the driver lets it go.
        (self.line, self.hung) = (None, Some(Instant::now()));
        Err(format!("nothing came for {} s", patience.as_secs()))
    }
}

fn start(make: Arc<dyn Fn() -> Camera + Send + Sync>) -> Result<(Sender<Ask>, Receiver<Reply>), String> {
    let ((asks, asked), (replies, replied)) = (channel(), channel());
    let run = move || {
        let mut camera = make();
        while let Ok(ask) = asked.recv() {
            let reply = match ask {
                Ask::Open => Reply::Opened(camera.open()),
                Ask::Frame(mut bytes) => {
                    let sent = camera.frame(&mut bytes);
                    Reply::Frame(bytes, sent)
                }
                Ask::Close => {
                    camera.close();
                    Reply::Closed
                }
            };
            if replies.send(reply).is_err() {
                break;
            }
        }
    };
    let thread = thread::Builder::new().name("camera".into()).spawn(run);
    thread.map(|_| (asks, replied)).map_err(plain)
}
