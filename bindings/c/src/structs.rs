//! Structs that grow: each begins with its `size` as the caller was compiled, so that old and new get on.

use std::{
    ffi::{CStr, c_char},
    mem::MaybeUninit,
};

use crate::error::{Failure, Result};

/// No struct is larger: a `size` above it was never set.
const LARGEST: usize = 4096;

/// A struct of the ABI.
///
/// # Safety
/// `repr(C)`, begins with a `u32` that holds its size, and all bytes 0 are a value of it.
pub(crate) unsafe trait Struct: Copy {
    /// The struct's name in C.
    const NAME: &str;
    /// Bytes that it had when it was first published: those through what was its last field then, for `size_of` grows with
    /// what is added.
    const FIRST: usize;
}

/// The caller's struct; what the caller does not know of is 0.
///
/// # Safety
/// `from` is null, or leads to as many readable bytes as the first 4 of them say.
pub(crate) unsafe fn read<T: Struct>(from: *const T) -> Result<T> {
    // SAFETY: as the caller promises.
    let size = unsafe { size_of_caller(from) }?;
    let bytes = from.cast::<u8>();
    let known = size_of::<T>().min(size);
    for at in known..size {
        // SAFETY: within the caller's struct.
        if unsafe { bytes.add(at).read() } != 0 {
            return Err(Failure::argument(format!(
                "{} is of a newer header, and asks for what this library does not know",
                T::NAME
            )));
        }
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` bytes are there on both sides; all bytes 0 are a value, and so is every caller's struct.
    unsafe {
        value.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes, known);
        Ok(value.assume_init())
    }
}

/// Writes as much of `value` as the caller's struct has place for, but for its `size`.
///
/// # Safety
/// `to` is null, or leads to as many readable and writable bytes as the first 4 of them say.
pub(crate) unsafe fn write<T: Struct>(to: *mut T, value: &T) -> Result<()> {
    // SAFETY: as the caller promises.
    let size = unsafe { size_of_caller(to) }?;
    let skipped = size_of::<u32>();
    let from = (value as *const T).cast::<u8>();
    // SAFETY: both are as long as the shorter of them.
    unsafe {
        let rest = size_of::<T>().min(size) - skipped;
        to.cast::<u8>().add(skipped).copy_from_nonoverlapping(from.add(skipped), rest);
    }
    Ok(())
}

/// The size that the caller's struct says it has, which is one that it can have.
///
/// # Safety
/// As [`read`].
pub(crate) unsafe fn size_of_caller<T: Struct>(of: *const T) -> Result<usize> {
    if of.is_null() {
        return Err(Failure::argument(format!("{} is null", T::NAME)));
    }
    // SAFETY: not null, so that 4 bytes are there.
    let size = unsafe { of.cast::<u32>().read_unaligned() } as usize;
    if !(T::FIRST..=LARGEST).contains(&size) {
        return Err(Failure::argument(format!(
            "the size of {} is {size}: set it to sizeof({}), {} here",
            T::NAME,
            T::NAME,
            size_of::<T>()
        )));
    }
    Ok(size)
}

/// Refuses a pointer that is null or not as its type is aligned.
fn pointer<T>(to: *const T, name: &str) -> Result<()> {
    match to.is_null() {
        true => Err(Failure::argument(format!("{name} is null"))),
        false if !to.is_aligned() => {
            let bytes = align_of::<T>();
            Err(Failure::argument(format!(
                "{name} is not aligned: its address must be a multiple of {bytes}"
            )))
        }
        false => Ok(()),
    }
}

/// A result's place, which no call leaves as it was: a handle that could not be had is 0.
///
/// # Safety
/// `out` is null or may be written to.
pub(crate) unsafe fn place<'a, T: Default>(out: *mut T, name: &str) -> Result<&'a mut T> {
    pointer(out, name)?;
    // SAFETY: not null, aligned, and the caller's own for the time of the call; written before it is lent.
    unsafe {
        out.write(T::default());
        Ok(&mut *out)
    }
}

/// `count` values at `from`.
///
/// # Safety
/// `from` is null or leads to `count` readable values that nobody changes while the slice lives.
pub(crate) unsafe fn slice<'a, T>(from: *const T, count: usize, name: &str) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    pointer(from, name)?;
    if count > isize::MAX as usize / size_of::<T>() {
        return Err(Failure::argument(format!("{count} values at {name} are more than memory can hold")));
    }
    // SAFETY: not null, aligned, of a length that memory can hold, and the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(from, count) })
}

/// As [`slice`], to write to.
///
/// # Safety
/// `from` is null or leads to `count` values that nobody else reads or changes while the slice lives.
pub(crate) unsafe fn slice_mut<'a, T>(from: *mut T, count: usize, name: &str) -> Result<&'a mut [T]> {
    // SAFETY: as the caller promises.
    let len = unsafe { slice(from, count, name) }?.len();
    match len {
        0 => Ok(&mut []),
        // SAFETY: `slice` has looked at it, and the caller's promise.
        _ => Ok(unsafe { std::slice::from_raw_parts_mut(from, len) }),
    }
}

/// The text at `from`, which is not null.
///
/// # Safety
/// `from` is null or leads to a text that ends with a 0.
pub(crate) unsafe fn text<'a>(from: *const c_char, name: &str) -> Result<&'a str> {
    if from.is_null() {
        return Err(Failure::argument(format!("{name} is null")));
    }
    // SAFETY: not null, and the caller's promise.
    let text = unsafe { CStr::from_ptr(from) };
    text.to_str().map_err(|_| Failure::argument(format!("{name} is not UTF-8")))
}

/// `text`, cut to whole characters where it is too long, ended by a 0.
pub(crate) fn fixed<const N: usize>(text: &str) -> [c_char; N] {
    let end = (0..N).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    let mut fixed = [0; N];
    for (to, from) in fixed.iter_mut().zip(&text.as_bytes()[..end.min(text.len())]) {
        *to = *from as c_char;
    }
    fixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::MOBILEONE_INVALID_ARGUMENT;

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Now {
        size: u32,
        old: u32,
        new: u64,
    }

    // SAFETY: as the trait asks.
    unsafe impl Struct for Now {
        const NAME: &str = "Now";
        const FIRST: usize = 8;
    }

    #[test]
    fn callers_of_other_versions_are_understood() {
        // The caller's size, its words, and what is read of it.
        let rows = [
            (8, [0, 5, 9, 9, 9], Some((5, 0))),
            (16, [0, 5, 7, 0, 9], Some((5, 7))),
            (20, [0, 5, 7, 0, 0], Some((5, 7))),
            (20, [0, 5, 7, 0, 1], None),
            (0, [0; 5], None),
            (7, [0; 5], None),
            (5000, [0; 5], None),
        ];
        for (size, mut words, expected) in rows {
            words[0] = size;
            // SAFETY: as many words as the largest size that is read.
            let found = unsafe { read(words.as_ptr().cast::<Now>()) };
            let found = found.map(|now| (now.old, now.new)).map_err(|failure| failure.status);
            assert_eq!(found, expected.ok_or(MOBILEONE_INVALID_ARGUMENT), "size {size}, {words:?}");
        }
        let now = Now { size: 16, old: 1, new: 2 };
        for (size, expected) in [(8, [8, 1, 9, 9, 9]), (16, [16, 1, 2, 0, 9]), (20, [20, 1, 2, 0, 9])] {
            let mut words = [size, 9, 9, 9, 9];
            // SAFETY: as above.
            unsafe { write(words.as_mut_ptr().cast::<Now>(), &now) }.unwrap();
            assert_eq!(words, expected);
        }
    }

    #[test]
    fn the_first_published_sizes_stay() {
        use crate::{
            answer::MobileoneAnswer, device::MobileoneDeviceInfo, input::MobileonePicture,
            model::MobileoneModelInfo, options::MobileoneOptions, outputs::MobileoneOutputInfo,
        };
        // The size, and what it was with pointers of 64 and of 32 bits. No row ever changes.
        let rows = [
            (MobileoneAnswer::NAME, MobileoneAnswer::FIRST, [104, 56]),
            (MobileoneDeviceInfo::NAME, MobileoneDeviceInfo::FIRST, [536, 536]),
            (MobileoneModelInfo::NAME, MobileoneModelInfo::FIRST, [104, 104]),
            (MobileoneOptions::NAME, MobileoneOptions::FIRST, [40, 36]),
            (MobileoneOutputInfo::NAME, MobileoneOutputInfo::FIRST, [144, 144]),
            (MobileonePicture::NAME, MobileonePicture::FIRST, [96, 72]),
        ];
        for (name, found, expected) in rows {
            assert_eq!(found, expected[usize::from(cfg!(target_pointer_width = "32"))], "{name}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let bytes = |text: &str| fixed::<4>(text).map(|c| c as u8);
        assert_eq!(bytes("ab"), *b"ab\0\0");
        assert_eq!(bytes("abcdef"), *b"abc\0");
        assert_eq!(bytes("abé"), *b"ab\0\0");
        assert_eq!(bytes(""), [0; 4]);
    }
}
