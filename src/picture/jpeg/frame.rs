//! What is coded: a picture's size, its components, and how far each has come.

use super::Refused;
use crate::picture::{MAX_HALVED_PIXELS, MAX_PIXELS, MAX_SIDE, too_large};

/// What a frame's header says.
pub struct Frame {
    pub width: usize,
    pub height: usize,
    pub precision: u32,
    pub progressive: bool,
    pub lossless: bool,
    /// Whether it is read at half its width and height.
    pub half: bool,
    pub components: Vec<Component>,
    /// The greatest sampling, across and down.
    pub most: (usize, usize),
    /// Units of interleaved scans per row and column.
    pub units: (usize, usize),
}

pub struct Component {
    pub id: u8,
    /// Blocks per unit, across and down.
    pub sampling: (usize, usize),
    /// The number of its quantization table, and the table itself, in zigzag order, once a scan has begun.
    pub table: usize,
    pub quant: Option<[u16; 64]>,
    /// Blocks that have a part in the picture, across and down.
    pub blocks: (usize, usize),
    /// Blocks per row and per column, with those that fill up the units.
    pub stride: usize,
    pub rows: usize,
    pub plane: Vec<u8>,
    pub coefficients: Option<Coefficients>,
    /// By coefficient: how many of its last bits have not been sent yet.
    pub missing: [u8; 64],
}

/// A coefficient of which nothing has been sent.
pub const NOTHING: u8 = 255;

/// The coefficients of a progressive picture's component: the first `kept` of each block in zigzag order, and
/// of all of them which are not 0.
pub struct Coefficients {
    pub kept: usize,
    pub values: Vec<i16>,
    pub nonzero: Vec<u64>,
}

impl Frame {
    pub fn parse(marker: u8, body: &[u8]) -> Result<Frame, Refused> {
        let &[precision, h1, h0, w1, w0, count, ref rest @ ..] = body else {
            return Err("its frame header is cut off".into());
        };
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        let (width, height) = (usize::from(width), usize::from(height));
        let lossless = marker == 0xc3;
        let depths = if lossless { 2..=16 } else { 8..=12 };
        if !depths.contains(&precision) {
            return Err(format!("{precision} bits per sample").into());
        }
        if !matches!(count, 1 | 3 | 4) || rest.len() < 3 * usize::from(count) {
            return Err(format!("{count} components").into());
        }
        if width == 0 || height == 0 {
            return Err(format!("a picture of {width}x{height}").into());
        }
        let pixels = (width * height) as u64;
        let half = pixels > MAX_PIXELS && !lossless;
        let scale = if half { 2 } else { 1 };
        let limit = if lossless { MAX_PIXELS } else { MAX_HALVED_PIXELS };
        if pixels > limit || width.max(height).div_ceil(scale) > MAX_SIDE as usize {
            return Err(Refused::Unread(too_large()));
        }
        let side = if lossless { 1 } else { 8 };
        let rows = rest.as_chunks::<3>().0.iter().take(usize::from(count));
        let samplings = rows.clone().map(|row| (usize::from(row[1] >> 4), usize::from(row[1] & 15)));
        if samplings.clone().any(|(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
            return Err("a sampling that is not from 1 to 4".into());
        }
        let most = samplings.fold((1, 1), |most, (h, v)| (most.0.max(h), most.1.max(v)));
        let units = (width.div_ceil(side * most.0), height.div_ceil(side * most.1));
        let progressive = marker == 0xc2;
        let component = |&[id, sampling, table]: &[u8; 3]| {
            let (h, v) = (usize::from(sampling >> 4), usize::from(sampling & 15));
            let across = (width * h).div_ceil(most.0).div_ceil(side);
            let down = (height * v).div_ceil(most.1).div_ceil(side);
            let (stride, rows) = (units.0 * h, units.1 * v);
            let samples = match (lossless, half) {
                (true, _) => 1,
                (_, true) => 16,
                _ => 64,
            };
            // The coefficients that the smaller transform takes are among the first 25.
            let kept = if half { 25 } else { 64 };
            let coefficients = || Coefficients {
                kept,
                values: vec![0; stride * rows * kept],
                nonzero: vec![0; stride * rows],
            };
            Component {
                id,
                sampling: (h, v),
                table: usize::from(table & 3),
                quant: None,
                blocks: (across, down),
                stride,
                rows,
                plane: if progressive { Vec::new() } else { vec![0; stride * rows * samples] },
                coefficients: progressive.then(coefficients),
                missing: [NOTHING; 64],
            }
        };
        let components = rows.map(component).collect();
        let precision = u32::from(precision);
        Ok(Frame { width, height, precision, progressive, lossless, half, components, most, units })
    }

    /// Columns and rows of the picture that is made.
    pub fn size(&self) -> (usize, usize) {
        let scale = if self.half { 2 } else { 1 };
        (self.width.div_ceil(scale), self.height.div_ceil(scale))
    }

    /// Columns and rows of a component's plane that have a part in the picture.
    pub fn plane_size(&self, component: &Component) -> (usize, usize) {
        let (h, v) = component.sampling;
        let scale = if self.half { 2 } else { 1 };
        ((self.width * h).div_ceil(self.most.0 * scale), (self.height * v).div_ceil(self.most.1 * scale))
    }

    /// Samples of a block, across or down.
    pub fn side(&self) -> usize {
        match (self.lossless, self.half) {
            (true, _) => 1,
            (_, true) => 4,
            _ => 8,
        }
    }

    /// Whether every bit of every coefficient has been sent.
    pub fn is_complete(&self) -> bool {
        self.components.iter().all(|component| component.missing == [0; 64])
    }
}
