//! Models: opened from a file, from memory, or the one that is built in.

use std::{ffi::c_char, mem::offset_of, ptr, sync::Arc};

use engine::{Checkpoint, Form, Model, Shape, checkpoint::Reading, graph::FEATURES, labels::Labels};

use crate::{
    error::{Failure, MOBILEONE_BUFFER_TOO_SMALL, MobileoneStatus, Result, guard},
    handles::{Kind, Table},
    reading::{MobileoneReading, with_field},
    structs::{Struct, fixed, place, read, slice, text, write},
};

/// A model, until `mobileone_model_close`. 0 is none.
pub type MobileoneModel = u64;

pub(crate) static MODELS: Table<Arc<Opened>> = Table::new(Kind::Model);

/// A model with the names of its classes.
pub(crate) struct Opened {
    pub(crate) model: Model,
    pub(crate) labels: Labels,
}

/// What a model is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MobileoneModelInfo {
    /// `sizeof(MobileoneModelInfo)`, set by the caller.
    pub size: u32,
    /// Rows of an input tensor.
    pub height: u32,
    /// Columns of an input tensor.
    pub width: u32,
    /// Channels of an input tensor.
    pub channels: u32,
    /// Classes: logits of a picture. 0 where there is no classifier.
    pub classes: u32,
    /// Features of a picture.
    pub features: u32,
    /// Weights of the fused network.
    pub parameters: u64,
    /// Multiply-adds for one picture.
    pub macs: u64,
    /// The model's name.
    pub name: [c_char; 64],
}

// SAFETY: repr(C), begins with its size, and numbers only.
unsafe impl Struct for MobileoneModelInfo {
    const NAME: &str = "MobileoneModelInfo";
    const FIRST: usize = offset_of!(Self, name) + size_of::<[c_char; 64]>();
}

fn open(checkpoint: Checkpoint, model: &mut MobileoneModel) -> Result<()> {
    let opened = Model::new(checkpoint, Form::Fused)?;
    let classes = opened.graph.classes().unwrap_or(0);
    let labels = Labels::choose(None, opened.labels.as_deref(), classes)?;
    for note in &opened.notes {
        let level = if note.warning { log::Level::Warn } else { log::Level::Info };
        log::log!(level, "{}: {}", opened.name, with_field(note));
    }
    log::info!("{}: {classes} classes, labels: {}", opened.name, labels.source());
    *model = MODELS.insert(Arc::new(Opened { model: opened, labels }))?;
    Ok(())
}

/// The caller's wishes, or none where they are null.
///
/// # Safety
/// As [`read`] and [`MobileoneReading::of`].
unsafe fn wishes(reading: *const MobileoneReading) -> Result<Reading> {
    if reading.is_null() {
        return Ok(Reading::default());
    }
    // SAFETY: as the caller promises.
    unsafe { read(reading)?.of() }
}

/// Opens the model in the file at `path` (UTF-8): safetensors, or a PyTorch checkpoint. A `config.json` beside it is
/// read too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_model_load(
    path: *const c_char,
    model: *mut MobileoneModel,
) -> MobileoneStatus {
    // SAFETY: as this function's caller promises, and null is allowed.
    unsafe { mobileone_model_load_with(path, ptr::null(), model) }
}

/// The same, read as `reading` says, which may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_model_load_with(
    path: *const c_char,
    reading: *const MobileoneReading,
    model: *mut MobileoneModel,
) -> MobileoneStatus {
    guard(|| {
        // SAFETY: the header's promise of pointers.
        let (path, model) = unsafe { (text(path, "path"), place(model, "model")?) };
        // SAFETY: as above.
        open(Checkpoint::open_with(path?, &unsafe { wishes(reading) }?)?, model)
    })
}

/// Opens the model in `length` bytes of a file, which may be freed when this returns. `config` is the text of a
/// `config.json`, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_model_from_bytes(
    bytes: *const u8,
    length: usize,
    config: *const c_char,
    model: *mut MobileoneModel,
) -> MobileoneStatus {
    // SAFETY: as this function's caller promises, and null is allowed.
    unsafe { mobileone_model_from_bytes_with(bytes, length, config, ptr::null(), model) }
}

/// The same, read as `reading` says, which may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_model_from_bytes_with(
    bytes: *const u8,
    length: usize,
    config: *const c_char,
    reading: *const MobileoneReading,
    model: *mut MobileoneModel,
) -> MobileoneStatus {
    guard(|| {
        // SAFETY: the header's promise of pointers.
        let (model, bytes) = unsafe { (place(model, "model")?, slice(bytes, length, "bytes")?) };
        let config = match config.is_null() {
            true => None,
            // SAFETY: not null, and as above.
            false => Some(unsafe { text(config, "config") }?),
        };
        // SAFETY: as above.
        open(Checkpoint::from_bytes_with(bytes, config, &unsafe { wishes(reading) }?)?, model)
    })
}

/// Opens the built-in model, which reads the digit held up to a camera.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_model_builtin(model: *mut MobileoneModel) -> MobileoneStatus {
    guard(|| {
        // SAFETY: the header's promise of pointers.
        let model = unsafe { place(model, "model") }?;
        open(engine::sample::digits()?, model)
    })
}

/// Says what a model is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_model_info(
    model: MobileoneModel,
    info: *mut MobileoneModelInfo,
) -> MobileoneStatus {
    guard(|| {
        let opened = MODELS.get(model)?;
        let graph = &opened.model.graph;
        let (height, width) = opened.model.preprocess.size;
        let input = Shape::new(1, height, width, graph.input_channels());
        let checked = graph.check(&opened.model.weights, input)?;
        let costs = checked.costs();
        let value = MobileoneModelInfo {
            size: 0,
            height: height as u32,
            width: width as u32,
            channels: input.c as u32,
            classes: graph.classes().unwrap_or(0) as u32,
            features: graph.output(FEATURES).and_then(|id| graph.channels(id)).unwrap_or(0) as u32,
            parameters: costs.iter().map(|cost| cost.params).sum(),
            macs: costs.iter().map(|cost| cost.macs).sum(),
            name: fixed(&opened.model.name),
        };
        // SAFETY: the header's promise of pointers.
        unsafe { write(info, &value) }
    })
}

/// Writes the name of class `index`, in UTF-8 and ended by a 0, to `label`, which has place for `capacity` bytes;
/// `length`, which may be null, becomes the bytes of the name without the 0. With a capacity of 0 `label` may be null
/// and the status is `MOBILEONE_BUFFER_TOO_SMALL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_model_label(
    model: MobileoneModel,
    index: u32,
    label: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> MobileoneStatus {
    guard(|| {
        let opened = MODELS.get(model)?;
        let names = opened.labels.names();
        let Some(name) = names.get(index as usize) else {
            return Err(Failure::argument(format!("class {index}: the model has {}", names.len())));
        };
        if !length.is_null() {
            // SAFETY: not null, and the header's promise of pointers.
            unsafe { length.write_unaligned(name.len()) };
        }
        if capacity <= name.len() {
            let reason = format!("the label takes {} bytes, found place for {capacity}", name.len() + 1);
            return Err(Failure::new(MOBILEONE_BUFFER_TOO_SMALL, reason));
        }
        if label.is_null() {
            return Err(Failure::argument("label is null"));
        }
        // SAFETY: there is place for the name and the 0; the caller's buffer does not overlap what is ours.
        unsafe {
            label.cast::<u8>().copy_from_nonoverlapping(name.as_ptr(), name.len());
            label.add(name.len()).write(0);
        }
        Ok(())
    })
}

/// Closes a model. Sessions that were made of it go on.
#[unsafe(no_mangle)]
pub extern "C" fn mobileone_model_close(model: MobileoneModel) -> MobileoneStatus {
    guard(|| MODELS.remove(model).map(drop))
}
