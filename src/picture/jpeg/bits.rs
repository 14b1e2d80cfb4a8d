//! Entropy-coded data as bits, and Huffman's codes (ITU-T T.81, annex F.2.2).

/// Reads bits up to the next marker. From there on they are zeros, and [`Bits::overrun`] is true once one of
/// these has been taken.
pub struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte that is not in the buffer: a marker's 0xff where one was met.
    at: usize,
    /// The next bits, from the top.
    buffer: u64,
    /// How many bits the buffer holds.
    count: u32,
    /// How many of the bits ever put into the buffer were not in the file.
    invented: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Bits<'a> {
        Bits { bytes, at, buffer: 0, count: 0, invented: 0 }
    }

    /// Whether more bits were taken than there are before the marker.
    #[inline(always)]
    pub fn overrun(&self) -> bool {
        self.count < self.invented
    }

    /// Where to look for the marker that follows, and whether anything but filling lies before it in the
    /// buffer: whole bytes that are not 0.
    pub fn rest(&self) -> (usize, bool) {
        let bits = self.count.saturating_sub(self.invented);
        let whole = bits / 8 * 8;
        let left = self.buffer << (bits % 8).min(63);
        (self.at, whole > 0 && left >> (64 - whole) != 0)
    }

    /// Whether the bits that fill up the current byte are all the same.
    pub fn padded(&self) -> bool {
        let bits = self.count.saturating_sub(self.invented) % 8;
        let left = self.buffer >> (63 - bits) >> 1;
        left == 0 || left == (1 << bits) - 1
    }

    /// Makes sure that 32 bits lie in the buffer: enough for a code and what follows it.
    #[inline(always)]
    pub fn fill(&mut self) {
        if self.count < 32 {
            self.refill();
        }
    }

    #[inline]
    fn refill(&mut self) {
        if let Some(next) = self.bytes.get(self.at..self.at + 4) {
            let word = u32::from_be_bytes([next[0], next[1], next[2], next[3]]);
            // No byte of 0xff: all four are data.
            if (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 == 0 {
                self.buffer |= u64::from(word) << (32 - self.count);
                self.count += 32;
                self.at += 4;
                return;
            }
        }
        self.refill_by_bytes();
    }

    #[cold]
    fn refill_by_bytes(&mut self) {
        while self.count <= 56 {
            let byte = match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    0xff
                }
                (Some(0xff), Some(0xff)) => {
                    self.at += 1;
                    continue;
                }
                (Some(0xff) | None, _) => {
                    self.invented += 8;
                    0
                }
                (Some(&byte), _) => {
                    self.at += 1;
                    byte
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next 1 to 32 bits, which stay.
    #[inline(always)]
    fn peek(&self, count: u32) -> u32 {
        (self.buffer >> (64 - count)) as u32
    }

    #[inline(always)]
    fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.count -= count;
    }

    /// One bit.
    #[inline(always)]
    pub fn bit(&mut self) -> bool {
        self.fill();
        let bit = self.peek(1) == 1;
        self.skip(1);
        bit
    }

    /// The next `count` bits, at most 16 and, with a code before them, without another [`Bits::fill`].
    #[inline(always)]
    pub fn take(&mut self, count: u32) -> u32 {
        if count == 0 {
            return 0;
        }
        let bits = self.peek(count);
        self.skip(count);
        bits
    }

    /// A number of `size` bits, 0 to 16, as T.81 writes them: those that begin with a 0 are negative.
    #[inline(always)]
    pub fn number(&mut self, size: u32) -> i32 {
        let bits = self.take(size) as i32;
        let half = (1 << size) >> 1;
        if bits < half { bits - (1 << size) + 1 } else { bits }
    }

    /// The symbol of the next code; `None` where no code begins so.
    #[inline(always)]
    pub fn symbol(&mut self, table: &Table) -> Option<u8> {
        self.fill();
        let entry = table.short[self.peek(SHORT) as usize];
        if entry != 0 {
            self.skip(u32::from(entry >> 8));
            return Some(entry as u8);
        }
        self.long_symbol(table)
    }

    #[cold]
    fn long_symbol(&mut self, table: &Table) -> Option<u8> {
        let code = self.peek(16) as i32;
        let length = (SHORT as usize + 1..=16).find(|&length| code < table.end[length])?;
        let at = (code >> (16 - length)) + table.first[length];
        self.skip(length as u32);
        Some(table.symbols[at as usize & 255])
    }

    /// The next coefficient where its code and its bits are short together: how many zeros go before it, and its
    /// value. The end of a block is a 0 after [`END`] zeros, and 16 zeros are a 0 after 15.
    #[inline(always)]
    pub fn short_coefficient(&mut self, table: &Table) -> Option<(usize, i32)> {
        self.fill();
        let entry = table.coefficients[self.peek(SHORT) as usize];
        if entry == 0 {
            return None;
        }
        self.skip((entry & 0xff) as u32);
        Some(((entry >> 8 & 0xff) as usize, entry >> 16))
    }
}

/// The zeros that stand for a block's end.
pub const END: usize = 64;

/// Codes of at most so many bits are found in one look.
const SHORT: u32 = 10;

/// A table of Huffman codes.
pub struct Table {
    /// By the next bits: the code's length and, below it, its symbol; 0 where the code is longer.
    short: [u16; 1 << SHORT],
    /// By the next bits: a coefficient, the zeros before it, and how many bits both take; 0 where it is longer.
    coefficients: [i32; 1 << SHORT],
    /// By length: the end of its codes, shifted to 16 bits.
    end: [i32; 17],
    /// By length: what leads from a code to its place in `symbols`.
    first: [i32; 17],
    symbols: [u8; 256],
}

impl Table {
    /// Of how many codes there are of each length from 1, and their symbols; `None` where there are more codes
    /// than fit.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Table> {
        let mut table = Table {
            short: [0; 1 << SHORT],
            coefficients: [0; 1 << SHORT],
            end: [0; 17],
            first: [0; 17],
            symbols: [0; 256],
        };
        table.symbols.get_mut(..symbols.len())?.copy_from_slice(symbols);
        let (mut code, mut at) = (0i32, 0);
        for length in 1..=16 {
            let count = usize::from(counts[length - 1]);
            table.first[length] = at as i32 - code;
            for &symbol in symbols.get(at..at + count)? {
                if code >= 1 << length {
                    return None;
                }
                if length as u32 <= SHORT {
                    let shift = SHORT - length as u32;
                    let from = (code as usize) << shift;
                    table.short[from..from + (1 << shift)].fill((length as u16) << 8 | u16::from(symbol));
                }
                code += 1;
            }
            at += count;
            table.end[length] = code << (16 - length);
            code <<= 1;
        }
        for bits in 0..1u32 << SHORT {
            let entry = table.short[bits as usize];
            let (length, run, size) =
                (u32::from(entry >> 8), i32::from(entry >> 4 & 15), u32::from(entry & 15));
            if length > 0 && size > 0 && length + size <= SHORT {
                let value = (bits >> (SHORT - length - size)) as i32 & ((1 << size) - 1);
                let value = if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value };
                table.coefficients[bits as usize] = value << 16 | run << 8 | (length + size) as i32;
            }
            match entry as u8 {
                _ if length == 0 => {}
                0x00 => table.coefficients[bits as usize] = (END as i32) << 8 | length as i32,
                0xf0 => table.coefficients[bits as usize] = 15 << 8 | length as i32,
                _ => {}
            }
        }
        Some(table)
    }
}

/// The tables that files of motion JPEG leave out (T.81, K.3): for brightness and for colour, each the counts
/// and symbols of DC and of AC.
#[rustfmt::skip]
pub const USUAL: [[([u8; 16], &[u8]); 2]; 2] = [
    [
        ([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d], &[
            0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
            0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
            0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28,
            0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
            0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
            0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
            0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
            0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5,
            0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
            0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
            0xf9, 0xfa,
        ]),
    ],
    [
        ([0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ([0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77], &[
            0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
            0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0,
            0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26,
            0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
            0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
            0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
            0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
            0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
            0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
            0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
            0xf9, 0xfa,
        ]),
    ],
];
