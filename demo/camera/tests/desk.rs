//! A display of the tests' own, the program in its window there, and hands and eyes for it.

use crate::{PATIENCE, camera, has};
use image::RgbImage;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use x11rb::{
    protocol::xproto::{ConnectionExt as _, ImageFormat},
    rust_connection::RustConnection,
};

/// Columns and rows of the window.
pub const SIZE: (u32, u32) = (1100, 700);

/// A display, ended with the test.
pub struct Display(pub Child, pub String);

impl Display {
    pub fn open() -> Option<Display> {
        let all = [("Xvfb", "xvfb"), ("xdotool", "xdotool")];
        if !all.into_iter().all(|(program, package)| has(program, package)) {
            return None;
        }
        // Without `-noreset` it begins anew when its last client goes, and throws out whoever comes at that moment.
        let args = ["-displayfd", "1", "-noreset", "-screen", "0", "1400x900x24", "-nolisten", "tcp"];
        let server = Command::new("Xvfb").args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut server = server.expect("Xvfb starts");
        let mut number = String::new();
        let pipe = server.stdout.take().expect("it was asked for");
        BufReader::new(pipe).read_line(&mut number).expect("Xvfb says its display");
        let display = Display(server, format!(":{}", number.trim()));
        display.answers("getdisplaygeometry");
        Some(display)
    }

    /// Waits until a question can be answered.
    pub fn answers(&self, question: &str) {
        let begun = Instant::now();
        let asked = || Command::new("xdotool").arg(question).env("DISPLAY", &self.1).output();
        while !asked().is_ok_and(|output| output.status.success()) {
            assert!(begun.elapsed() < PATIENCE, "the display {} does not answer {question}", self.1);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // Asked, and not killed: it leaves a lock and a socket behind otherwise.
        Command::new("kill").arg(self.0.id().to_string()).status().ok();
        self.0.wait().ok();
    }
}

/// The program in its window.
pub struct Window<'a> {
    pub display: &'a Display,
    pub process: Child,
    pub id: String,
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl<'a> Window<'a> {
    pub fn open(display: &'a Display, folder: &Path, args: &[&str], scale: &str) -> Window<'a> {
        let mut command = camera(args);
        command.env("MOBILEONE_CACHE", folder.join("cache"));
        command.env("WINIT_X11_SCALE_FACTOR", scale);
        command.env("DISPLAY", &display.1).env_remove("WAYLAND_DISPLAY").current_dir(folder);
        let process = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut window = Window { display, process, id: String::new() };
        let begun = Instant::now();
        while window.id.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "no window");
            window.is_alive();
            let found = window.xdotool(&["search", "--onlyvisible", "--name", "MobileOne"]);
            window.id = found.lines().next().unwrap_or_default().into();
            std::thread::sleep(Duration::from_millis(100));
        }
        window.xdotool(&["windowfocus", &window.id.clone()]);
        window
    }

    pub fn is_alive(&mut self) {
        let ended = self.process.try_wait().expect("the program can be asked");
        assert_eq!(ended, None, "the program ended");
    }

    pub fn xdotool(&self, args: &[&str]) -> String {
        let output = Command::new("xdotool").args(args).env("DISPLAY", &self.display.1).output();
        String::from_utf8_lossy(&output.expect("xdotool starts").stdout).into_owned()
    }

    pub fn key(&self, key: &str) {
        self.xdotool(&["key", "--window", &self.id, key]);
    }

    pub fn click(&self, x: u32, y: u32) {
        let (x, y) = (x.to_string(), y.to_string());
        self.xdotool(&["mousemove", "--window", &self.id, &x, &y]);
        std::thread::sleep(Duration::from_millis(150));
        self.xdotool(&["click", "1"]);
    }

    /// Has it end, and gives its figures.
    pub fn quit(&mut self) -> serde_json::Value {
        self.key("q");
        let mut said = String::new();
        let mut pipe = self.process.stdout.take().expect("it was asked for");
        std::io::Read::read_to_string(&mut pipe, &mut said).expect("the program writes UTF-8");
        let ended = self.process.wait().expect("the program can be waited for");
        assert!(ended.success(), "{ended}: {said}");
        serde_json::from_str(&said).expect("JSON, once")
    }

    /// What is seen in the window; waits for one that comes, or changes its size.
    pub fn shot(&self) -> RgbImage {
        let (connection, _) = x11rb::connect(Some(&self.display.1)).expect("the display answers");
        let window = self.id.parse().expect("xdotool's ids are numbers");
        let begun = Instant::now();
        loop {
            if let Some(shot) = grab(&connection, window) {
                return shot;
            }
            assert!(begun.elapsed() < PATIENCE, "no screenshot");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until what is seen is right, and gives it; the last picture is kept where it never is.
    pub fn until(&mut self, what: &str, mut right: impl FnMut(&RgbImage) -> bool) -> RgbImage {
        let begun = Instant::now();
        loop {
            self.is_alive();
            let shot = self.shot();
            if right(&shot) {
                return shot;
            }
            if begun.elapsed() > PATIENCE {
                let kept = std::env::temp_dir().join("camera-failed.png");
                shot.save(&kept).ok();
                panic!("{what} was not seen: {}", kept.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The pixels of a window that is to be seen as a whole.
fn grab(connection: &RustConnection, window: u32) -> Option<RgbImage> {
    let size = connection.get_geometry(window).ok()?.reply().ok()?;
    let (width, height) = (size.width, size.height);
    let image = connection.get_image(ImageFormat::Z_PIXMAP, window, 0, 0, width, height, !0).ok()?;
    let bytes = image.reply().ok()?.data;
    // 32 bits a pixel, blue first, as the display of these tests has them.
    let rgb = bytes.as_chunks::<4>().0.iter().flat_map(|[b, g, r, _]| [*r, *g, *b]).collect();
    RgbImage::from_raw(width.into(), height.into(), rgb)
}

/// Whether the pixels about a point are of a colour, within a tolerance.
pub fn is(shot: &RgbImage, (x, y): (f32, f32), colour: [u8; 3]) -> bool {
    (-2i32..=2).all(|d| {
        let (x, y) = ((x as i32 + d).max(0) as u32, (y as i32 + d).max(0) as u32);
        let found = shot.get_pixel_checked(x, y).map(|pixel| pixel.0);
        found.is_some_and(|found| (0..3).all(|c| found[c].abs_diff(colour[c]) <= 6))
    })
}

pub const COLOURS: [[u8; 3]; 4] = [[200, 40, 40], [40, 180, 60], [50, 70, 210], [220, 200, 60]];

/// A picture of 480x480 in four colours, all of which the network sees.
pub fn quarters(path: &Path, order: [usize; 4]) {
    let colour = |x: u32, y: u32| image::Rgb(COLOURS[order[(x / 240 + 2 * (y / 240)) as usize]]);
    RgbImage::from_fn(480, 480, colour).save(path).expect("the folder can be written");
}

/// Whether the picture stands where it has to in a window of which `panel` points are the panel's.
pub fn shows(shot: &RgbImage, panel: f32, order: [usize; 4]) -> bool {
    let (width, height) = (shot.width() as f32 - panel, shot.height() as f32);
    let margin = if width > 500.0 { 28.0 } else { 0.0 };
    let side = (width - margin).min(height - margin);
    let at = |x: f32, y: f32| (width / 2.0 + x * side, height / 2.0 + y * side);
    let places = [(-0.3, -0.2), (0.3, -0.2), (-0.3, 0.25), (0.3, 0.25)];
    places.into_iter().zip(order).all(|((x, y), colour)| is(shot, at(x, y), COLOURS[colour]))
}

/// Whether a line stands at the foot of the picture.
pub fn written(shot: &RgbImage) -> bool {
    stands(shot, |pixel| pixel.into_iter().all(|value| value > 140))
}

/// Whether something is loaded, opened or tuned, as is said at the foot of the picture.
pub fn busy(shot: &RgbImage) -> bool {
    stands(shot, |[r, g, b]| r < 110 && g > 140 && b > 120)
}

/// Pixels of letters in a part of a window.
pub fn letters(
    shot: &RgbImage,
    (columns, rows): (std::ops::Range<u32>, std::ops::Range<u32>),
    letter: impl Fn([u8; 3]) -> bool,
) -> usize {
    let all = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
    all.filter_map(|(x, y)| shot.get_pixel_checked(x, y)).filter(|pixel| letter(pixel.0)).count()
}

/// A badge's left edge, and letters of a colour behind it.
fn stands(shot: &RgbImage, letter: impl Fn([u8; 3]) -> bool) -> bool {
    let foot = shot.height() - 14;
    let edge = (foot - 20..foot - 10).all(|y| {
        let [left, right] = [13, 14].map(|x| shot.get_pixel(x, y).0);
        (0..3).all(|c| right[c] >= left[c] + 12)
    });
    let letters = (20..62).flat_map(|x| (foot - 24..foot - 7).map(move |y| shot.get_pixel(x, y).0));
    edge && letters.filter(|pixel| letter(*pixel)).count() >= 15
}
