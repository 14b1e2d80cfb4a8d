//! C and C++ programs against the static library: the same bits as the Rust library, no misuse that is not refused, and
//! nothing leaked, by Memcheck on the CPU and by LeakSanitizer on Vulkan.
#![cfg(target_os = "linux")]

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use engine::{
    Answer, Checkpoint, Device, Form, Input, Model, Options, Outputs, Pixels, Session, Shape, Tensor,
    checkpoint::{Reading, Strides, Which, write_tensors},
    models::mobileone::{Recipe, VARIANTS, random},
    preprocess::{PixelFormat, Rotation, Yuv, YuvMatrix, YuvPlanes, YuvRange},
};

const WARNINGS: [&str; 6] = ["-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic"];
/// What Rust's standard library is linked with here.
const SYSTEM: [&str; 4] = ["-lgcc_s", "-lpthread", "-lm", "-ldl"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where programs are built.
fn out() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

fn run(command: &mut Command) -> Output {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; is it installed?"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {}\n{said}", done.status);
    done
}

/// The static library as it is now, which Cargo builds for no test; the workspace's own test, which sets SCOPE, has
/// built it with everything else.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let profile = env::current_exe().expect("a test has a path");
        let profile = profile.parent().and_then(Path::parent).expect("tests lie in deps of their profile");
        if env::var_os("SCOPE").is_none() {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--locked", "--manifest-path"]).arg(root().join("Cargo.toml"));
            if profile.ends_with("release") {
                build.arg("--release");
            }
            run(&mut build);
        }
        profile.join("libmobileone.a")
    })
}

/// Compiles the sources at these paths to a program `name`.
fn compile(name: &str, sources: &[&str], more: &[&str]) -> PathBuf {
    let (compiler, standard) = match sources[0].ends_with(".cpp") {
        true => ("g++", "-std=c++17"),
        false => ("gcc", "-std=c11"),
    };
    let program = out().join(name);
    let mut command = Command::new(compiler);
    command.arg(standard).args(WARNINGS).args(more).arg("-I").arg(root().join("include"));
    command.args(sources.iter().map(|source| root().join(source)));
    run(command.arg(library()).args(SYSTEM).arg("-o").arg(&program));
    program
}

/// Compiled for the sanitizers, with whose runtime a driver stays loaded to be named.
fn sanitized(name: &str, sources: &[&str]) -> PathBuf {
    let sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"];
    match sources[0].ends_with(".cpp") {
        true => compile(name, sources, &sanitize),
        false => compile(name, &[sources, &["tests/programs/keep_loaded.c"]].concat(), &sanitize),
    }
}

/// A program whose drivers say nothing of their own: their validation has leaks, and is the library's own tests' matter.
fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env("WGPU_DEBUG", "0").env("WGPU_VALIDATION", "0").env_remove("VK_INSTANCE_LAYERS");
    command.env("XDG_RUNTIME_DIR", env::var_os("XDG_RUNTIME_DIR").unwrap_or_else(|| out().into()));
    command
}

/// The same under Memcheck, which ends with 99 where it finds anything. What it calls possibly lost is reached by tagged
/// or inner pointers, or belongs to threads of a closed device's pool that are about to end: LeakSanitizer judges those.
fn memcheck(path: &Path) -> Command {
    let mut command = program(Path::new("valgrind"));
    command.args(["-q", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite"]);
    command.arg("--errors-for-leak-kinds=definite").arg(path);
    command
}

/// Whether there is a Vulkan device to try; with `REQUIRE_GPU=1` there must be.
fn vulkan() -> bool {
    match Device::open("vulkan") {
        Ok(_) => true,
        Err(error) if env::var_os("REQUIRE_GPU").is_some() => panic!("{error}"),
        Err(error) => {
            // Not by `eprintln!`, of which nothing is shown where a test passes.
            let line = format!("SKIPPED: the C ABI on Vulkan: {error}; install mesa-vulkan-drivers\n");
            io::stderr().write_all(line.as_bytes()).expect("standard error takes a line");
            false
        }
    }
}

const MISUSE: [&str; 2] = ["tests/programs/misuse.c", "tests/programs/misuse_threads.c"];

#[test]
fn misuse_is_refused_and_memcheck_finds_nothing() {
    let misuse = compile("misuse", &MISUSE, &[]);
    run(memcheck(&misuse).arg("cpu"));
}

#[test]
fn misuse_is_refused_and_nothing_leaks() {
    let misuse = sanitized("misuse-sanitized", &MISUSE);
    run(program(&misuse).arg("cpu"));
    if vulkan() {
        run(program(&misuse).arg("vulkan"));
    }
}

/// The built-in picture of this name.
fn picture(name: &str) -> PathBuf {
    root().join("../../demo/images").join(name)
}

/// What `classify` says of a picture that shows a 1.
fn says_one(classify: &mut Command) {
    let said = String::from_utf8(run(classify).stdout).expect("UTF-8");
    let (best, label) = said.lines().next().and_then(|line| line.split_once("%  ")).expect("a line");
    assert!(label == "1" && best.trim().parse::<f32>().is_ok_and(|best| best > 50.0), "{said}");
    assert_eq!(said.lines().count(), 5, "{said}");
}

/// A file of a picture, without its end.
fn cut() -> PathBuf {
    let bytes = fs::read(picture("one-handwritten.jpg")).expect("it is there");
    let file = out().join("cut.jpg");
    fs::write(&file, &bytes[..2000]).expect("it can be written");
    file
}

#[test]
fn the_examples_run() {
    let classify = compile("classify", &["examples/classify.c"], &[]);
    let stream = compile("stream", &["examples/stream.cpp"], &[]);
    let sanitized = sanitized("stream-sanitized", &["examples/stream.cpp"]);
    says_one(program(&classify).arg(picture("one-handwritten.jpg")).args(["digits", "cpu"]));
    for (file, says) in [
        ("/nowhere.jpg".into(), "/nowhere.jpg: No such file"),
        (root().into(), "directory"),
        (root().join("README.md"), "not a picture"),
        (cut(), "cut off"),
    ] {
        let refused = program(&classify).arg(&file).args(["digits", "cpu"]).output().expect("it runs");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(2) && said.contains(says), "{}: {said}", file.display());
    }
    run(program(&sanitized).args(["cpu", "50"]));
    if vulkan() {
        run(program(&stream).args(["vulkan", "20"]));
    }
    let unknown = program(&stream).arg("nosuch").output().expect("it runs");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).starts_with("stream: device \"nosuch\""));
}

#[test]
fn memcheck_finds_nothing_in_the_examples() {
    let classify = compile("classify-checked", &["examples/classify.c"], &[]);
    let stream = compile("stream-checked", &["examples/stream.cpp"], &[]);
    says_one(memcheck(&classify).arg(picture("one-handwritten.jpg")).args(["digits", "cpu"]));
    run(memcheck(&stream).args(["cpu", "5"]));
}

/// A file whose picture lies on its side, and says so.
fn turned() -> PathBuf {
    let mut bytes = fs::read(picture("eight-on-paper.jpg")).expect("it is there");
    // EXIF data with one field: orientation (0x0112), a short, 6.
    let exif = b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    bytes.splice(2..2, *exif);
    let file = out().join("turned.jpg");
    fs::write(&file, &bytes).expect("it can be written");
    file
}

/// All numbers that came back, as `logits.c` prints them.
fn line(name: &str, answer: &Answer) -> String {
    let mut line = format!("{name} {}", answer.batch);
    for top in answer.top.iter().flatten() {
        line += &format!(" {:08x} {:08x}", top.index, top.probability.to_bits());
    }
    for value in answer.logits().iter().chain(answer.probabilities()).chain(answer.features()) {
        line += &format!(" {:08x}", value.to_bits());
    }
    line
}

/// The lines of `logits.c`, by the Rust library.
fn lines(device: &str, bytes: &[u8], values: &[f32]) -> Vec<String> {
    let model = Model::new(engine::sample::digits().unwrap(), Form::Fused).unwrap();
    let outputs = Outputs::named(["logits", "probabilities", "features"]).and_best(3);
    let options = Options { batch: 2, outputs, ..Options::of(&model) };
    let session = Session::new(&Device::open(device).unwrap(), &model, &options).unwrap();
    let size = (61, 47);
    let rgba =
        Pixels { bytes, size, stride: 256, format: PixelFormat::Rgba8, crop: None, rotation: Rotation::None };
    let bgra = Pixels {
        format: PixelFormat::Bgra8,
        crop: Some([3, 5, 50, 40]),
        rotation: Rotation::Quarter,
        ..rgba
    };
    let converted = |planes, crop, matrix, range, rotation| {
        let mut rgba = Vec::new();
        let size = Yuv { planes, size, crop, matrix, range }.to_rgba(&mut rgba).unwrap();
        let pixels = Pixels {
            bytes: &rgba,
            size,
            stride: 4 * size.0,
            format: PixelFormat::Rgba8,
            crop: None,
            rotation,
        };
        session.run(Input::Pixels(pixels)).unwrap()
    };
    let (luma, chroma) = bytes.split_at(64 * 47);
    let nv12 = YuvPlanes::Nv12 { luma, luma_stride: 64, chroma, chroma_stride: 64 };
    let nv12 = converted(nv12, None, YuvMatrix::Bt709, YuvRange::Limited, Rotation::Half);
    let yuyv = YuvPlanes::Yuyv { bytes, stride: 124 };
    let crop = Some([1, 2, 58, 44]);
    let yuyv = converted(yuyv, crop, YuvMatrix::Bt601, YuvRange::Full, Rotation::ThreeQuarters);
    // The file's own turn comes first, then the caller's crop and turn.
    let file = engine::picture::open(turned()).unwrap();
    assert_eq!((file.width, file.height), (240, 320));
    let file = Pixels { crop: Some([10, 40, 200, 230]), rotation: Rotation::Quarter, ..file.pixels() };
    let tensor =
        |n: usize| Tensor::new(Shape::new(n, 80, 80, 3), values[..n * 80 * 80 * 3].to_vec()).unwrap();
    let run = |input| session.run(input).unwrap();
    vec![
        line("rgba", &run(Input::Pixels(rgba))),
        line("bgra", &run(Input::Pixels(bgra))),
        line("nv12", &nv12),
        line("yuyv", &yuyv),
        line("file", &run(Input::Pixels(file))),
        line("tensor", &run(Input::Tensor(&tensor(3)))),
        line("paused", &run(Input::Tensor(&tensor(2)))),
    ]
}

#[test]
fn the_same_bits_as_the_rust_library() {
    let program_path = compile("logits", &["tests/programs/logits.c"], &[]);
    let noise = |at: usize| {
        ((at as f64 * 0.618_033_988_749_895).fract() * 0.5 + (at as f64 / 900.0).sin() * 0.25 + 0.25) as f32
    };
    let bytes: Vec<u8> = (0..256 * 47).map(|at| (noise(at) * 255.0) as u8).collect();
    let values: Vec<f32> = (0..3 * 80 * 80 * 3).map(|at| noise(at) * 4.0 - 2.0).collect();
    let (bytes_at, values_at) = (out().join("bytes"), out().join("values"));
    fs::write(&bytes_at, &bytes).unwrap();
    fs::write(&values_at, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let mut devices = vec!["cpu"];
    devices.extend(vulkan().then_some("vulkan"));
    for device in devices {
        let said = run(program(&program_path).arg(device).args([&bytes_at, &values_at, &turned()])).stdout;
        let said = String::from_utf8(said).expect("UTF-8");
        let expected = lines(device, &bytes, &values);
        assert_eq!(said.lines().count(), expected.len());
        for (found, expected) in said.lines().zip(&expected) {
            assert_eq!(found, expected, "{device}");
        }
        // Another input, another answer: the lines are not of one constant.
        let distinct: std::collections::BTreeSet<&str> =
            said.lines().filter_map(|line| line.split_once(' ')).map(|(_, numbers)| numbers).collect();
        assert_eq!(distinct.len(), expected.len(), "{device}");
    }
}

/// Files that leave open what the network is, in a folder with a `config.json` that says how pictures become inputs: an
/// averaged and a raw one in one file, and one with normalizations.
fn open_questions() -> (PathBuf, PathBuf, PathBuf) {
    let folder = out().join("open-questions");
    fs::create_dir_all(&folder).expect("it can be made");
    let [both, train, config] =
        ["both.safetensors", "train.safetensors", "config.json"].map(|name| folder.join(name));
    let network = |form, seed| {
        let recipe = Recipe {
            stem: 8,
            widths: vec![12, 16, 20, 24],
            blocks: vec![1; 4],
            branches: 1,
            squeezed: vec![0; 4],
            form,
            ..Recipe::of(&VARIANTS[0], 5)
        };
        random(&recipe, seed).weights
    };
    let named = [("state_dict.", network(Form::Fused, 1)), ("state_dict_ema.", network(Form::Fused, 2))];
    let tensors: Vec<(String, _)> = named
        .iter()
        .flat_map(|(prefix, weights)| {
            weights.iter().map(move |(name, array)| (format!("{prefix}{name}"), array))
        })
        .collect();
    write_tensors(&both, tensors.iter().map(|(name, array)| (name.as_str(), *array)))
        .expect("it can be written");
    write_tensors(&train, network(Form::Train, 3).iter()).expect("it can be written");
    let text = r#"{"input_size": [3, 64, 64], "crop_pct": 1.0, "crop_mode": "center", "interpolation": "bilinear",
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}"#;
    fs::write(&config, text).expect("it can be written");
    (both, train, config)
}

/// The logits of a file that is read so, as `reading.c` prints them.
fn logits_of(file: &Path, reading: &Reading) -> String {
    let model = Model::new(Checkpoint::open_with(file, reading).unwrap(), Form::Fused).unwrap();
    let outputs = Outputs::named(["logits"]);
    let options = Options { outputs, ..Options::of(&model) };
    let session = Session::new(&Device::open("cpu").unwrap(), &model, &options).unwrap();
    let shape = Shape::new(1, 64, 64, 3);
    let values = (0..shape.len()).map(|at| (at * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let answer = session.run(Input::Tensor(&Tensor::new(shape, values).unwrap())).unwrap();
    answer.logits().iter().map(|value| format!(" {:08x}", value.to_bits())).collect()
}

/// What a file leaves open is in the log, guesses as warnings, and a `MobileoneReading` decides it.
#[test]
fn a_file_is_read_as_the_caller_says() {
    let reading = compile("reading", &["tests/programs/reading.c"], &[]);
    let (both, train, config) = open_questions();
    let says = |file: &Path, given: [&str; 3]| {
        let said = run(program(&reading).arg(file).arg(&config).args(given)).stdout;
        String::from_utf8(said).expect("UTF-8")
    };
    // The options, what the log says, what it does not, and the same for the Rust library.
    let strides = Strides { stem: 1, stages: vec![2, 1, 2, 2] };
    let (raw, named) = (Which::Raw, Which::Named("state_dict".into()));
    let took = "took \"state_dict_ema\", the averaged weights, not \"state_dict\" (MobileoneReading.weights)";
    let default = Reading::default;
    let rows = [
        (&both, ["-", "-", "-"], vec![(3, took), (2, "(MobileoneReading.strides)")], "", default()),
        (&both, ["ema", "-", "-"], vec![], "took", Reading { weights: Which::Ema, ..default() }),
        (&both, ["raw", "-", "-"], vec![], "took", Reading { weights: raw, ..default() }),
        (&both, ["state_dict", "-", "-"], vec![], "took", Reading { weights: named, ..default() }),
        (
            &both,
            ["-", "1,2,1,2,2", "-"],
            vec![(3, took)],
            "strides",
            Reading { strides: Some(strides), ..default() },
        ),
        (&train, ["-", "-", "-"], vec![(2, "(MobileoneReading.bn_eps)")], "", default()),
        (&train, ["-", "-", "0.001"], vec![], "epsilon", Reading { bn_eps: Some(1e-3), ..default() }),
    ];
    let mut answers = Vec::new();
    for (file, given, logged, silent, reading) in rows {
        let said = says(file, given);
        for (level, text) in logged {
            let level = format!("log {level} ");
            let found = said.lines().filter(|line| line.starts_with(&level) && line.contains(text)).count();
            assert_eq!(found, 2, "{given:?}: {text} in:\n{said}");
        }
        assert!(silent.is_empty() || !said.contains(silent), "{given:?}: {silent} in:\n{said}");
        let expected = logits_of(file, &reading);
        for name in ["file", "bytes"] {
            let line = format!("{name}{expected}");
            assert!(said.lines().any(|found| found == line), "{given:?}: {line} in:\n{said}");
        }
        answers.push(expected);
    }
    // The averaged weights are the default, and the raw ones have a name; everything else makes a difference.
    assert_eq!((&answers[0], &answers[2]), (&answers[1], &answers[3]));
    assert_eq!(answers.iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
    for (given, status) in [
        (["nosuch", "-", "-"], "status 7 "),
        (["-", "1,2,2", "-"], "status 10 MobileoneReading.strides: expected 4"),
        (["-", "3,2,2,2,2", "-"], "status 10 MobileoneReading.strides: a stride is 1 or 2, found 3"),
        (["-", "-", "5"], "status 10 "),
    ] {
        let said = says(&both, given);
        assert!(said.lines().any(|line| line.starts_with(status)), "{given:?}: {said}");
    }
}
