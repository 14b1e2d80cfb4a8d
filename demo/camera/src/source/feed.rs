//! A camera's frames, for as long as it is there.
//!
//! A camera that is not there, or is pulled out, is looked for every second while the synthetic scene plays.

use super::{Stage, sent::unpack, synthetic_until, watch::Watched};
use crate::frame::Frame;
use std::{collections::HashSet, time::Instant};

/// What is done while there is no camera.
const INSTEAD: &str = "Playing the synthetic scene, and looking for it.";

/// Plays a camera until it is stopped.
pub fn play(mut camera: Watched, stage: &Stage) {
    // Says each line once, however long the camera is away or sends nothing; a frame lets all of them be said again.
    let mut told = HashSet::new();
    let tell = |told: &mut HashSet<String>, line: String| {
        if told.insert(line.clone()) {
            (stage.tell)(line);
        }
    };
    let mut was = false;
    while !stage.stopped() {
        match camera.open() {
            Ok(name) => tell(&mut told, format!("{name} is open.")),
            Err(reason) => {
                let line = format!("No camera: {reason}. {INSTEAD}");
                tell(&mut told, line.clone());
                let mut found = None;
                synthetic_until(stage, Some(line), || {
                    found = camera.open().ok();
                    found.is_some()
                });
                let Some(name) = found else { break };
                tell(&mut told, if was { "The camera is back.".into() } else { format!("{name} is open.") });
            }
        }
        let (mut came, mut gone) = (false, String::new());
        while !stage.stopped() {
            let (bytes, sent) = match camera.frame(stage.slot.buffer()) {
                Ok(sent) => sent,
                Err(reason) => {
                    gone = format!("The camera is gone: {reason}.");
                    tell(&mut told, gone.clone());
                    break;
                }
            };
            let captured = Instant::now();
            match unpack(&sent, bytes, stage) {
                Ok((bytes, format, size)) => {
                    if !came {
                        told.clear();
                    }
                    (came, was) = (true, true);
                    stage.put(Frame { id: 0, captured, size, format, bytes, truth: None, caption: None });
                }
                Err(reason) => tell(&mut told, format!("A frame was dropped: {reason}.")),
            }
        }
        camera.close();
        if !came {
            // It opens and sends nothing: not to be asked again at once.
            synthetic_until(stage, Some(format!("{gone} {INSTEAD}")), || true);
        }
    }
    camera.close();
}
