//! The window: what the system and other threads tell it.

mod open;

use crate::{args::Args, controls, headless, source::camera};
use open::Open;
use std::{
    thread,
    time::{Duration, Instant},
};
use winit::{
    application::ApplicationHandler,
    event::WindowEvent,
    event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy},
    window::WindowId,
};

/// How often the cameras of the machine are looked for.
const LOOK: Duration = Duration::from_secs(3);

/// What other threads have for the window.
enum Event {
    /// There is something to look at.
    Wake,
    /// The cameras of this machine.
    Cameras(Vec<(u32, String)>),
    /// A line for people.
    Line(String),
}

/// Opens the window, and stays until it is closed.
///
/// # Errors
/// A line when no window or no device can be opened.
pub fn run(args: &Args) -> Result<(), String> {
    let events = EventLoop::<Event>::with_user_event().build();
    let events = events
        .map_err(|error| format!("no window can be opened here ({error}); try --headless --frames 100"))?;
    let proxy = events.create_proxy();
    let looks = proxy.clone();
    thread::spawn(move || {
        while looks.send_event(Event::Cameras(camera::list())).is_ok() {
            thread::sleep(LOOK);
        }
    });
    let mut app = App { args, proxy, open: None, failed: None };
    events.run_app(&mut app).map_err(|error| error.to_string())?;
    app.failed.map_or(Ok(()), Err)
}

struct App<'a> {
    args: &'a Args,
    proxy: EventLoopProxy<Event>,
    open: Option<Open>,
    failed: Option<String>,
}

impl App<'_> {
    fn check(&mut self, done: Result<(), String>, events: &ActiveEventLoop) {
        if let Err(reason) = done {
            self.failed = Some(reason);
            self.open = None;
            events.exit();
        }
    }
}

impl ApplicationHandler<Event> for App<'_> {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        if self.open.is_none() {
            match Open::new(self.args, events, &self.proxy) {
                Ok(open) => self.open = Some(open),
                Err(reason) => self.check(Err(reason), events),
            }
        }
    }

    fn user_event(&mut self, events: &ActiveEventLoop, event: Event) {
        let Some(open) = &mut self.open else { return };
        match event {
            Event::Wake => {
                let done = open.tick();
                let labelled = open.live.figures(|figures| figures.labelled);
                if self.args.lose_every.is_some_and(|every| labelled / every > open.live.recovered) {
                    open.live.gpu.device.destroy();
                }
                // Some systems deliver what is left after the end was asked for.
                let ends = self.args.frames.is_some_and(|frames| labelled >= frames) && !events.exiting();
                if ends && done.is_ok() {
                    headless::report(self.args, &open.live, &open.tally);
                    events.exit();
                }
                self.check(done, events);
            }
            Event::Cameras(cameras) if cameras != open.cameras => {
                open.cameras = cameras;
                open.later(Duration::ZERO);
            }
            Event::Cameras(_) => {}
            Event::Line(line) => {
                open.live.say(line);
                open.later(Duration::ZERO);
            }
        }
    }

    fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let Some(open) = &mut self.open else { return };
        let repaint = open.input.on_window_event(&open.window, &event).repaint;
        let done = match event {
            WindowEvent::RedrawRequested => {
                let done = open.draw(events);
                self.check(done, events);
                return;
            }
            WindowEvent::CloseRequested => {
                events.exit();
                Ok(())
            }
            WindowEvent::Resized(_) | WindowEvent::ScaleFactorChanged { .. } => {
                open.configure();
                open.window.request_redraw();
                Ok(())
            }
            WindowEvent::HoveredFile(_) => {
                open.view.hovered = true;
                Ok(())
            }
            WindowEvent::HoveredFileCancelled => {
                open.view.hovered = false;
                Ok(())
            }
            WindowEvent::DroppedFile(path) => {
                open.view.hovered = false;
                open.act(controls::open(&path.to_string_lossy()), events)
            }
            _ => Ok(()),
        };
        if repaint {
            open.later(Duration::ZERO);
        }
        self.check(done, events);
    }

    fn about_to_wait(&mut self, events: &ActiveEventLoop) {
        let Some(open) = &mut self.open else { return };
        let now = Instant::now();
        if open.again.is_some_and(|again| again <= now) {
            open.again = None;
            open.window.request_redraw();
        }
        // Lines go away by themselves.
        let soon = open.live.lines.front().map(|_| now + Duration::from_secs(1));
        let next = [open.again, soon].into_iter().flatten().min();
        if let Some(soon) = soon
            && open.again.is_none()
        {
            open.again = Some(soon);
        }
        events.set_control_flow(next.map_or(ControlFlow::Wait, ControlFlow::WaitUntil));
    }
}
