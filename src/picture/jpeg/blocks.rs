//! A block's coefficients from their codes (ITU-T T.81, annexes F.2 and G.2).

use super::bits::{Bits, END, Table};

/// The order in which a block's coefficients come: where each lies, row by row.
#[rustfmt::skip]
pub const ZIGZAG: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

#[inline(always)]
pub fn dc_difference(bits: &mut Bits, table: &Table) -> Option<i32> {
    let size = bits.symbol(table).filter(|&size| size < 16)?;
    Some(bits.number(u32::from(size)))
}

/// Decodes a block with all its coefficients, and gives the index of the last; `None` where there is no such
/// code, or a coefficient too many.
#[inline(always)]
pub fn sequential(
    bits: &mut Bits,
    dc: &Table,
    ac: &Table,
    prediction: &mut i32,
    quant: &[i32; 64],
    block: &mut [i32; 64],
) -> Option<usize> {
    *prediction = prediction.wrapping_add(dc_difference(bits, dc)?);
    block[0] = prediction.wrapping_mul(quant[0]);
    let (mut at, mut last) = (1, 0);
    while at < 64 {
        let (run, value) = match bits.short_coefficient(ac) {
            Some(short) => short,
            None => {
                let symbol = bits.symbol(ac)?;
                let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
                match (run, size) {
                    (15, 0) => (15, 0),
                    (_, 0) => break,
                    _ => (run, bits.number(size)),
                }
            }
        };
        at += run;
        if at > 63 {
            if value == 0 {
                break;
            }
            return None;
        }
        block[usize::from(ZIGZAG[at])] = value.wrapping_mul(quant[at]);
        last = at;
        at += 1;
    }
    Some(last)
}

/// The first bits of a progressive block's coefficients from `band.0` to `band.1`.
pub fn ac_first(
    bits: &mut Bits,
    table: &Table,
    band: (usize, usize),
    low: u32,
    blocks: &mut u32,
    values: &mut [i16],
    nonzero: &mut u64,
) -> Option<()> {
    if *blocks > 0 {
        *blocks -= 1;
        return Some(());
    }
    let mut at = band.0;
    while at <= band.1 {
        let (run, value) = match bits.short_coefficient(table) {
            Some((END, _)) => break,
            Some(short) => short,
            None => {
                let symbol = bits.symbol(table)?;
                let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
                match (run, size) {
                    (15, 0) => (15, 0),
                    (_, 0) => {
                        *blocks = (1 << run) - 1 + bits.take(run);
                        break;
                    }
                    _ => (run as usize, bits.number(size)),
                }
            }
        };
        at += run;
        if value != 0 {
            if at > band.1 {
                return None;
            }
            *nonzero |= 1 << at;
            if let Some(kept) = values.get_mut(at) {
                *kept = value.wrapping_shl(low) as i16;
            }
        }
        at += 1;
    }
    Some(())
}

/// One more bit of a progressive block's coefficients from `band.0` to `band.1`.
pub fn ac_refine(
    bits: &mut Bits,
    table: &Table,
    band: (usize, usize),
    low: u32,
    blocks: &mut u32,
    values: &mut [i16],
    nonzero: &mut u64,
) -> Option<()> {
    let one = 1i16.checked_shl(low)?;
    // A coefficient that is not 0 yet has another bit of its own.
    let refine = |bits: &mut Bits, value: Option<&mut i16>| {
        if bits.bit()
            && let Some(value) = value
        {
            *value = if *value < 0 { value.wrapping_sub(one) } else { value.wrapping_add(one) };
        }
    };
    let mut at = band.0;
    if *blocks == 0 {
        while at <= band.1 {
            let symbol = bits.symbol(table)?;
            let (mut run, size) = (u32::from(symbol >> 4), symbol & 15);
            let value = match size {
                0 if run < 15 => {
                    *blocks = (1 << run) + bits.take(run);
                    break;
                }
                0 => 0,
                1 => {
                    if bits.bit() {
                        one
                    } else {
                        -one
                    }
                }
                _ => return None,
            };
            while at <= band.1 {
                if *nonzero >> at & 1 == 1 {
                    refine(bits, values.get_mut(at));
                } else if run == 0 {
                    break;
                } else {
                    run -= 1;
                }
                at += 1;
            }
            if value != 0 {
                if at > band.1 {
                    return None;
                }
                *nonzero |= 1 << at;
                if let Some(kept) = values.get_mut(at) {
                    *kept = value;
                }
            }
            at += 1;
        }
    }
    if *blocks > 0 {
        while at <= band.1 {
            if *nonzero >> at & 1 == 1 {
                refine(bits, values.get_mut(at));
            }
            at += 1;
        }
        *blocks -= 1;
    }
    Some(())
}
