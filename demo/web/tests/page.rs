//! The page in a browser: what it answers is what the library answers on this machine's CPU.
//!
//! `./test` builds the page and runs this. `WEB_PAGE` names the folder of the built page and `CHROMIUM` the browser;
//! without them nothing is tested, which is said.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Sender, channel},
    time::Duration,
};

use mobileone::{
    DType, Device, Form, Input, Model, Options, Outputs, Session,
    labels::Labels,
    named,
    picture::{self, Picture},
    sample,
};
use serde_json::Value;

/// Another model, of other classes: widths of its own, with squeeze-excite.
const OTHER: &str = "../../tests/data/se.timm.fused.safetensors";
/// A model that a browser's CPU is busy with for a while.
const LARGE: &str = "random:s1";
/// The files of the page, and what they may come to.
const FILES: [&str; 8] = [
    "engine.js",
    "index.html",
    "mobileone_web.js",
    "mobileone_web_bg.wasm",
    "page.css",
    "page.js",
    "place.js",
    "worker.js",
];
const MOST_BYTES: u64 = 3 << 20;
/// A browser on a software GPU, loaded by other programs, takes this long at most.
const PATIENCE: Duration = Duration::from_secs(300);
/// What the logits may differ by, as a share of the largest.
const TOLERANCE: f64 = 1e-4;

#[test]
fn answers_as_the_library_does() {
    let (Some(page), Some(browser)) = (std::env::var_os("WEB_PAGE"), std::env::var_os("CHROMIUM")) else {
        eprintln!("SKIPPED: WEB_PAGE and CHROMIUM are not set: run demo/web/test");
        return;
    };
    let (sender, receiver) = channel();
    built(Path::new(&page));
    let address = serve(PathBuf::from(page), sender);
    let _browser = Browser::open(Path::new(&browser), &format!("http://{address}/drive.html"));
    let report = receiver.recv_timeout(PATIENCE).expect("the page reports");
    assert_eq!(report["failed"], Value::Null, "{report:#}");
    println!("{}", report["status"].as_str().expect("a status"));

    let digits = Native::new(Model::from_bytes(sample::DIGITS).expect("the built-in model"));
    let answers = report["answers"].as_array().expect("answers");
    assert_eq!(answers.len(), 2 * sample::PICTURES.len() + 6);
    assert_eq!(report["advised"], false);
    assert_eq!(report["samples"], sample::PICTURES.len());
    buttons(&report["buttons"]);
    let mut times = Vec::new();
    let mut worst = 0f64;
    for answer in answers {
        let name = answer["path"].as_str().expect("a path");
        let stem = name.rsplit('/').next().expect("a name");
        let (label, logits) = digits.answer(stem);
        assert_eq!(label, expected(stem), "{name}");
        assert_eq!(answer["labels"][0], label, "{name}");
        assert_eq!(answer["shown"], label, "{name}");
        assert!(answer["latency"].as_str().is_some_and(|text| text.contains(" ms")), "{name}");
        // Browsers decode a JPEG's pixels a step apart from others; a PNG's they must have exactly.
        if name.starts_with("/png/") {
            let differs = difference(&answer["logits"], &logits);
            println!("{name}: logits differ by {differs:.1e} of the largest");
            worst = worst.max(differs);
        }
        times.push(answer["milliseconds"].as_f64().expect("a time"));
    }
    let other = Native::new(Model::load(OTHER).expect("another model"));
    let (label, logits) = other.judge(&fit(sample::PICTURES[0].0));
    let found = report["other"].as_array().expect("answers of the other model");
    assert_eq!(found.len(), 2);
    let status = found[1]["status"].as_str().expect("a status");
    assert!(status.contains(". Of other.safetensors: strides 2,2,2,2,2"), "{status}");
    for answer in found {
        assert_eq!((&answer["labels"][0], &answer["shown"]), (&label.clone().into(), &label.clone().into()));
        assert_eq!(answer["name"], sample::PICTURES[0].0);
        let differs = difference(&answer["logits"], &logits);
        println!("{OTHER}: logits differ by {differs:.1e} of the largest");
        worst = worst.max(differs);
    }
    let named = |status: &Value, name: &str| status.as_str().is_some_and(|status| status.starts_with(name));
    assert!(named(&found[1]["status"], &other.name), "{report:#}");
    // The same picture, by the model before.
    assert!(named(&report["digits"]["status"], &digits.name), "{report:#}");
    assert_eq!(report["digits"]["shown"], digits.judge(&fit(sample::PICTURES[0].0)).0);
    cameras(&report["switched"], other.labels.names().len(), digits.labels.names().len());
    times.sort_by(f64::total_cmp);
    println!("logits differ by {worst:.1e} of the largest at most");
    println!("{:.1} ms a picture at least, {:.1} in the middle", times[0], times[times.len() / 2]);
    assert!(worst <= TOLERANCE, "{worst}");

    let errors: Vec<&str> =
        report["errors"].as_array().expect("errors").iter().filter_map(Value::as_str).collect();
    let expected = [
        "no-model.safetensors: is a JSON file",
        "no-picture.jpg: neither",
        "model.pth: neither a picture that this browser reads nor a model in a .safetensors file",
        "Only files can be dropped",
        "The camera is gone",
        "no-model.safetensors: is a JSON file",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with(expected), "{errors:?}");
    }
    without_gpu(&report, &digits);
    turns(&report["turns"]);
    // A browser's own test picture, that no model was made for: what counts is that frames come.
    // One of the two quick clicks, one of when the file came, one that went away; all are off.
    assert_eq!(report["cameras"], serde_json::json!([false, false, false]));
    assert_eq!(report["button"], "Camera");
    assert!(report["camera"].as_array().is_some_and(|labels| labels.len() >= 3), "{report:#}");
}

/// What `./build` gave is the page, and nothing else.
fn built(page: &Path) {
    let entries = std::fs::read_dir(page).expect("the built page");
    let files = entries.map(|entry| entry.expect("an entry"));
    let mut found: Vec<(String, u64)> = files
        .map(|file| (file.file_name().to_string_lossy().into(), file.metadata().expect("a file").len()))
        .collect();
    found.sort();
    assert_eq!(found.iter().map(|(name, _)| name).collect::<Vec<_>>(), FILES.iter().collect::<Vec<_>>());
    assert!(found.iter().map(|(_, bytes)| bytes).sum::<u64>() < MOST_BYTES, "{found:?}");
}

/// The buttons stand in one line, within the page, and are of one height.
fn buttons(found: &Value) {
    for (width, line) in [375.0, 900.0].iter().zip(found.as_array().expect("two widths")) {
        let line = line.as_array().expect("buttons");
        let same = |key: &str| line.iter().all(|button| button[key] == line[0][key]);
        let within = line.iter().all(|button| button["right"].as_f64() <= Some(*width));
        assert!(line.len() == 3 && same("top") && same("height") && within, "{found:#}");
    }
}

/// How many classes each of a camera's frames got: those of one model, then those of the other; the camera stays on.
fn cameras(switched: &Value, before: usize, after: usize) {
    let classes: Vec<u64> =
        switched["classes"].as_array().expect("frames").iter().filter_map(Value::as_u64).collect();
    let first = classes.iter().position(|count| *count == after as u64).expect("frames of the other model");
    let all = |frames: &[u64], classes: usize| {
        frames.len() >= 3 && frames.iter().all(|count| *count == classes as u64)
    };
    assert!(
        before != after && all(&classes[..first], before) && all(&classes[first..], after),
        "{classes:?}"
    );
    assert_eq!(switched["button"], "Stop");
}

/// A large model on the CPU leaves the page its turns where it runs in a worker, and none in the page itself.
fn turns(found: &Value) {
    let count = |at: usize| {
        let ms = found[at]["milliseconds"].as_f64().expect("a time");
        println!("{}: {LARGE} in {ms:.0} ms, {} turns of the page", found[at]["path"], found[at]["counted"]);
        found[at]["counted"].as_u64().expect("a count")
    };
    assert!(count(0) > 0 && count(1) == 0, "{found:#}");
}

/// A browser that gives no GPU, or one of software, has the page run on the CPU and say so; one without WebAssembly has it say so.
fn without_gpu(report: &Value, digits: &Native) {
    let without = report["without"].as_array().expect("pages without a GPU");
    assert_eq!(without.len(), 5);
    for page in without {
        let [path, status] = ["path", "status"].map(|key| page[key].as_str().expect("a text"));
        assert!(status.contains("CPU, 1 thread") && page["advised"] == true, "{path}: {status}");
        let answers = page["answers"].as_array().expect("answers");
        assert_eq!(answers.len(), sample::PICTURES.len());
        let (mut worst, mut least) = (0f64, f64::INFINITY);
        for answer in answers {
            let name = answer["path"].as_str().expect("a path").rsplit('/').next().expect("a name");
            let (label, logits) = digits.answer(name);
            assert_eq!(answer["shown"], label, "{path}: {name}");
            worst = worst.max(difference(&answer["logits"], &logits));
            least = least.min(answer["milliseconds"].as_f64().expect("a time"));
        }
        println!("{path}: {status}: {worst:.1e} of the largest at most, {least:.1} ms at least");
        assert!(worst <= TOLERANCE, "{path}: {worst}");
    }
    let broken = report["broken"].as_str().expect("a complaint");
    assert!(broken.starts_with("This page cannot run in this browser"), "{broken}");
    assert_eq!(report["enabled"], 0);
}

/// The label that belongs to a built-in picture, whose name begins with it.
fn expected(name: &str) -> String {
    const DIGITS: [&str; 10] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let word = name.split('-').next().expect("a word");
    DIGITS.iter().position(|digit| *digit == word).map_or(word.into(), |digit| digit.to_string())
}

/// The largest difference, as a share of the largest logit.
fn difference(found: &Value, expected: &[f32]) -> f64 {
    let found: Vec<f64> = found.as_array().expect("logits").iter().filter_map(Value::as_f64).collect();
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().map(|value| f64::from(value.abs())).fold(0.0, f64::max);
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, &b)| (a - f64::from(b)).abs()).fold(0.0, f64::max) / largest
}

/// The same model on this machine's CPU.
struct Native {
    session: Session,
    labels: Labels,
    name: String,
}

impl Native {
    fn new(model: Model) -> Native {
        let outputs = Outputs::named(["logits"]).and_best(1);
        let options = Options { outputs, ..Options::of(&model) };
        let device = Device::open("cpu").expect("a CPU");
        let classes = model.graph.classes().expect("classes");
        Native {
            session: Session::new(&device, &model, &options).expect("a session"),
            labels: Labels::choose(None, model.labels.as_deref(), classes).expect("labels"),
            name: model.name,
        }
    }

    fn answer(&self, name: &str) -> (String, Vec<f32>) {
        self.judge(&decoded(name))
    }

    fn judge(&self, picture: &Picture) -> (String, Vec<f32>) {
        let answer = self.session.run(Input::Pixels(picture.pixels())).expect("an answer");
        (self.labels.name(answer.top[0][0].index).into(), answer.logits().to_vec())
    }
}

fn decoded(name: &str) -> Picture {
    let (_, file) = sample::PICTURES.iter().find(|(known, _)| *known == name).expect("a built-in picture");
    picture::decode(file).expect("it decodes")
}

/// A picture in the size that the other model resizes to, by the nearest pixels: nothing is left to be rounded, and
/// what differs is the network's own. (WGSL leaves the last bits of a quotient open, so that a resize on one GPU may
/// differ by a step of 255 in a few pixels from one elsewhere.)
fn fit(name: &str) -> Picture {
    let model = Model::load(OTHER).expect("another model");
    let picture = decoded(name);
    let (width, height) =
        model.preprocess.geometry((picture.width, picture.height)).expect("a sound size").resized;
    let at =
        |x: usize, y: usize| 4 * (y * picture.height / height * picture.width + x * picture.width / width);
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let rgba = places.flat_map(|(x, y)| &picture.rgba[at(x, y)..][..4]).copied().collect();
    Picture { width, height, rgba, warning: None }
}

/// Serves the page, the driver and the pictures on a port of this machine's own; what is posted goes to `reports`.
fn serve(page: PathBuf, reports: Sender<Value>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    // A browser takes this name, and not the number, for a secure place.
    let address = format!("localhost:{}", listener.local_addr().expect("an address").port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (page, reports) = (page.clone(), reports.clone());
            std::thread::spawn(move || answer(stream, &page, &reports));
        }
    });
    address
}

fn answer(mut stream: TcpStream, page: &Path, reports: &Sender<Value>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or(0);
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut posted = vec![0; length];
    reader.read_exact(&mut posted)?;
    let path = request.split(' ').nth(1).unwrap_or("/").split('?').next().unwrap_or("/");
    let (kind, body) = match path.split('/').collect::<Vec<_>>()[..] {
        ["", "report"] => {
            reports.send(serde_json::from_slice(&posted)?).ok();
            ("text/plain", Vec::new())
        }
        ["", "names"] => {
            let names: Vec<&str> = sample::PICTURES.iter().map(|(name, _)| *name).collect();
            ("application/json", serde_json::to_vec(&names)?)
        }
        ["", "jpeg", name] => {
            let (_, file) = sample::PICTURES.iter().find(|(known, _)| *known == name).expect("a picture");
            ("image/jpeg", file.to_vec())
        }
        ["", "png", name] => ("image/png", png(&decoded(name))),
        ["", "fit", name] => ("image/png", png(&fit(name))),
        ["", "model"] => ("application/octet-stream", std::fs::read(OTHER)?),
        ["", "digits"] => ("application/octet-stream", sample::DIGITS.to_vec()),
        ["", "large"] => ("application/octet-stream", large()),
        ["", "without", script] => ("text/javascript", lack(script).into_bytes()),
        ["", name] if name.starts_with("no-") => {
            let script = name.strip_suffix(".html").unwrap_or(name);
            match script.strip_suffix(".js") {
                // The worker that the changed page starts.
                Some(lacks) => {
                    let text = format!("import \"/without/{lacks}\";\nimport \"/worker.js\";\n");
                    ("text/javascript", text.into_bytes())
                }
                None => ("text/html", changed(page, script)?),
            }
        }
        ["", "drive.html"] => ("text/html", std::fs::read("tests/drive.html")?),
        ["", name] => (kind(name), std::fs::read(page.join(name)).unwrap_or_default()),
        _ => ("text/plain", Vec::new()),
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    stream.write_all(&body)
}

/// What takes something away from a browser's window or worker.
fn lack(what: &str) -> String {
    match what {
        "no-adapter" => "GPU.prototype.requestAdapter = async () => null",
        "no-webgpu" => "delete (globalThis.Navigator ?? globalThis.WorkerNavigator).prototype.gpu",
        "no-wasm" => "delete globalThis.WebAssembly",
        "no-worker" => "delete globalThis.Worker",
        // As in browsers that take every worker for a classic one.
        "no-modules" => "globalThis.Worker = class extends Worker { constructor(url) { super(url) } }",
        _ => "",
    }
    .into()
}

/// The page in a browser that lacks something, in its workers too.
fn changed(page: &Path, what: &str) -> std::io::Result<Vec<u8>> {
    let text = std::fs::read_to_string(page.join("index.html"))?;
    let script = match what {
        "no-worker" | "no-modules" => lack(what),
        _ => format!(
            "{{{}}}; globalThis.Worker = class extends Worker {{ \
                constructor(_, options) {{ super(\"/{what}.js\", options) }} }}",
            lack(what)
        ),
    };
    Ok(text.replacen("<head>", &format!("<head><script>{script}</script>"), 1).into_bytes())
}

/// The file of a network with random weights.
fn large() -> Vec<u8> {
    let checkpoint = named::open(LARGE, &mut |_| {}).expect("a variant");
    let model = Model::new(checkpoint, Form::Fused).expect("a sound network");
    model.to_checkpoint().to_bytes(DType::F16).expect("a file")
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

fn png(picture: &Picture) -> Vec<u8> {
    let (width, height) = (picture.width as u32, picture.height as u32);
    let pixels = image::RgbaImage::from_raw(width, height, picture.rgba.clone()).expect("a whole picture");
    let mut file = std::io::Cursor::new(Vec::new());
    pixels.write_to(&mut file, image::ImageFormat::Png).expect("it encodes");
    file.into_inner()
}

/// A browser without a window, with a profile of its own; it ends with this value.
struct Browser {
    process: Child,
    profile: PathBuf,
}

impl Browser {
    fn open(program: &Path, address: &str) -> Browser {
        let profile = std::env::temp_dir().join(format!("mobileone-web-{}", std::process::id()));
        let process = Command::new(program)
            .args(["--headless=new", "--no-sandbox", "--no-first-run", "--mute-audio"])
            // WebGPU on the software GPU that comes with the browser, and a camera that shows a test picture.
            .args(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"])
            .args(["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"])
            .args(["--enable-logging=stderr", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(address)
            .stdout(Stdio::null())
            .spawn()
            .expect("the browser starts");
        Browser { process, profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        std::fs::remove_dir_all(&self.profile).ok();
    }
}
