//! Planes of samples to red, green and blue, as libjpeg does it: smaller planes are spread with a triangle
//! filter where they are half as wide or high, and repeated where the ratio is another one.

use super::frame::{Component, Frame};

/// What a picture's components are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Colours {
    Grey,
    Rgb,
    YCbCr,
    /// Inverted, as Adobe's programs write it and all others read it.
    Cmyk,
    Ycck,
}

/// `[height, width, 4]` of the frame's planes.
pub fn convert(frame: &Frame, colours: Colours) -> Vec<u8> {
    let (width, height) = frame.size();
    let mut rgba = vec![0; width * height * 4];
    let spread: Vec<Spread> =
        frame.components.iter().map(|component| Spread::new(component, frame)).collect();
    let mut rows: Vec<Vec<u8>> = spread.iter().map(|_| vec![0; width + 1]).collect();
    let mut sums = Vec::new();
    for (y, out) in rgba.chunks_exact_mut(width * 4).enumerate() {
        let mut at: [&[u8]; 4] = [&[]; 4];
        for ((spread, row), at) in spread.iter().zip(&mut rows).zip(&mut at) {
            *at = &spread.row(y, row, &mut sums)[..width];
        }
        let out = out.as_chunks_mut().0;
        match colours {
            Colours::Grey => out.iter_mut().zip(at[0]).for_each(|(out, &y)| *out = [y, y, y, 255]),
            Colours::Rgb => triples(out, at, |r, g, b| [r, g, b, 255]),
            Colours::YCbCr => triples(out, at, rgb),
            Colours::Cmyk | Colours::Ycck => {
                for ((out, ((&c, &m), &y)), &k) in
                    out.iter_mut().zip(at[0].iter().zip(at[1]).zip(at[2])).zip(at[3])
                {
                    let ink =
                        if colours == Colours::Cmyk { [c, m, y, 0] } else { rgb(c, m, y).map(|v| 255 - v) };
                    *out = [times(ink[0], k), times(ink[1], k), times(ink[2], k), 255];
                }
            }
        }
    }
    rgba
}

#[inline(always)]
fn triples(out: &mut [[u8; 4]], at: [&[u8]; 4], convert: impl Fn(u8, u8, u8) -> [u8; 4]) {
    for (out, ((&a, &b), &c)) in out.iter_mut().zip(at[0].iter().zip(at[1]).zip(at[2])) {
        *out = convert(a, b, c);
    }
}

/// `a * b / 255`, rounded.
fn times(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// ITU-R BT.601 in full range, to 16 binary places. Products of two numbers of 16 bits, which processors have in
/// vectors: 1.402 is 1 + 0.402, 1.772 is 2 - 0.228, and 0.714 is 1 - 0.286.
#[inline(always)]
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 4] {
    let (y, cb, cr) = (i16::from(y), i16::from(cb) - 128, i16::from(cr) - 128);
    let high = |a: i16, b: i16| ((i32::from(a) * i32::from(b)) >> 16) as i16;
    let round = |a: i16, b: i16| (high(2 * a, b) + 1) >> 1;
    let green = ((i32::from(cb) * -22554 + i32::from(cr) * 18734 + 32768) >> 16) as i16;
    let byte = |value: i16| value.clamp(0, 255) as u8;
    [byte(y + cr + round(cr, 26345)), byte(y - cr + green), byte(y + 2 * cb + round(cb, -14942)), 255]
}

/// How a plane's rows become those of the picture.
struct Spread<'p> {
    plane: &'p [u8],
    stride: usize,
    width: usize,
    height: usize,
    kind: Kind,
}

enum Kind {
    Whole,
    /// Half as wide, half as high, or both.
    Half(bool, bool),
    /// The component's sampling and the greatest, across and down.
    Nearest([(usize, usize); 2]),
}

impl<'p> Spread<'p> {
    fn new(component: &'p Component, frame: &Frame) -> Spread<'p> {
        let ((h, v), (most_h, most_v)) = (component.sampling, frame.most);
        let (width, height) = frame.plane_size(component);
        // A plane of two columns or fewer has too few neighbours to take a part of.
        let smooth = width > 2;
        let kind = match (most_h == h, most_h == 2 * h && smooth, most_v == v, most_v == 2 * v) {
            (true, _, true, _) => Kind::Whole,
            (_, true, true, _) => Kind::Half(true, false),
            (true, _, _, true) => Kind::Half(false, true),
            (_, true, _, true) => Kind::Half(true, true),
            _ => Kind::Nearest([(h, most_h), (v, most_v)]),
        };
        let stride = component.stride * frame.side();
        Spread { plane: &component.plane, stride, width, height, kind }
    }

    fn line(&self, y: usize) -> &'p [u8] {
        &self.plane[y.min(self.height - 1) * self.stride..][..self.stride]
    }

    /// The picture's row `y` of this component, in `row` where it has to be made.
    fn row<'r>(&self, y: usize, row: &'r mut [u8], sums: &mut Vec<u16>) -> &'r [u8]
    where
        'p: 'r,
    {
        match self.kind {
            Kind::Whole => return self.line(y),
            Kind::Half(true, false) => {
                // With weights 3 and 1 of 4, rounded down and up in turns.
                sums.clear();
                sums.extend(self.line(y)[..self.width].iter().map(|&value| u16::from(value)));
                wider(sums, row, [1, 2], 2);
                // At the ends there is no neighbour, and nothing to round.
                row[0] = sums[0] as u8;
                row.get_mut(2 * self.width - 1).into_iter().for_each(|end| *end = sums[self.width - 1] as u8);
            }
            Kind::Half(across, _) => {
                let near = self.line(y / 2);
                let far = self.line(if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 });
                let sum = near.iter().zip(far).map(|(&near, &far)| u16::from(near) * 3 + u16::from(far));
                if across {
                    sums.clear();
                    sums.extend(sum.take(self.width));
                    wider(sums, row, [8, 7], 4);
                } else {
                    let round = 1 + (y % 2) as u16;
                    row.iter_mut().zip(sum).for_each(|(value, sum)| *value = ((sum + round) >> 2) as u8);
                }
            }
            Kind::Nearest([(h, most_h), (v, most_v)]) => {
                let line = self.line((2 * y + 1) * v / (2 * most_v));
                for (x, value) in row.iter_mut().enumerate() {
                    *value = line[((2 * x + 1) * h / (2 * most_h)).min(self.width - 1)];
                }
            }
        }
        row
    }
}

/// Twice as many columns, each of its own and the next sample with weights 3 and 1, `round` added to the even and
/// the odd ones. `row` may end before the last.
#[inline(always)]
fn wider(sums: &[u16], row: &mut [u8], round: [u16; 2], shift: u32) {
    let last = sums.len() - 1;
    row[0] = ((sums[0] * 4 + round[0]) >> shift) as u8;
    for (pair, out) in sums.windows(2).zip(row[1..].as_chunks_mut::<2>().0) {
        out[0] = ((pair[0] * 3 + pair[1] + round[1]) >> shift) as u8;
        out[1] = ((pair[1] * 3 + pair[0] + round[0]) >> shift) as u8;
    }
    if let Some(end) = row.get_mut(2 * last + 1) {
        *end = ((sums[last] * 4 + round[1]) >> shift) as u8;
    }
}
