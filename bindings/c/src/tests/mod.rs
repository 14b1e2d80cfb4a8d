//! What only the inside of the library can judge.

use std::{
    ffi::CStr,
    ptr,
    time::{Duration, Instant},
};

use engine::{
    Input, Pixels,
    preprocess::{PixelFormat, Rotation},
};

use crate::{
    answer::{MobileoneAnswer, MobileoneFloats, MobileoneTop, MobileoneTops},
    device::{mobileone_device_close, mobileone_device_open},
    error::{MOBILEONE_INTERNAL, MOBILEONE_OK, guard, mobileone_last_error},
    input::{MOBILEONE_FORMAT_RGBA8, MobileonePicture},
    model::{mobileone_model_builtin, mobileone_model_close},
    session::{SESSIONS, mobileone_run, mobileone_session_close, mobileone_session_open},
};

#[test]
fn a_panic_is_a_status() {
    assert_eq!(guard(|| panic!("a wall with a {}", "hole")), MOBILEONE_INTERNAL);
    // SAFETY: it ends with a 0 and stays until the next failure of this thread.
    let said = unsafe { CStr::from_ptr(mobileone_last_error()) };
    assert_eq!(said, c"a fault of this library: a wall with a hole");
}

/// The least time of a frame through the C functions against that of the same session's own, in turns: what the ABI
/// adds is below 5 %.
#[test]
fn adds_little_to_a_frame() {
    let (mut model, mut device, mut handle) = (0, 0, 0);
    // SAFETY: all pointers lead to what the functions say.
    unsafe {
        assert_eq!(mobileone_model_builtin(&mut model), MOBILEONE_OK);
        assert_eq!(mobileone_device_open(c"cpu".as_ptr(), &mut device), MOBILEONE_OK);
        assert_eq!(mobileone_session_open(model, device, ptr::null(), &mut handle), MOBILEONE_OK);
    }
    let bytes: Vec<u8> = (0..4 * 240 * 240usize).map(|at| (at * at / 7) as u8).collect();
    let mut top = [MobileoneTop { index: 0, probability: 0.0 }; 5];
    let none = MobileoneFloats { values: ptr::null_mut(), capacity: 0, count: 0 };
    let mut answer = MobileoneAnswer {
        size: size_of::<MobileoneAnswer>() as u32,
        batch: 0,
        top: MobileoneTops { values: top.as_mut_ptr(), capacity: top.len(), count: 0 },
        logits: none,
        probabilities: none,
        features: none,
    };
    let picture = MobileonePicture {
        size: size_of::<MobileonePicture>() as u32,
        format: MOBILEONE_FORMAT_RGBA8,
        width: 240,
        height: 240,
        bytes: bytes.as_ptr(),
        length: bytes.len(),
        stride: 0,
        chroma: ptr::null(),
        chroma_length: 0,
        chroma_stride: 0,
        crop: [0; 4],
        rotation: 0,
        matrix: 0,
        range: 0,
        reserved: 0,
    };
    let pixels = Pixels {
        bytes: &bytes,
        size: (240, 240),
        stride: 960,
        format: PixelFormat::Rgba8,
        crop: None,
        rotation: Rotation::None,
    };
    let session = SESSIONS.get(handle).unwrap();
    let (mut through_c, mut through_rust) = (Duration::MAX, Duration::MAX);
    for _ in 0..300 {
        let begun = Instant::now();
        // SAFETY: as above.
        assert_eq!(unsafe { mobileone_run(handle, &picture, &mut answer) }, MOBILEONE_OK);
        through_c = through_c.min(begun.elapsed());
        let begun = Instant::now();
        let found = session.engine.run(Input::Pixels(pixels)).unwrap();
        through_rust = through_rust.min(begun.elapsed());
        let found: Vec<(usize, f32)> = found.top[0].iter().map(|top| (top.index, top.probability)).collect();
        assert_eq!(found, top.map(|top| (top.index as usize, top.probability)));
    }
    let added = through_c.as_secs_f64() / through_rust.as_secs_f64() - 1.0;
    println!("a frame: {through_c:?} through C, {through_rust:?} through Rust, {:+.2} %", 100.0 * added);
    assert!(added < 0.05, "{through_c:?} through C, {through_rust:?} through Rust");
    drop(session);
    assert_eq!(mobileone_session_close(handle), MOBILEONE_OK);
    assert_eq!(mobileone_device_close(device), MOBILEONE_OK);
    assert_eq!(mobileone_model_close(model), MOBILEONE_OK);
}
