//! What a session is made for.

use std::{ffi::c_char, mem::offset_of, path::PathBuf};

use engine::{
    DType, Options,
    graph::{FEATURES, LOGITS},
    tasks::classify::PROBABILITIES,
};

use crate::{
    error::{Failure, MOBILEONE_OPTION, Result},
    structs::{Struct, text},
};

/// Weights and activations in 32 bits.
pub const MOBILEONE_DTYPE_F32: u32 = 0;
/// In 16 bits, with sums in 32; on GPUs only.
pub const MOBILEONE_DTYPE_F16: u32 = 1;
/// In 16 bits, with sums of at most 32 products in 16; on GPUs only.
pub const MOBILEONE_DTYPE_F16_FAST: u32 = 2;

/// The logits come back.
pub const MOBILEONE_OUTPUT_LOGITS: u32 = 1;
/// The softmax of the logits comes back.
pub const MOBILEONE_OUTPUT_PROBABILITIES: u32 = 2;
/// The features come back.
pub const MOBILEONE_OUTPUT_FEATURES: u32 = 4;

/// The most of each that a session is made with: memory is taken for all of them.
const MOST_FRAMES: u32 = 64;
const MOST_PICTURES: u32 = 4096;
const MOST_THREADS: u32 = 1024;

/// What a session is made for. All 0 but for the `size` is one picture at a time in f32, and its five best classes;
/// without a classifier, all outputs of the model.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MobileoneOptions {
    /// `sizeof(MobileoneOptions)`, set by the caller.
    pub size: u32,
    /// A `MOBILEONE_DTYPE_` number.
    pub dtype: u32,
    /// The CPU's threads, for this session alone, at most 1024; 0 for those of the device.
    pub threads: u32,
    /// Pictures that one submit takes at most, 4096 or less; 0 for 1. Fewer where the device holds fewer, which
    /// `mobileone_session_batch` says.
    pub batch: u32,
    /// Submits that may be in flight at once, at most 64; 0 for 2.
    pub frames: u32,
    /// The best classes that come back; 0 for 5.
    pub top_k: u32,
    /// What comes back beside them: `MOBILEONE_OUTPUT_` numbers, or-ed. Those of outputs that the model does not have add
    /// nothing.
    pub outputs: u32,
    /// 0.
    pub reserved: u32,
    /// A file for compiled shaders (UTF-8), where the backend can keep them: read, and written when there are new
    /// ones. Null for none.
    pub cache: *const c_char,
    /// Names of further outputs to bring back, separated by commas (UTF-8): those that `mobileone_model_outputs` lists.
    /// Null for none. A name that the model does not have is `MOBILEONE_OPTION`.
    pub names: *const c_char,
}

// SAFETY: repr(C), begins with its size, and numbers and pointers only.
unsafe impl Struct for MobileoneOptions {
    const NAME: &str = "MobileoneOptions";
    const FIRST: usize = offset_of!(Self, cache) + size_of::<*const c_char>();
}

impl MobileoneOptions {
    /// The library's options for `model`.
    ///
    /// # Safety
    /// `cache` and `names` are null or lead to texts that end with a 0.
    pub(crate) unsafe fn of(&self, model: &engine::Model) -> Result<Options> {
        let known = MOBILEONE_OUTPUT_LOGITS | MOBILEONE_OUTPUT_PROBABILITIES | MOBILEONE_OUTPUT_FEATURES;
        if self.outputs & !known != 0 || self.reserved != 0 {
            return Err(Failure::argument(format!(
                "outputs {:#x}, reserved {}: use MOBILEONE_OUTPUT_ numbers, and 0",
                self.outputs, self.reserved
            )));
        }
        if self.frames > MOST_FRAMES || self.batch > MOST_PICTURES || self.threads > MOST_THREADS {
            let reason = format!(
                "{} frames, a batch of {}, {} threads: at most {MOST_FRAMES}, {MOST_PICTURES} and {MOST_THREADS}",
                self.frames, self.batch, self.threads
            );
            return Err(Failure::new(MOBILEONE_OPTION, reason));
        }
        let mut options = Options::of(model);
        let or = |number: u32, default: usize| if number == 0 { default } else { number as usize };
        options.batch = or(self.batch, options.batch);
        options.frames = or(self.frames, options.frames);
        let names = match self.names.is_null() {
            true => "",
            // SAFETY: not null, and as the caller promises.
            false => unsafe { text(self.names, "names") }?,
        };
        let named = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let classifies = model.graph.classes().is_some();
        // Without a classifier, all is what a caller wants who names nothing.
        if classifies || named.clone().next().is_some() {
            let gives =
                |name: &str| model.graph.output(name).is_some() || classifies && name == PROBABILITIES;
            let bits = [
                (LOGITS, MOBILEONE_OUTPUT_LOGITS),
                (PROBABILITIES, MOBILEONE_OUTPUT_PROBABILITIES),
                (FEATURES, MOBILEONE_OUTPUT_FEATURES),
            ];
            let bits = bits.into_iter().filter(|&(name, bit)| self.outputs & bit != 0 && gives(name));
            let mut names: Vec<String> = Vec::new();
            for name in bits.map(|(name, _)| name).chain(named) {
                if !names.iter().any(|known| known == name) {
                    names.push(name.into());
                }
            }
            options.outputs.names = names;
        }
        options.outputs.top_k = or(self.top_k, options.outputs.top_k);
        (options.dtype, options.tuning.fast) = match self.dtype {
            MOBILEONE_DTYPE_F32 => (DType::F32, false),
            MOBILEONE_DTYPE_F16 => (DType::F16, false),
            MOBILEONE_DTYPE_F16_FAST => (DType::F16, true),
            other => return Err(Failure::argument(format!("dtype {other}: use a MOBILEONE_DTYPE_ number"))),
        };
        if !self.cache.is_null() {
            // SAFETY: not null, and as the caller promises.
            options.cache = Some(PathBuf::from(unsafe { text(self.cache, "cache") }?));
        }
        Ok(options)
    }
}
