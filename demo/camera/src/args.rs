//! The command's arguments.

use crate::{
    change::Change,
    frame::Colour,
    live::Settings,
    record::Animation,
    source::{
        Source,
        camera::{self, Wanted},
    },
};
use clap::Parser;
use mobileone::{
    checkpoint::{Reading, Strides, Which},
    tune,
};
use std::{path::PathBuf, time::Duration};

/// A window on what MobileOne sees: a camera, a picture, a video, or a scene that it draws itself.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 110)]
pub struct Args {
    /// What to look at: synthetic, camera, camera:1, a picture, a folder, a video, or the address of a stream. By
    /// default the first camera, and the synthetic scene where there is none
    #[arg(long)]
    pub source: Option<String>,
    /// The model: digits (built in), a file, a folder, s0 to s4, or a hub id
    #[arg(long, default_value = "digits")]
    pub model: String,
    /// Which network of the model's file, where it holds several: raw, ema (averaged), or a name in the file
    #[arg(long, value_name = "WHICH")]
    pub weights: Option<Which>,
    /// Strides of the model's stem and stages, as in 1,2,2,2,2
    #[arg(long)]
    pub strides: Option<Strides>,
    /// Epsilon of the model's batch normalizations, as in 0.001
    #[arg(long, value_name = "EPSILON")]
    pub bn_eps: Option<f64>,
    /// The device: auto, cpu, gpu, software, a backend, or a part of a name
    #[arg(long, default_value = "auto", value_parser = |text: &str| Ok::<_, String>(text.trim().to_lowercase()))]
    pub device: String,
    /// Compute in f16, on a GPU that can
    #[arg(long)]
    pub half: bool,
    /// Show the picture as a mirror does; the network sees it as it is
    #[arg(long)]
    pub mirror: bool,
    /// Columns and rows that a camera is asked for, as in 1280x720
    #[arg(long, value_parser = size)]
    pub camera_size: Option<(u32, u32)>,
    /// Frames per second that a camera is asked for
    #[arg(long)]
    pub camera_rate: Option<u32>,
    /// How a camera or a video made its luma and chroma, where it does not say or says so wrongly: bt601, bt709, each
    /// also with ,full
    #[arg(long, value_name = "COLOURS")]
    pub yuv: Option<Colour>,
    /// Frames per second of what has no pace of its own; 0 for as many as are taken
    #[arg(long, default_value_t = 30.0, value_parser = rate)]
    pub rate: f64,
    /// Columns and rows of the window
    #[arg(long, default_value = "1100x700", value_parser = size)]
    pub size: (u32, u32),
    /// How long the key T may tune the model
    #[arg(long, value_name = "N", default_value_t = 25.0, value_parser = seconds)]
    pub tune_seconds: f64,
    /// List the cameras, and stop
    #[arg(long)]
    pub cameras: bool,

    /// Run without a window, drawing to a texture
    #[arg(long)]
    pub headless: bool,
    /// Labelled frames after which to stop, with or without a window
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,
    /// Print the figures as JSON, without --frames once the window is closed
    #[arg(long)]
    pub json: bool,
    /// Write the drawn frames to this folder as PNG
    #[arg(long)]
    pub record: Option<PathBuf>,
    /// Draw nothing, to see what drawing costs
    #[arg(long, requires = "headless", conflicts_with = "record")]
    pub no_draw: bool,
    /// Change things all the while: all that is listed, or what is named
    #[arg(long, requires = "headless", value_name = "CHANGES", value_delimiter = ',', num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "model,device,size,source,half")]
    pub soak: Option<Vec<Change>>,
    /// Make the recorded frames of a folder an animated PNG, and stop
    #[arg(long, num_args = 2, value_names = ["FOLDER", "FILE"])]
    pub animate: Option<Vec<PathBuf>>,
    /// Columns of the animation
    #[arg(long, default_value_t = 560, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub width: u32,

    /// Throw the device away after every so many labelled frames
    #[arg(long, hide = true)]
    pub lose_every: Option<u64>,
    /// Let the scene's time go by the rate and its frames come as they are taken
    #[arg(long, hide = true)]
    pub unpaced: bool,
    /// Wait for this file, and take it away, before each opening of a device and each load of a model
    #[arg(long, hide = true)]
    pub gate: Option<PathBuf>,
    /// Where snapshots go
    #[arg(long, default_value = ".")]
    pub snapshots: PathBuf,
}

impl Args {
    /// What is to be set.
    ///
    /// # Errors
    /// A line when the source is not to be had.
    pub fn settings(&self) -> Result<Settings, String> {
        let mut source = match &self.source {
            Some(text) => Source::parse(text)?,
            None if self.headless => Source::Synthetic,
            None => Source::Camera(Wanted::default()),
        };
        if let Source::Camera(wanted) = &mut source {
            wanted.size = self.camera_size.unwrap_or(wanted.size);
            wanted.rate = self.camera_rate.unwrap_or(wanted.rate);
        }
        let keep =
            self.frames.filter(|_| self.headless).map_or(1200, |frames| frames.clamp(1, 100_000) as usize);
        let (model, device, half, rate) = (self.model.clone(), self.device.clone(), self.half, self.rate);
        let weights = self.weights.clone().unwrap_or_default();
        let reading = Reading { weights, strides: self.strides.clone(), bn_eps: self.bn_eps };
        let reading = (model.clone(), reading);
        let (gate, unpaced) = (self.gate.clone(), self.unpaced);
        let (tuning, place) = (Duration::from_secs_f64(self.tune_seconds), Some(tune::place as fn(&_) -> _));
        let yuv = self.yuv;
        Ok(Settings { model, reading, device, half, source, rate, unpaced, yuv, keep, tuning, place, gate })
    }

    /// How an animation is made.
    pub fn animation(&self) -> Animation {
        Animation { width: self.width, rate: if self.rate > 0.0 { self.rate } else { 10.0 } }
    }

    /// The cameras of this machine, a line each.
    pub fn list_cameras() -> String {
        let cameras = camera::list();
        let lines: Vec<String> =
            cameras.iter().map(|(index, name)| format!("camera:{index}  {name}")).collect();
        if lines.is_empty() { "no camera here".into() } else { lines.join("\n") }
    }
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=8192).contains(side));
    let sides = text.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
    sides.ok_or_else(|| format!("{text}: a size is two numbers from 1 to 8192, as in 1280x720"))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.0..=1000.0).contains(rate));
    rate.ok_or_else(|| format!("{text}: a rate is 0 to 1000 frames per second"))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.ok_or_else(|| format!("{text}: 0 to 3600 seconds"))
}
