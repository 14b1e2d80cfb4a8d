//! A scene that needs no camera: a sheet with one digit drifts, turns, grows, shrinks and changes its light
//! before a desk out of focus, and each digit gives way to the next.

use super::strokes::Glyph;
use crate::frame::{Format, Frame, Truth};
use std::{f32::consts::TAU, time::Instant};

/// Columns and rows of a frame.
pub const SIZE: (usize, usize) = (640, 480);
/// How long a digit stays, and how long its ink takes to come and to go, in seconds.
const STAY: f32 = 2.4;
const FADE: f32 = 0.22;
/// The most that a sheet turns, in degrees.
const TURN: f32 = 24.0;

/// What stands for 1 in whole numbers.
const ONE: f32 = 16384.0;

/// Paper and ink of the sheets, the last two of them screens.
const SHEETS: [([f32; 3], [f32; 3]); 6] = [
    ([0.96, 0.95, 0.92], [0.10, 0.10, 0.14]),
    ([0.98, 0.88, 0.50], [0.20, 0.12, 0.10]),
    ([0.97, 0.76, 0.78], [0.30, 0.06, 0.16]),
    ([0.80, 0.92, 0.80], [0.05, 0.22, 0.16]),
    ([0.09, 0.10, 0.14], [0.95, 0.95, 0.98]),
    ([0.10, 0.16, 0.30], [0.98, 0.93, 0.75]),
];

/// The scene: what stays the same between frames.
pub struct Scene {
    /// `[rows, columns, 3]`, 0 to 1 in [`ONE`]s.
    desk: Vec<[u16; 3]>,
    glyph: Option<(u64, Glyph)>,
}

/// Where things stand at one moment.
struct Pose {
    x: f32,
    y: f32,
    /// Height of the digit, in pixels.
    height: f32,
    turn: f32,
    light: [f32; 3],
}

impl Pose {
    fn at(t: f32) -> Pose {
        let wave = |hertz: f32, phase: f32| (TAU * (hertz * t + phase)).sin();
        let light = 0.86 + 0.2 * wave(0.11, 0.2);
        let warmth = 0.05 * wave(0.07, 0.6);
        Pose {
            x: SIZE.0 as f32 / 2.0 + 34.0 * wave(0.13, 0.0) + 16.0 * wave(0.31, 0.4),
            y: SIZE.1 as f32 / 2.0 + 22.0 * wave(0.17, 0.3) + 10.0 * wave(0.41, 0.1),
            height: SIZE.1 as f32 * (0.52 + 0.1 * wave(0.19, 0.7)),
            turn: TURN / 360.0 * TAU * (0.75 * wave(0.23, 0.0) + 0.25 * wave(0.37, 0.5)),
            light: [light * (1.0 + warmth), light, light * (1.0 - warmth)],
        }
    }
}

/// Which digit of the scene comes as its `act`th, and on which sheet.
fn act_of(act: u64) -> (u8, usize) {
    // Steps that are coprime with the numbers of digits and sheets visit all of them.
    (((act * 7 + 3) % 10) as u8, (act * 5 % SHEETS.len() as u64) as usize)
}

impl Default for Scene {
    fn default() -> Scene {
        let (width, height) = SIZE;
        // Discs of light out of focus: place, radius, colour.
        let lights: Vec<([f32; 3], [f32; 3])> = (0..14u32)
            .map(|i| {
                let spread = |step: f32| (i as f32 * step).fract();
                let place = [
                    spread(0.618) * width as f32,
                    spread(0.382) * height as f32 * 0.72,
                    18.0 + 34.0 * spread(0.277),
                ];
                (place, [0.10 + 0.16 * spread(0.71), 0.09 + 0.07 * spread(0.43), 0.05 + 0.12 * spread(0.29)])
            })
            .collect();
        let mut desk = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let (fx, fy) = (x as f32 / width as f32, y as f32 / height as f32);
                let edge = smooth((fy - 0.74) / 0.08);
                let wall = [0.24 + 0.18 * fx, 0.30 + 0.14 * (1.0 - fy), 0.42 + 0.12 * (1.0 - fx)];
                let wood = 0.75 + 0.25 * fy;
                let table = [0.58 * wood, 0.42 * wood, 0.31 * wood];
                let vignette = 1.0 - 0.35 * ((fx - 0.5).powi(2) + (fy - 0.5).powi(2));
                desk.push([0, 1, 2].map(|c| {
                    let discs: f32 = lights
                        .iter()
                        .map(|([lx, ly, r], colour)| {
                            colour[c] * smooth((r - (x as f32 - lx).hypot(y as f32 - ly)) / 5.0 + 0.5)
                        })
                        .sum();
                    let still = wall[c] * (1.0 - edge) + table[c] * edge;
                    ((still + discs * (1.0 - edge)) * vignette * ONE) as u16
                }));
            }
        }
        Scene { desk, glyph: None }
    }
}

impl Scene {
    /// Draws the moment `t`, in seconds, into `bytes`.
    pub fn frame(&mut self, t: f64, mut bytes: Vec<u8>) -> Frame {
        let act = (t / f64::from(STAY)) as u64;
        let within = (t - act as f64 * f64::from(STAY)) as f32;
        let (digit, sheet) = act_of(act);
        let slant = [0.0, 0.12, -0.06][(act % 3) as usize];
        if self.glyph.as_ref().is_none_or(|(of, _)| *of != act) {
            self.glyph = Some((act, Glyph::new(digit, slant)));
        }
        let ink = smooth(within / FADE) * smooth((STAY - within) / FADE);
        // The paper changes while there is no ink on it.
        let (mut paper, colour) = SHEETS[sheet];
        if within < FADE / 2.0 && act > 0 {
            paper = mix(SHEETS[act_of(act - 1).1].0, paper, 0.5 + within / FADE);
        } else if within > STAY - FADE / 2.0 {
            paper = mix(paper, SHEETS[act_of(act + 1).1].0, 0.5 - (STAY - within) / FADE);
        }
        let pen = [0.13, 0.10, 0.155][(act / 3 % 3) as usize];
        self.draw(&Pose::at(t as f32), paper, colour, ink, pen, &mut bytes);
        let truth = Some(Truth { digit, ink });
        let captured = Instant::now();
        Frame { id: 0, captured, size: SIZE, format: Format::Rgba, bytes, truth, caption: None }
    }

    fn draw(&self, pose: &Pose, paper: [f32; 3], colour: [f32; 3], ink: f32, pen: f32, bytes: &mut Vec<u8>) {
        let (width, height) = SIZE;
        bytes.clear();
        bytes.reserve(4 * width * height);
        // Light and what it falls on, both in whole numbers: most pixels are the desk's.
        let light = pose.light.map(|light| (light * 255.0 * 256.0) as u32);
        let shade = |pixel: [u16; 3]| {
            let lit = |c: usize| ((u32::from(pixel[c]) * light[c]) >> 22).min(255) as u8;
            [lit(0), lit(1), lit(2), 255]
        };
        let (sin, cos) = pose.turn.sin_cos();
        let unit = 1.0 / pose.height;
        // Half of the sheet, in heights of the digit, with round corners; as far as its shadow reaches.
        let (half, round) = ((0.62f32, 0.78f32), 0.05f32);
        let reach = (half.0.hypot(half.1) + 0.2) * pose.height;
        let glyph = &self.glyph.as_ref().expect("a frame makes its glyph first").1;
        for y in 0..height {
            let dy = y as f32 - pose.y;
            let near = (reach * reach - dy * dy).max(0.0).sqrt();
            let (from, to) =
                ((pose.x - near).max(0.0) as usize, (pose.x + near).clamp(0.0, width as f32) as usize);
            let row = &self.desk[y * width..][..width];
            bytes.extend(row[..from].iter().flat_map(|pixel| shade(*pixel)));
            for (x, desk) in row.iter().enumerate().take(to).skip(from) {
                let dx = x as f32 - pose.x;
                let (u, v) = ((dx * cos + dy * sin) * unit, (dy * cos - dx * sin) * unit);
                let sheet = to_box(u, v, half, round);
                let on = (0.5 - sheet * pose.height).clamp(0.0, 1.0);
                let mut pixel = desk.map(|value| f32::from(value) / ONE);
                if on < 1.0 {
                    let shadow = 0.55 * smooth(1.0 - (to_box(u - 0.02, v - 0.05, half, round) + 0.04) / 0.16);
                    pixel = pixel.map(|value| value * (1.0 - shadow));
                }
                if on > 0.0 {
                    let wet =
                        ((0.5 - (glyph.distance(u, v) - pen / 2.0) * pose.height).clamp(0.0, 1.0)) * ink;
                    // Light falls from the upper left.
                    let fall = 1.0 - 0.07 * (u + v);
                    let face = mix(paper.map(|value| value * fall), colour, wet);
                    pixel = mix(pixel, face, on);
                }
                bytes.extend(shade(pixel.map(|value| (value * ONE) as u16)));
            }
            bytes.extend(row[to..].iter().flat_map(|pixel| shade(*pixel)));
        }
    }
}

/// The distance from a box of half the size `half` with round corners, negative inside.
fn to_box(x: f32, y: f32, half: (f32, f32), round: f32) -> f32 {
    let (x, y) = (x.abs() - half.0 + round, y.abs() - half.1 + round);
    x.max(0.0).hypot(y.max(0.0)) + x.max(y).min(0.0) - round
}

fn mix(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    [0, 1, 2].map(|c| a[c] + (b[c] - a[c]) * t)
}

/// From 0 to 1 without a kink.
fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every digit comes, stays in the square that the network sees, and never turns too far.
    #[test]
    fn every_digit_comes_and_stays_inside() {
        let mut seen = [false; 10];
        for act in 0..10 {
            seen[usize::from(act_of(act).0)] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
        // Half of the widest digit and of its height, with half of the widest pen.
        let (half_x, half_y) = (0.32 + 0.08, 0.5 + 0.08);
        for step in 0..30_000 {
            let pose = Pose::at(step as f32 / 10.0);
            assert!(pose.turn.abs() <= 25.0 / 360.0 * TAU);
            let (sin, cos) = (pose.turn.sin().abs(), pose.turn.cos());
            let (x, y) =
                ((half_x * cos + half_y * sin) * pose.height, (half_y * cos + half_x * sin) * pose.height);
            assert!((pose.x - 320.0).abs() + x <= 240.0, "x at {step}");
            assert!((pose.y - 240.0).abs() + y <= 240.0, "y at {step}");
        }
    }

    #[test]
    fn a_moment_is_drawn_the_same_each_time() {
        let (mut one, mut other) = (Scene::default(), Scene::default());
        let later = one.frame(5.0, Vec::new());
        let again = one.frame(1.3, Vec::new());
        let first = other.frame(1.3, Vec::new());
        assert!(again.bytes == first.bytes && later.bytes != first.bytes);
        assert_eq!(first.bytes.len(), first.format.bytes(first.size));
    }
}
