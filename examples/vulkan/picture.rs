//! The numbers that the two kernels of the preprocessing take, for a whole, upright RGBA picture.

use super::plan::Preprocess;

/// What one pass of the resize is told: the uniform of `resize`, in words.
#[derive(Clone, Copy)]
pub struct Pass(pub [u32; 16]);

/// From a picture to the input: two passes, then the uniform of `normalize`, in words.
pub struct Passes {
    pub first: Pass,
    pub second: Pass,
    pub normalize: [u32; 16],
}

/// One axis: so many pixels of the picture, of which the resize makes `resized`; the input shows `shown` of them from
/// `start` on, behind `padding` pixels of the padding's colour.
#[derive(Clone, Copy)]
struct Axis {
    length: i64,
    resized: i64,
    start: i64,
    shown: i64,
    padding: i64,
}

impl Axis {
    fn new(length: usize, resized: f64, input: usize) -> Axis {
        let spare = resized - input as f64;
        let start = (spare / 2.0).round_ties_even().max(0.0) as i64;
        let padding = (-spare / 2.0).floor().max(0.0) as i64;
        let shown = (resized as i64 - start).min(input as i64 - padding);
        Axis { length: length as i64, resized: resized as i64, start, shown, padding }
    }

    /// The pixels of the picture that the shown ones are made of; a few more do no harm.
    fn read(&self, support: f64) -> (i64, i64) {
        let scale = self.length as f64 / self.resized as f64;
        let reach = support * scale.max(1.0) + 2.0;
        let first = (self.start as f64 * scale - reach).floor().max(0.0) as i64;
        let last = ((self.start + self.shown) as f64 * scale + reach).ceil() as i64;
        (first, last.min(self.length))
    }

    /// A pass along this axis over `lines` lines: pixel `t` of line `l` is `origin + t * along + l * across` of what is
    /// read.
    fn pass(&self, vertical: bool, cubic: bool, lines: i64, [origin, along, across]: [i64; 3]) -> Pass {
        let (width, height) = if vertical { (lines, self.shown) } else { (self.shown, lines) };
        let centre = (2 * self.start + 1) * self.length;
        let (whole, rest) = (centre / (2 * self.resized), centre % (2 * self.resized));
        let (length, resized, start) = (self.length, self.resized, self.start);
        let swap = 0;
        let words = [width, height, vertical.into(), cubic.into(), swap, origin, along, across];
        let more = [length, resized, start, whole, rest, 0, 0, 0];
        let mut pass = [0; 16];
        for (word, value) in pass.iter_mut().zip(words.into_iter().chain(more)) {
            *word = value as i32 as u32;
        }
        Pass(pass)
    }
}

impl Passes {
    pub fn new(of: &Preprocess, width: usize, height: usize) -> Passes {
        let [input_height, input_width] = of.size;
        let (w, h) = (width as f64, height as f64);
        // The resized picture of which the crop is the middle.
        let (sw, sh) =
            ((input_width as f64 / of.crop_pct).floor(), (input_height as f64 / of.crop_pct).floor());
        let short = width.min(height) as u64;
        let (resized_w, resized_h) = match of.crop_mode.as_str() {
            "squash" => (sw, sh),
            "center" if sw == sh => {
                ((sw as u64 * width as u64 / short) as f64, (sw as u64 * height as u64 / short) as f64)
            }
            mode => {
                let ratio = if mode == "border" { (w / sw).max(h / sh) } else { (w / sw).min(h / sh) };
                ((w / ratio).round_ties_even(), (h / ratio).round_ties_even())
            }
        };
        let x = Axis::new(width, resized_w, input_width);
        let y = Axis::new(height, resized_h, input_height);

        let cubic = of.interpolation == "bicubic";
        let support = if cubic { 2.0 } else { 1.0 };
        let shrink = |axis: Axis| axis.length - axis.resized;
        let vertical = shrink(y) > 0 && shrink(y) > 2 * shrink(x);
        let row = width as i64;
        let ((a, step_a), (b, step_b)) = if vertical { ((y, row), (x, 1)) } else { ((x, 1), (y, row)) };
        let (begin, end) = b.read(support);
        let lines = end - begin;
        let mut first = a.pass(vertical, cubic, lines, [begin * step_b, step_a, step_b]);
        let row = i64::from(first.0[0]);
        let source = if vertical { [-begin, 1, row] } else { [-begin * row, row, 1] };
        let second = b.pass(!vertical, cubic, a.shown, source);

        let fill = match of.crop_mode.as_str() {
            "border" => of.mean.map(|mean| (255.0 * mean).round_ties_even() as u8),
            _ => [0; 3],
        };
        let fill = u32::from_le_bytes([fill[0], fill[1], fill[2], 255]);
        let [mr, mg, mb] = of.mean.map(f32::to_bits);
        let [sr, sg, sb] = of.std.map(f32::to_bits);
        let (left, top, columns, rows) = (x.padding as u32, y.padding as u32, x.shown as u32, y.shown as u32);
        let size = [input_width as u32, input_height as u32];
        let start = 0; // of a batch's picture i, i times the input's pixels
        let mut normalize = [
            size[0],
            size[1],
            left,
            top,
            columns,
            rows,
            fill,
            start,
            mr,
            mg,
            mb,
            0,
            sr,
            sg,
            sb,
            1.0f32.to_bits(),
        ];
        if of.colour == "grey" {
            first.0[13] = 1;
            normalize[6] &= 0xff00_00ff;
            (normalize[9], normalize[10]) = (0, 0);
            (normalize[13], normalize[14]) = (1.0f32.to_bits(), 1.0f32.to_bits());
        }
        Passes { first, second, normalize }
    }
}

impl Pass {
    /// Pixels that it writes.
    pub fn pixels(&self) -> usize {
        self.0[0] as usize * self.0[1] as usize
    }
}
