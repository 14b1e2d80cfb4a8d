//! JPEG: every sampling and order of scans with libjpeg's values, pictures that are damaged, and very large ones.

use super::{FOLDER, pixel, random};
use mobileone::picture::{self, Picture};
use std::path::Path;

#[test]
fn every_sampling_and_order_of_scans() {
    #[derive(serde::Deserialize)]
    struct Expected {
        size: [usize; 2],
        points: Vec<[usize; 5]>,
    }
    let folder = Path::new(FOLDER).join("jpeg");
    let text = std::fs::read_to_string(folder.join("points.json")).unwrap();
    let rows: std::collections::BTreeMap<String, Expected> = serde_json::from_str(&text).unwrap();
    assert!(rows.len() >= 15);
    for (name, expected) in rows {
        let picture = match (picture::open(folder.join(&name)), name.as_str()) {
            (Err(error), "arithmetic.jpg") => {
                let error = error.to_string();
                assert!(error.contains("arithmetic coding") && error.contains("jpegtran"), "{error}");
                assert!(!error.contains("not a sound"), "{error}");
                continue;
            }
            (picture, _) => picture.unwrap(),
        };
        assert_eq!([picture.width, picture.height], expected.size, "{name}");
        assert_eq!(picture.warning, None, "{name}");
        for [x, y, red, green, blue] in expected.points {
            let found = pixel(&picture, x, y).map(usize::from);
            assert_eq!(found, [red, green, blue, 255], "{name} at ({x}, {y})");
        }
    }
}

/// A JPEG of flat blocks: how it is written, and the value of each block of each component.
struct Flat<'a> {
    size: (usize, usize),
    /// Of each component, across and down.
    sampling: &'a [(usize, usize)],
    /// The components of each scan.
    scans: &'a [&'a [usize]],
    /// Units between restart markers, or 0.
    restart: usize,
    /// The frame's marker: 0xc1 for more than 8 bits.
    frame: u8,
    precision: u32,
}

const GREY: Flat =
    Flat { size: (64, 64), sampling: &[(1, 1)], scans: &[&[0]], restart: 0, frame: 0xc0, precision: 8 };

/// Bits, with a 0 after each byte of 0xff.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.held = self.held << count | u64::from(value);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xff {
                self.bytes.push(0);
            }
        }
    }

    /// A difference: a code of four bits, which is its size, and its bits.
    fn difference(&mut self, value: i32) {
        let size = 32 - value.unsigned_abs().leading_zeros();
        self.put(size, 4);
        self.put((if value < 0 { value + (1 << size) - 1 } else { value }) as u32, size);
    }

    fn end(&mut self) {
        if self.count > 0 {
            self.put((1 << (8 - self.count)) - 1, 8 - self.count);
        }
    }
}

fn segment(out: &mut Vec<u8>, marker: u8, body: &[u8]) {
    out.extend([0xff, marker]);
    out.extend((body.len() as u16 + 2).to_be_bytes());
    out.extend(body);
}

impl Flat<'_> {
    fn head(&self) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8];
        // Times 8, which is what a block's mean is of its first coefficient.
        segment(&mut out, 0xdb, &[&[0][..], &[8; 64]].concat());
        let (w, h) = (self.size.0 as u16, self.size.1 as u16);
        let mut frame = vec![self.precision as u8];
        frame.extend([h.to_be_bytes(), w.to_be_bytes()].concat());
        frame.push(self.sampling.len() as u8);
        for (at, (h, v)) in self.sampling.iter().enumerate() {
            frame.extend([at as u8 + 1, (h << 4 | v) as u8, 0]);
        }
        segment(&mut out, self.frame, &frame);
        // Sizes are codes of four bits; of AC there is the end of the block, in one.
        segment(
            &mut out,
            0xc4,
            &[&[0x00, 0, 0, 0, 15][..], &[0; 12], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]]
                .concat(),
        );
        segment(&mut out, 0xc4, &[&[0x10, 1][..], &[0; 15], &[0]].concat());
        segment(&mut out, 0xdd, &(self.restart as u16).to_be_bytes());
        out
    }

    /// `value` gives a block's mean, less the middle grey, by component, column and row.
    fn bytes(&self, value: impl Fn(usize, usize, usize) -> i32) -> Vec<u8> {
        let mut out = self.head();
        let most = (
            self.sampling.iter().map(|s| s.0).max().unwrap(),
            self.sampling.iter().map(|s| s.1).max().unwrap(),
        );
        for &scan in self.scans {
            let mut header = vec![scan.len() as u8];
            scan.iter().for_each(|&component| header.extend([component as u8 + 1, 0]));
            segment(&mut out, 0xda, &[header, vec![0, 63, 0]].concat());
            let alone = scan.len() == 1;
            let blocks = |side: usize, of: usize, most: usize| (side * of).div_ceil(most).div_ceil(8);
            let units = if alone {
                let (h, v) = self.sampling[scan[0]];
                (blocks(self.size.0, h, most.0), blocks(self.size.1, v, most.1))
            } else {
                (self.size.0.div_ceil(8 * most.0), self.size.1.div_ceil(8 * most.1))
            };
            let (mut bits, mut before) = (Bits::default(), [0; 4]);
            for unit in 0..units.0 * units.1 {
                if self.restart > 0 && unit > 0 && unit % self.restart == 0 {
                    bits.end();
                    bits.bytes.extend([0xff, 0xd0 + ((unit / self.restart - 1) % 8) as u8]);
                    before = [0; 4];
                }
                for &component in scan {
                    let (h, v) = if alone { (1, 1) } else { self.sampling[component] };
                    for block in 0..h * v {
                        let x = unit % units.0 * h + block % h;
                        let y = unit / units.0 * v + block / h;
                        let value = value(component, x, y);
                        bits.difference(value - before[component]);
                        bits.put(0, 1);
                        before[component] = value;
                    }
                }
            }
            bits.end();
            out.extend(bits.bytes);
        }
        out.extend([0xff, 0xd9]);
        out
    }
}

/// Red, green and blue of brightness and colour as differences from the middle, by ITU-R BT.601.
fn rgb(y: i32, cb: i32, cr: i32) -> [f64; 3] {
    let (y, cb, cr) = (f64::from(y + 128), f64::from(cb), f64::from(cr));
    [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
}

#[test]
fn flat_blocks_of_any_sampling() {
    let samplings: [&[(usize, usize)]; 9] = [
        &[(1, 1), (1, 1), (1, 1)],
        &[(2, 2), (1, 1), (1, 1)],
        &[(1, 2), (1, 1), (1, 1)],
        &[(4, 2), (1, 1), (1, 1)],
        &[(1, 1), (2, 2), (1, 1)],
        &[(1, 1), (2, 2), (2, 2)],
        &[(2, 1), (1, 2), (1, 1)],
        &[(3, 1), (2, 1), (1, 1)],
        &[(4, 4), (3, 2), (1, 3)],
    ];
    let orders: [&[&[usize]]; 4] =
        [&[&[0, 1, 2]], &[&[0], &[1], &[2]], &[&[2], &[1], &[0]], &[&[1, 2], &[0]]];
    for sampling in samplings {
        for scans in orders {
            for restart in [0, 3] {
                let flat = Flat { size: (99, 70), sampling, scans, restart, ..GREY };
                // One colour for a whole picture: where each block lies does not matter, whether it is read does.
                let picture =
                    picture::decode(&flat.bytes(|component, _, _| [30, -40, 25][component])).unwrap();
                assert_eq!((picture.width, picture.height, &picture.warning), (99, 70, &None));
                let expected = rgb(30, -40, 25).map(|value| value.round() as i32);
                for pixel in picture.rgba.as_chunks::<4>().0 {
                    let off = (0..3).map(|c| (i32::from(pixel[c]) - expected[c]).abs()).max().unwrap();
                    assert!(off <= 1, "{sampling:?} {scans:?}: {pixel:?}, expected {expected:?}");
                }
                // Each block of its own brightness: where it lies does matter.
                let level = |x: usize, y: usize| (x * 5 + y * 9) as i32 % 100 - 50;
                let picture = picture::decode(
                    &flat.bytes(|component, x, y| if component == 0 { level(x, y) } else { 0 }),
                );
                let picture = picture.unwrap();
                let most = (
                    sampling.iter().map(|s| s.0).max().unwrap(),
                    sampling.iter().map(|s| s.1).max().unwrap(),
                );
                let (h, v) = sampling[0];
                for (x, y) in [(0, 0), (17, 5), (50, 33), (98, 69), (3, 69), (98, 2)] {
                    // The middle of the block that this pixel is in, where no neighbour is mixed in.
                    let block = ((x * h / most.0) / 8, (y * v / most.1) / 8);
                    let middle =
                        (((block.0 * 8 + 4) * most.0 / h).min(98), ((block.1 * 8 + 4) * most.1 / v).min(69));
                    let found = i32::from(pixel(&picture, middle.0, middle.1)[1]);
                    assert_eq!(found, 128 + level(block.0, block.1), "{sampling:?} {scans:?} at {middle:?}");
                }
            }
        }
    }
}

#[test]
fn twelve_bits_are_rounded_to_eight() {
    let flat = Flat { frame: 0xc1, precision: 12, ..GREY };
    let picture = picture::decode(&flat.bytes(|_, x, y| (x * 200 + y * 37) as i32 - 900)).unwrap();
    for (x, y) in [(0, 0), (3, 5), (7, 7)] {
        let expected = (2048.0 + (x * 200 + y * 37) as f64 - 900.0) / 16.0;
        let found = f64::from(pixel(&picture, x * 8 + 4, y * 8 + 4)[0]);
        assert!((found - expected).abs() <= 1.0, "{found}, expected {expected}");
    }
}

#[test]
fn lossless() {
    for predictor in 1..=7u8 {
        let flat = Flat { size: (40, 23), frame: 0xc3, ..GREY };
        let value = |x: usize, y: usize| ((x * 7 + y * 3 + x * y) % 256) as i32;
        let mut out = flat.head();
        segment(&mut out, 0xdd, &[0, 0]);
        segment(&mut out, 0xda, &[1, 1, 0, predictor, 0, 0]);
        let mut bits = Bits::default();
        for y in 0..23 {
            for x in 0..40 {
                let prediction = match (x, y) {
                    (0, 0) => 128,
                    (_, 0) => value(x - 1, 0),
                    (0, _) => value(0, y - 1),
                    _ => {
                        let (a, b, c) = (value(x - 1, y), value(x, y - 1), value(x - 1, y - 1));
                        [a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1]
                            [usize::from(predictor) - 1]
                    }
                };
                bits.difference(value(x, y) - prediction);
            }
        }
        bits.end();
        out.extend(bits.bytes);
        out.extend([0xff, 0xd9]);
        let picture = picture::decode(&out).unwrap();
        for (at, pixel) in picture.rgba.as_chunks::<4>().0.iter().enumerate() {
            assert_eq!(i32::from(pixel[0]), value(at % 40, at / 40), "predictor {predictor}, {at}");
        }
    }
}

/// A picture of the size of a photograph, whose data are cut, changed and followed by others in what follows.
fn photograph() -> (Vec<u8>, usize, Picture) {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/demo/images/zero-on-paper.jpg")).unwrap();
    let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 14;
    let whole = picture::decode(&bytes).unwrap();
    assert_eq!(whole.warning, None);
    (bytes, scan, whole)
}

#[test]
fn cut_off_and_given_an_end() {
    let (bytes, scan, _) = photograph();
    let length = bytes.len() - 2 - scan;
    for share in [0.02, 0.3, 0.6, 0.8, 0.97, 0.995] {
        let cut = &bytes[..scan + (length as f64 * share) as usize];
        let error = picture::decode(cut).expect_err("nothing after it").to_string();
        assert!(error.contains("cut off"), "{share}: {error}");
        let ended = picture::decode(&[cut, &[0xff, 0xd9]].concat());
        if share < 0.9 {
            let error = ended.expect_err("an end after it").to_string();
            assert!(
                error.contains("end too early") && error.contains("% of the picture is missing"),
                "{share}: {error}"
            );
        } else {
            let warning = ended.unwrap().warning.expect("an invented part is said");
            assert!(
                warning.contains("damaged") && warning.contains("% of the picture is missing"),
                "{share}: {warning}"
            );
        }
    }
    let progressive = std::fs::read(Path::new(FOLDER).join("jpeg/progressive_420.jpg")).unwrap();
    let scan = progressive.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 14;
    for cut in scan..progressive.len() - 2 {
        let picture = picture::decode(&[&progressive[..cut], &[0xff, 0xd9]].concat());
        assert!(picture.as_ref().map_or(true, |picture| picture.warning.is_some()), "cut to {cut}");
    }
}

#[test]
fn lost_blocks_and_intervals() {
    let flat = Flat { size: (160, 160), restart: 20, ..GREY };
    let bytes = flat.bytes(|_, x, y| (x * 5 + y * 3) as i32 - 80);
    let whole = picture::decode(&bytes).unwrap();
    let marks: Vec<usize> = (0..bytes.len() - 1)
        .filter(|&at| bytes[at] == 0xff && (0xd0..=0xd7).contains(&bytes[at + 1]))
        .collect();
    assert_eq!(marks.len(), 19);
    // An interval is lost, and with it its marker: one row of blocks is grey, and all others are where they were.
    let lost = [&bytes[..marks[5]], &bytes[marks[6]..]].concat();
    let picture = picture::decode(&lost).unwrap();
    let warning = picture.warning.as_ref().expect("a warning");
    assert!(warning.contains("5% of the picture is missing"), "{warning}");
    for y in 0..160 {
        let (found, expected) = (pixel(&picture, 100, y), pixel(&whole, 100, y));
        assert_eq!(found, if y / 8 == 6 { [128, 128, 128, 255] } else { expected }, "row {y}");
    }
    // The rest of one interval; half of them; its data without a code; a byte too many; markers in disorder.
    let short = [&bytes[..marks[5] - 9], &bytes[marks[5]..]].concat();
    let few = [&bytes[..marks[2]], &bytes[marks[9]..]].concat();
    let mut broken = bytes.clone();
    broken[marks[3] + 4..marks[3] + 12].fill(0xfe);
    let more = [&bytes[..marks[7]], &[0x12, 0x34, 0x56], &bytes[marks[7]..]].concat();
    let mut order = bytes.clone();
    order[marks[4] + 1] = 0xd6;
    for (name, bytes, bearable) in [
        ("short", short, true),
        ("few", few, false),
        ("broken", broken, true),
        ("more", more, true),
        ("order", order, true),
    ] {
        match picture::decode(&bytes) {
            Ok(picture) => assert!(picture.warning.is_some() && bearable, "{name}: {picture:?}"),
            Err(error) => assert!(!bearable || name == "order", "{name}: {error}"),
        }
    }
    // Without restart markers nothing can be found again: all after it is lost.
    let flat = Flat { restart: 0, ..flat };
    let bytes = flat.bytes(|_, x, y| (x * 5 + y * 3) as i32 - 80);
    let half = bytes.len() / 2;
    let mut broken = bytes.clone();
    broken[half..half + 4].fill(0xfe);
    assert!(picture::decode(&broken).is_err());
    for lost in [8, 30] {
        let dropped = [&bytes[..half], &bytes[half + lost..]].concat();
        let picture = picture::decode(&dropped);
        assert!(picture.as_ref().map_or(true, |picture| picture.warning.is_some()), "{lost} bytes lost");
    }
    let doubled = [&bytes[..half], &bytes[half - 40..]].concat();
    let picture = picture::decode(&doubled).map(|picture| picture.warning.is_some());
    assert!(picture.unwrap_or(true), "data twice");
}

#[test]
fn scans_that_are_missing() {
    let flat = Flat { size: (64, 48), sampling: &[(2, 2), (1, 1), (1, 1)], scans: &[&[0], &[1]], ..GREY };
    let error = picture::decode(&flat.bytes(|_, x, _| x as i32)).unwrap_err().to_string();
    assert!(error.contains("the data of a colour are missing"), "{error}");
}

#[test]
fn sound_without_an_end_marker() {
    let (bytes, _, whole) = photograph();
    let sound = &bytes[..bytes.len() - 2];
    let trailer =
        [&b"\0\0\x01\x0a\x0e\0\0\0Image_UTC_Data1467000000000SEFHe\0\0\0"[..], &[7; 999], b"SEFT"].concat();
    let rows = [
        ("no end", sound.to_vec()),
        ("a trailer", [&bytes[..], &trailer].concat()),
        ("a trailer instead of the end", [sound, &trailer].concat()),
        ("a picture after it", [&bytes[..], &bytes].concat()),
        ("a picture instead of the end", [sound, &bytes].concat()),
        ("filling before the end", [sound, &[0xff, 0xff, 0xff, 0xd9]].concat()),
        ("zeros before the end", [sound, &[0, 0, 0xff, 0xd9]].concat()),
    ];
    for (name, bytes) in rows {
        assert!(picture::decode(&bytes).unwrap() == whole, "{name}");
    }
}

#[test]
fn damage_is_never_silent_where_it_can_be_seen() {
    // Data that are changed may still be some picture's: that they end where they should is all there is to see.
    // What is cut out of them in the middle of a scan moves the end.
    let (bytes, scan, whole) = photograph();
    let mut random = random(5);
    let (mut seen, runs) = (0, 60);
    for _ in 0..runs {
        let from = scan + random(bytes.len() - scan - 300);
        let dropped = [&bytes[..from], &bytes[from + 100 + random(100)..]].concat();
        match picture::decode(&dropped) {
            Ok(picture) => seen += usize::from(picture.warning.is_some() || picture == whole),
            Err(_) => seen += 1,
        }
    }
    assert!(seen >= runs - 2, "{seen} of {runs}");
}

#[test]
fn photographs_of_108_and_200_megapixels() {
    // Grey, then colour at half the resolution; by restart intervals, and all at once.
    let colour: &[(usize, usize)] = &[(2, 2), (1, 1), (1, 1)];
    let rows =
        [((16_384, 12_288), GREY.sampling, GREY.scans), ((12_000, 9_001), colour, &[&[0, 1, 2][..]][..])];
    for (size, sampling, scans) in rows {
        let flat = Flat { size, sampling, scans, ..GREY };
        let level = |x: usize, y: usize| (x / 3 + y / 5) as i32 % 150 - 75;
        let bytes = flat.bytes(|component, x, y| if component == 0 { level(x, y) } else { 20 });
        let picture = picture::decode(&bytes).unwrap();
        assert_eq!((picture.width, picture.height), (size.0 / 2, size.1.div_ceil(2)));
        let others = if sampling.len() == 1 { 0 } else { 20 };
        for (x, y) in [(2, 2), (1000, 777), (4001, 3333), (5999, 4499)] {
            let expected = rgb(level(x / 4, y / 4), others, others);
            let found = pixel(&picture, x, y);
            let off = (0..3).map(|c| (f64::from(found[c]) - expected[c]).abs());
            assert!(
                off.fold(0.0, f64::max) <= 1.0,
                "{size:?} at ({x}, {y}): {found:?}, expected {expected:?}"
            );
        }
    }
    let flat = Flat { size: (20_000, 16_000), ..GREY };
    let error = picture::decode(&flat.head()).unwrap_err().to_string();
    assert!(error.contains("256") && error.contains("magick"), "{error}");
}
