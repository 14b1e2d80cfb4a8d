//! The digits of the synthetic scene, drawn with a round pen: arcs and lines in a box 1 high, y down.

use std::f32::consts::TAU;

/// A piece of a stroke.
#[derive(Clone, Copy)]
enum Piece {
    /// From one point to another.
    Line(f32, f32, f32, f32),
    /// About a centre, with radii, from and to in degrees, clockwise from the right.
    Arc(f32, f32, f32, f32, f32, f32),
}
use Piece::{Arc, Line};

const DIGITS: [&[Piece]; 10] = [
    &[Arc(0.3, 0.5, 0.29, 0.5, 0.0, 360.0)],
    &[Line(0.08, 0.26, 0.36, 0.0), Line(0.36, 0.0, 0.36, 1.0)],
    &[Arc(0.3, 0.28, 0.27, 0.28, -170.0, 30.0), Line(0.534, 0.42, 0.03, 1.0), Line(0.03, 1.0, 0.6, 1.0)],
    &[Arc(0.28, 0.24, 0.26, 0.24, -155.0, 90.0), Arc(0.28, 0.74, 0.31, 0.26, -90.0, 150.0)],
    &[Line(0.44, 0.0, 0.0, 0.68), Line(0.0, 0.68, 0.63, 0.68), Line(0.44, 0.0, 0.44, 1.0)],
    &[Line(0.54, 0.0, 0.11, 0.0), Line(0.11, 0.0, 0.08, 0.435), Arc(0.28, 0.68, 0.31, 0.32, -130.0, 145.0)],
    &[Arc(0.6, 0.68, 0.58, 0.7, -105.0, -180.0), Arc(0.3, 0.7, 0.28, 0.3, 0.0, 360.0)],
    &[Line(0.0, 0.0, 0.6, 0.0), Line(0.6, 0.0, 0.2, 1.0)],
    &[Arc(0.3, 0.24, 0.24, 0.24, 0.0, 360.0), Arc(0.3, 0.74, 0.3, 0.26, 0.0, 360.0)],
    &[Arc(0.3, 0.3, 0.28, 0.3, 0.0, 360.0), Arc(0.0, 0.32, 0.58, 0.7, 0.0, 75.0)],
];

/// Samples per unit of length in a [`Glyph`], and the room left around the digit's box.
const GRAIN: f32 = 72.0;
const ROOM: f32 = 0.25;

/// How far each point of a digit's box lies from its strokes.
pub struct Glyph {
    /// `[rows, columns]`, in heights of the digit.
    distances: Vec<f32>,
    columns: usize,
    rows: usize,
    /// Half of the digit's width.
    middle: f32,
}

impl Glyph {
    /// The glyph of a digit, leaning to the right by `slant` of its height.
    pub fn new(digit: u8, slant: f32) -> Glyph {
        let lean = |(x, y): (f32, f32)| (x + slant * (0.5 - y), y);
        let mut strokes = Vec::new();
        for piece in DIGITS[usize::from(digit)] {
            let steps = if matches!(piece, Line(..)) { 1 } else { 40 };
            let point = |step: usize| {
                let t = step as f32 / steps as f32;
                lean(match *piece {
                    Line(x0, y0, x1, y1) => (x0 + (x1 - x0) * t, y0 + (y1 - y0) * t),
                    Arc(x, y, rx, ry, from, to) => {
                        let turn = (from + (to - from) * t) / 360.0 * TAU;
                        (x + rx * turn.cos(), y + ry * turn.sin())
                    }
                })
            };
            strokes.extend((0..steps).map(|step| (point(step), point(step + 1))));
        }
        let width = strokes.iter().map(|(_, end)| end.0).fold(0.0, f32::max);
        let count = |length: f32| ((length + 2.0 * ROOM) * GRAIN) as usize;
        let (columns, rows) = (count(width), count(1.0));
        let distance = |at: usize| {
            let p = ((at % columns) as f32 / GRAIN - ROOM, (at / columns) as f32 / GRAIN - ROOM);
            strokes.iter().map(|&(a, b)| to_segment(p, a, b)).fold(f32::INFINITY, f32::min)
        };
        let distances = (0..columns * rows).map(distance).collect();
        Glyph { distances, columns, rows, middle: width / 2.0 }
    }

    /// The distance from the strokes at a point, the digit's middle being (0, 0) and its height 1; infinite
    /// outside of its box.
    pub fn distance(&self, x: f32, y: f32) -> f32 {
        let (x, y) = ((x + self.middle + ROOM) * GRAIN, (y + 0.5 + ROOM) * GRAIN);
        if x < 0.0 || y < 0.0 || x >= (self.columns - 1) as f32 || y >= (self.rows - 1) as f32 {
            return f32::INFINITY;
        }
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let at = row * self.columns + column;
        let mix = |at: usize| self.distances[at] * (1.0 - fx) + self.distances[at + 1] * fx;
        mix(at) * (1.0 - fy) + mix(at + self.columns) * fy
    }
}

fn to_segment(p: (f32, f32), a: (f32, f32), b: (f32, f32)) -> f32 {
    let (dx, dy, px, py) = (b.0 - a.0, b.1 - a.1, p.0 - a.0, p.1 - a.1);
    let along = ((px * dx + py * dy) / (dx * dx + dy * dy).max(1e-12)).clamp(0.0, 1.0);
    (px - along * dx).hypot(py - along * dy)
}
