//! What the window shows, and what a hand can do in it. Nothing here waits, opens or computes.

use crate::{
    bars::{Bars, percent},
    controls,
    engine::Shown,
    figures::{Sample, Summary},
    frame::Caption,
    scene::{Action, SPAN, Scene},
    source::Source,
    theme::{ACCENT, CARD, DIM, EDGE, PANEL, PANEL_WIDTH, SECOND, TEXT, WARN},
};
use egui::{
    Align2, Color32, CornerRadius, FontId, Frame, Key, Margin, Painter, Panel, Rect, Sense, Shape, Stroke,
    StrokeKind, TextureId, Ui, pos2, vec2,
};
use std::time::Instant;

/// What the window remembers between frames.
pub struct View {
    /// The smoothed classes.
    pub bars: Bars,
    /// Whether the picture is shown as in a mirror.
    pub mirror: bool,
    /// Whether the panel is there.
    pub panel: bool,
    /// Whether the keys are shown.
    pub keys: bool,
    /// Whether a file hangs over the window.
    pub hovered: bool,
    /// What is typed where things are opened.
    pub typed: String,
}

/// Keys, and what they do.
const KEYS: [(&str, &str); 13] = [
    ("Space", "freeze the picture"),
    ("M", "mirror"),
    ("C", "next source"),
    ("← →", "the picture before, or after, in a folder"),
    ("N", "next model"),
    ("D", "next device"),
    ("P", "f16 or f32"),
    ("T", "tune the model on its device"),
    ("S", "save the picture with its labels"),
    ("H", "hide the panel"),
    ("F or F11", "full screen"),
    ("?", "these keys"),
    ("Q", "quit"),
];

/// What is added to the line of a scene in another source's place.
const CHOOSE: &str = "C chooses another source; Open, in the panel, takes files and addresses.";

impl View {
    /// As it begins.
    pub fn new(mirror: bool) -> View {
        View { bars: Bars::default(), mirror, panel: true, keys: false, hovered: false, typed: String::new() }
    }

    /// Draws everything, and gives what a hand did.
    pub fn show(&mut self, ui: &mut Ui, scene: &Scene) -> Vec<Action> {
        let mut actions = Vec::new();
        self.keyboard(ui, scene, &mut actions);
        match scene.shown {
            Some((_, Shown { id, answer: Some(answer), .. })) => self.bars.follow(*id, answer),
            _ => self.bars.clear(),
        }
        let wide = ui.available_width() >= PANEL_WIDTH + 260.0;
        if self.panel && wide {
            // The scroll bar of a low window goes beside what is scrolled.
            let frame =
                Frame::new().fill(PANEL).inner_margin(Margin { left: 18, right: 4, top: 14, bottom: 14 });
            let panel =
                Panel::right("panel").resizable(false).exact_size(PANEL_WIDTH).show_separator_line(false);
            panel.frame(frame).show(ui, |ui| self.panel(ui, scene, &mut actions));
        }
        let whole = ui.available_rect_before_wrap();
        self.stage(ui, whole, scene, !(self.panel && wide));
        actions
    }

    fn panel(&mut self, ui: &mut Ui, scene: &Scene, actions: &mut Vec<Action>) {
        egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            ui.set_max_width(PANEL_WIDTH - 36.0);
            self.bars.draw(ui);
            ui.add_space(8.0);
            tiles(ui, &scene.summary);
            graph(ui, scene.samples);
            ui.add_space(4.0);
            controls::draw(ui, scene, &mut self.typed, &mut self.mirror, actions);
        });
    }

    /// The picture, and what lies on it.
    fn stage(&self, ui: &mut Ui, whole: Rect, scene: &Scene, caption: bool) {
        let painter = ui.painter_at(whole);
        let mut corner = whole;
        match scene.shown {
            Some((texture, shown)) => {
                let picture =
                    inside(shown.plate.size, whole.shrink(if whole.width() > 500.0 { 14.0 } else { 0.0 }));
                let seen = shown.answer.as_ref().map(|answer| answer.crop);
                self.picture(&painter, texture, picture, seen);
                corner = picture.intersect(whole);
            }
            None => {
                let text = scene.progress.map_or("waiting for the first frame", |progress| &progress.text);
                painter.text(whole.center(), Align2::CENTER_CENTER, text, FontId::proportional(16.0), DIM);
            }
        }
        if scene.frozen {
            badge(&painter, corner.left_top() + vec2(14.0, 14.0), Align2::LEFT_TOP, "frozen", 14.0, SECOND);
        }
        let mut foot = whole.left_bottom() + vec2(14.0, -14.0);
        let said = scene.shown.and_then(|(_, shown)| shown.caption.as_deref());
        if let Some(said) = said {
            let (text, colour) = match said {
                Caption::File { name, at, of } => (format!("{name}   {at} of {of}"), TEXT),
                Caption::StandIn(line) => (format!("{line} {CHOOSE}"), WARN),
            };
            foot.y = badge(&painter, foot, Align2::LEFT_BOTTOM, &text, 13.0, colour).top() - 6.0;
        }
        if let Some(progress) = scene.progress {
            let rect = badge(&painter, foot, Align2::LEFT_BOTTOM, &progress.text, 13.0, ACCENT);
            // A share that is not known fills again and again.
            let share = progress.share.unwrap_or_else(|| (ui.input(|input| input.time) as f32 * 0.7).fract());
            let line = Rect::from_min_size(
                rect.left_bottom() + vec2(8.0, -5.0),
                vec2((rect.width() - 16.0) * share, 2.0),
            );
            painter.rect_filled(line, 1.0, ACCENT);
            foot.y = rect.top() - 6.0;
        }
        // What stays is not said twice.
        let new = |line: &&String| !matches!(said, Some(Caption::StandIn(stays)) if stays == *line);
        for line in scene.lines.iter().rev().map(|(_, line)| line).filter(new) {
            foot.y = badge(&painter, foot, Align2::LEFT_BOTTOM, line, 13.0, TEXT).top() - 6.0;
        }
        if caption && let Some((name, value)) = self.bars.best() {
            let text = format!("{name}  {}", percent(value));
            let size = (whole.width() / 18.0).clamp(12.0, 26.0);
            badge(
                &painter,
                corner.center_top() + vec2(0.0, size / 2.0),
                Align2::CENTER_TOP,
                &text,
                size,
                ACCENT,
            );
        }
        if self.hovered {
            let text = "Drop a picture, a folder, a video or a checkpoint";
            painter.rect_filled(whole, 0.0, Color32::from_black_alpha(170));
            painter.rect_stroke(whole.shrink(18.0), 14.0, Stroke::new(2.0, ACCENT), StrokeKind::Inside);
            painter.text(whole.center(), Align2::CENTER_CENTER, text, FontId::proportional(20.0), TEXT);
        }
        if self.keys {
            keys(&painter, whole);
        }
    }

    /// The frame: bright where the network sees it, dim elsewhere. Each pixel is drawn once.
    fn picture(&self, painter: &Painter, texture: TextureId, picture: Rect, crop: Option<[f32; 4]>) {
        let [left, top, right, bottom] = crop.unwrap_or([0.0, 0.0, 1.0, 1.0]);
        let (left, right) = if self.mirror { (1.0 - right, 1.0 - left) } else { (left, right) };
        let piece = |[left, top, right, bottom]: [f32; 4], tint| {
            let at = |x: f32, y: f32| picture.min + vec2(x, y) * picture.size();
            let across = |x: f32| if self.mirror { 1.0 - x } else { x };
            let uv = Rect::from_min_max(pos2(across(left), top), pos2(across(right), bottom));
            let rect = Rect::from_min_max(at(left, top), at(right, bottom));
            if rect.is_positive() {
                painter.image(texture, rect, uv, tint);
            }
            rect
        };
        let dim = Color32::from_gray(120);
        piece([0.0, 0.0, left, 1.0], dim);
        piece([right, 0.0, 1.0, 1.0], dim);
        piece([left, 0.0, right, top], dim);
        piece([left, bottom, right, 1.0], dim);
        let seen = piece([left, top, right, bottom], Color32::WHITE);
        if crop.is_some() {
            corners(painter, seen);
        }
    }

    fn keyboard(&mut self, ui: &Ui, scene: &Scene, actions: &mut Vec<Action>) {
        if ui.ctx().egui_wants_keyboard_input() {
            return;
        }
        let pressed = |key| {
            ui.input(|input| input.key_pressed(key) && !input.modifiers.command && !input.modifiers.alt)
        };
        let question = ui.input(|input| {
            input.events.iter().any(|event| matches!(event, egui::Event::Text(text) if text == "?"))
        });
        if question || pressed(Key::F1) {
            self.keys = !self.keys;
        }
        if pressed(Key::Escape) || pressed(Key::S) {
            self.keys = false;
        }
        if pressed(Key::M) {
            self.mirror = !self.mirror;
        }
        if pressed(Key::H) {
            self.panel = !self.panel;
        }
        let mut on = |key, action: &dyn Fn() -> Option<Action>| {
            if pressed(key) {
                actions.extend(action());
            }
        };
        if matches!(scene.settings.source, Source::Folder(_)) {
            on(Key::ArrowLeft, &|| Some(Action::Leaf(-1)));
            on(Key::ArrowRight, &|| Some(Action::Leaf(1)));
        }
        on(Key::Space, &|| Some(Action::Freeze));
        on(Key::F, &|| Some(Action::FullScreen));
        on(Key::F11, &|| Some(Action::FullScreen));
        on(Key::S, &|| Some(Action::Snapshot));
        on(Key::T, &|| Some(Action::Tune));
        on(Key::Q, &|| Some(Action::Quit));
        on(Key::P, &|| Some(Action::Half(!scene.settings.half)));
        on(Key::C, &|| controls::next(&controls::sources(scene), &scene.settings.source).map(Action::Source));
        on(Key::N, &|| controls::next(&controls::models(scene), &scene.settings.model).map(Action::Model));
        on(Key::D, &|| controls::next(&controls::devices(scene), &scene.settings.device).map(Action::Device));
    }
}

/// The largest rectangle of the shape of `size` in the middle of `whole`.
fn inside(size: (usize, usize), whole: Rect) -> Rect {
    let size = vec2(size.0 as f32, size.1 as f32);
    let scale = (whole.width() / size.x).min(whole.height() / size.y).max(0.0);
    Rect::from_center_size(whole.center(), size * scale)
}

/// Marks the corners of what the network sees.
fn corners(painter: &Painter, seen: Rect) {
    let frame = seen.shrink(1.5);
    painter.rect_stroke(frame, 0.0, Stroke::new(1.0, ACCENT.gamma_multiply(0.35)), StrokeKind::Middle);
    let arm = (0.07 * frame.width()).clamp(8.0, 34.0);
    for (corner, x, y) in [
        (frame.left_top(), 1.0, 1.0),
        (frame.right_top(), -1.0, 1.0),
        (frame.left_bottom(), 1.0, -1.0),
        (frame.right_bottom(), -1.0, -1.0),
    ] {
        let points = vec![corner + vec2(0.0, y * arm), corner, corner + vec2(x * arm, 0.0)];
        painter.add(Shape::line(points, Stroke::new(3.0, ACCENT)));
    }
}

/// A line on a dark ground; where it lies.
fn badge(painter: &Painter, at: egui::Pos2, align: Align2, text: &str, size: f32, colour: Color32) -> Rect {
    let width = (painter.clip_rect().width() - 52.0).max(40.0);
    let galley = painter.layout(text.into(), FontId::proportional(size), colour, width);
    let pad = vec2(size * 0.75, size * 0.45);
    let rect = align.anchor_size(at, galley.size() + 2.0 * pad);
    painter.rect(
        rect,
        8.0,
        Color32::from_rgba_unmultiplied(12, 15, 20, 215),
        Stroke::new(1.0, EDGE),
        StrokeKind::Inside,
    );
    painter.galley(rect.min + pad, galley, colour);
    rect
}

/// Rate, latency and engine time, side by side.
fn tiles(ui: &mut Ui, summary: &Summary) {
    let rows = [
        (format!("{:.1}", summary.rate), "frames / s", TEXT),
        (milliseconds(summary.latency), "ms latency", ACCENT),
        (milliseconds(summary.engine), "ms engine", SECOND),
    ];
    let (area, _) = ui.allocate_exact_size(vec2(ui.available_width(), 54.0), Sense::hover());
    let width = (area.width() - 16.0) / 3.0;
    for (at, (number, caption, colour)) in rows.into_iter().enumerate() {
        let left = area.left() + at as f32 * (width + 8.0);
        let tile = Rect::from_min_size(pos2(left, area.top()), vec2(width, area.height()));
        ui.painter().rect_filled(tile, 8.0, CARD);
        ui.painter().text(
            tile.center() - vec2(0.0, 8.0),
            Align2::CENTER_CENTER,
            number,
            FontId::proportional(19.0),
            colour,
        );
        let caption_at = tile.center() + vec2(0.0, 14.0);
        ui.painter().text(caption_at, Align2::CENTER_CENTER, caption, FontId::proportional(11.0), DIM);
    }
}

fn milliseconds(seconds: f32) -> String {
    let value = 1e3 * seconds;
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Latency and engine time over the last seconds.
fn graph(ui: &mut Ui, samples: &[Sample]) {
    let (area, _) = ui.allocate_exact_size(vec2(ui.available_width(), 64.0), Sense::hover());
    let painter = ui.painter_at(area);
    painter.rect_filled(area, 8.0, CARD);
    let now = Instant::now();
    // No more points than there is room for: the graph moves on once a point is full.
    let plot = area.shrink2(vec2(8.0, 8.0));
    let most = samples.iter().map(|sample| sample.latency).fold(0.004, f32::max);
    let top = nice(most);
    let line = |of: fn(&Sample) -> f32| -> Vec<egui::Pos2> {
        let step = samples.len().div_ceil(plot.width() as usize).max(1);
        let chunks = samples.chunks(step);
        let point = |chunk: &[Sample]| {
            let age = now.saturating_duration_since(chunk[0].answered).as_secs_f32() / SPAN.as_secs_f32();
            let value = chunk.iter().map(of).fold(0.0, f32::max);
            pos2(plot.right() - age * plot.width(), plot.bottom() - plot.height() * (value / top).min(1.0))
        };
        chunks.map(point).collect()
    };
    painter.hline(plot.x_range(), plot.top(), Stroke::new(1.0, EDGE));
    for (points, colour) in [(line(|sample| sample.latency), ACCENT), (line(|sample| sample.engine), SECOND)]
    {
        if points.len() > 1 {
            painter.add(Shape::line(points, Stroke::new(1.5, colour)));
        }
    }
    let label = format!("{} ms", (1e3 * top).round());
    painter.text(plot.left_top() + vec2(0.0, 2.0), Align2::LEFT_TOP, label, FontId::proportional(10.0), DIM);
    let span = format!("{} s", SPAN.as_secs());
    painter.text(plot.right_top() + vec2(0.0, 2.0), Align2::RIGHT_TOP, span, FontId::proportional(10.0), DIM);
}

/// The next of 1, 2 and 5 times a power of ten.
fn nice(value: f32) -> f32 {
    let power = 10f32.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(value)
}

fn keys(painter: &Painter, whole: Rect) {
    painter.rect_filled(whole, 0.0, Color32::from_black_alpha(120));
    let row = 25.0;
    let card = Rect::from_center_size(whole.center(), vec2(350.0, row * KEYS.len() as f32 + 34.0));
    painter.rect(card, CornerRadius::same(12), PANEL, Stroke::new(1.0, EDGE), StrokeKind::Inside);
    for (at, (key, does)) in KEYS.into_iter().enumerate() {
        let y = card.top() + 17.0 + row * (at as f32 + 0.5);
        painter.text(
            pos2(card.left() + 104.0, y),
            Align2::RIGHT_CENTER,
            key,
            FontId::proportional(14.0),
            ACCENT,
        );
        painter.text(
            pos2(card.left() + 122.0, y),
            Align2::LEFT_CENTER,
            does,
            FontId::proportional(14.0),
            TEXT,
        );
    }
}
