//! JPEG (ITU-T T.81): Huffman's codes in sequential, progressive and lossless pictures, any sampling and any
//! order of scans, 8 and 12 bits.
//!
//! The crates there are draw grey where a file has no data, and do not report it. This decoder counts what is
//! missing, and its samples are libjpeg's to the bit, but for 12 bits, pictures of half size and samplings that
//! libjpeg refuses.

mod bits;
mod blocks;
mod colour;
mod frame;
mod idct;
mod lossless;
mod scan;

use bits::{Table, USUAL};
use colour::Colours;
use frame::{Frame, NOTHING};
use scan::{LEFT, Outcome, Part, Scan, Tables, next_marker};

/// A picture that has lost a larger share of itself than one of so many is an error.
const BEARABLE: usize = 10;
/// A file may have more scans than any encoder writes, but not as many as would take minutes.
const MAX_SCANS: usize = 256;

/// What was read of a file.
pub struct Jpeg {
    pub width: usize,
    pub height: usize,
    /// `[height, width, 4]`, not yet turned upright.
    pub rgba: Vec<u8>,
    /// EXIF's data, from the TIFF header on.
    pub exif: Option<Vec<u8>>,
    /// What is wrong with a picture that is sound for the most part.
    pub warning: Option<String>,
}

/// Why there is no picture: a line each.
pub enum Refused {
    /// A sound file, perhaps, but one that is not read here: its size, its kind.
    Unread(String),
    /// What is wrong with the file, without the format's name.
    Damaged(String),
}

impl From<String> for Refused {
    fn from(reason: String) -> Refused {
        Refused::Damaged(reason)
    }
}

impl From<&str> for Refused {
    fn from(reason: &str) -> Refused {
        Refused::Damaged(reason.into())
    }
}

/// Reads a JPEG.
pub fn decode(bytes: &[u8]) -> Result<Jpeg, Refused> {
    let mut file = File::new(bytes);
    file.read()?;
    let frame = file.frame.as_mut().ok_or("it has no picture")?;
    let colours = colours(frame, file.jfif, file.adobe);
    let warning = file.damage.verdict(frame)?;
    for component in &mut frame.components {
        if frame.progressive {
            component.finish(frame.precision, frame.half).ok_or("its quantization table is missing")?;
        }
    }
    let (width, height) = frame.size();
    let rgba = colour::convert(frame, colours);
    Ok(Jpeg { width, height, rgba, exif: file.exif.map(<[u8]>::to_vec), warning })
}

/// Columns and rows that the header claims.
pub fn size(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut at = 2;
    loop {
        let (marker, from, _) = next_marker(bytes, at)?;
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let &[_, _, _, h1, h0, w1, w0] = bytes.get(from + 2..)?.first_chunk()?;
                return Some((u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into()));
            }
            0xd0..=0xd8 => at = from + 2,
            0xd9 | 0xda => return None,
            _ => at = from + 2 + usize::from(u16::from_be_bytes(*bytes.get(from + 2..)?.first_chunk()?)),
        }
    }
}

/// A file that is being read.
struct File<'f> {
    bytes: &'f [u8],
    quant: [Option<[u16; 64]>; 4],
    tables: Tables,
    frame: Option<Frame>,
    jfif: bool,
    /// Adobe's colour transform.
    adobe: Option<u8>,
    exif: Option<&'f [u8]>,
    damage: Damage,
}

/// What is missing of a picture.
#[derive(Default)]
struct Damage {
    /// What was found first.
    fault: Option<&'static str>,
    /// The largest share of a scan that was lost: units, of so many.
    lost: (usize, usize),
    /// Whether the file ends before its picture.
    cut: bool,
}

impl Damage {
    fn add(&mut self, fault: &'static str, lost: usize, total: usize) {
        self.fault.get_or_insert(fault);
        if lost as f64 * self.lost.1.max(1) as f64 >= self.lost.0 as f64 * total as f64 {
            self.lost = (lost, total);
        }
    }

    /// The warning that the picture comes with, or none; an error where too much is missing.
    fn verdict(&self, frame: &Frame) -> Result<Option<String>, String> {
        let (lost, total) = self.lost;
        let coarse = frame.components.iter().any(|component| component.missing != [0; 64]);
        let share = || format!("{:.0}% of the picture", (100.0 * lost as f64 / total as f64).ceil());
        match self.fault {
            _ if self.cut => Err("it is cut off: its end is missing".into()),
            None if frame.components.iter().any(|component| component.missing[0] == NOTHING) => {
                Err("the data of a colour are missing".into())
            }
            None if coarse => Ok(Some(
                "the JPEG ends before its last scans: the picture is coarser than it should be".into(),
            )),
            None => Ok(None),
            Some(fault) if coarse || lost * BEARABLE > total => {
                Err(format!("{fault}: {} is missing", share()))
            }
            Some(fault) if lost > 0 => {
                Ok(Some(format!("the JPEG is damaged: {fault}; {} is missing, and grey here", share())))
            }
            Some(fault) => Ok(Some(format!("the JPEG is damaged: {fault}; parts of it may be wrong"))),
        }
    }
}

impl<'f> File<'f> {
    fn new(bytes: &'f [u8]) -> File<'f> {
        File {
            bytes,
            quant: [None; 4],
            tables: Tables::default(),
            frame: None,
            jfif: false,
            adobe: None,
            exif: None,
            damage: Damage::default(),
        }
    }

    /// Reads segments and scans until the picture is complete, or ends.
    fn read(&mut self) -> Result<(), Refused> {
        let (mut at, mut scans) = (2, 0);
        loop {
            let Some((marker, from, _)) = next_marker(self.bytes, at) else {
                self.damage.cut = true;
                return if self.frame.is_some() { Ok(()) } else { Err(CUT.into()) };
            };
            at = from + 2;
            match marker {
                0xd0..=0xd8 => continue,
                0xd9 => return Ok(()),
                _ => {}
            }
            let Some(&length) = self.bytes[at..].first_chunk() else { return Err(CUT.into()) };
            let length = usize::from(u16::from_be_bytes(length));
            let Some(body) = self.bytes.get(at + 2..at + length.max(2)) else { return Err(CUT.into()) };
            at += length.max(2);
            if marker != 0xda {
                self.segment(marker, body)?;
                continue;
            }
            scans += 1;
            if scans > MAX_SCANS {
                return Err(format!("more than {MAX_SCANS} scans").into());
            }
            at = self.scan(body, at)?;
            if self.damage.cut || self.frame.as_ref().is_some_and(Frame::is_complete) {
                return Ok(());
            }
        }
    }

    fn segment(&mut self, marker: u8, body: &'f [u8]) -> Result<(), Refused> {
        match marker {
            0xc0..=0xc3 if self.frame.is_some() => return Err("a second frame".into()),
            0xc0..=0xc3 => self.frame = Some(Frame::parse(marker, body)?),
            0xc4 => self.huffman(body)?,
            0xc9..=0xcc => {
                return Err(Refused::Unread(
                    "a JPEG with arithmetic coding is not read here: convert it with \
                     `jpegtran -outfile picture2.jpg picture.jpg` or `magick picture.jpg picture.png`"
                        .into(),
                ));
            }
            0xc5..=0xcf => {
                return Err(Refused::Unread(
                    "a hierarchical JPEG is not read here: convert it with the program it comes from".into(),
                ));
            }
            0xdb => self.quantization(body)?,
            0xdd => {
                let &[high, low, ..] = body else { return Err("its restart interval is cut off".into()) };
                self.tables.restart = usize::from(u16::from_be_bytes([high, low]));
            }
            0xe0 if body.starts_with(b"JFIF\0") => self.jfif = true,
            0xe1 if self.exif.is_none() => {
                self.exif = body.strip_prefix(b"Exif\0").and_then(|rest| rest.get(1..))
            }
            0xee if body.starts_with(b"Adobe") => self.adobe = body.get(11).copied().or(self.adobe),
            _ => {}
        }
        Ok(())
    }

    fn huffman(&mut self, mut body: &[u8]) -> Result<(), String> {
        while let Some((&kind, rest)) = body.split_first() {
            let table = rest.split_first_chunk::<16>().and_then(|(counts, rest)| {
                let total = counts.iter().map(|&count| usize::from(count)).sum();
                let (symbols, rest) = rest.split_at_checked(total)?;
                Some((Table::new(counts, symbols)?, rest))
            });
            let (Some((table, rest)), 0 | 1, to @ 0..=3) = (table, kind >> 4, usize::from(kind & 15)) else {
                return Err("a Huffman table that is none".into());
            };
            let tables = if kind >> 4 == 0 { &mut self.tables.dc } else { &mut self.tables.ac };
            tables[to] = Some(Box::new(table));
            body = rest;
        }
        Ok(())
    }

    fn quantization(&mut self, mut body: &[u8]) -> Result<(), String> {
        while let Some((&kind, rest)) = body.split_first() {
            let wide = usize::from(kind >> 4);
            let (0 | 1, to @ 0..=3, Some((values, rest))) =
                (wide, usize::from(kind & 15), rest.split_at_checked(64 << wide.min(1)))
            else {
                return Err("a quantization table that is none".into());
            };
            self.quant[to] = Some(std::array::from_fn(|at| match wide {
                0 => u16::from(values[at]),
                _ => u16::from_be_bytes([values[2 * at], values[2 * at + 1]]),
            }));
            body = rest;
        }
        Ok(())
    }

    /// Decodes the scan with the header `body`, whose data begin at `at`, and gives where it ended.
    fn scan(&mut self, body: &[u8], at: usize) -> Result<usize, String> {
        let frame = self.frame.as_mut().ok_or("a scan before the frame")?;
        let scan = header(frame, body)?;
        for part in &scan.parts {
            let component = &mut frame.components[part.component];
            component.quant = component.quant.or(self.quant[component.table]);
        }
        // Motion JPEG leaves out the usual tables.
        for (class, tables) in [&mut self.tables.dc, &mut self.tables.ac].into_iter().enumerate() {
            for (table, usual) in tables.iter_mut().zip(&USUAL) {
                if table.is_none() && !frame.progressive && !frame.lossless {
                    *table = Table::new(&usual[class].0, usual[class].1).map(Box::new);
                }
            }
        }
        if frame.lossless {
            lossless::decode(frame, &scan, &self.tables, self.bytes, at)?;
            scan.parts.iter().for_each(|part| frame.components[part.component].missing = [0; 64]);
            return Ok(at);
        }
        let Outcome { marker, at, left, padded, lost, total, fault } =
            scan::decode(frame, &scan, &self.tables, self.bytes, at)?;
        for part in &scan.parts {
            frame.components[part.component].missing[scan.band.0..=scan.band.1].fill(scan.low as u8);
        }
        if let Some(fault) = fault {
            self.damage.add(fault, lost, total);
            self.damage.cut |= marker == 0 && lost > 0;
        }
        // What lies after a complete picture may be anything; but what an end, or a further scan, comes after is
        // data of the picture, which some block has not taken. And what lies there may have been taken for data.
        if left && (!frame.is_complete() || marker == 0xd9 || !padded) {
            self.damage.add(LEFT, 0, total);
        }
        Ok(at)
    }
}

const CUT: &str = "it is cut off: its end is missing";

/// A scan's header, checked against the frame.
fn header(frame: &Frame, body: &[u8]) -> Result<Scan, String> {
    let broken = || "a scan header that is none".to_string();
    let (&count, rest) = body.split_first().ok_or_else(broken)?;
    let (rows, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(broken)?;
    let &[first, last, bits, ..] = rest else { return Err(broken()) };
    let mut parts: Vec<Part> = Vec::new();
    for &[id, tables] in rows.as_chunks::<2>().0 {
        let component =
            frame.components.iter().position(|component| component.id == id).ok_or_else(broken)?;
        let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
        if dc > 3 || ac > 3 || parts.iter().any(|part| part.component == component) {
            return Err(broken());
        }
        parts.push(Part { component, dc, ac });
    }
    let (first, last) = (usize::from(first), usize::from(last));
    let (high, low) = (u32::from(bits >> 4), u32::from(bits & 15));
    let sound = match (frame.lossless, frame.progressive) {
        (true, _) => true,
        (_, true) => {
            let band = if first == 0 { last == 0 } else { first <= last && last < 64 && parts.len() == 1 };
            band && low <= 13 && (high == 0 || high == low + 1)
        }
        // Files that say otherwise are read all the same.
        _ => return Ok(Scan { parts, band: (0, 63), high: 0, low: 0 }).and_then(not_empty),
    };
    if !sound {
        return Err(broken());
    }
    not_empty(Scan { parts, band: (first, last), high, low })
}

fn not_empty(scan: Scan) -> Result<Scan, String> {
    if scan.parts.is_empty() { Err("a scan of nothing".into()) } else { Ok(scan) }
}

/// What the components are, by libjpeg's rules.
fn colours(frame: &Frame, jfif: bool, adobe: Option<u8>) -> Colours {
    let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
    match (ids.len(), adobe) {
        (1, _) => Colours::Grey,
        (3, _) if jfif => Colours::YCbCr,
        (3, Some(0)) => Colours::Rgb,
        (3, None) if ids == *b"RGB" || frame.lossless => Colours::Rgb,
        (3, _) => Colours::YCbCr,
        (_, None | Some(0)) => Colours::Cmyk,
        _ => Colours::Ycck,
    }
}
