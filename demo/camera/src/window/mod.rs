//! The window: what the system and other threads tell it.

mod open;
mod opening;
mod surface;

use crate::{args::Args, controls, headless, plain::plain, source::camera};
use open::Open;
use opening::{First, Opening};
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
    /// The system's drivers are loaded.
    Instance(wgpu::Instance),
    /// The first device is open, or cannot be had.
    Device(Box<First>),
}

/// Opens the window, and stays until it is closed.
///
/// # Errors
/// A line when no window or no device can be opened.
pub fn run(args: &Args) -> Result<(), String> {
    let events = EventLoop::<Event>::with_user_event().build();
    let events = events.map_err(|error| {
        format!("no window can be opened here ({}); try --headless --frames 100", plain(error))
    })?;
    let proxy = events.create_proxy();
    let looks = proxy.clone();
    thread::spawn(move || {
        while looks.send_event(Event::Cameras(camera::list())).is_ok() {
            thread::sleep(LOOK);
        }
    });
    let begun = Instant::now();
    let mut app = App { args, proxy, phase: Phase::Before, failed: None, begun, away: Duration::ZERO };
    events.run_app(&mut app).map_err(plain)?;
    app.failed.map_or(Ok(()), Err)
}

/// How far the window is.
enum Phase {
    Before,
    /// It is there, and waits for its device.
    Opening(Box<Opening>),
    Open(Box<Open>),
}

struct App<'a> {
    args: &'a Args,
    proxy: EventLoopProxy<Event>,
    phase: Phase,
    failed: Option<String>,
    begun: Instant,
    /// The longest time for which one event was looked at, and no other.
    away: Duration,
}

impl App<'_> {
    /// Looks at an event; a failure ends the program.
    fn look(
        &mut self,
        events: &ActiveEventLoop,
        look: impl FnOnce(&mut Self, &ActiveEventLoop) -> Result<(), String>,
    ) {
        let begun = Instant::now();
        if let Err(reason) = look(self, events) {
            self.failed = Some(reason);
            self.phase = Phase::Before;
            events.exit();
        }
        self.away = self.away.max(begun.elapsed());
    }

    fn told(&mut self, events: &ActiveEventLoop, event: Event) -> Result<(), String> {
        match (&mut self.phase, event) {
            (Phase::Opening(opening), Event::Instance(instance)) => opening.open(instance),
            (Phase::Opening(_), Event::Device(first)) => {
                let (gpu, painter) = (*first)?;
                let Phase::Opening(opening) = std::mem::replace(&mut self.phase, Phase::Before) else {
                    return Ok(());
                };
                let dropped = opening.dropped.clone();
                let mut open =
                    Box::new(Open::new(self.args, *opening, gpu, painter, &self.proxy, self.begun)?);
                for path in dropped {
                    open.act(controls::open(&path.to_string_lossy()), events)?;
                }
                self.phase = Phase::Open(open);
                Ok(())
            }
            (Phase::Open(open), Event::Wake) => {
                open.tick()?;
                let labelled = open.live.figures(|figures| figures.labelled);
                if self.args.lose_every.is_some_and(|every| labelled / every > open.live.recovered) {
                    open.live.gpu.device.destroy();
                }
                if self.args.frames.is_some_and(|frames| labelled >= frames) {
                    events.exit();
                }
                Ok(())
            }
            (Phase::Open(open), Event::Cameras(cameras)) if cameras != open.cameras => {
                open.cameras = cameras;
                open.later(Duration::ZERO);
                Ok(())
            }
            (Phase::Open(open), Event::Line(line)) => {
                open.live.say(line);
                open.later(Duration::ZERO);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn heard(&mut self, events: &ActiveEventLoop, event: WindowEvent) -> Result<(), String> {
        let open = match &mut self.phase {
            Phase::Before => return Ok(()),
            Phase::Opening(opening) => {
                opening.heard(event, events);
                return Ok(());
            }
            Phase::Open(open) => open,
        };
        if open.input.on_window_event(&open.window, &event).repaint {
            open.later(Duration::ZERO);
        }
        match event {
            WindowEvent::RedrawRequested => open.draw(events)?,
            WindowEvent::CloseRequested => events.exit(),
            WindowEvent::Resized(_) | WindowEvent::ScaleFactorChanged { .. } => {
                open.configure();
                open.window.request_redraw();
            }
            WindowEvent::HoveredFile(_) => open.view.hovered = true,
            WindowEvent::HoveredFileCancelled => open.view.hovered = false,
            WindowEvent::DroppedFile(path) => {
                open.view.hovered = false;
                open.act(controls::open(&path.to_string_lossy()), events)?;
                open.later(Duration::ZERO);
            }
            _ => {}
        }
        Ok(())
    }
}

impl ApplicationHandler<Event> for App<'_> {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        self.look(events, |app, events| {
            if matches!(app.phase, Phase::Before) {
                app.phase = Phase::Opening(Box::new(Opening::new(app.args, events, &app.proxy)?));
            }
            Ok(())
        });
    }

    fn user_event(&mut self, events: &ActiveEventLoop, event: Event) {
        self.look(events, |app, events| app.told(events, event));
    }

    fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        self.look(events, |app, events| app.heard(events, event));
    }

    /// The figures, where they are asked for, come once, however it ends.
    fn exiting(&mut self, _: &ActiveEventLoop) {
        let Phase::Open(open) = &mut self.phase else { return };
        open.window.set_visible(false);
        open.tally.window = open.first.map(|first| [first, self.away]);
        if self.args.frames.is_some() || self.args.json {
            headless::report(self.args, &open.live, &open.tally);
        }
    }

    fn about_to_wait(&mut self, events: &ActiveEventLoop) {
        let Phase::Open(open) = &mut self.phase else {
            events.set_control_flow(ControlFlow::Wait);
            return;
        };
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
