//! What there is to say of pictures.

use std::ffi::OsString;

use mobileone::{Top, labels::Labels};
use serde::Serialize;

use crate::{
    feed::Seen,
    out::{name, name_bytes},
    pictures::Preprocessing,
};

/// What holds of all pictures.
#[derive(Serialize)]
pub struct Header<'a> {
    pub model: &'a str,
    /// The model as it was typed.
    pub requested: &'a str,
    pub device: &'a str,
    pub dtype: &'a str,
    pub preprocessing: Preprocessing,
}

/// One picture's result.
#[derive(Serialize)]
pub struct Row {
    image: String,
    /// Where the name is not UTF-8: its bytes, percent-encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_bytes: Option<String>,
    #[serde(flatten)]
    pub found: Found,
    /// What is wrong with a picture that was read all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    decode_ms: f64,
    engine_ms: Option<f64>,
    #[serde(skip)]
    path: OsString,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    Top(Vec<Class>),
    Error(String),
}

#[derive(Serialize)]
pub struct Class {
    pub index: usize,
    pub label: String,
    pub probability: f32,
}

impl Row {
    /// The classes of a picture from `threshold` on, or what is wrong with it.
    pub fn new(seen: Seen, labels: &Labels, threshold: Option<f32>) -> Row {
        let class = |top: &Top| Class {
            index: top.index,
            label: labels.name(top.index).into(),
            probability: top.probability,
        };
        let path = seen.path.as_os_str();
        let image = seen.path.display().to_string();
        let (found, engine_ms) = match seen.found {
            Ok((top, engine_ms)) => {
                let above = |top: &&Top| threshold.is_none_or(|threshold| top.probability >= threshold);
                (Found::Top(top.iter().filter(above).map(class).collect()), Some(engine_ms))
            }
            // The library's own words have a name that is not UTF-8 with its bytes lost
            Err(error) => (Found::Error(error.replacen(&image, &name(path), 1)), None),
        };
        let image_bytes = name_bytes(path);
        Row {
            image,
            image_bytes,
            found,
            warning: seen.warning,
            decode_ms: seen.decode_ms,
            engine_ms,
            path: path.into(),
        }
    }

    /// The picture's name, for people.
    pub fn name(&self) -> String {
        name(&self.path)
    }
}
