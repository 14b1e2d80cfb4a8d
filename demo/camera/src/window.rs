//! The window.

use crate::{
    args::Args,
    controls, gpu, headless,
    live::Live,
    paint::{Drawing, Offscreen, Painter},
    record,
    source::camera,
    theme,
    view::{Action, Scene, View},
};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use winit::{
    application::ApplicationHandler,
    dpi::{LogicalSize, PhysicalSize},
    event::WindowEvent,
    event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy},
    window::{Fullscreen, Window, WindowId},
};

/// How often the cameras of the machine are looked for.
const LOOK: Duration = Duration::from_secs(3);
/// The least time between drawings that no new label asks for, on a software device and on others.
const SOFTWARE_PAUSE: Duration = Duration::from_millis(150);
const PAUSE: Duration = Duration::from_millis(15);

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
    #[cfg(feature = "camera")]
    nokhwa::nokhwa_initialize(|_| {});
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

/// All that is there while the window is open.
struct Open {
    window: Arc<Window>,
    instance: wgpu::Instance,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    /// The window's size that the surface was fitted to.
    fitted: Option<PhysicalSize<u32>>,
    live: Live,
    view: View,
    context: egui::Context,
    input: egui_winit::State,
    painter: Painter,
    cameras: Vec<(u32, String)>,
    /// The frame drawn last.
    drawn: Option<u64>,
    drawn_at: Instant,
    /// When to draw again though no label comes.
    again: Option<Instant>,
    snapshots: PathBuf,
    snapshot: bool,
    saved: u32,
    proxy: EventLoopProxy<Event>,
    woken: Arc<AtomicBool>,
    lost: u64,
}

impl Open {
    fn new(args: &Args, events: &ActiveEventLoop, proxy: &EventLoopProxy<Event>) -> Result<Open, String> {
        let size = LogicalSize::new(args.size.0, args.size.1);
        let attributes = Window::default_attributes()
            .with_title("MobileOne")
            .with_inner_size(size)
            .with_min_inner_size(LogicalSize::new(240, 180));
        let window =
            Arc::new(events.create_window(attributes).map_err(|error| format!("no window: {error}"))?);
        let instance = gpu::instance(Some(events.owned_display_handle()));
        let surface =
            instance.create_surface(window.clone()).map_err(|error| format!("no window: {error}"))?;
        // Wakes that come before the last one was looked at are one.
        let woken = Arc::new(AtomicBool::new(false));
        let wake = {
            let (proxy, woken) = (proxy.clone(), woken.clone());
            move || {
                if !woken.swap(true, Ordering::AcqRel) {
                    proxy.send_event(Event::Wake).ok();
                }
            }
        };
        let live = Live::start(instance.clone(), Some(&surface), args.settings()?, Arc::new(wake))?;
        let config = configuration(&surface, &live, window.inner_size())?;
        let (context, input) = interface(&window, &live);
        let painter = Painter::new(&live.gpu, config.format);
        let mut open = Open {
            window,
            instance,
            surface,
            config,
            fitted: None,
            live,
            view: View::new(args.mirror),
            context,
            input,
            painter,
            cameras: Vec::new(),
            drawn: None,
            drawn_at: Instant::now(),
            again: Some(Instant::now()),
            snapshots: args.snapshots.clone(),
            snapshot: false,
            saved: 0,
            proxy: proxy.clone(),
            woken,
            lost: 0,
        };
        open.configure();
        Ok(open)
    }

    /// Fits the surface to the window; one of no size waits.
    fn configure(&mut self) {
        let size @ PhysicalSize { width, height } = self.window.inner_size();
        let most = self.live.gpu.device.limits().max_texture_dimension_2d;
        if width > 0 && height > 0 {
            (self.config.width, self.config.height) = (width.min(most), height.min(most));
            self.surface.configure(&self.live.gpu.device, &self.config);
            self.fitted = Some(size);
        }
    }

    /// Makes everything on the device again.
    fn recover(&mut self) -> Result<(), String> {
        self.live.recover(Some(&self.surface))?;
        self.config = configuration(&self.surface, &self.live, self.window.inner_size())?;
        self.painter = Painter::new(&self.live.gpu, self.config.format);
        (self.context, self.input) = interface(&self.window, &self.live);
        self.configure();
        self.window.request_redraw();
        Ok(())
    }

    /// Looks at what came.
    fn tick(&mut self) -> Result<(), String> {
        self.woken.store(false, Ordering::Release);
        let lines = self.live.lines.len();
        self.live.tick();
        if self.live.gpu.is_lost() {
            self.recover()?;
        }
        let shown = self.live.shown().map(|shown| shown.id);
        if shown != self.drawn || self.live.lines.len() != lines || self.live.progress.is_some() {
            match shown != self.drawn {
                true => self.window.request_redraw(),
                false => self.later(Duration::ZERO),
            }
        }
        Ok(())
    }

    /// Draws after a while, unless a label comes first; on software not too often.
    fn later(&mut self, delay: Duration) {
        let pause = if self.live.gpu.is_software() { SOFTWARE_PAUSE } else { PAUSE };
        let Some(at) =
            (Instant::now() + delay.min(Duration::from_secs(60))).max(self.drawn_at + pause).into()
        else {
            return;
        };
        self.again = Some(self.again.map_or(at, |again| again.min(at)));
    }

    fn draw(&mut self, events: &ActiveEventLoop) -> Result<(), String> {
        let size = self.window.inner_size();
        if size.width == 0 || size.height == 0 {
            return Ok(());
        }
        // Not every system tells of a new size before it asks for a drawing.
        if self.fitted != Some(size) {
            self.configure();
        }
        self.again = None;
        self.drawn_at = Instant::now();
        let shown = self.live.shown();
        let texture = shown.as_ref().map(|shown| self.painter.plate(&self.live.gpu, &shown.plate));
        let figures = self.live.figures(Clone::clone);
        let scene = Scene {
            shown: texture.zip(shown.as_ref()),
            figures: &figures,
            settings: &self.live.settings,
            running: self.live.running.as_ref(),
            progress: self.live.progress.as_ref(),
            lines: &self.live.lines,
            adapters: &self.live.adapters,
            cameras: &self.cameras,
            frozen: self.live.is_frozen(),
        };
        let (view, mut actions) = (&mut self.view, Vec::new());
        let input = self.input.take_egui_input(&self.window);
        let output = self.context.run_ui(input, |ui| actions.extend(view.show(ui, &scene)));
        self.input.handle_platform_output(&self.window, output.platform_output);
        self.painter.textures(&self.live.gpu, output.textures_delta);
        let scale = output.pixels_per_point;
        let drawing = Drawing { triangles: self.context.tessellate(output.shapes, scale), scale };
        self.present(&drawing)?;
        self.drawn = shown.map(|shown| shown.id);
        if std::mem::take(&mut self.snapshot) {
            self.save(&drawing);
        }
        let delay = output.viewport_output.values().map(|output| output.repaint_delay).min();
        if let Some(delay) = delay.filter(|delay| *delay < Duration::from_secs(60)) {
            self.later(delay);
        }
        for action in actions {
            self.act(action, events)?;
            self.later(Duration::ZERO);
        }
        Ok(())
    }

    fn present(&mut self, drawing: &Drawing) -> Result<(), String> {
        use wgpu::CurrentSurfaceTexture;
        let (texture, good) = match self.surface.get_current_texture() {
            CurrentSurfaceTexture::Success(texture) => (texture, true),
            CurrentSurfaceTexture::Suboptimal(texture) => (texture, false),
            CurrentSurfaceTexture::Outdated => {
                self.configure();
                self.window.request_redraw();
                return Ok(());
            }
            CurrentSurfaceTexture::Lost => {
                self.live.say("The window's surface was lost; made anew.".into());
                let surface = self.instance.create_surface(self.window.clone());
                self.surface = surface.map_err(|error| format!("the window's surface is lost: {error}"))?;
                self.fitted = None;
                self.configure();
                self.window.request_redraw();
                return Ok(());
            }
            // Covered, busy, or of a device that is lost: what comes next tells.
            CurrentSurfaceTexture::Timeout
            | CurrentSurfaceTexture::Occluded
            | CurrentSurfaceTexture::Validation => {
                self.later(Duration::from_millis(100));
                return Ok(());
            }
        };
        let view = texture.texture.create_view(&wgpu::TextureViewDescriptor::default());
        let size = [texture.texture.width(), texture.texture.height()];
        self.painter.draw(&self.live.gpu, &view, size, drawing, |_| {});
        self.window.pre_present_notify();
        self.live.gpu.queue.present(texture);
        if !good {
            self.configure();
        }
        Ok(())
    }

    /// Draws the same once more, to a picture that is written when it has come.
    fn save(&mut self, drawing: &Drawing) {
        let size = [self.config.width, self.config.height];
        let target = Arc::new(Offscreen::new(&self.live.gpu, size, self.config.format));
        self.painter.draw(&self.live.gpu, &target.view, size, drawing, |encoder| target.record(encoder));
        let path = loop {
            self.saved += 1;
            let path = self.snapshots.join(format!("camera-{:03}.png", self.saved));
            if !path.exists() {
                break path;
            }
        };
        let proxy = self.proxy.clone();
        target.read(move |size, rgba| {
            thread::spawn(move || {
                let line = match record::write(&path, size, &rgba) {
                    Ok(()) => format!("Saved {}.", path.display()),
                    Err(reason) => format!("Not saved: {reason}."),
                };
                proxy.send_event(Event::Line(line)).ok();
            });
        });
    }

    fn act(&mut self, action: Action, events: &ActiveEventLoop) -> Result<(), String> {
        match action {
            Action::Model(model) => self.live.set_model(model),
            Action::Half(half) => self.live.set_half(half),
            Action::Source(source) => self.live.set_source(source),
            Action::Freeze => self.live.set_frozen(!self.live.is_frozen()),
            Action::Snapshot => self.snapshot = true,
            Action::Quit => events.exit(),
            Action::Say(line) => self.live.say(line),
            Action::Device(device) => {
                if self.live.set_device(device) {
                    self.recover()?;
                }
            }
            Action::FullScreen => {
                let full = self.window.fullscreen().is_none().then_some(Fullscreen::Borderless(None));
                self.window.set_fullscreen(full);
            }
        }
        Ok(())
    }
}

/// How the window's surface is drawn to, in the colours as they are.
fn configuration(
    surface: &wgpu::Surface,
    live: &Live,
    size: PhysicalSize<u32>,
) -> Result<wgpu::SurfaceConfiguration, String> {
    let config = surface.get_default_config(&live.gpu.adapter, size.width.max(1), size.height.max(1));
    let mut config = config.ok_or_else(|| format!("{} cannot draw to this window", live.gpu.info))?;
    let formats = surface.get_capabilities(&live.gpu.adapter).formats;
    let plain = [wgpu::TextureFormat::Bgra8Unorm, wgpu::TextureFormat::Rgba8Unorm];
    if let Some(format) = plain.into_iter().find(|format| formats.contains(format)) {
        config.format = format;
    }
    config.present_mode = wgpu::PresentMode::AutoVsync;
    config.desired_maximum_frame_latency = 1;
    Ok(config)
}

fn interface(window: &Window, live: &Live) -> (egui::Context, egui_winit::State) {
    let context = egui::Context::default();
    theme::apply(&context);
    let most = live.gpu.device.limits().max_texture_dimension_2d as usize;
    let scale = Some(window.scale_factor() as f32);
    let input =
        egui_winit::State::new(context.clone(), egui::ViewportId::ROOT, window, scale, None, Some(most));
    (context, input)
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
                let mut done = open.tick();
                let labelled = open.live.figures(|figures| figures.labelled);
                if self.args.lose_every.is_some_and(|every| labelled / every > open.lost) {
                    open.lost += 1;
                    open.live.gpu.device.destroy();
                    done = done.and_then(|()| open.tick());
                }
                if self.args.frames.is_some_and(|frames| labelled >= frames) {
                    headless::report(self.args, &open.live, headless::Tally::default());
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
        // Lines go away by themselves, and a load under way is looked at.
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
