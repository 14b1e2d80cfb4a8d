//! What a model gives and a session brings back, by name.

use std::{ffi::c_char, mem::offset_of};

use engine::{Outputs, Shape, tasks::classify::PROBABILITIES};

use crate::{
    error::{Failure, MOBILEONE_BUFFER_TOO_SMALL, MobileoneStatus, Result, guard},
    gives::given,
    model::{MODELS, MobileoneModel},
    session::{MobileoneSession, SESSIONS},
    structs::{Struct, fixed, place, size_of_caller, write},
};

/// An output's name, and its size for one picture. A vector has one row and one column.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MobileoneOutputInfo {
    /// `sizeof(MobileoneOutputInfo)`, set by the caller; in an array, the first one's counts for all.
    pub size: u32,
    /// Rows of a map; 1 for a vector.
    pub height: u32,
    /// Columns of a map; 1 for a vector.
    pub width: u32,
    /// Channels of a map, or numbers of a vector.
    pub channels: u32,
    /// The output's name.
    pub name: [c_char; 128],
}

// SAFETY: repr(C), begins with its size, and numbers only.
unsafe impl Struct for MobileoneOutputInfo {
    const NAME: &str = "MobileoneOutputInfo";
    const FIRST: usize = offset_of!(Self, name) + size_of::<[c_char; 128]>();
}

/// Writes what `outputs` are to the array at `infos`, and how many there are to `count`.
///
/// # Safety
/// `count` is null or may be written to. `infos` is null or leads to `capacity` structs of the size that the first one
/// says.
unsafe fn list(
    outputs: &[(String, Shape)],
    infos: *mut MobileoneOutputInfo,
    capacity: usize,
    count: *mut usize,
) -> Result<()> {
    // SAFETY: as the caller promises.
    let count = unsafe { place(count, "count") }?;
    *count = outputs.len();
    if capacity < outputs.len() {
        let reason = format!("infos takes {} outputs, found place for {capacity}", outputs.len());
        return Err(Failure::new(MOBILEONE_BUFFER_TOO_SMALL, reason));
    }
    if outputs.is_empty() {
        return Ok(());
    }
    // SAFETY: as the caller promises.
    let size = unsafe { size_of_caller(infos) }?;
    for (at, (name, shape)) in outputs.iter().enumerate() {
        let info = MobileoneOutputInfo {
            size: 0,
            height: shape.h as u32,
            width: shape.w as u32,
            channels: shape.c as u32,
            name: fixed(name),
        };
        // SAFETY: within the caller's array; the size is written before it is read.
        unsafe {
            let to = infos.cast::<u8>().add(at * size);
            to.cast::<u32>().write_unaligned(size as u32);
            write(to.cast::<MobileoneOutputInfo>(), &info)?;
        }
    }
    Ok(())
}

/// Lists the outputs of a model, which `MobileoneOptions.names` may ask for, with their sizes at the model's own input
/// size. `infos` has place for `capacity` of them; `count` becomes how many there are. With a capacity of 0 `infos` may
/// be null, and the status is `MOBILEONE_BUFFER_TOO_SMALL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_model_outputs(
    model: MobileoneModel,
    infos: *mut MobileoneOutputInfo,
    capacity: usize,
    count: *mut usize,
) -> MobileoneStatus {
    guard(|| {
        let opened = MODELS.get(model)?;
        let graph = &opened.model.graph;
        let (height, width) = opened.model.preprocess.size;
        let input = Shape::new(1, height, width, graph.input_channels());
        let mut names: Vec<&str> = graph.outputs.iter().map(|output| output.name.as_str()).collect();
        if graph.classes().is_some() && !names.contains(&PROBABILITIES) {
            names.push(PROBABILITIES);
        }
        // SAFETY: the header's promise of pointers.
        unsafe { list(&given(&opened.model, &Outputs::named(names), input)?, infos, capacity, count) }
    })
}

/// Lists the outputs that a session brings back, as `mobileone_model_outputs` does; the best classes are not among them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mobileone_session_outputs(
    session: MobileoneSession,
    infos: *mut MobileoneOutputInfo,
    capacity: usize,
    count: *mut usize,
) -> MobileoneStatus {
    guard(|| {
        let open = SESSIONS.get(session)?;
        // SAFETY: the header's promise of pointers.
        unsafe { list(&open.gives.outputs, infos, capacity, count) }
    })
}
