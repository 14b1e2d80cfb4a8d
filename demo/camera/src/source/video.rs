//! Videos and streams through an ffmpeg process, which sends planes of Y, U and V with a line before each frame.

use super::Stage;
use crate::frame::{Colour, Format, Frame};
use mobileone::preprocess::{YuvMatrix, YuvRange};
use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

/// Sides of a frame that are believed.
const MOST: usize = 8192;

/// Plays a video, over and over where it is a file, until it is stopped.
pub fn play(place: &str, stage: &Stage) -> Result<(), String> {
    let file = !place.contains("://");
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error"]);
    if file {
        command.args(["-stream_loop", "-1", "-re"]);
    }
    // `file:` keeps ffmpeg from taking a name with a colon or a dash for something else.
    let input = if file { format!("file:{place}") } else { place.to_string() };
    command.args(["-i", &input, "-an", "-vf", &conversion(stage.yuv), "-pix_fmt", "yuv420p"]);
    command.args(["-f", "yuv4mpegpipe", "-"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "videos need ffmpeg, which is not installed".to_string(),
        _ => format!("ffmpeg: {error}"),
    })?;
    let (Some(pipe), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("ffmpeg has no output".into());
    };
    *stage.child.lock().expect("no panic while a process changes hands") = Some(child);
    let process = Process(stage);
    if stage.stopped() {
        return Ok(()); // too early to have been ended with its source
    }
    // Read as it comes, so that ffmpeg never waits for us to listen; the last line tells why it ended.
    let errors = thread::spawn(move || BufReader::new(errors).lines().map_while(Result::ok).last());
    let ended = read(&mut BufReader::with_capacity(1 << 20, pipe), stage);
    if stage.stopped() {
        return Ok(());
    }
    drop(process);
    let said = errors.join().ok().flatten();
    Err(format!("{place}: {}", said.or(ended.err()).unwrap_or_else(|| "the video is over".into())))
}

/// Ended and waited for when it is dropped.
struct Process<'a>(&'a Stage);

impl Drop for Process<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.child.lock().ok().and_then(|mut child| child.take()) {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// What ffmpeg makes of a video's colours: it knows what the stream says of them, and takes BT.601 of limited range where
/// that is nothing; `given` goes before both. What comes is [`Colour::USUAL`].
fn conversion(given: Option<Colour>) -> String {
    let from = given.map_or(String::new(), |Colour { matrix, range }| {
        let matrix = if matrix == YuvMatrix::Bt709 { "bt709" } else { "bt601" };
        let range = if range == YuvRange::Full { "pc" } else { "tv" };
        format!("in_color_matrix={matrix}:in_range={range}:")
    });
    format!("scale={from}out_color_matrix=bt601:out_range=tv")
}

fn read(pipe: &mut impl BufRead, stage: &Stage) -> Result<(), String> {
    let head = line(pipe)?;
    let (size, format) = (size_of(&head)?, Format::I420(Colour::USUAL));
    while !stage.stopped() {
        if !line(pipe)?.starts_with("FRAME") {
            return Err("ffmpeg sent no frame".into());
        }
        let mut bytes = stage.slot.buffer();
        bytes.resize(format.bytes(size), 0);
        pipe.read_exact(&mut bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "ffmpeg ended amid a frame".to_string(),
            _ => error.to_string(),
        })?;
        stage.put(Frame { id: 0, captured: Instant::now(), size, format, bytes, truth: None, caption: None });
    }
    Ok(())
}

/// Columns and rows, from the first line of the stream.
fn size_of(head: &str) -> Result<(usize, usize), String> {
    let side = |letter| {
        let side: usize = head.split(' ').skip(1).find_map(|word| word.strip_prefix(letter))?.parse().ok()?;
        (1..=MOST).contains(&side).then_some(side)
    };
    match (head.starts_with("YUV4MPEG2 "), side('W'), side('H')) {
        (true, Some(width), Some(height)) => Ok((width, height)),
        _ => Err("ffmpeg found no video in it".into()),
    }
}

/// A line of at most 1024 bytes.
fn line(pipe: &mut impl BufRead) -> Result<String, String> {
    let mut line = Vec::new();
    pipe.take(1024).read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
    match line.pop() {
        Some(b'\n') => Ok(String::from_utf8_lossy(&line).into_owned()),
        Some(_) => Err("ffmpeg sent something else than frames".into()),
        None => Err("the video is over".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_stream_says_its_size() {
        assert_eq!(size_of("YUV4MPEG2 W320 H241 F25:1 Ip A1:1 C420jpeg"), Ok((320, 241)));
        for wrong in ["", "YUV4MPEG2 W320", "YUV4MPEG2 W0 H1", "YUV4MPEG2 W99999 H1", "RIFF W1 H1"] {
            assert!(size_of(wrong).is_err(), "{wrong}");
        }
    }
}
