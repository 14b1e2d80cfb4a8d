//! The best classes, smoothed over time: what is shown follows what the network says within a few frames.

use crate::{
    engine::Answer,
    theme::{ACCENT, DIM, EDGE, SECOND, TEXT},
};
use egui::{Align2, Color32, FontId, Rect, Sense, Ui, pos2, vec2};
use std::{sync::Arc, time::Instant};

/// Bars drawn.
const SHOWN: usize = 5;
/// In how many seconds a bar goes most of its way.
const FOLLOW: f32 = 0.14;
/// By how much a row has to be ahead to change places.
const STILL: f32 = 0.004;
/// Height of a row, in points.
const ROW: f32 = 31.0;

/// What is shown of the classes.
#[derive(Default)]
pub struct Bars {
    rows: Vec<Bar>,
    answer: Option<Answer>,
    id: Option<u64>,
}

struct Bar {
    class: usize,
    value: f32,
}

impl Bars {
    /// Forgets everything: what is shown has no label.
    pub fn clear(&mut self) {
        *self = Bars::default();
    }

    /// Follows the answer of the frame `id`; the same one again changes nothing.
    pub fn follow(&mut self, id: u64, answer: &Answer) {
        if self.id == Some(id) {
            return;
        }
        let before = self.answer.replace(answer.clone()).filter(|_| self.id.is_some());
        self.id = Some(id);
        let before = match before {
            Some(before) if Arc::ptr_eq(&before.labels, &answer.labels) => before.answered,
            // Another model: nothing to follow from.
            _ => {
                self.rows.clear();
                Instant::now() - std::time::Duration::from_secs(1)
            }
        };
        let passed = answer.answered.saturating_duration_since(before).as_secs_f32();
        let follow = 1.0 - (-passed / FOLLOW).exp();
        for best in &answer.top {
            if !self.rows.iter().any(|bar| bar.class == best.index) {
                self.rows.push(Bar { class: best.index, value: 0.0 });
            }
        }
        for bar in &mut self.rows {
            let target = answer.top.iter().find(|best| best.index == bar.class);
            bar.value += (target.map_or(0.0, |best| best.probability) - bar.value) * follow;
        }
        // Rows of nearly the same value keep their places: those far down would change them all the time.
        for _ in 0..self.rows.len() {
            for at in 1..self.rows.len() {
                if self.rows[at].value > self.rows[at - 1].value + STILL {
                    self.rows.swap(at - 1, at);
                }
            }
        }
        self.rows.truncate(2 * SHOWN);
    }

    /// The name and the value of the best class.
    pub fn best(&self) -> Option<(&str, f32)> {
        let (best, answer) = (self.rows.first()?, self.answer.as_ref()?);
        Some((answer.labels.name(best.class), best.value))
    }

    /// Draws the best class large, and the bars below it.
    pub fn draw(&self, ui: &mut Ui) {
        let width = ui.available_width();
        let (head, _) = ui.allocate_exact_size(vec2(width, 74.0), Sense::hover());
        let painter = ui.painter_at(head);
        let (name, value) =
            self.best().map_or(("…".into(), 0.0), |(name, value)| (capitalised(name), value));
        let colour = if value >= 0.5 { ACCENT } else { DIM };
        let galley = fitting(&painter, &name, 60.0, width - 86.0, if value >= 0.5 { TEXT } else { DIM });
        painter.galley(pos2(head.left(), head.center().y - galley.size().y / 2.0), galley, TEXT);
        painter.text(
            head.right_center(),
            Align2::RIGHT_CENTER,
            percent(value),
            FontId::proportional(24.0),
            colour,
        );

        let (area, _) = ui.allocate_exact_size(vec2(width, ROW * SHOWN as f32), Sense::hover());
        let painter = ui.painter_at(area);
        let Some(answer) = &self.answer else { return };
        for (at, bar) in self.rows.iter().enumerate().take(SHOWN) {
            let top = area.top() + at as f32 * ROW;
            let (text, fill) = match at {
                0 => (TEXT, ACCENT),
                _ => (DIM, SECOND.gamma_multiply(0.75)),
            };
            let line = top + 9.0;
            let name = clipped(&painter, answer.labels.name(bar.class), width - 56.0, text);
            painter.galley(pos2(area.left(), line - name.size().y / 2.0), name, text);
            let number = pos2(area.right(), line);
            painter.text(number, Align2::RIGHT_CENTER, percent(bar.value), FontId::proportional(13.0), text);
            let track = Rect::from_min_size(pos2(area.left(), top + 19.0), vec2(width, 5.0));
            painter.rect_filled(track, 2.5, EDGE);
            let full = Rect::from_min_size(track.min, vec2((width * bar.value).max(5.0), 5.0));
            painter.rect_filled(full, 2.5, fill);
        }
    }
}

/// A share in per cent.
pub fn percent(share: f32) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// A name as a heading; ImageNet's begin in lower case.
fn capitalised(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// One line of at most `size` points that is at most `width` wide.
fn fitting(painter: &egui::Painter, text: &str, size: f32, width: f32, colour: Color32) -> Arc<egui::Galley> {
    let line = |size| painter.layout_no_wrap(text.to_string(), FontId::proportional(size), colour);
    let galley = line(size);
    match galley.size().x {
        wide if wide > width => {
            let smaller = (size * width / wide).max(18.0);
            let galley = line(smaller);
            if galley.size().x > width { cut(painter, text, smaller, width, colour) } else { galley }
        }
        _ => galley,
    }
}

fn clipped(painter: &egui::Painter, text: &str, width: f32, colour: Color32) -> Arc<egui::Galley> {
    cut(painter, text, 13.0, width, colour)
}

fn cut(painter: &egui::Painter, text: &str, size: f32, width: f32, colour: Color32) -> Arc<egui::Galley> {
    let mut job = egui::text::LayoutJob::simple_singleline(text.into(), FontId::proportional(size), colour);
    job.wrap = egui::text::TextWrapping::truncate_at_width(width);
    painter.layout_job(job)
}
