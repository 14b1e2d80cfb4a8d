//! The window itself, driven by keys and clicks; its pictures are compared.

use crate::{
    PATIENCE, camera,
    desk::{COLOURS, Display, SIZE, Window, busy, is, letters, quarters, shows, written},
    folder, has,
};
use image::RgbImage;
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The centres of the switches in the panel of a window of [`SIZE`].
const MIRROR: (u32, u32) = (916, 540);
const FREEZE: (u32, u32) = (984, 540);
const TUNE: (u32, u32) = (1052, 540);
const OPEN: (u32, u32) = (978, 505);
/// What lies behind a switch that is on.
const ON: [u8; 3] = [38, 96, 92];

#[test]
fn keys_clicks_and_sizes() {
    let Some(display) = Display::open() else { return };
    let folder = folder("window");
    let (first, second) = (folder.join("first.png"), folder.join("second.png"));
    quarters(&first, [0, 1, 2, 3]);
    quarters(&second, [3, 2, 1, 0]);
    let source = first.to_str().expect("a plain path");
    let mut window = Window::open(&display, &folder, &["--source", source, "--device", "cpu"], "1");
    let plain =
        window.until("the picture and its crop", |shot| shows(shot, 300.0, [0, 1, 2, 3]) && marked(shot));
    assert_eq!(plain.dimensions(), SIZE);
    assert!(!written(&plain), "a line before there is anything to say");
    golden(&plain, &mut window);

    window.key("m");
    window.until("the mirrored picture", |shot| shows(shot, 300.0, [1, 0, 3, 2]));
    window.click(MIRROR.0, MIRROR.1);
    window.until("the picture again", |shot| shows(shot, 300.0, [0, 1, 2, 3]));

    window.key("question");
    let card = (400.0 - 165.0, 350.0);
    window.until("the keys", |shot| is(shot, card, [17, 20, 27]));
    window.key("Escape");
    window.until("the picture without the keys", |shot| shows(shot, 300.0, [0, 1, 2, 3]));

    window.click(FREEZE.0, FREEZE.1);
    let behind = (FREEZE.0 as f32 - 25.0, FREEZE.1 as f32 + 8.0);
    window.until("a switch that is on", |shot| is(shot, behind, ON));
    window.key("space");
    window.until("a switch that is off", |shot| {
        is(shot, behind, [26, 31, 41]) || is(shot, behind, [36, 43, 56])
    });

    // Typed where things are opened: another picture, and then a model that is none, which changes nothing.
    for typed in [second.to_str().expect("a plain path"), "/no/such.safetensors"] {
        window.click(OPEN.0, OPEN.1);
        window.xdotool(&["type", "--window", &window.id, typed]);
        window.key("Return");
        window.until("the second picture", |shot| shows(shot, 300.0, [3, 2, 1, 0]));
    }
    window.until("a line that says so", written);
    // Frozen, no label has the window drawn: the line goes away all the same.
    window.key("space");
    window.until("a switch that is on", |shot| is(shot, behind, ON));
    window.until("the picture without the line", |shot| !written(shot));
    window.key("space");

    window.key("h");
    window.until("the picture without the panel", |shot| shows(shot, 0.0, [3, 2, 1, 0]));
    window.xdotool(&["windowsize", &window.id, "420", "640"]);
    let small = window.until("the picture in a small window", |shot| shows(shot, 0.0, [3, 2, 1, 0]));
    assert_eq!(small.dimensions(), (420, 640));
    window.key("h");
    window.xdotool(&["windowsize", &window.id, "240", "180"]);
    window
        .until("the picture in a tiny window", |shot| shot.width() == 240 && shows(shot, 0.0, [3, 2, 1, 0]));
    window.xdotool(&["windowunmap", "--sync", &window.id]);
    window.xdotool(&["windowmap", "--sync", &window.id]);
    window.xdotool(&["windowsize", &window.id, "1100", "700"]);
    window.xdotool(&["windowfocus", &window.id]);
    window.until("the picture after the window was away", |shot| shows(shot, 300.0, [3, 2, 1, 0]));

    window.key("s");
    let (saved, begun) = (folder.join("camera-001.png"), Instant::now());
    while !saved.exists() {
        assert!(begun.elapsed() < PATIENCE, "no snapshot");
        std::thread::sleep(Duration::from_millis(100));
    }
    let saved = image::open(saved).expect("a PNG").into_rgb8();
    assert!(saved.dimensions() == SIZE && shows(&saved, 300.0, [3, 2, 1, 0]), "the snapshot");

    window.key("q");
    let ended = window.process.wait().expect("the program can be waited for");
    assert!(ended.success(), "{ended}");
    std::fs::remove_dir_all(folder).ok();
}

/// Whether the corners of the crop, the whole of a square picture, are marked, as they are where it has its label.
fn marked(shot: &RgbImage) -> bool {
    let mark = shot.get_pixel(400 - 336 + 1, 350 - 336 + 12).0;
    (0..3).all(|c| mark[c].abs_diff([84, 224, 196][c]) <= 30)
}

/// The picture's part of a window with its panel.
fn picture(shot: &RgbImage) -> Vec<u8> {
    image::imageops::crop_imm(shot, 180, 100, 440, 500).to_image().into_raw()
}

/// Waits until the picture has changed.
fn moves(window: &mut Window) {
    let before = picture(&window.shot());
    window.until("movement", |shot| picture(shot) != before);
}

/// Frozen, a scene that moves stands still; and the keys that switch do so, as the figures say in the end.
#[test]
fn a_moving_scene_and_its_switches() {
    let Some(display) = Display::open() else { return };
    let folder = folder("moving");
    let file = folder.join("digits.safetensors");
    std::fs::write(&file, mobileone::sample::DIGITS).expect("the folder can be written");
    let args = ["--model", file.to_str().expect("a plain path"), "--device", "cpu", "--source", "synthetic"];
    let mut window = Window::open(&display, &folder, &args, "1");
    moves(&mut window);
    window.key("space");
    // The badge lies over the corner of the picture, with letters of a colour that the scene has not.
    let frozen = |shot: &RgbImage| {
        let letters = (28..100).flat_map(|x| (28..160).map(move |y| shot.get_pixel(x, y).0));
        letters.filter(|[r, g, b]| *r < 150 && (100..200).contains(g) && *b > 180).count() >= 15
    };
    window.until("the badge", frozen);
    // What is in flight comes yet: the first picture that is seen twice is the one that stays.
    let mut still = Vec::new();
    window.until("a picture that stands still", |shot| {
        let before = std::mem::replace(&mut still, picture(shot));
        before == still
    });
    // Drawn anew, it is the same.
    window.key("m");
    window.until("the picture in a mirror", |shot| picture(shot) != still);
    window.key("m");
    window.until("the frozen picture", |shot| picture(shot) == still);
    window.key("space");
    moves(&mut window);
    drop(window);

    // From each to another: a file to the first model of the list, the CPU to the first GPU, a picture to the scene.
    let still = folder.join("still.png");
    quarters(&still, [0, 1, 2, 3]);
    let source = still.to_str().expect("a plain path");
    let more = ["--source", source, "--rate", "10", "--frames", "300", "--json"];
    let mut window = Window::open(&display, &folder, &[&args[..4], &more].concat(), "1");
    window.until("the picture", |shot| shows(shot, 300.0, [0, 1, 2, 3]));
    ["c", "n", "d", "p"].into_iter().for_each(|key| window.key(key));
    let mut said = String::new();
    let mut pipe = window.process.stdout.take().expect("it was asked for");
    std::io::Read::read_to_string(&mut pipe, &mut said).expect("the program writes UTF-8");
    let figures: serde_json::Value = serde_json::from_str(&said).expect("JSON, once");
    let found = ["source", "model", "dtype"].map(|name| figures[name].as_str().unwrap_or_default());
    assert_eq!(found, ["synthetic scene", "digits", "f16"], "{figures}");
    assert_eq!(figures["device"], figures["draws_on"], "{figures}");
    std::fs::remove_dir_all(folder).ok();
}

/// The panel's switches, which no figure changes, look as they did; `UPDATE_GOLDEN=1` writes them anew.
fn golden(shot: &RgbImage, window: &mut Window) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/switches.png");
    let cut = |shot: &RgbImage| image::imageops::crop_imm(shot, 810, 392, 280, 164).to_image();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        cut(shot).save(&path).expect("the golden can be written");
    }
    let golden = image::open(&path).expect("tests/data/switches.png").into_rgb8();
    window.until("the switches of tests/data/switches.png", |shot| {
        let found = cut(shot);
        // The shortest word is of more pixels than this.
        let apart = found.as_raw().iter().zip(golden.as_raw()).filter(|(a, b)| a.abs_diff(**b) > 24).count();
        found.dimensions() == golden.dimensions() && apart <= 3 * 16
    });
}

/// Twice the pixels for everything: half of this window is the panel's.
#[test]
fn fine_pixels() {
    let Some(display) = Display::open() else { return };
    let folder = folder("fine");
    let picture = folder.join("picture.png");
    quarters(&picture, [0, 1, 2, 3]);
    let source = picture.to_str().expect("a plain path");
    let args = ["--source", source, "--device", "cpu", "--size", "600x400"];
    let mut window = Window::open(&display, &folder, &args, "2");
    let shot = window.until("the picture", |shot| {
        let at = [(150.0, 300.0), (450.0, 300.0), (150.0, 550.0), (450.0, 550.0)];
        at.into_iter().zip(COLOURS).all(|(at, colour)| is(shot, at, colour))
    });
    assert!(shot.dimensions() == (1200, 800) && is(&shot, (620.0, 780.0), [17, 20, 27]), "the panel");
    std::fs::remove_dir_all(folder).ok();
}

/// With somebody there who manages windows, it fills the screen and comes back.
#[test]
fn full_screen() {
    let Some(display) = Display::open() else { return };
    if !has("openbox", "openbox") {
        return;
    }
    let manager = Command::new("openbox").env("DISPLAY", &display.1).stderr(Stdio::null()).spawn();
    let _manager = Display(manager.expect("openbox starts"), String::new());
    display.answers("get_num_desktops");
    let folder = folder("full");
    let picture = folder.join("picture.png");
    quarters(&picture, [0, 1, 2, 3]);
    let source = picture.to_str().expect("a plain path");
    let mut window = Window::open(&display, &folder, &["--source", source, "--device", "cpu"], "1");
    for (key, size) in [("", SIZE), ("F11", (1400, 900)), ("f", SIZE)] {
        if !key.is_empty() {
            window.key(key);
        }
        window.until(key, |shot| shot.dimensions() == size && shows(shot, 300.0, [0, 1, 2, 3]));
    }
    window.xdotool(&["windowminimize", &window.id]);
    let visible = |window: &Window| window.xdotool(&["search", "--onlyvisible", "--name", "MobileOne"]);
    let begun = Instant::now();
    while !visible(&window).is_empty() {
        std::thread::sleep(Duration::from_millis(100));
        assert!(begun.elapsed() < PATIENCE, "it was not minimised");
    }
    window.is_alive();
    let begun = Instant::now();
    while visible(&window).is_empty() {
        window.xdotool(&["windowmap", &window.id]);
        std::thread::sleep(Duration::from_millis(200));
        assert!(begun.elapsed() < PATIENCE, "it does not come back");
    }
    window.until("the picture again", |shot| shot.dimensions() == SIZE && shows(shot, 300.0, [0, 1, 2, 3]));
    // And frames go on.
    window.key("c");
    window.until("the scene", |shot| !shows(shot, 300.0, [0, 1, 2, 3]));
    moves(&mut window);
    std::fs::remove_dir_all(folder).ok();
}

/// A window of one pixel, and one that is hidden, lose nothing: frames go on.
#[test]
fn hardly_a_window() {
    let Some(display) = Display::open() else { return };
    let folder = folder("tiny");
    let mut window =
        Window::open(&display, &folder, &["--source", "synthetic", "--device", "cpu", "--json"], "1");
    moves(&mut window);
    let id = window.id.clone();
    for away in [vec!["windowsize", &id, "1", "1"], vec!["windowunmap", "--sync", &id]] {
        window.xdotool(&away);
        std::thread::sleep(Duration::from_millis(300)); // some frames come meanwhile
        window.is_alive();
        window.xdotool(&["windowmap", &id]);
        window.xdotool(&["windowsize", "--sync", &id, "1100", "700"]);
        window.until("its size", |shot| shot.dimensions() == SIZE);
        moves(&mut window);
    }
    window.xdotool(&["windowfocus", "--sync", &id]);
    let figures = window.quit();
    assert!(figures["out_of_order"] == 0 && figures["recovered"] == 0, "{figures}");
    std::fs::remove_dir_all(folder).ok();
}

/// Tuned, the model rests; stopped or at its end, it goes on.
#[test]
fn tuning_in_the_window() {
    let Some(display) = Display::open() else { return };
    let folder = folder("tuning");
    let picture = folder.join("picture.png");
    quarters(&picture, [0, 1, 2, 3]);
    let source = picture.to_str().expect("a plain path");
    let args = ["--source", source, "--device", "software", "--rate", "5", "--tune-seconds", "4", "--json"];
    let mut window = Window::open(&display, &folder, &args, "1");
    window.until("a labelled picture", |shot| shows(shot, 300.0, [0, 1, 2, 3]) && marked(shot));
    let on = |shot: &RgbImage| is(shot, (TUNE.0 as f32 - 25.0, TUNE.1 as f32 + 8.0), ON);
    window.key("t");
    window.until("the model at rest", |shot| on(shot) && busy(shot) && !marked(shot));
    // The window's thread waits for none of it.
    window.key("m");
    let shot = window.until("the mirrored picture", |shot| shows(shot, 300.0, [1, 0, 3, 2]));
    assert!(on(&shot) && busy(&shot) && !marked(&shot), "the tuning has ended");
    window.key("m");
    window.key("t");
    window.until("the model again", |shot| !on(shot) && !busy(shot) && written(shot) && marked(shot));
    window.until("no line", |shot| !written(shot));
    window.click(TUNE.0, TUNE.1);
    window.until("the model at rest", |shot| on(shot) && busy(shot) && !marked(shot));
    window.until("the model, tuned", |shot| !on(shot) && !busy(shot) && written(shot) && marked(shot));
    window.quit();
    let table = std::fs::read_dir(folder.join("cache")).map(|files| files.count());
    assert_eq!(table.ok(), Some(1), "what was found is kept for later");
    std::fs::remove_dir_all(folder).ok();
}

/// While the device is opened, and while a model is loaded, the window is there, says so, and answers.
#[test]
fn nothing_is_waited_for() {
    let Some(display) = Display::open() else { return };
    let folder = folder("slow");
    let picture = folder.join("picture.png");
    quarters(&picture, [0, 1, 2, 3]);
    let source = picture.to_str().expect("a plain path");
    let gate = folder.join("gate");
    let held = gate.to_str().expect("a plain path");
    let lets_through = || std::fs::write(&gate, "").expect("the folder can be written");
    let args = ["--source", source, "--device", "cpu", "--rate", "10", "--gate", held, "--json"];
    let mut window = Window::open(&display, &folder, &args, "1");
    let name = |window: &Window| window.xdotool(&["getwindowname", &window.id]).trim().to_string();
    assert_eq!(name(&window), "MobileOne: opening cpu");
    lets_through();
    // The first drawing has no picture yet, or one without a label, and says what is loaded.
    let shot = window.until("the progress of the load", busy);
    assert!(!marked(&shot), "no label can have come");
    assert_eq!(name(&window), "MobileOne");
    // It does what it is told meanwhile.
    window.key("m");
    let shot = window.until("the mirrored picture", |shot| shows(shot, 300.0, [1, 0, 3, 2]));
    assert!(busy(&shot) && !marked(&shot), "the load has ended: {}", name(&window));
    lets_through();
    window.until("the crop", |shot| marked(shot) && !busy(shot));
    // To another device, which is opened and loaded as slowly.
    window.key("d");
    window.until("the progress of the opening", busy);
    window.key("m");
    window.until("the picture, which is still labelled", |shot| {
        shows(shot, 300.0, [0, 1, 2, 3]) && busy(shot) && marked(shot)
    });
    lets_through();
    window.until("the other device", |shot| !busy(shot) && marked(shot));
    let figures = window.quit();
    assert_eq!(figures["device"], figures["draws_on"], "{figures}");
    let number = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("{name} in {figures}"));
    assert!(number("first_drawn_ms") > 0.0 && number("away_ms") > 0.0, "{figures}");
    std::fs::remove_dir_all(folder).ok();
}

/// What plays in a camera's place is said as long as it plays, after the passing lines have gone, and not when it is
/// chosen itself.
#[test]
fn no_camera() {
    let Some(display) = Display::open() else { return };
    let folder = folder("none");
    // Higher than the picture: what is said stands below it.
    let args = ["--source", "script:unplug:100000", "--device", "cpu", "--size", "1100x880"];
    let mut window = Window::open(&display, &folder, &args, "1");
    let warns =
        |shot: &RgbImage| letters(shot, (20..400, 820..862), |[r, g, b]| r > 170 && g > 130 && b < 130) >= 60;
    let passing = |shot: &RgbImage| {
        letters(shot, (20..200, 740..815), |pixel| pixel.into_iter().all(|value| value > 140))
    };
    window.until("the line that stays, and one that passes", |shot| warns(shot) && passing(shot) >= 15);
    window.until("the line that stays, alone", |shot| warns(shot) && passing(shot) == 0);
    window.key("h");
    window.until("the line without the panel", |shot| shot.width() == 1100 && warns(shot));
    window.key("h");
    window.key("c");
    window.until("the scene without the line", |shot| !warns(shot));
    moves(&mut window);
    std::fs::remove_dir_all(folder).ok();
}

/// The buttons of a folder's source, at their places in the panel of a window of [`SIZE`].
const PREVIOUS: (u32, u32) = (912, 505);
const PLAY: (u32, u32) = (987, 505);
const NEXT: (u32, u32) = (1053, 505);

/// A folder's pictures are leafed through by keys and buttons, with their names at the foot.
#[test]
fn leafing_through_a_folder() {
    let Some(display) = Display::open() else { return };
    let (folder, pictures) = (folder("leaves"), folder("leaves-pictures"));
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 3, 0]];
    for (name, order) in ["one.png", "three.png", "two.png"].into_iter().zip(orders) {
        quarters(&pictures.join(name), order);
    }
    let source = pictures.to_str().expect("a plain path");
    let mut window = Window::open(&display, &folder, &["--source", source, "--device", "cpu"], "1");
    let plays = |shot: &RgbImage| is(shot, (PLAY.0 as f32 - 20.0, PLAY.1 as f32 + 8.0), ON);
    let which = |shot: &RgbImage| orders.iter().position(|order| shows(shot, 300.0, *order));
    window.until("a picture with its name, and others to follow", |shot| {
        which(shot).is_some() && written(shot) && plays(shot)
    });
    // Stopped, the present one stays: it is known when it is seen again and again.
    window.click(PLAY.0, PLAY.1);
    let (mut seen, mut count) = (None, 0);
    let shot = window.until("a picture that stays", |shot| {
        let now = which(shot).filter(|_| written(shot) && !plays(shot));
        count = if now.is_some() && now == seen { count + 1 } else { 0 };
        seen = now;
        count >= 5
    });
    let mut at = which(&shot).expect("one of them");
    let hands: [(&dyn Fn(&Window), usize); 6] = [
        (&|window| window.key("Right"), 1),
        (&|window| window.key("Right"), 1),
        (&|window| window.key("Left"), 2),
        (&|window| window.click(NEXT.0, NEXT.1), 1),
        (&|window| window.click(PREVIOUS.0, PREVIOUS.1), 2),
        (&|window| window.click(PREVIOUS.0, PREVIOUS.1), 2),
    ];
    for (hand, by) in hands {
        hand(&window);
        at = (at + by) % orders.len();
        window.until("the picture beside it", |shot| which(shot) == Some(at) && written(shot));
    }
    // Played again, another follows by itself.
    window.click(PLAY.0, PLAY.1);
    window.until("the next", |shot| which(shot) == Some((at + 1) % orders.len()));
    window.key("h");
    window.until("a name without the panel", |shot| {
        orders.iter().any(|order| shows(shot, 0.0, *order)) && written(shot)
    });
    std::fs::remove_dir_all(folder).ok();
    std::fs::remove_dir_all(pictures).ok();
}

/// In the window too, a lost device is opened anew, and labels go on; its figures come when it ends.
#[test]
fn a_lost_device() {
    let Some(display) = Display::open() else { return };
    let folder = folder("lost");
    for device in ["cpu", "software"] {
        let args =
            ["--source", "synthetic", "--device", device, "--frames", "40", "--lose-every", "15", "--json"];
        let mut command = camera(&args);
        command.env("DISPLAY", &display.1).env_remove("WAYLAND_DISPLAY").current_dir(&folder);
        let output = command.output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains("panicked"), "{device}: {said}");
        let figures: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(figures["frames"].as_u64() >= Some(40) && figures["out_of_order"] == 0, "{figures}");
        assert!(
            figures["recovered"].as_u64() >= Some(2) && figures["drawn"].as_u64() >= Some(1),
            "{figures}"
        );
        assert!(figures["draw_host_ms"].as_f64() > Some(0.0), "{figures}");
    }
    std::fs::remove_dir_all(folder).ok();
}
