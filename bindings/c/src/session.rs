//! Sessions: a model on a device, and the runs that wait.

pub(crate) mod lifecycle;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use engine::{Device, Input, Options, Shape, Tensor, wgpu};

use crate::{
    answer::{MobileoneAnswer, MobileoneTop, MobileoneTops, NOTHING, Out},
    device::{DEVICES, MobileoneDevice},
    error::{
        Failure, MOBILEONE_DEVICE_FAILURE, MOBILEONE_INVALID_HANDLE, MOBILEONE_PAUSED, MobileoneStatus,
        Result, guard,
    },
    gives::{Gives, given},
    handles::{Kind, Table},
    input::{MobileonePicture, shape},
    model::{MODELS, MobileoneModel},
    options::MobileoneOptions,
    structs::{self, place, slice},
};

/// A session, until `mobileone_session_close`. 0 is none.
pub type MobileoneSession = u64;

/// How long a device may take to become idle.
const PATIENCE: Duration = Duration::from_secs(60);

/// A larger picture, in bytes, is not kept.
const LARGE: usize = 1 << 26;

/// A session, and what its calls share.
pub(crate) struct Open {
    pub(crate) engine: engine::Session,
    /// One picture of the input.
    pub(crate) input: Shape,
    pub(crate) gives: Gives,
    pub(crate) device: Device,
    paused: AtomicBool,
    closed: AtomicBool,
    /// Held by every call that gives the device work or takes an answer, and alone by whoever pauses.
    pub(crate) gate: RwLock<()>,
    /// Memory of calls that are over, for the next ones.
    scratch: Mutex<Vec<Scratch>>,
}

/// What a call needs to bring its input into the library's shape.
#[derive(Default)]
pub(crate) struct Scratch {
    rgba: Vec<u8>,
    values: Vec<f32>,
}

pub(crate) static SESSIONS: Table<Arc<Open>> = Table::new(Kind::Session);

pub(crate) fn closed() -> Failure {
    Failure::new(MOBILEONE_INVALID_HANDLE, "the session of this ticket was closed")
}

impl Open {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// The right to give the device work, until it is dropped.
    pub(crate) fn enter(&self) -> Result<RwLockReadGuard<'_, ()>> {
        let gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        match self.paused.load(Ordering::SeqCst) {
            true => Err(Failure::new(MOBILEONE_PAUSED, "the session is paused: resume it first")),
            false => Ok(gate),
        }
    }

    /// The right to take an answer; `None` while somebody pauses, where it is not waited for.
    pub(crate) fn take_turn(&self, wait: bool) -> Option<RwLockReadGuard<'_, ()>> {
        match wait {
            true => Some(self.gate.read().unwrap_or_else(PoisonError::into_inner)),
            // A call that panicked has left nothing behind that the next one could not use.
            false => match self.gate.try_read() {
                Ok(turn) => Some(turn),
                Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            },
        }
    }

    /// Refuses work before it is converted or copied for nothing: those who poll ask often.
    pub(crate) fn has_room(&self) -> Result<()> {
        if self.engine.is_busy() { Err(engine::Error::Busy.into()) } else { Ok(()) }
    }

    /// Waits for what a GPU still does of what was cancelled, which has no ticket any more.
    fn settle(&self) -> Result<()> {
        let Some((device, _)) = self.device.wgpu() else { return Ok(()) };
        let everything = wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) };
        match device.poll(everything) {
            Ok(_) => Ok(()),
            Err(error) => {
                let reason = format!("the device is not done within {} s: {error}", PATIENCE.as_secs());
                Err(Failure::new(MOBILEONE_DEVICE_FAILURE, reason))
            }
        }
    }

    /// Does `work` with memory of an earlier call.
    fn with_scratch<T>(&self, work: impl FnOnce(&mut Scratch) -> Result<T>) -> Result<T> {
        let free =
            || -> MutexGuard<Vec<Scratch>> { self.scratch.lock().unwrap_or_else(PoisonError::into_inner) };
        let mut scratch = free().pop().unwrap_or_default();
        let done = work(&mut scratch);
        if scratch.rgba.capacity() > LARGE {
            scratch.rgba = Vec::new();
        }
        free().push(scratch);
        done
    }

    /// Does `work` with the pixels of `picture`.
    ///
    /// # Safety
    /// As [`structs::read`], and for the bytes that the picture leads to.
    pub(crate) unsafe fn with_picture<T>(
        &self,
        picture: *const MobileonePicture,
        work: impl FnOnce(Input) -> Result<T>,
    ) -> Result<T> {
        // SAFETY: as the caller promises.
        let picture = unsafe { structs::read(picture) }?;
        self.with_scratch(|scratch| {
            // SAFETY: as the caller promises; the pixels live no longer than this call.
            work(Input::Pixels(unsafe { picture.pixels(&mut scratch.rgba) }?))
        })
    }

    /// Does `work` with the tensor of `values`, and says how many pictures it holds.
    pub(crate) fn with_tensor<T>(
        &self,
        values: &[f32],
        work: impl FnOnce(Input, usize) -> Result<T>,
    ) -> Result<T> {
        let shape = shape(self.input, values.len())?;
        self.with_scratch(|scratch| {
            let mut own = std::mem::take(&mut scratch.values);
            own.clear();
            own.extend_from_slice(values);
            let tensor = Tensor::new(shape, own)?;
            let done = work(Input::Tensor(&tensor), shape.n);
            scratch.values = tensor.into_data();
            done
        })
    }
}

/// Makes a session: plans, compiles and loads `model` for `device`, which may take seconds. `options` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_session_open(
    model: MobileoneModel,
    device: MobileoneDevice,
    options: *const MobileoneOptions,
    session: *mut MobileoneSession,
) -> MobileoneStatus {
    guard(|| {
        // SAFETY: the header's promise of pointers.
        let session = unsafe { place(session, "session") }?;
        let (opened, mut device) = (MODELS.get(model)?, DEVICES.get(device)?);
        let model = &opened.model;
        let mut threads = 0;
        let options = match options.is_null() {
            true => Options::of(model),
            // SAFETY: not null, and as above.
            false => unsafe {
                let given = structs::read(options)?;
                threads = given.threads as usize;
                given.of(model)?
            },
        };
        if let Some(threads) = std::num::NonZero::new(threads) {
            device = device.with_threads(threads)?;
        }
        let begun = Instant::now();
        let engine = engine::Session::new(&device, model, &options)?;
        if engine.batch() < options.batch {
            log::info!(
                "a batch of {} at most, not {}: the device holds no more",
                engine.batch(),
                options.batch
            );
        }
        if let Some(fault) = engine.cache_fault() {
            log::warn!("{fault}");
        }
        log::info!("{} on {}: ready in {:?}", model.name, device.info(), begun.elapsed());
        let (height, width) = options.preprocess.size;
        let input = Shape::new(1, height, width, model.graph.input_channels());
        let gives = Gives {
            top: options.outputs.top_k.min(model.graph.classes().unwrap_or(0)),
            outputs: given(model, &options.outputs, input)?,
        };
        *session = SESSIONS.insert(Arc::new(Open {
            engine,
            input,
            gives,
            device,
            paused: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            gate: RwLock::new(()),
            scratch: Mutex::default(),
        }))?;
        Ok(())
    })
}

/// Pictures that one submit takes: the batch that was asked for, or fewer where the device holds no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_session_batch(
    session: MobileoneSession,
    batch: *mut u32,
) -> MobileoneStatus {
    guard(|| {
        // SAFETY: the header's promise of pointers.
        let batch = unsafe { place(batch, "batch") }?;
        *batch = SESSIONS.get(session)?.engine.batch() as u32;
        Ok(())
    })
}

/// Runs one picture and waits for its answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_run(
    session: MobileoneSession,
    picture: *const MobileonePicture,
    answer: *mut MobileoneAnswer,
) -> MobileoneStatus {
    guard(|| {
        let open = SESSIONS.get(session)?;
        // SAFETY: the header's promise of pointers.
        let mut out = unsafe { Out::new(answer) }?;
        out.check(1, &open.gives)?;
        let _turn = open.enter()?;
        // SAFETY: as above.
        let found = unsafe { open.with_picture(picture, |input| Ok(open.engine.run(input)?)) }?;
        out.fill(&found);
        Ok(())
    })
}

/// Runs the tensor of `count` values `[n][height][width][channels]`, normalized as the model wants it, and waits for its
/// answer. More pictures than the session's batch run one batch after the other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_run_tensor(
    session: MobileoneSession,
    values: *const f32,
    count: usize,
    answer: *mut MobileoneAnswer,
) -> MobileoneStatus {
    guard(|| {
        let open = SESSIONS.get(session)?;
        // SAFETY: the header's promise of pointers.
        let (mut out, values) = unsafe { (Out::new(answer)?, slice(values, count, "values")?) };
        out.check(shape(open.input, count)?.n, &open.gives)?;
        let _turn = open.enter()?;
        let found = open.with_tensor(values, |input, _| Ok(open.engine.run(input)?))?;
        out.fill(&found);
        Ok(())
    })
}

/// Runs one picture and writes its best classes, best first, to `top`, which has place for `capacity`; `count` becomes
/// how many there are. With a capacity of 0 `top` may be null, nothing runs, and the status is
/// `MOBILEONE_BUFFER_TOO_SMALL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_classify(
    session: MobileoneSession,
    picture: *const MobileonePicture,
    top: *mut MobileoneTop,
    capacity: usize,
    count: *mut usize,
) -> MobileoneStatus {
    if count.is_null() || top.is_null() && capacity > 0 {
        let name = if count.is_null() { "count" } else { "top" };
        return guard(|| Err(Failure::argument(format!("{name} is null"))));
    }
    // To the answer's struct a null is a buffer that is not wanted; here it is one without place.
    let top = if top.is_null() { std::ptr::dangling_mut() } else { top };
    let mut answer = MobileoneAnswer { top: MobileoneTops { values: top, capacity, count: 0 }, ..NOTHING };
    // SAFETY: the answer is ours and says what there is.
    let status = unsafe { mobileone_run(session, picture, &mut answer) };
    // SAFETY: not null, and the header's promise of pointers.
    unsafe { count.write_unaligned(answer.top.count) };
    status
}
