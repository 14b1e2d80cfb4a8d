//! The same path without a window: frames become labels, and are drawn to a texture.

use crate::{
    args::Args,
    change::Change,
    engine::Shown,
    figures::{self, Summary},
    gpu::{self, Gpu},
    live::Live,
    paint::{Drawing, FORMAT, Offscreen, Painter},
    record,
    scene::{RECENT, SPAN, Scene},
    source::Source,
    theme,
    view::View,
};
use std::{
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    time::{Duration, Instant},
};

/// How long a run waits for its next label.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a run looks at its memory.
const LOOKS: u64 = 16;
/// Labels between two changes of a soaked run.
const SOAK_PAUSE: u64 = 10;
/// Labels for each of which a soaked run has made a change, and drawn a frame, before it ends: how many it makes
/// meanwhile is a matter of how fast the machine loads and draws.
const SOAK_CHANGE: u64 = 25;
const SOAK_DRAWN: u64 = 20;
/// Sizes that a soaked run resizes to.
const SOAK_SIZES: [[u32; 2]; 5] = [[640, 400], [1, 1], [1100, 700], [333, 777], [900, 300]];

/// A texture in the window's place.
struct Screen {
    context: egui::Context,
    painter: Painter,
    target: Arc<Offscreen>,
    busy: Arc<AtomicBool>,
}

impl Screen {
    fn new(gpu: &Gpu, size: [u32; 2]) -> Screen {
        let context = egui::Context::default();
        theme::apply(&context);
        let (painter, target) = (Painter::new(gpu, FORMAT), Arc::new(Offscreen::new(gpu, size, FORMAT)));
        Screen { context, painter, target, busy: Arc::default() }
    }

    /// Draws a frame with its labels.
    fn draw(&mut self, live: &Live, view: &mut View, shown: &Shown, time: f64, read: bool) {
        let [width, height] = self.target.size;
        let input = egui::RawInput {
            screen_rect: Some(egui::Rect::from_min_size(
                egui::Pos2::ZERO,
                egui::vec2(width as f32, height as f32),
            )),
            time: Some(time),
            ..Default::default()
        };
        let texture = self.painter.plate(&live.gpu, &shown.plate);
        let now = Instant::now();
        let (samples, summary) = live.figures(|figures| (figures.recent(now, SPAN), figures.summary(RECENT)));
        let scene = Scene {
            shown: Some((texture, shown)),
            samples: &samples,
            summary,
            settings: &live.settings,
            running: live.running.as_ref(),
            progress: live.progress.as_ref(),
            lines: &live.lines,
            adapters: &live.adapters,
            cameras: &[],
            frozen: false,
            plays: live.plays(),
        };
        let output = self.context.run_ui(input, |ui| drop(view.show(ui, &scene)));
        self.painter.textures(&live.gpu, output.textures_delta);
        let scale = output.pixels_per_point;
        let drawing = Drawing { triangles: self.context.tessellate(output.shapes, scale), scale };
        let target = self.target.clone();
        self.painter.draw(&live.gpu, &target.view, target.size, &drawing, |encoder| {
            if read {
                target.record(encoder);
            }
        });
        self.busy.store(true, Ordering::Release);
        let busy = self.busy.clone();
        live.gpu.queue.on_submitted_work_done(move || busy.store(false, Ordering::Release));
    }
}

/// What a run leaves behind.
#[derive(Default)]
pub struct Tally {
    drawn: u64,
    drawn_disorder: u64,
    newest: Option<u64>,
    draw: Vec<f32>,
    /// What a soaked run changed.
    changes: usize,
    /// Bytes in use at every [`LOOKS`]th of the run.
    memory: Vec<[Option<u64>; 2]>,
    /// From the window to its first drawing, and the longest time for which its thread looked at one event.
    pub window: Option<[Duration; 2]>,
}

impl Tally {
    /// Counts a frame that came to be drawn.
    pub fn see(&mut self, id: u64) {
        self.drawn_disorder += u64::from(self.newest.is_some_and(|newest| id < newest));
        self.newest = Some(id);
    }

    /// Counts a drawing, and the time that it took of the host.
    pub fn drew(&mut self, time: Duration) {
        self.draw.push(time.as_secs_f32());
        self.drawn += 1;
    }
}

/// Runs until so many frames are labelled, and prints the figures.
///
/// # Errors
/// A line when there is no device, no model, no label for two minutes, or no frame of the source that was asked for.
pub fn run(args: &Args) -> Result<(), String> {
    let frames = args.frames.ok_or("--headless runs for a number of --frames")?;
    if let Some(folder) = &args.record {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let bell = Arc::new((Mutex::new(false), Condvar::new()));
    let wake = {
        let bell = bell.clone();
        move || {
            *bell.0.lock().expect("no panic while the bell rings") = true;
            bell.1.notify_one();
        }
    };
    let mut live = Live::start(gpu::instance(None), args.settings()?, Arc::new(wake))?;
    let mut view = View::new(args.mirror);
    let mut screen = Screen::new(&live.gpu, [args.size.0, args.size.1]);
    let mut soak = args.soak.as_deref().map(Soak::new).transpose()?;
    let (begun, mut tally, mut last, mut told) =
        (Instant::now(), Tally::default(), (None, Instant::now()), None);
    loop {
        let rung = bell.0.lock().expect("no panic while the bell rings");
        let waited = bell.1.wait_timeout_while(rung, Duration::from_millis(20), |rung| !*rung);
        *waited.expect("no panic while the bell rings").0 = false;
        if live.tick()? {
            screen = Screen::new(&live.gpu, screen.target.size);
        }
        for (came, line) in &live.lines {
            if told.is_none_or(|told| *came > told) {
                eprintln!("{line}");
                told = Some(*came);
            }
        }
        if live.running.is_none() && live.progress.is_none() {
            return Err("nothing runs: see the lines above".into());
        }
        let labelled = live.figures(|figures| figures.labelled);
        if let Some(soak) = &mut soak {
            tally.changes = soak.step(labelled, &mut live, &mut screen);
        }
        if args.lose_every.is_some_and(|every| labelled / every > live.recovered) {
            live.gpu.device.destroy();
        }
        if labelled * LOOKS / frames > tally.memory.len() as u64 {
            tally.memory.push(memory(&live));
        }
        let shown =
            live.shown().filter(|shown| shown.answer.is_some() && last.0.is_none_or(|last| shown.id != last));
        if let Some(shown) = shown {
            let free = args.record.is_some() || !screen.busy.load(Ordering::Acquire);
            tally.see(shown.id);
            last = (Some(shown.id), Instant::now());
            if !args.no_draw && free {
                let before = Instant::now();
                screen.draw(&live, &mut view, &shown, begun.elapsed().as_secs_f64(), args.record.is_some());
                let time = before.elapsed();
                if let Some(folder) = &args.record {
                    save(&live, &screen, folder.join(format!("{:06}.png", tally.drawn)))?;
                }
                tally.drew(time);
            }
        }
        if live.progress.is_some() {
            last.1 = Instant::now(); // fetching a model takes its time
        }
        if last.1.elapsed() > PATIENCE {
            return Err(format!("no label within {} s", PATIENCE.as_secs()));
        }
        let soaked = soak.is_none()
            || tally.changes as u64 * SOAK_CHANGE >= frames
                && (args.no_draw || tally.drawn * SOAK_DRAWN >= frames);
        if labelled >= frames && soaked {
            break;
        }
    }
    let source = live.settings.source.name();
    if stand_in(&live) == live.figures(|figures| figures.labelled) {
        return Err(format!("no frame came from {source}: see the lines above"));
    }
    report(args, &live, &tally);
    Ok(())
}

/// Labelled frames of the synthetic scene where another source was asked for.
fn stand_in(live: &Live) -> u64 {
    match live.settings.source {
        // A script's camera may be one that never sends: what it fails at is what was asked for.
        Source::Synthetic | Source::Script(_) => 0,
        _ => live.figures(|figures| figures.judged),
    }
}

/// Waits for what was drawn, and writes it.
fn save(live: &Live, screen: &Screen, path: PathBuf) -> Result<(), String> {
    let (sender, receiver) = channel();
    screen.target.read(move |size, rgba| drop(sender.send((size, rgba))));
    let begun = Instant::now();
    loop {
        live.gpu.device.poll(wgpu::PollType::Poll).ok();
        match receiver.recv_timeout(Duration::from_millis(1)) {
            Ok((size, rgba)) => return record::write(&path, size, &rgba),
            Err(_) if begun.elapsed() < PATIENCE && !live.gpu.is_lost() => {}
            Err(_) => return Ok(()), // lost with its device
        }
    }
}

/// A long run in which things change all the time.
struct Soak {
    changes: Vec<Change>,
    file: PathBuf,
    /// Changes made so far, and labels at the last one.
    made: usize,
    labelled: u64,
}

impl Soak {
    fn new(changes: &[Change]) -> Result<Soak, String> {
        // The built-in model as a file: another model to switch to, without a network.
        let file = std::env::temp_dir().join(format!("camera-soak-{}.safetensors", std::process::id()));
        std::fs::write(&file, mobileone::sample::DIGITS)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Soak { changes: changes.to_vec(), file, made: 0, labelled: 0 })
    }

    /// Makes the next change when it is time, and gives how many were made.
    fn step(&mut self, labelled: u64, live: &mut Live, screen: &mut Screen) -> usize {
        if labelled < self.labelled + SOAK_PAUSE || live.progress.is_some() {
            return self.made;
        }
        let (change, round) = (self.made % self.changes.len(), self.made / self.changes.len());
        (self.made, self.labelled) = (self.made + 1, labelled);
        match self.changes[change] {
            Change::Model if live.settings.model == "digits" => {
                live.set_model(self.file.to_string_lossy().into_owned());
            }
            Change::Model => live.set_model("digits".into()),
            Change::Device if live.settings.device == "cpu" => live.set_device(live.gpu.info.name.clone()),
            Change::Device => live.set_device("cpu".into()),
            Change::Size => {
                let size = SOAK_SIZES[round % SOAK_SIZES.len()];
                screen.target = Arc::new(Offscreen::new(&live.gpu, size, FORMAT));
            }
            Change::Source => live.set_source(Source::Synthetic),
            // Where the CPU runs, which has no f16, this is a load that fails, and is made again.
            Change::Half => live.set_half(!live.settings.half),
        }
        self.made
    }
}

impl Drop for Soak {
    fn drop(&mut self) {
        std::fs::remove_file(&self.file).ok();
    }
}

/// Bytes in use: the program's, and those that it has of its device, where these are known.
fn memory(live: &Live) -> [Option<u64>; 2] {
    let report = live.gpu.device.generate_allocator_report();
    [figures::memory(), report.map(|report| report.total_allocated_bytes)]
}

/// Prints the figures of a run.
pub fn report(args: &Args, live: &Live, tally: &Tally) {
    let figures = live.figures(Clone::clone);
    let Summary { rate, latency, latency_99, engine, host } = figures.summary(Duration::MAX);
    let (captured, replaced) = live.counts();
    let [memory, device_memory] = memory(live);
    let mut draw = tally.draw.clone();
    draw.sort_by(f32::total_cmp);
    let draw = draw.get(draw.len() / 2).copied().unwrap_or(0.0);
    let accuracy = (figures.judged > 0).then(|| figures.right as f64 / figures.judged as f64);
    let running = live.running.as_ref();
    let (model, device) = running.map_or(("", ""), |running| (&*running.model, &*running.on));
    let half = running.is_some_and(|running| running.half);
    let ms = |seconds: f32| (f64::from(seconds) * 1e5).round() / 100.0;
    let mb = |bytes: u64| (bytes as f64 / 1e5).round() / 10.0;
    // Loads under way come and go: the least of a part is what is kept. What is loaded first is there by the second.
    let growth = |which: usize| {
        let parts = tally.memory.chunks_exact(LOOKS as usize / 4);
        let mut least = parts.map(|looks| looks.iter().filter_map(|look| look[which]).min());
        let (warm, end) = (least.nth(1)??, least.next_back()??);
        Some(((end as f64 - warm as f64) / 1e5).round() / 10.0)
    };
    let looks = |which: usize| tally.memory.iter().map(|look| look[which].map(mb)).collect::<Vec<_>>();
    if args.json {
        let json = serde_json::json!({
            "model": model,
            "device": device,
            "dtype": if half { "f16" } else { "f32" },
            "draws_on": live.gpu.info.to_string(),
            "source": live.settings.source.name(),
            "frames": figures.labelled,
            "stand_in": stand_in(live),
            "fps": (f64::from(rate) * 10.0).round() / 10.0,
            "latency_ms": { "median": ms(latency), "p99": ms(latency_99) },
            "engine_ms": ms(engine),
            "host_ms": ms(host),
            "draw_host_ms": (tally.drawn > 0).then(|| ms(draw)),
            "memory_mb": memory.map(mb),
            "memory_growth_mb": growth(0),
            "memory_over_time_mb": looks(0),
            "device_memory_mb": device_memory.map(mb),
            "device_memory_growth_mb": growth(1),
            "device_memory_over_time_mb": looks(1),
            "changes": args.soak.is_some().then_some(tally.changes),
            "accuracy": accuracy,
            "judged": figures.judged,
            "between": figures.between,
            "captured": captured,
            "replaced": replaced,
            "dropped": figures.dropped,
            "drawn": (tally.drawn > 0).then_some(tally.drawn),
            "out_of_order": figures.disorder + tally.drawn_disorder,
            "recovered": live.recovered,
            "first_drawn_ms": tally.window.map(|[first, _]| ms(first.as_secs_f32())),
            "away_ms": tally.window.map(|[_, away]| ms(away.as_secs_f32())),
        });
        println!("{json:#}");
        return;
    }
    println!("{} frames of {} by {model} on {device}", figures.labelled, live.settings.source.name());
    if stand_in(live) > 0 {
        println!("{} of them were of the synthetic scene in its place", stand_in(live));
    }
    println!("{rate:.1} frames/s, latency {:.1} ms (p99 {:.1})", 1e3 * latency, 1e3 * latency_99);
    println!(
        "engine {:.1} ms, host {:.2} ms, drawing {:.2} ms of the host",
        1e3 * engine,
        1e3 * host,
        1e3 * draw
    );
    if let Some(memory) = memory {
        println!("{:.0} MB", mb(memory));
    }
    if let Some(accuracy) = accuracy {
        println!("{:.1} % of {} labels right", 100.0 * accuracy, figures.judged);
    }
}
