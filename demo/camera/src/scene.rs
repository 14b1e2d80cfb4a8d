//! What the window is about to show, and what a hand did in it.

use crate::{
    engine::Shown,
    figures::{Sample, Summary},
    live::{Running, Settings},
    load::Progress,
    source::Source,
};
use egui::TextureId;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How far back the graph goes.
pub const SPAN: Duration = Duration::from_secs(8);
/// Over what figures are taken.
pub const RECENT: Duration = Duration::from_secs(2);

/// What the window is about to show.
pub struct Scene<'a> {
    /// The frame, and what egui calls its texture.
    pub shown: Option<(TextureId, &'a Shown)>,
    /// The frames of the last [`SPAN`], oldest first.
    pub samples: &'a [Sample],
    /// What is measured over [`RECENT`].
    pub summary: Summary,
    /// What is set.
    pub settings: &'a Settings,
    /// What runs.
    pub running: Option<&'a Running>,
    /// The load under way.
    pub progress: Option<&'a Progress>,
    /// Lines for people.
    pub lines: &'a VecDeque<(Instant, String)>,
    /// Adapters that can be chosen.
    pub adapters: &'a [String],
    /// Cameras that can be chosen.
    pub cameras: &'a [(u32, String)],
    /// Whether the picture stands still.
    pub frozen: bool,
    /// Whether a folder's pictures follow each other by themselves.
    pub plays: bool,
}

/// What a hand did.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Run another model.
    Model(String),
    /// Run on another device.
    Device(String),
    /// Compute in f16, or in f32.
    Half(bool),
    /// Look at something else.
    Source(Source),
    /// Go on by so many pictures of a folder, or back, to one that stays.
    Leaf(isize),
    /// Have a folder's pictures follow each other by themselves, or the present one stay.
    Play(bool),
    /// Freeze, or let go.
    Freeze,
    /// Tune the model on its device, or stop that.
    Tune,
    /// Full screen, or not.
    FullScreen,
    /// Save the picture with its labels.
    Snapshot,
    /// End.
    Quit,
    /// Put up a line.
    Say(String),
}
