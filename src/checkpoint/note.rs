//! What people should know of how a model was read.

use std::fmt;

/// Something that was guessed, passed over or chosen as a model was read: a sentence for people. It names no option of
/// a program: [`Note::setting`] says what decides otherwise, whatever a program calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The sentence.
    pub text: String,
    /// Whether answers may be wrong for it: a guess, or something left out. Others are facts, true of sound files too.
    pub warning: bool,
    /// What decides otherwise, if anything does.
    pub setting: Option<Setting>,
}

/// What a caller may decide where a file leaves it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Setting {
    /// Which network of a file is taken: [`Reading::weights`](super::Reading::weights).
    Weights,
    /// The strides: [`Reading::strides`](super::Reading::strides).
    Strides,
    /// ε of the batch normalizations: [`Reading::bn_eps`](super::Reading::bn_eps).
    Epsilon,
    /// How pictures become inputs: [`Options::preprocess`](crate::Options::preprocess).
    Preprocess,
    /// The mean and std of it.
    Normalization,
}

impl Note {
    pub(crate) fn warning(text: impl Into<String>) -> Note {
        Note { text: text.into(), warning: true, setting: None }
    }

    pub(crate) fn fact(text: impl Into<String>) -> Note {
        Note { text: text.into(), warning: false, setting: None }
    }

    pub(crate) fn set_by(self, setting: Setting) -> Note {
        Note { setting: Some(setting), ..self }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}
