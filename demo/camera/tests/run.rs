//! The program without a window.

use crate::{PATIENCE, camera, folder, has, says};
use serde_json::Value;
use std::path::Path;

fn figures(args: &[&str]) -> (Value, String) {
    let mut all = vec!["--headless", "--json"];
    all.extend(args);
    let (json, said) = says(&all);
    (serde_json::from_str(&json).expect("it prints JSON"), said)
}

fn number(figures: &Value, name: &str) -> f64 {
    figures[name].as_f64().unwrap_or_else(|| panic!("{name} in {figures}"))
}

/// The raw top-1 on the synthetic scene, every digit of it, is right in 95 % of the frames, on both ways.
#[test]
fn labels_are_right() {
    for (device, dtype) in [("cpu", "f32"), ("software", "f32"), ("software", "f16")] {
        // Ten digits of 2.4 s at 10 frames a second: every digit is judged, and every frame, for none is missed.
        let mut args = vec!["--frames", "260", "--rate", "10", "--unpaced", "--no-draw", "--device", device];
        if dtype == "f16" {
            args.push("--half");
        }
        let (figures, _) = figures(&args);
        let accuracy = number(&figures, "accuracy");
        assert!(accuracy >= 0.95, "{device} {dtype}: {accuracy} of {figures}");
        assert!(number(&figures, "judged") >= 260.0 && number(&figures, "between") <= 30.0, "{figures}");
        assert_eq!(
            (number(&figures, "out_of_order"), &figures["dtype"]),
            (0.0, &Value::from(dtype)),
            "{figures}"
        );
        for name in ["fps", "engine_ms", "host_ms", "memory_mb"] {
            assert!(number(&figures, name) > 0.0, "{name} in {figures}");
        }
        let latency = &figures["latency_ms"];
        assert!(number(latency, "median") <= number(latency, "p99"), "{figures}");
    }
}

/// Everything changes all the while: memory stays flat, and no label is older than the one before.
#[test]
fn soak() {
    let frames = std::env::var("SOAK_FRAMES").unwrap_or("500".into());
    // What the program may grow by, in MB, however long the run is: pools of the allocators, one for every thread, that
    // fill up late. A frame has 1.2 MB of pixels, a loaded model as much, its pipelines on a software GPU about 10 MB.
    let rows = [
        ("cpu", "--soak=model,size,source", 8.0),
        ("software", "--soak=model,size,source,half", 10.0),
        ("auto", "--soak", 20.0),
    ];
    for (device, changes, most) in rows {
        let args = ["--headless", "--json", "--frames", &frames, "--rate", "0", "--device", device, changes];
        // Khronos' validation layers, where they are installed, keep notes of all that ever was.
        let output = camera(&args).env("WGPU_VALIDATION", "0").output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        let figures: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
        println!("{device}: {figures:#}");
        assert_eq!(number(&figures, "out_of_order"), 0.0, "{figures}");
        let asked: f64 = frames.parse().expect("a number of frames");
        assert!(20.0 * number(&figures, "drawn") >= asked, "{figures}");
        assert!(25.0 * number(&figures, "changes") >= asked, "{figures}");
        assert!(number(&figures, "accuracy") >= 0.95, "{figures}");
        assert!(figures["memory_growth_mb"].is_number(), "{figures}");
        for (name, most) in [("memory_growth_mb", most), ("device_memory_growth_mb", 8.0)] {
            assert!(figures[name].is_null() || number(&figures, name) < most, "{figures}\n{said}");
        }
    }
}

#[test]
fn a_lost_device_is_opened_anew() {
    for device in ["cpu", "software"] {
        let (figures, said) = figures(&["--frames", "60", "--lose-every", "20", "--device", device]);
        assert!(number(&figures, "recovered") >= 2.0, "{figures}\n{said}");
        assert_eq!(number(&figures, "out_of_order"), 0.0, "{figures}");
        assert_eq!(said.matches("lost").count(), said.lines().count(), "{said}");
    }
}

/// A camera that is pulled out, sends garbage, and changes its size and layout with every few frames.
#[test]
fn a_camera_may_do_anything() {
    let script = "script:yuyv:5:320x241,unplug:1,nv12:5:641x480,garbage:3:320x240,mjpeg:5:100x50,short:3:64x64,\
                  i420:5:33x17,gray:3:1x1,rgb:5:1500x3,bgr:3:7x900,rgba:3:65x65";
    for device in ["cpu", "software"] {
        let (figures, said) = figures(&["--frames", "150", "--device", device, "--source", script]);
        assert_eq!((number(&figures, "out_of_order"), number(&figures, "dropped")), (0.0, 0.0), "{figures}");
        for line in [
            "The scripted camera is open.",
            "The camera is gone: unplugged.",
            "Playing the synthetic scene, and looking for it.",
            "The camera is back.",
            "A frame was dropped: not a sound JPEG",
            "A frame was dropped: 3072 bytes of 6144.",
            "the script is over",
        ] {
            assert!(said.contains(line), "{line} in:\n{said}");
        }
    }
}

/// A camera that hangs is given up, and is told of once.
#[test]
fn a_camera_may_hang() {
    let script = "script:rgba:5:64x64,hang:600";
    let args = ["--frames", "250", "--rate", "100", "--device", "cpu", "--source", script];
    let (figures, said) = figures(&args);
    assert_eq!(said.matches("The camera is gone: nothing came for 5 s.").count(), 1, "{said}");
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(number(&figures, "judged") >= 240.0, "the scene is played meanwhile: {figures}");
}

#[test]
fn pictures_folders_and_videos_are_played() {
    let pictures = concat!(env!("CARGO_MANIFEST_DIR"), "/../images");
    let one = format!("{pictures}/two-on-phone.jpg");
    let folder = folder("sources");
    let quick = ["--frames", "4", "--device", "cpu", "--rate", "0"];
    let play = |source: &str| figures(&[&quick[..], &["--source", source]].concat());
    assert_eq!(play(&one).0["source"], "two-on-phone.jpg");
    assert_eq!(play(pictures).0["frames"].as_u64().map(|frames| frames >= 4), Some(true));
    // A folder without pictures, a broken picture, a text: the scene is played instead, and its figures are not
    // given for theirs.
    let refuses = |source: &Path, line: &str| {
        let args = ["--headless", "--json", "--frames", "4", "--device", "cpu", "--rate", "0", "--source"];
        let output = camera(&args).arg(source).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        let end = format!("no frame came from {}", source.file_name().expect("a name").display());
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        assert!([line, "Playing the synthetic scene", &end].iter().all(|line| said.contains(line)), "{said}");
    };
    refuses(&folder, "");
    let broken = folder.join("broken.png");
    std::fs::write(&broken, b"\x89PNG\r\n\x1a\nno more").expect("the folder can be written");
    refuses(&broken, "not a sound PNG");
    // One that is damaged at its end is played, and the line that says so comes once.
    let mut bytes = std::fs::read(&one).expect("the picture is there");
    bytes.truncate(bytes.len() * 97 / 100);
    bytes.extend(b"\xff\xd9");
    let damaged = folder.join("damaged.jpg");
    std::fs::write(&damaged, &bytes).expect("the folder can be written");
    let (figures, said) = play(damaged.to_str().expect("a plain path"));
    assert_eq!(figures["source"], "damaged.jpg", "{said}");
    let line = said.trim_end();
    assert!(
        line.contains("damaged.jpg: ") && line.contains("is missing") && line.lines().count() == 1,
        "{said}"
    );
    let text = folder.join("text.mp4");
    std::fs::write(&text, "no video").expect("the folder can be written");
    if has("ffmpeg", "ffmpeg") {
        refuses(&text, "");
        let video = folder.join("a video: 1.mkv");
        let made = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=98x55:rate=25:duration=1", "-y"])
            .arg(&video)
            .status();
        assert!(made.expect("ffmpeg starts").success());
        let (figures, said) = play(video.to_str().expect("a plain path"));
        assert_eq!((said.as_str(), figures["accuracy"].is_null()), ("", true), "{figures}");
    }
    std::fs::remove_dir_all(folder).ok();
}

/// A stream that changes its size goes on in its first one.
#[test]
fn a_video_may_change_its_size() {
    if !has("ffmpeg", "ffmpeg") {
        return;
    }
    let folder = folder("sizes");
    let mut stream = Vec::new();
    for size in ["160x120", "320x180", "64x96"] {
        let scene = format!("testsrc=size={size}:rate=25:duration=0.6");
        let args = ["-v", "error", "-f", "lavfi", "-i", &scene, "-c:v", "mpeg2video", "-f", "mpegts", "-"];
        let made = std::process::Command::new("ffmpeg").args(args).output().expect("ffmpeg starts");
        assert!(made.status.success() && !made.stdout.is_empty());
        stream.extend(made.stdout);
    }
    let path = folder.join("sizes.ts");
    std::fs::write(&path, stream).expect("the folder can be written");
    for device in ["cpu", "software"] {
        let source = path.to_str().expect("a plain path");
        let (figures, said) = figures(&["--frames", "60", "--device", device, "--source", source]);
        assert_eq!((said.as_str(), number(&figures, "judged")), ("", 0.0), "the scene was played: {figures}");
    }
    std::fs::remove_dir_all(folder).ok();
}

/// Whose ffmpeg is killed goes on with the scene, and says so.
#[test]
#[cfg(target_os = "linux")]
fn a_video_may_be_killed() {
    if !has("ffmpeg", "ffmpeg") {
        return;
    }
    let folder = folder("killed");
    let video = folder.join("video.mkv");
    let scene =
        ["-v", "error", "-f", "lavfi", "-i", "testsrc=size=640x480:rate=25:duration=2", "-c:v", "ffv1"];
    let made = std::process::Command::new("ffmpeg").args(scene).arg(&video).status();
    assert!(made.expect("ffmpeg starts").success());
    let source = video.to_str().expect("a plain path");
    // Drawn frames are written: the first one shows that the video plays.
    let drawn = folder.join("drawn");
    let args =
        ["--headless", "--json", "--frames", "150", "--rate", "0", "--device", "cpu", "--source", source];
    let mut command = camera(&args);
    command.args(["--size", "320x240", "--record"]).arg(&drawn);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let process = command.spawn().expect("the program starts");
    let begun = std::time::Instant::now();
    while std::fs::read_dir(&drawn).map_or(0, Iterator::count) == 0 {
        assert!(begun.elapsed() < PATIENCE, "the video is not played");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let ffmpeg = child_of(process.id()).expect("a process plays the video");
    let killed = std::process::Command::new("kill").args(["-9", &ffmpeg.to_string()]).status();
    assert!(killed.expect("kill starts").success());
    let output = process.wait_with_output().expect("the program can be waited for");
    let said = String::from_utf8_lossy(&output.stderr);
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert!(output.status.success() && said.contains("Playing the synthetic scene"), "{said}");
    let judged = number(&figures, "judged");
    assert!(
        judged >= 20.0 && judged < number(&figures, "frames"),
        "first the video, then the scene: {figures}"
    );
    std::fs::remove_dir_all(folder).ok();
}

/// A process that one of a program's threads started.
#[cfg(target_os = "linux")]
fn child_of(program: u32) -> Option<u32> {
    let threads = std::fs::read_dir(format!("/proc/{program}/task")).ok()?;
    let children =
        threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    children.flat_map(|line| line.split_whitespace().map(str::parse).collect::<Vec<_>>()).flatten().next()
}

/// Drawn frames are written, and become an animation that a decoder reads whole.
#[test]
fn a_recording_becomes_an_animation() {
    let (folder, file) =
        (folder("record"), std::env::temp_dir().join(format!("camera-{}.png", std::process::id())));
    let path = folder.to_str().expect("a plain path");
    let (figures, _) = figures(&[
        "--frames", "12", "--device", "cpu", "--rate", "10", "--size", "900x560", "--record", path,
    ]);
    let drawn = std::fs::read_dir(&folder).expect("it is there").count();
    assert_eq!(number(&figures, "drawn"), drawn as f64, "{figures}");
    let frame = image::open(folder.join("000003.png")).expect("a PNG").into_rgb8();
    assert_eq!(frame.dimensions(), (900, 560));
    says(&["--animate", path, file.to_str().expect("a plain path"), "--width", "300", "--rate", "10"]);
    let open = std::io::BufReader::new(std::fs::File::open(&file).expect("it was written"));
    let mut reader = png::Decoder::new(open).read_info().expect("a PNG");
    let control = *reader.info().animation_control().expect("an animated one");
    assert_eq!((control.num_frames as usize, reader.info().width), (drawn, 300));
    let mut buffer = vec![0; reader.output_buffer_size().expect("a small one")];
    for at in 0..drawn {
        reader.next_frame(&mut buffer).unwrap_or_else(|error| panic!("frame {at}: {error}"));
    }
    std::fs::remove_dir_all(folder).ok();
    std::fs::remove_file(file).ok();
}

/// What cannot be had ends with a line that says so, and no panic.
#[test]
fn what_cannot_be_had_is_said() {
    let rows: [(&[&str], &str); 11] = [
        (&["--headless", "--frames", "3", "--yuv", "bt2020"], "colours are one of bt601 bt601,full bt709"),
        (&["--headless", "--frames", "3", "--soak=weather"], "weather"),
        (&["--animate", "/no/such", "/tmp/never.png", "--width", "0"], "0 is not in 1..=8192"),
        (&["--headless", "--frames", "3", "--device", "nosuch"], "\"nosuch\": not here"),
        (&["--headless"], "--frames"),
        (&["--headless", "--frames", "3", "--source", "/no/such"], "/no/such: no such file"),
        (&["--headless", "--frames", "3", "--source", "camera:x"], "cameras have numbers"),
        (&["--headless", "--frames", "3", "--model", "/no/such.safetensors"], "no such file"),
        (&["--headless", "--frames", "0"], "0"),
        (&["--headless", "--frames", "3", "--size", "0x4"], "a size is two numbers"),
        (&["--animate", "/no/such", "/tmp/never.png"], "/no/such"),
    ];
    for (args, line) in rows {
        let output = camera(args).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(line) && !said.contains("panicked"), "{args:?}: {said}");
    }
}

/// Without a display, or with one that is not there, there is no window: it says what to do, in one line, and names none
/// of the sources that it was built from.
#[test]
#[cfg(target_os = "linux")]
fn no_display() {
    for display in [None, Some(":987")] {
        let mut blind = camera(&["--source", "synthetic"]);
        blind.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET");
        blind.envs(display.map(|display| ("DISPLAY", display)));
        let output = blind.output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("--headless"), "{said}");
        assert!([".rs", "registry", "panicked"].iter().all(|word| !said.contains(word)), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
