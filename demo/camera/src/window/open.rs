//! All that is there while the window is open.

use super::{
    Event,
    opening::{Opening, TITLE},
    surface::{Step, fit, step},
};
use crate::{
    args::Args,
    figures::Summary,
    gpu::Gpu,
    headless::Tally,
    live::Live,
    paint::{self, Drawing, Offscreen, Painter},
    plain::plain,
    record,
    scene::{Action, RECENT, SPAN, Scene},
    theme,
    view::View,
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
    dpi::PhysicalSize,
    event_loop::{ActiveEventLoop, EventLoopProxy},
    window::{Fullscreen, Window},
};

/// The least time between drawings that no new label asks for, on a software device and on others.
const SOFTWARE_PAUSE: Duration = Duration::from_millis(150);
const PAUSE: Duration = Duration::from_millis(15);

/// Refusals of a surface in a row after which people are told.
const REFUSALS: u32 = 20;

/// The window, the device that draws it, and what it shows.
pub(super) struct Open {
    pub(super) window: Arc<Window>,
    instance: wgpu::Instance,
    surface: Arc<wgpu::Surface<'static>>,
    config: wgpu::SurfaceConfiguration,
    /// The window's size that the surface was fitted to.
    fitted: Option<PhysicalSize<u32>>,
    /// How often in a row it was refused.
    refused: u32,
    pub(super) live: Live,
    pub(super) view: View,
    context: egui::Context,
    pub(super) input: egui_winit::State,
    painter: Painter,
    pub(super) cameras: Vec<(u32, String)>,
    /// The frame drawn last.
    drawn: Option<u64>,
    drawn_at: Instant,
    /// When to draw again though no label comes.
    pub(super) again: Option<Instant>,
    snapshots: PathBuf,
    snapshot: bool,
    saved: u32,
    proxy: EventLoopProxy<Event>,
    woken: Arc<AtomicBool>,
    /// What was drawn, where figures are asked for.
    pub(super) tally: Tally,
    reports: bool,
    begun: Instant,
    /// From the beginning to the first drawing.
    pub(super) first: Option<Duration>,
}

impl Open {
    /// What follows once the device is open.
    pub(super) fn new(
        args: &Args,
        opening: Opening,
        gpu: Gpu,
        painter: Option<Painter>,
        proxy: &EventLoopProxy<Event>,
        begun: Instant,
    ) -> Result<Open, String> {
        let Opening { window, settings, drawn_by, wake, woken, .. } = opening;
        let (instance, surface) = drawn_by.ok_or("no window: it has no surface")?;
        window.set_title(TITLE);
        let live = Live::with(gpu, instance.clone(), Some(surface.clone()), settings, wake);
        let config = configuration(&surface, &live, window.inner_size())?;
        let (context, input) = interface(&window, &live);
        let painter = painter.unwrap_or_else(|| Painter::new(&live.gpu, config.format));
        let mut open = Open {
            window,
            instance,
            surface,
            config,
            fitted: None,
            refused: 0,
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
            tally: Tally::default(),
            reports: args.frames.is_some() || args.json,
            begun,
            first: None,
        };
        open.configure();
        Ok(open)
    }

    /// Fits the surface to the window; one of no size waits.
    pub(super) fn configure(&mut self) {
        self.fitted = None;
        let (size, most) = (self.window.inner_size(), self.live.gpu.device.limits().max_texture_dimension_2d);
        if let Some([width, height]) = fit(size, most).filter(|_| !self.live.gpu.is_lost()) {
            (self.config.width, self.config.height) = (width, height);
            // A window that changes at this moment may be refused; one that was never accepted must not be drawn.
            let device = &self.live.gpu.device;
            let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
            self.surface.configure(device, &self.config);
            let refused = pollster::block_on(scope.pop());
            self.fitted = refused.is_none().then_some(size);
            self.refused = if refused.is_some() { self.refused + 1 } else { 0 };
            if let Some(error) = refused {
                // One that is busy with the engine's work may not come to rest in time, and does soon.
                if self.refused.is_multiple_of(REFUSALS) {
                    let error = plain(error).replace('\n', " ");
                    self.live.say(format!("The window cannot be drawn yet: {error}"));
                }
                self.later(Duration::from_millis(50));
            }
        }
    }

    /// Makes everything on the device that is another one now, and lets go of what was on the one before.
    fn renew(&mut self, before: Arc<Gpu>) -> Result<(), String> {
        self.fitted = None;
        self.config = configuration(&self.surface, &self.live, self.window.inner_size())?;
        let format = self.config.format;
        let made = self.live.painter.take().filter(|made| made.format == format);
        let painter = made.unwrap_or_else(|| Painter::new(&self.live.gpu, format));
        let painter = std::mem::replace(&mut self.painter, painter);
        (self.context, self.input) = interface(&self.window, &self.live);
        self.configure();
        self.live.discard((painter, before));
        self.window.request_redraw();
        Ok(())
    }

    /// Looks at what came.
    pub(super) fn tick(&mut self) -> Result<(), String> {
        self.woken.store(false, Ordering::Release);
        let lines = self.live.lines.len();
        let before = self.live.gpu.clone();
        if self.live.tick()? {
            self.renew(before)?;
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
    pub(super) fn later(&mut self, delay: Duration) {
        let pause = if self.live.gpu.is_software() { SOFTWARE_PAUSE } else { PAUSE };
        let Some(at) =
            (Instant::now() + delay.min(Duration::from_secs(60))).max(self.drawn_at + pause).into()
        else {
            return;
        };
        self.again = Some(self.again.map_or(at, |again| again.min(at)));
    }

    pub(super) fn draw(&mut self, events: &ActiveEventLoop) -> Result<(), String> {
        let size = self.window.inner_size();
        // A lost device is opened anew before anything can be drawn.
        if fit(size, u32::MAX).is_none() || self.live.gpu.is_lost() {
            return Ok(());
        }
        // Not every system tells of a new size before it asks for a drawing.
        if self.fitted != Some(size) {
            self.configure();
        }
        if self.fitted.is_none() {
            return Ok(());
        }
        self.again = None;
        self.drawn_at = Instant::now();
        self.live.expire();
        let shown = self.live.shown();
        let texture = shown.as_ref().map(|shown| self.painter.plate(&self.live.gpu, &shown.plate));
        let now = Instant::now();
        let (samples, mut summary) =
            self.live.figures(|figures| (figures.recent(now, SPAN), figures.summary(RECENT)));
        if samples.last().is_none_or(|last| now.duration_since(last.answered) > RECENT) {
            summary = Summary::default(); // what was measured long ago says nothing of now
        }
        let scene = Scene {
            shown: texture.zip(shown.as_ref()),
            samples: &samples,
            summary,
            settings: &self.live.settings,
            running: self.live.running.as_ref(),
            progress: self.live.progress.as_ref(),
            lines: &self.live.lines,
            adapters: &self.live.adapters,
            cameras: &self.cameras,
            frozen: self.live.is_frozen(),
            plays: self.live.plays(),
        };
        let (view, mut actions) = (&mut self.view, Vec::new());
        let input = self.input.take_egui_input(&self.window);
        let output = self.context.run_ui(input, |ui| actions.extend(view.show(ui, &scene)));
        self.input.handle_platform_output(&self.window, output.platform_output);
        self.painter.textures(&self.live.gpu, output.textures_delta);
        let scale = output.pixels_per_point;
        let drawing = Drawing { triangles: self.context.tessellate(output.shapes, scale), scale };
        self.present(&drawing)?;
        let newly = shown.as_ref().map(|shown| shown.id).filter(|id| self.drawn != Some(*id));
        if let Some(id) = newly
            && self.reports
        {
            self.tally.see(id);
            self.tally.drew(now.elapsed());
        }
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
        use wgpu::CurrentSurfaceTexture::{Suboptimal, Success};
        let found = self.surface.get_current_texture();
        let step = step(&found);
        match step {
            Step::Draw | Step::DrawAndFit => {}
            Step::Fit => {
                self.configure();
                self.window.request_redraw();
            }
            Step::Remake => {
                self.live.say("The window's surface was lost; made anew.".into());
                let surface = self.instance.create_surface(self.window.clone());
                let surface =
                    surface.map_err(|error| format!("the window's surface is lost: {}", plain(error)))?;
                self.surface = Arc::new(surface);
                self.live.surface = Some(self.surface.clone());
                self.configure();
                self.window.request_redraw();
            }
            Step::Wait => self.later(Duration::from_millis(100)),
        }
        let (Success(texture) | Suboptimal(texture)) = found else { return Ok(()) };
        let view = texture.texture.create_view(&wgpu::TextureViewDescriptor::default());
        let size = [texture.texture.width(), texture.texture.height()];
        self.painter.draw(&self.live.gpu, &view, size, drawing, |_| {});
        self.window.pre_present_notify();
        self.live.gpu.queue.present(texture);
        self.first.get_or_insert_with(|| self.begun.elapsed());
        if step == Step::DrawAndFit {
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

    pub(super) fn act(&mut self, action: Action, events: &ActiveEventLoop) -> Result<(), String> {
        match action {
            Action::Model(model) => self.live.set_model(model),
            Action::Half(half) => self.live.set_half(half),
            Action::Source(source) => self.live.set_source(source),
            Action::Freeze => self.live.set_frozen(!self.live.is_frozen()),
            Action::Tune => self.live.tune(),
            Action::Leaf(by) => self.live.leaf(by),
            Action::Play(plays) => self.live.set_plays(plays),
            Action::Snapshot => self.snapshot = true,
            Action::Quit => events.exit(),
            Action::Say(line) => self.live.say(line),
            Action::Device(device) => self.live.set_device(device),
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
    config.format = paint::window_format(&live.gpu, surface).unwrap_or(config.format);
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
