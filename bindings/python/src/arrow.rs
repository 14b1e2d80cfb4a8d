//! The pixels of an image where they lie, by Arrow's C data interface: <https://arrow.apache.org/docs/format/CDataInterface.html>.
#![allow(unsafe_code)] // pointers of another library: here and nowhere else

use std::{
    ffi::{CStr, c_char, c_void},
    ptr,
};

use pyo3::{prelude::*, types::PyCapsule};

/// `struct ArrowSchema`: the type of an array.
#[repr(C)]
struct Schema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    children_count: i64,
    children: *const *const Schema,
    dictionary: *const Schema,
    release: *const c_void,
    private_data: *const c_void,
}

/// `struct ArrowArray`: its values.
#[repr(C)]
struct Array {
    length: i64,
    null_count: i64,
    offset: i64,
    buffers_count: i64,
    children_count: i64,
    buffers: *const *const u8,
    children: *const *const Array,
    dictionary: *const Array,
    release: *const c_void,
    private_data: *const c_void,
}

/// The memory of an image of four bytes a pixel, row after row without gaps.
pub struct Pixels<'py> {
    /// Keeps the memory: its destructor gives it back.
    _owner: Bound<'py, PyCapsule>,
    first: *const u8,
    /// How many there are.
    count: usize,
}

impl<'py> Pixels<'py> {
    /// Those of `image`; `None` where it does not hand them out, or as something else.
    pub fn of(image: &Bound<'py, PyAny>) -> Option<Pixels<'py>> {
        let exported = image.call_method0("__arrow_c_array__").ok()?;
        let (schema, owner): (Bound<PyCapsule>, Bound<PyCapsule>) = exported.extract().ok()?;
        let schema = schema.pointer_checked(Some(c"arrow_schema")).ok()?.cast::<Schema>();
        let array = owner.pointer_checked(Some(c"arrow_array")).ok()?.cast::<Array>();
        // SAFETY: capsules of these names hold these structs, which live as long as the capsules, and what they lead to
        // until they are released. Nothing of Python's runs meanwhile.
        let (format, array) = unsafe { (schema.as_ref(), array.as_ref()) };
        if format.release.is_null() || array.release.is_null() {
            return None;
        }
        // SAFETY: as above; every array has the children that it counts.
        let (format, bytes_format, array, bytes) = unsafe {
            if format.children_count != 1 || array.children_count != 1 {
                return None;
            }
            (format, (*format.children).as_ref()?, array, (*array.children).as_ref()?)
        };
        // SAFETY: a schema that was not released has a format, which ends with a 0.
        let kinds = unsafe { (CStr::from_ptr(format.format), CStr::from_ptr(bytes_format.format)) };
        let count = usize::try_from(array.length).ok()?;
        let dense = (array.offset, array.null_count) == (0, 0)
            && (bytes.offset, bytes.null_count, bytes.buffers_count) == (0, 0, 2)
            && usize::try_from(bytes.length).ok()? == count.checked_mul(4)?;
        // Lists of four bytes.
        if kinds != (c"+w:4", c"C") || !dense {
            return None;
        }
        // SAFETY: it has the two buffers that it counts: which are null, and the values.
        let first = unsafe { *bytes.buffers.add(1) };
        (!first.is_null()).then_some(Pixels { _owner: owner, first, count })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Writes as many as `dst` holds, from the one at `first` on.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn copy(&self, first: usize, dst: &mut [[u8; 4]]) {
        assert!(first.checked_add(dst.len()).is_some_and(|end| end <= self.count), "inside the image");
        // SAFETY: the source has `4 * count` bytes, which the capsule keeps; `dst` is Rust's own, so they do not overlap.
        unsafe {
            ptr::copy_nonoverlapping(self.first.add(4 * first), dst.as_mut_ptr().cast(), 4 * dst.len())
        };
    }
}
