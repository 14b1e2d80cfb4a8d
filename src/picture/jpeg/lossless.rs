//! Scans of a lossless picture: each sample is written as its difference from its neighbours (ITU-T T.81,
//! annex H).

use super::{
    bits::{Bits, Table},
    frame::Frame,
    scan::{Scan, Tables},
};

/// Decodes the scan whose data begin at `at` into the planes of its components; or what is wrong with it.
pub fn decode(
    frame: &mut Frame,
    scan: &Scan,
    tables: &Tables,
    bytes: &[u8],
    at: usize,
) -> Result<(), String> {
    let codes: Vec<&Table> = scan
        .parts
        .iter()
        .map(|part| tables.dc[part.dc].as_deref().ok_or("a scan whose Huffman table is missing".to_string()))
        .collect::<Result<_, _>>()?;
    let predictor = scan.band.0;
    if !(1..=7).contains(&predictor) || scan.low >= frame.precision {
        return Err("a lossless scan of no known kind".into());
    }
    let alone = scan.parts.len() == 1;
    let units = match alone {
        true => frame.components[scan.parts[0].component].blocks,
        false => frame.units,
    };
    let begin = 1i32 << (frame.precision - scan.low - 1);
    let mut planes: Vec<Vec<u16>> = scan
        .parts
        .iter()
        .map(|part| {
            let component = &frame.components[part.component];
            vec![0; component.stride * component.rows]
        })
        .collect();
    let mut bits = Bits::new(bytes, at);
    // The rows of units since the last restart: in the first one only the left neighbour predicts.
    let (mut first_row, mut left, mut restarts) = (0, tables.restart, 0);
    for y in 0..units.1 {
        for x in 0..units.0 {
            if tables.restart > 0 && left == 0 {
                let (from, _) = bits.rest();
                if bytes.get(from..from + 2) != Some(&[0xff, 0xd0 + restarts]) || x != 0 {
                    return Err("its restart markers are not where they belong".into());
                }
                (bits, first_row, left) = (Bits::new(bytes, from + 2), y, tables.restart);
                restarts = (restarts + 1) & 7;
            }
            left = left.saturating_sub(1);
            for ((part, plane), codes) in scan.parts.iter().zip(&mut planes).zip(&codes) {
                let component = &frame.components[part.component];
                let (h, v) = if alone { (1, 1) } else { component.sampling };
                for (row, column) in (0..v).flat_map(|row| (0..h).map(move |column| (row, column))) {
                    let (sx, sy) = (x * h + column, y * v + row);
                    let at = sy * component.stride + sx;
                    let above = |back: usize| i32::from(plane[at - component.stride - back]);
                    let prediction = match (sx, sy - first_row * v) {
                        (0, 0) => begin,
                        (_, 0) => i32::from(plane[at - 1]),
                        (0, _) => above(0),
                        _ => {
                            let (a, b, c) = (i32::from(plane[at - 1]), above(0), above(1));
                            match predictor {
                                1 => a,
                                2 => b,
                                3 => c,
                                4 => a + b - c,
                                5 => a + ((b - c) >> 1),
                                6 => b + ((a - c) >> 1),
                                _ => (a + b) >> 1,
                            }
                        }
                    };
                    let size = bits.symbol(codes).filter(|&size| size <= 16).ok_or("its data are broken")?;
                    let difference = if size == 16 { 1 << 15 } else { bits.number(u32::from(size)) };
                    if bits.overrun() {
                        return Err("its data end too early".into());
                    }
                    plane[at] = (prediction + difference) as u16;
                }
            }
        }
    }
    for (part, plane) in scan.parts.iter().zip(planes) {
        let (shift, top) = (scan.low, (1u32 << frame.precision) - 1);
        let eight = |value: u16| (((u32::from(value) << shift).min(top) * 255 + top / 2) / top) as u8;
        frame.components[part.component].plane = plane.into_iter().map(eight).collect();
    }
    Ok(())
}
