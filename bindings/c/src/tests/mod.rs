//! What only the inside of the library can judge.

mod named;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ffi::CStr,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    time::{Duration, Instant},
};

use engine::{
    Input, Pixels,
    preprocess::{PixelFormat, Rotation},
};

use crate::{
    answer::{MobileoneAnswer, MobileoneTop, MobileoneTops, NOTHING},
    device::{MobileoneDevice, mobileone_device_close, mobileone_device_open},
    error::{MOBILEONE_INTERNAL, MOBILEONE_NOT_READY, MOBILEONE_OK, guard, mobileone_last_error},
    input::{MOBILEONE_FORMAT_NV12, MOBILEONE_FORMAT_RGBA8, MobileonePicture},
    model::{mobileone_model_builtin, mobileone_model_close},
    session::{SESSIONS, lifecycle::mobileone_session_close, mobileone_run, mobileone_session_open},
    ticket::{mobileone_poll, mobileone_submit},
};

#[test]
fn a_panic_is_a_status() {
    assert_eq!(guard(|| panic!("a wall with a {}", "hole")), MOBILEONE_INTERNAL);
    // SAFETY: it ends with a 0 and stays until the next failure of this thread.
    let said = unsafe { CStr::from_ptr(mobileone_last_error()) };
    assert_eq!(said, c"a fault of this library: a wall with a hole");
}

/// A panic while a session is paused costs no other thread its answers.
#[test]
fn a_poisoned_gate_lets_answers_out() {
    let (mut model, mut device, mut handle, mut ticket) = (0, 0, 0, 0);
    let bytes = vec![99; 4 * SIDE * SIDE];
    let picture = picture(&bytes, MOBILEONE_FORMAT_RGBA8);
    // SAFETY: all pointers lead to what the functions say.
    unsafe {
        assert_eq!(mobileone_model_builtin(&mut model), MOBILEONE_OK);
        assert_eq!(mobileone_device_open(c"cpu".as_ptr(), &mut device), MOBILEONE_OK);
        assert_eq!(mobileone_session_open(model, device, ptr::null(), &mut handle), MOBILEONE_OK);
        assert_eq!(mobileone_submit(handle, &picture, &mut ticket), MOBILEONE_OK);
    }
    let open = SESSIONS.get(handle).unwrap();
    let poison = || {
        let _alone = open.gate.write().unwrap();
        panic!("while it is paused");
    };
    assert!(catch_unwind(AssertUnwindSafe(poison)).is_err() && open.gate.is_poisoned());
    let mut answer = NOTHING;
    let begun = Instant::now();
    // SAFETY: as above.
    while unsafe { mobileone_poll(ticket, &mut answer) } != MOBILEONE_OK {
        assert!(begun.elapsed() < Duration::from_secs(600), "the answer never comes");
        std::thread::yield_now();
    }
    assert_eq!(mobileone_session_close(handle), MOBILEONE_OK);
    assert_eq!(mobileone_device_close(device), MOBILEONE_OK);
    assert_eq!(mobileone_model_close(model), MOBILEONE_OK);
}

/// Counts what a thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the frames of one way cost at least.
#[derive(Clone, Copy)]
struct Least {
    time: Duration,
    allocations: usize,
}

impl Least {
    const NONE: Least = Least { time: Duration::MAX, allocations: usize::MAX };

    fn of<T>(&mut self, frame: impl FnOnce() -> T) -> T {
        let (before, begun) = (ALLOCATIONS.get(), Instant::now());
        let done = frame();
        self.time = self.time.min(begun.elapsed());
        self.allocations = self.allocations.min(ALLOCATIONS.get() - before);
        done
    }
}

const SIDE: usize = 240;

fn picture(bytes: &[u8], format: u32) -> MobileonePicture {
    MobileonePicture {
        size: size_of::<MobileonePicture>() as u32,
        format,
        width: SIDE as u32,
        height: SIDE as u32,
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
    }
}

/// The most that the C functions may add to a frame.
const MOST: f64 = 0.05;
/// The most times the frames, where other programs disturb.
const PATIENCE: usize = 40;

/// Frames through the C functions against those of the same session's own, in turns: the least of what they take differs
/// by less than [`MOST`], and no frame allocates more, nor where it is converted (counted on the CPU).
#[test]
fn adds_little_to_a_frame() {
    let open = |name: &CStr| {
        let mut device = 0;
        // SAFETY: both lead to what the function says.
        let status = unsafe { mobileone_device_open(name.as_ptr(), &mut device) };
        (status == MOBILEONE_OK).then_some(device)
    };
    through(open(c"cpu").expect("there is a CPU"), 300);
    match open(c"vulkan") {
        Some(device) => through(device, 60),
        None if std::env::var_os("REQUIRE_GPU").is_some() => panic!("there is no Vulkan device"),
        // Not by `eprintln!`, of which nothing is shown where a test passes.
        None => io::stderr()
            .write_all(b"SKIPPED: what C adds to a frame on Vulkan: no device; install mesa-vulkan-drivers\n")
            .expect("standard error takes a line"),
    }
}

fn through(device: MobileoneDevice, frames: usize) {
    let (mut model, mut handle) = (0, 0);
    // SAFETY: all pointers lead to what the functions say.
    unsafe {
        assert_eq!(mobileone_model_builtin(&mut model), MOBILEONE_OK);
        assert_eq!(mobileone_session_open(model, device, ptr::null(), &mut handle), MOBILEONE_OK);
    }
    let bytes: Vec<u8> = (0..4 * SIDE * SIDE).map(|at| (at * at / 7) as u8).collect();
    let mut top = [MobileoneTop { index: 0, probability: 0.0 }; 5];
    let tops = MobileoneTops { values: top.as_mut_ptr(), capacity: top.len(), count: 0 };
    let mut answer = MobileoneAnswer { top: tops, ..NOTHING };
    let rgba = picture(&bytes, MOBILEONE_FORMAT_RGBA8);
    let nv12 = picture(&bytes, MOBILEONE_FORMAT_NV12);
    let pixels = Pixels {
        bytes: &bytes,
        size: (SIDE, SIDE),
        stride: 4 * SIDE,
        format: PixelFormat::Rgba8,
        crop: None,
        rotation: Rotation::None,
    };
    let session = SESSIONS.get(handle).unwrap();
    let [mut waited, mut rust_waited, mut polled, mut converted, mut rust_polled] = [Least::NONE; 5];
    let mut added = f64::INFINITY;
    for round in 0..frames * PATIENCE {
        if round >= frames && added < MOST {
            break;
        }
        let mut found = None;
        // Each is first as often as the other: the first finds the threads in another state.
        for through_c in [round % 2 == 0, round % 2 == 1] {
            match through_c {
                true => {
                    // SAFETY: as above.
                    let status = waited.of(|| unsafe { mobileone_run(handle, &rgba, &mut answer) });
                    assert_eq!(status, MOBILEONE_OK);
                }
                false => found = Some(rust_waited.of(|| session.engine.run(Input::Pixels(pixels)).unwrap())),
            }
        }
        let found = found.expect("both ran");
        let found: Vec<(usize, f32)> = found.top[0].iter().map(|top| (top.index, top.probability)).collect();
        assert_eq!(found, top.map(|top| (top.index as usize, top.probability)));
        added = waited.time.as_secs_f64() / rust_waited.time.as_secs_f64() - 1.0;
        for (least, picture) in [(&mut polled, &rgba), (&mut converted, &nv12)] {
            least.of(|| {
                let mut ticket = 0;
                // SAFETY: as above.
                unsafe {
                    assert_eq!(mobileone_submit(handle, picture, &mut ticket), MOBILEONE_OK);
                    while mobileone_poll(ticket, &mut answer) == MOBILEONE_NOT_READY {
                        std::thread::yield_now();
                    }
                }
            });
        }
        rust_polled.of(|| {
            let mut ticket = session.engine.submit(Input::Pixels(pixels)).unwrap();
            while ticket.try_take().unwrap().is_none() {
                std::thread::yield_now();
            }
        });
    }
    println!(
        "a frame: {:?} through C, {:?} through Rust, {:+.2} %; submitted and polled: {:?} with {} allocations, \
         {:?} with {} through Rust; NV12: {:?} with {}",
        waited.time,
        rust_waited.time,
        100.0 * added,
        polled.time,
        polled.allocations,
        rust_polled.time,
        rust_polled.allocations,
        converted.time,
        converted.allocations
    );
    assert!(added < MOST, "{:?} through C, {:?} through Rust", waited.time, rust_waited.time);
    // Of this thread, which does not work while it polls: on the CPU no other's chance is in the count. A GPU's polls
    // allocate themselves, as many times as they are made; what the ABI does is the same on both.
    let exact = session.device.wgpu().is_none();
    for (name, least) in [("RGBA", polled), ("NV12", converted)].into_iter().filter(|_| exact) {
        let (found, bound) = (least.allocations, rust_polled.allocations);
        assert!(found <= bound, "{name}: {found} allocations, {bound} through Rust");
    }
    drop(session);
    assert_eq!(mobileone_session_close(handle), MOBILEONE_OK);
    assert_eq!(mobileone_device_close(device), MOBILEONE_OK);
    assert_eq!(mobileone_model_close(model), MOBILEONE_OK);
}
