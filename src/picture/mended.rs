//! Sound files that `image` refuses, as it takes them.

/// A BMP with the header of OS/2 2.x, which is Windows' with more fields or with fewer, as one of Windows.
pub fn os2(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    const WINDOWS: usize = 40;
    let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
    let (Some(data), Some(size @ 16..=64)) = (number(10), number(14)) else { return Ok(None) };
    // Windows' own.
    if matches!(size, WINDOWS | 52 | 56) {
        return Ok(None);
    }
    let (Some(header), Some(rest)) = (bytes.get(18..14 + size), bytes.get(14 + size..)) else {
        return Err("not a sound BMP: its header is cut off".into());
    };
    if matches!(header.get(12), Some(3 | 4)) {
        return Err("a BMP with OS/2's own compression is not read here: convert it with \
                    `magick picture.bmp picture.png`"
            .into());
    }
    let mut windows = header[..header.len().min(WINDOWS - 4)].to_vec();
    windows.resize(WINDOWS - 4, 0);
    let data = (data + WINDOWS).saturating_sub(size) as u32;
    let start = [&bytes[..10], &data.to_le_bytes(), &(WINDOWS as u32).to_le_bytes()].concat();
    Ok(Some([start, windows, rest.to_vec()].concat()))
}

/// A PNG that ends without saying so, with its end. Whether its pixels are all there is for the decoder to find.
pub fn ended(bytes: &[u8]) -> Option<Vec<u8>> {
    const END: [u8; 12] = *b"\0\0\0\0IEND\xae\x42\x60\x82";
    let (mut at, mut pixels) = (8, false);
    while let Some(chunk) = bytes.get(at..)?.first_chunk::<8>() {
        let length = u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]) as usize;
        let next = at.checked_add(length)?.checked_add(12)?;
        match &chunk[4..] {
            b"IEND" => return None,
            b"IDAT" => pixels = true,
            _ => {}
        }
        if next > bytes.len() {
            // Of what follows the pixels nothing is needed.
            return (pixels && &chunk[4..] != b"IDAT").then(|| [&bytes[..at], &END].concat());
        }
        at = next;
    }
    pixels.then(|| [&bytes[..at], &END].concat())
}
