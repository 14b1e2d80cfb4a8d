//! The window while there is no device to draw it: its title says what is waited for.

use super::Event;
use crate::{
    args::Args,
    gpu,
    gpu::Gpu,
    live::{Settings, wait_at},
    paint,
    paint::Painter,
    plain::plain,
};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use winit::{
    dpi::LogicalSize,
    event::WindowEvent,
    event_loop::{ActiveEventLoop, EventLoopProxy},
    keyboard::Key,
    window::Window,
};

/// What the window is called once it is drawn.
pub(super) const TITLE: &str = "MobileOne";

/// The first device, and what draws the window on it.
pub(super) type First = Result<(Gpu, Option<Painter>), String>;

/// A window, and what is there of the rest.
pub(super) struct Opening {
    pub(super) window: Arc<Window>,
    pub(super) settings: Settings,
    /// What has been created by whom it has to be, with the surface.
    pub(super) drawn_by: Option<(wgpu::Instance, Arc<wgpu::Surface<'static>>)>,
    /// Files that were dropped meanwhile.
    pub(super) dropped: Vec<PathBuf>,
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
    /// Whether the window was woken since it last looked: wakes before that are one.
    pub(super) woken: Arc<AtomicBool>,
    proxy: EventLoopProxy<Event>,
}

impl Opening {
    /// Puts up the window, and has the system's drivers loaded.
    pub(super) fn new(
        args: &Args,
        events: &ActiveEventLoop,
        proxy: &EventLoopProxy<Event>,
    ) -> Result<Opening, String> {
        let settings = args.settings()?;
        let attributes = Window::default_attributes()
            .with_title(format!("{TITLE}: opening {}", settings.device))
            .with_inner_size(LogicalSize::new(args.size.0, args.size.1))
            .with_min_inner_size(LogicalSize::new(240, 180));
        let window =
            events.create_window(attributes).map_err(|error| format!("no window: {}", plain(error)))?;
        let woken = Arc::new(AtomicBool::new(false));
        let wake = {
            let (proxy, woken) = (proxy.clone(), woken.clone());
            move || {
                if !woken.swap(true, Ordering::AcqRel) {
                    proxy.send_event(Event::Wake).ok();
                }
            }
        };
        let opening = Opening {
            window: Arc::new(window),
            settings,
            drawn_by: None,
            dropped: Vec::new(),
            wake: Arc::new(wake),
            woken,
            proxy: proxy.clone(),
        };
        let display = events.owned_display_handle();
        opening.start(move || Event::Instance(gpu::instance(Some(display))))?;
        Ok(opening)
    }

    /// Makes the surface, which some systems let the window's thread do only, and has a device opened for it.
    pub(super) fn open(&mut self, instance: wgpu::Instance) -> Result<(), String> {
        let surface = instance.create_surface(self.window.clone());
        let surface = Arc::new(surface.map_err(|error| format!("no window: {}", plain(error)))?);
        self.drawn_by = Some((instance.clone(), surface.clone()));
        let (device, gate, wake) =
            (self.settings.device.clone(), self.settings.gate.clone(), self.wake.clone());
        self.start(move || {
            wait_at(gate.as_deref(), || false);
            let gpu = Gpu::open(&instance, Some(&surface), &device, wake);
            Event::Device(Box::new(gpu.map(|gpu| {
                let painter = paint::of_window(&gpu, &surface);
                (gpu, painter)
            })))
        })
    }

    fn start(&self, make: impl FnOnce() -> Event + Send + 'static) -> Result<(), String> {
        let proxy = self.proxy.clone();
        let run = move || drop(proxy.send_event(make()));
        let started = thread::Builder::new().name("open".into()).spawn(run);
        started.map(drop).map_err(|error| format!("the system gives no thread to open a device on: {error}"))
    }

    /// What can be done before anything is drawn: end, and drop files.
    pub(super) fn heard(&mut self, event: WindowEvent, events: &ActiveEventLoop) {
        match event {
            WindowEvent::CloseRequested => events.exit(),
            WindowEvent::KeyboardInput { event, .. } if event.logical_key == Key::Character("q".into()) => {
                events.exit();
            }
            WindowEvent::DroppedFile(path) => self.dropped.push(path),
            _ => {}
        }
    }
}
