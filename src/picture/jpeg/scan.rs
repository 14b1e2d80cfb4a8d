//! The data of a scan to samples, or to the coefficients of a progressive picture; and an account of what was
//! not there (ITU-T T.81, annexes E to G).

use super::{
    bits::{Bits, Table},
    blocks::{ZIGZAG, ac_first, ac_refine, dc_difference, sequential},
    frame::{Component, Frame},
    idct,
};

/// What a scan's header says.
pub struct Scan {
    pub parts: Vec<Part>,
    /// The first and the last coefficient, in zigzag order; of a lossless picture the first is the predictor.
    pub band: (usize, usize),
    /// The bits that were sent before this scan, or 0, and those that are left for later ones.
    pub high: u32,
    pub low: u32,
}

/// A component in a scan, and the numbers of its tables.
pub struct Part {
    pub component: usize,
    pub dc: usize,
    pub ac: usize,
}

/// The Huffman tables that are set.
#[derive(Default)]
pub struct Tables {
    pub dc: [Option<Box<Table>>; 4],
    pub ac: [Option<Box<Table>>; 4],
    /// Units between two restart markers; 0 where there are none.
    pub restart: usize,
}

/// How a scan ended.
pub struct Outcome {
    /// The marker after it and where it lies, or 0 and where it was looked for.
    pub marker: u8,
    pub at: usize,
    /// Whether bytes lie between its last block and the marker, or the end of the file.
    pub left: bool,
    /// Whether the last byte of its data is filled up as encoders do it.
    pub padded: bool,
    /// Units of `total` that were lost.
    pub lost: usize,
    pub total: usize,
    /// What was wrong first.
    pub fault: Option<&'static str>,
}

const SHORT: &str = "its data end too early";
pub const LEFT: &str = "data are left over after its last block";
const BROKEN: &str = "its data are broken";
const MISSING: &str = "a part of its data is missing";

/// The next marker that stands for something from `at` on, where it begins, and whether anything but zeros and
/// filling lies before it.
pub fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize, bool)> {
    let mut between = false;
    loop {
        let found = bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        between |= bytes[at..at + found].iter().any(|&byte| byte != 0);
        at += found;
        match *bytes.get(at + 1)? {
            0xff => at += 1,
            // A data byte of 0xff, and markers that mean nothing.
            0..0xc0 => {
                between = true;
                at += 2;
            }
            marker => return Some((marker, at, between)),
        }
    }
}

/// Decodes the scan whose data begin at `at`.
pub fn decode(
    frame: &mut Frame,
    scan: &Scan,
    tables: &Tables,
    bytes: &[u8],
    at: usize,
) -> Result<Outcome, String> {
    let units = match scan.parts[..] {
        [Part { component, .. }] => frame.components[component].blocks,
        _ => frame.units,
    };
    let total = units.0 * units.1;
    let interval = if tables.restart == 0 { total } else { tables.restart };
    let mut walk = Walk {
        coding: Coding::of(frame, scan, tables)?,
        frame,
        scan,
        columns: units.0,
        bits: Bits::new(bytes, at),
        predictions: [0; 4],
        run: 0,
    };
    let mut outcome = Outcome { at, marker: 0, left: false, padded: true, lost: 0, total, fault: None };
    let (mut next, mut restarts) = (0, 0);
    loop {
        let end = total.min(next + interval);
        let fault = (next..end).find_map(|unit| walk.unit(unit).err().map(|reason| (unit, reason)));
        if let Some((unit, reason)) = fault {
            outcome.fault.get_or_insert(reason);
            outcome.lost += walk.lose(unit..end, total);
        }
        next = end;
        let (mut from, between) = walk.bits.rest();
        if next == total {
            let (marker, at, more) = next_marker(bytes, from).unwrap_or((0, from, false));
            (outcome.at, outcome.marker) = (at, marker);
            outcome.left = fault.is_none() && (between || more);
            outcome.padded = walk.bits.padded();
            return Ok(outcome);
        }
        let mut left = fault.is_none() && between;
        // The units that are missing before the next restart marker; none where there is none any more.
        let missing = loop {
            let (marker, at, more) = next_marker(bytes, from).unwrap_or((0, from, false));
            (outcome.at, outcome.marker, from) = (at, marker, at + 2);
            left |= fault.is_none() && more;
            if !matches!(marker, 0xd0..=0xd7) {
                break None;
            }
            // Markers count to 7 and begin again: one from ahead means that what lies between is missing, one
            // from before is passed over with its data.
            let ahead = (marker & 7).wrapping_sub(restarts) & 7;
            if ahead > 0 {
                outcome.fault.get_or_insert(MISSING);
            }
            if ahead <= 4 {
                restarts = (marker + 1) & 7;
                break Some(usize::from(ahead) * interval);
            }
        };
        if left {
            outcome.fault.get_or_insert(LEFT);
        }
        let after = missing.map_or(total, |missing| total.min(next + missing));
        outcome.lost += walk.lose(next..after, total);
        next = after;
        if missing.is_none() || next == total {
            outcome.fault.get_or_insert(SHORT);
            return Ok(outcome);
        }
        walk.restart(from, bytes);
    }
}

/// How the blocks of a scan are written.
enum Coding<'t> {
    /// All coefficients at once: the tables, and what each coefficient is multiplied by.
    Sequential(Vec<(&'t Table, &'t Table, [i32; 64])>),
    DcFirst(Vec<&'t Table>),
    DcRefine,
    AcFirst(&'t Table),
    AcRefine(&'t Table),
}

impl<'t> Coding<'t> {
    fn of(frame: &Frame, scan: &Scan, tables: &'t Tables) -> Result<Coding<'t>, String> {
        let table = |all: &'t [Option<Box<Table>>; 4], at: usize| {
            all[at].as_deref().ok_or_else(|| "a scan whose Huffman table is missing".to_string())
        };
        let ac = || table(&tables.ac, scan.parts[0].ac);
        if !frame.progressive {
            let part = |part: &Part| {
                let quant = frame.components[part.component].quant.as_ref();
                let quant = quant.ok_or("a scan whose quantization table is missing")?;
                Ok((table(&tables.dc, part.dc)?, table(&tables.ac, part.ac)?, quant.map(i32::from)))
            };
            return Ok(Coding::Sequential(scan.parts.iter().map(part).collect::<Result<_, String>>()?));
        }
        Ok(match (scan.band.0, scan.high) {
            (0, 0) => {
                let dc = scan.parts.iter().map(|part| table(&tables.dc, part.dc));
                Coding::DcFirst(dc.collect::<Result<_, _>>()?)
            }
            (0, _) => Coding::DcRefine,
            (_, 0) => Coding::AcFirst(ac()?),
            _ => Coding::AcRefine(ac()?),
        })
    }
}

struct Walk<'w> {
    frame: &'w mut Frame,
    scan: &'w Scan,
    coding: Coding<'w>,
    /// Units per row.
    columns: usize,
    bits: Bits<'w>,
    /// By component of the scan: the DC coefficient of the block before.
    predictions: [i32; 4],
    /// Blocks whose end was sent ahead.
    run: u32,
}

impl<'w> Walk<'w> {
    fn restart(&mut self, at: usize, bytes: &'w [u8]) {
        (self.bits, self.predictions, self.run) = (Bits::new(bytes, at), [0; 4], 0);
    }

    /// Decodes a unit: a block of a scan of one component, else as many of each as its sampling says.
    fn unit(&mut self, at: usize) -> Result<(), &'static str> {
        let (x, y) = (at % self.columns, at / self.columns);
        for part in 0..self.scan.parts.len() {
            let index = self.scan.parts[part].component;
            let (h, v) = match self.scan.parts.len() {
                1 => (1, 1),
                _ => self.frame.components[index].sampling,
            };
            for row in 0..v {
                for column in 0..h {
                    let block = self.block(part, index, x * h + column, y * v + row);
                    if self.bits.overrun() {
                        return Err(SHORT);
                    }
                    block.ok_or(BROKEN)?;
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn block(&mut self, part: usize, index: usize, x: usize, y: usize) -> Option<()> {
        let (low, band) = (self.scan.low, self.scan.band);
        let component = &mut self.frame.components[index];
        let prediction = &mut self.predictions[part];
        if let Coding::Sequential(tables) = &self.coding {
            let (dc, ac, quant) = &tables[part];
            let mut block = [0; 64];
            let last = sequential(&mut self.bits, dc, ac, prediction, quant, &mut block)?;
            // No samples have such a mean: the codes are out of step.
            let limit = (2048 << (self.frame.precision - 8)) + quant[0];
            if block[0].abs() > limit {
                return None;
            }
            component.put(&mut block, last, x, y, self.frame.precision, self.frame.half);
            return Some(());
        }
        let coefficients = component.coefficients.as_mut().expect("a progressive picture has them");
        let (at, kept) = (y * component.stride + x, coefficients.kept);
        let values = &mut coefficients.values[at * kept..][..kept];
        let nonzero = &mut coefficients.nonzero[at];
        match &self.coding {
            Coding::Sequential(_) => unreachable!("returned above"),
            Coding::DcFirst(tables) => {
                *prediction = prediction.wrapping_add(dc_difference(&mut self.bits, tables[part])?);
                values[0] = prediction.wrapping_shl(low) as i16;
            }
            Coding::DcRefine => values[0] |= i16::from(self.bits.bit()) << low,
            Coding::AcFirst(table) => {
                ac_first(&mut self.bits, table, band, low, &mut self.run, values, nonzero)?;
            }
            Coding::AcRefine(table) => {
                ac_refine(&mut self.bits, table, band, low, &mut self.run, values, nonzero)?;
            }
        }
        Some(())
    }

    /// Makes lost units grey, and counts them.
    fn lose(&mut self, units: std::ops::Range<usize>, total: usize) -> usize {
        let count = units.len();
        // A progressive picture is grey where nothing comes. One that has lost more than this is refused anyway.
        if self.frame.progressive || count > total / 8 {
            return count;
        }
        for at in units {
            let (x, y) = (at % self.columns, at / self.columns);
            for part in &self.scan.parts {
                let component = &mut self.frame.components[part.component];
                let (h, v) = if self.scan.parts.len() == 1 { (1, 1) } else { component.sampling };
                for (row, column) in (0..v).flat_map(|row| (0..h).map(move |column| (row, column))) {
                    component.put(&mut [0; 64], 0, x * h + column, y * v + row, 8, self.frame.half);
                }
            }
        }
        count
    }
}

impl Component {
    /// Transforms a block of the component into its plane.
    #[inline(always)]
    fn put(&mut self, block: &mut [i32; 64], last: usize, x: usize, y: usize, precision: u32, half: bool) {
        if precision > 8 {
            let (shift, round) = (precision - 8, 1 << (precision - 9));
            block.iter_mut().for_each(|value| *value = value.wrapping_add(round) >> shift);
        }
        let side = if half { 4 } else { 8 };
        let stride = self.stride * side;
        let at = y * side * stride + x * side;
        match half {
            true => idct::block::<true>(block, last, &mut self.plane, at, stride),
            false => idct::block::<false>(block, last, &mut self.plane, at, stride),
        }
    }

    /// Transforms all blocks of a progressive picture, whose coefficients are dropped.
    pub fn finish(&mut self, precision: u32, half: bool) -> Option<()> {
        let coefficients = self.coefficients.take()?;
        let quant = self.quant?.map(i32::from);
        let side = if half { 4 } else { 8 };
        self.plane = vec![0; self.stride * self.rows * side * side];
        for (at, (values, nonzero)) in
            coefficients.values.chunks_exact(coefficients.kept).zip(coefficients.nonzero).enumerate()
        {
            let mut block = [0; 64];
            for ((value, quant), place) in values.iter().zip(quant).zip(ZIGZAG) {
                block[usize::from(place)] = i32::from(*value).wrapping_mul(quant);
            }
            let last = if nonzero == 0 { 0 } else { 63 - nonzero.leading_zeros() as usize };
            self.put(&mut block, last, at % self.stride, at / self.stride, precision, half);
        }
        Some(())
    }
}
