//! From the start of the process to its first logits, with empty caches and with kept ones.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use mobileone::{
    Array, DType, Device, Error, Form, Model, Shape,
    bench::{Stats, input},
    checkpoint::write_tensors,
};
use serde::Serialize;

use super::{
    Args, Progress,
    report::{self, Head, head, shared},
};
use crate::{
    Verdict,
    loaded::{load, without_pictures},
    opened::hardware,
    out::{self, Stop, note, plain},
    table::Give::{Shortens, Stays},
};

/// Starts of each kind.
const STARTS: usize = 5;

/// A model on a device.
#[derive(Serialize)]
pub struct Start {
    /// As it was asked for.
    pub model: String,
    pub device: String,
    /// As tables name it.
    #[serde(skip)]
    on: String,
    /// Of the CPU its name and instruction set.
    pub driver: String,
    pub dtype: String,
    /// `[n, c, h, w]`.
    pub input: [usize; 4],
    /// Of each kind; the figures are medians.
    pub starts: usize,
    /// The first with empty caches, this program's and those of drivers that let themselves be told where theirs is.
    pub cold_ms: f64,
    pub cold_min_ms: f64,
    /// With the caches that an earlier start left.
    pub warm_ms: f64,
    pub warm_min_ms: f64,
}

#[derive(Serialize)]
struct Report {
    starts: Vec<Start>,
    left_out: Vec<String>,
}

/// Starts this program again and again, a process for each inference.
pub fn run(args: &Args, models: &[PathBuf]) -> Result<Verdict, Stop> {
    let folder = std::env::temp_dir().join(format!("mobileone-start-{}", std::process::id()));
    let folder = Folder::new(folder)?;
    let folder = &folder.0;
    let mut report = Report { starts: Vec::new(), left_out: Vec::new() };
    let devices = args.devices(&mut report.left_out)?;
    let sizes: Vec<_> = args.works().into_iter().map(|(_, size)| size).collect();
    let rows = models.len() * sizes.len() * devices.len() * args.dtype.len();
    let progress = Progress::new(rows as u64);
    for spec in models {
        let model = load(spec, Form::Fused, &args.read, without_pictures)?;
        let file = folder.join("model.safetensors");
        model.to_checkpoint().save(&file, DType::F32)?;
        for size in &sizes {
            let size = size.unwrap_or(model.preprocess.size);
            let x = write_input(folder, &model, size)?;
            for opened in &devices {
                for &dtype in &args.dtype {
                    let (on, _) = opened.settle(Some((&model, size)), dtype, dtype.on_cpu())?;
                    let (device, name) = (&on.device, on.dtype_name());
                    let work =
                        format!("{} on {}, {name}, {}x{}", spec.display(), device.info(), size.0, size.1);
                    progress.begin(&work);
                    let process = Process {
                        folder,
                        model: &file,
                        input: &x,
                        device,
                        wanted: &opened.wanted,
                        dtype: &on.typed_dtype(),
                        args,
                    };
                    match process.starts(|share| progress.set(share)) {
                        Ok([cold, warm]) => {
                            let info = device.info();
                            report.starts.push(Start {
                                model: spec.display().to_string(),
                                device: info.to_string(),
                                on: hardware(info),
                                driver: info.driver.clone(),
                                dtype: name,
                                input: [1, model.graph.input_channels(), size.0, size.1],
                                starts: STARTS,
                                cold_ms: report::ms(cold.median),
                                cold_min_ms: report::ms(cold.min),
                                warm_ms: report::ms(warm.median),
                                warm_min_ms: report::ms(warm.min),
                            });
                        }
                        Err(reason) => {
                            let line = format!("{work}: {reason}");
                            progress.aside(|| note(&format!("left out: {}", plain(&line))));
                            report.left_out.push(line);
                        }
                    }
                    progress.end();
                }
            }
        }
    }
    drop(progress);
    if report.starts.is_empty() {
        return Err(Stop::Error(report.left_out.join("; ")));
    }
    if args.json {
        out::json(&report, true)?;
    } else {
        report::rows(args, &HEAD, report.starts.iter().map(cells).collect())?;
    }
    Ok(Verdict::Good)
}

/// A folder of this process's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(path: PathBuf) -> Result<Folder, Stop> {
        std::fs::create_dir_all(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes one input of `model`, as the command `run` reads it.
fn write_input(folder: &Path, model: &Model, (h, w): (usize, usize)) -> Result<PathBuf, Stop> {
    let path = folder.join("x.safetensors");
    let channels = model.graph.input_channels();
    let data = input(Shape::new(1, h, w, channels))?.data().to_vec();
    write_tensors(&path, [("x", &Array { shape: vec![1, channels, h, w], data })])?;
    Ok(path)
}

/// What is started.
struct Process<'a> {
    folder: &'a Path,
    model: &'a Path,
    input: &'a Path,
    device: &'a Device,
    wanted: &'a str,
    dtype: &'a str,
    args: &'a Args,
}

impl Process<'_> {
    /// Seconds of starts with empty caches and with kept ones, in turns; or why there are none.
    fn starts(&self, progress: impl Fn(f64)) -> Result<[Stats; 2], String> {
        let kept = self.folder.join("kept");
        self.once(&kept)?;
        let mut seconds = [Vec::new(), Vec::new()];
        for start in 0..STARTS {
            let empty = self.folder.join(format!("empty-{start}"));
            seconds[0].push(self.once(&empty)?);
            let _ = std::fs::remove_dir_all(empty);
            seconds[1].push(self.once(&kept)?);
            progress((start + 1) as f64 / STARTS as f64);
        }
        let _ = std::fs::remove_dir_all(kept);
        Ok(seconds.map(|seconds| Stats::of(&seconds)))
    }

    /// Seconds from the start of a process to the line that says that its logits are written.
    fn once(&self, caches: &Path) -> Result<f64, String> {
        let io = |error: std::io::Error| error.to_string();
        let (own, driver) = (caches.join("own"), caches.join("driver"));
        std::fs::create_dir_all(&own).map_err(io)?;
        std::fs::create_dir_all(&driver).map_err(io)?;
        // What `tune` has found is no cache.
        if let Some(table) = mobileone::tune::place(self.device.info()).filter(|table| table.is_file()) {
            let name = table.file_name().unwrap_or_default();
            std::fs::copy(&table, own.join(name)).map_err(io)?;
        }
        let mut command = Command::new(std::env::current_exe().map_err(io)?);
        command.args(["run", "--device", self.wanted, "--dtype", self.dtype, "--model"]).arg(self.model);
        command.arg("--input").arg(self.input).arg("--output").arg(self.folder.join("y.safetensors"));
        if let Some(threads) = self.args.threads {
            command.arg("--threads").arg(threads.to_string());
        }
        if self.args.matrices {
            command.arg("--matrices");
        }
        command.env("MOBILEONE_CACHE", &own);
        for name in DRIVERS {
            command.env(name, &driver);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().map_err(io)?;
        let mut line = String::new();
        let out = child.stdout.take().expect("its output is ours");
        BufReader::new(out).read_line(&mut line).map_err(io)?;
        let seconds = begun.elapsed().as_secs_f64();
        let ended = child.wait_with_output().map_err(io)?;
        match ended.status.success() && !line.is_empty() {
            true => Ok(seconds),
            false => {
                let said = String::from_utf8_lossy(&ended.stderr).into_owned();
                let last = said.lines().last().unwrap_or("it said nothing");
                Err(last.strip_prefix("error: ").unwrap_or(last).into())
            }
        }
    }
}

/// Where Mesa and NVIDIA are told to keep what they compile; other drivers keep it where they like.
const DRIVERS: [&str; 3] = ["MESA_SHADER_CACHE_DIR", "MESA_GLSL_CACHE_DIR", "__GL_SHADER_DISK_CACHE_PATH"];

const HEAD: [Head; 9] = [
    head("model", "model", Shortens(12)),
    shared("device", "device", Shortens(14), ["", ""]),
    shared("dtype", "dtype", Stays, ["", ""]),
    shared("size", "size", Stays, ["", ""]),
    shared("starts", "starts", Stays, ["", " starts of each kind"]),
    head("cold_ms", "caches empty, ms", Stays),
    head("cold_min_ms", "min", Stays),
    head("warm_ms", "caches kept, ms", Stays),
    head("warm_min_ms", "min", Stays),
];

fn cells(start: &Start) -> Vec<String> {
    let ms = |value: f64| format!("{value:.1}");
    vec![
        start.model.clone(),
        start.on.clone(),
        start.dtype.clone(),
        format!("{}x{}", start.input[2], start.input[3]),
        start.starts.to_string(),
        ms(start.cold_ms),
        ms(start.cold_min_ms),
        ms(start.warm_ms),
        ms(start.warm_min_ms),
    ]
}
