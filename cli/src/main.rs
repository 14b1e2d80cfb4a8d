//! The `mobileone` command: what is typed, and what it means, one file per command.
//!
//! Answers go to standard output, everything else to standard error. A command ends in a [`Verdict`] or stops
//! with one line that says what is wrong and what to do.

mod args;
mod bench;
mod cache;
mod chart;
mod classify;
mod completions;
mod devices;
mod eval;
mod export;
mod feed;
mod fuse;
mod hello;
mod info;
mod limit;
mod loaded;
mod man;
mod opened;
mod out;
mod pictures;
mod profile;
mod run;
mod table;
mod tune;
mod verify;
mod watch;

use std::{path::Path, process::ExitCode};

use clap::{
    CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::{OsStr, Resettable},
    error::{ContextKind, ContextValue},
};
use mobileone::picture;

use out::{Stop, Talk, WIDTH, note, plain};

const EXAMPLES: &str = "\
Examples:
  mobileone                              the built-in model on its own pictures
  mobileone classify photo.jpg           a digit held up to the camera
  mobileone classify --model s1 cat.jpg         with MobileOne-S1 from the hub
  mobileone classify --watch inbox/ --jsonl     pictures as they appear
  mobileone classify --model my.pth --labels my.txt -r --json photos/
  mobileone eval --model s0 validation/         a folder per class
  mobileone fuse mobileone_s0_unfused.pth.tar s0.safetensors --dtype f16
  mobileone export --target spirv out/ s0       for an engine of your own
  mobileone verify --device vulkan              judge a driver, layer by layer
  mobileone bench --device cpu --plot bench.svg    how fast it is here
  mobileone profile --model s0 --plot layers.svg   where the time goes
  MOBILEONE_DEVICE=cpu mobileone run --model s0 --input x.npy --output y.npy

A model is a file (safetensors, or PyTorch's .pth, .pth.tar, .bin), a folder
with model.safetensors and config.json, a hub id such as
timm/mobileone_s1.apple_in1k, s0 to s4 for timm's, the built-in digits, or
random:s0 to random:s4 for random weights. Where none is named, classify, eval,
run and info take digits.
A device is auto, cpu, gpu, vulkan, metal, dx12, gl, software, or a part of an
adapter's name or driver.
Of an option given twice, the last counts; bench runs all models, devices,
storages, batches and sizes that it is given. Outputs replace regular files;
their folder must exist. Colours are for terminals, unless NO_COLOR is set.

Exit status: 0 done; 1 some pictures could not be read, verify failed, or a
floor was beaten; 2 nothing could be done.";

/// Classifies pictures with MobileOne, on any GPU and on the CPU.
#[derive(Parser)]
#[command(name = "mobileone", version, after_help = EXAMPLES, args_override_self = true, max_term_width = WIDTH)]
struct Cli {
    /// Print no more than answers, warnings and errors
    #[arg(short, long, global = true, display_order = 1000, overrides_with = "verbose")]
    quiet: bool,
    /// Also print where device, storage, preprocessing and labels come from
    #[arg(short, long, global = true, display_order = 1000, overrides_with = "quiet")]
    verbose: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Classify(classify::Args),
    Eval(eval::Args),
    Run(run::Args),
    Verify(verify::Args),
    Fuse(fuse::Args),
    Export(export::Args),
    Info(info::Args),
    Devices(devices::Args),
    Tune(tune::Args),
    Bench(bench::Args),
    Profile(profile::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// How a command that came to its end has ended.
enum Verdict {
    /// As it should.
    Good,
    /// Some pictures could not be read, the device failed its examination, or a floor was beaten.
    Bad,
}

fn main() -> ExitCode {
    #[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
    runtime_folder();
    let parsed = without_empty_variables(Cli::command()).try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            note(&one_line(&error));
            return ExitCode::from(2);
        }
        Err(help) => help.exit(),
    };
    out::set_talk(match (cli.quiet, cli.verbose) {
        (true, _) => Talk::Quiet,
        (_, true) => Talk::Verbose,
        _ => Talk::Brief,
    });
    let result = match cli.command {
        None => hello::run(),
        Some(Command::Classify(args)) => classify::run(&args),
        Some(Command::Eval(args)) => eval::run(&args),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Verify(args)) => verify::run(&args),
        Some(Command::Fuse(args)) => fuse::run(&args),
        Some(Command::Export(args)) => export::run(&args),
        Some(Command::Info(args)) => info::run(&args),
        Some(Command::Devices(args)) => devices::run(&args),
        Some(Command::Tune(args)) => tune::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Profile(args)) => profile::run(&args),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Man(args)) => man::run(&args),
    };
    match result {
        Ok(Verdict::Good) | Err(Stop::Closed) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(Stop::Error(line)) => {
            note(&format!("error: {}", plain(&line)));
            ExitCode::from(2)
        }
    }
}

/// `command`, for which an environment variable that is empty is not set.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| match arg.get_env().is_some_and(is_empty) {
        true => arg.env(Resettable::<OsStr>::Reset),
        false => arg,
    });
    command.mut_subcommands(without_empty_variables)
}

/// What the parser says of a mistake, without the usage: `error: unrecognized subcommand 'clasify' (did you mean
/// 'classify'?); see --help`.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let useful = |line: &&str| {
        !line.is_empty() && !line.starts_with("Usage:") && !line.starts_with("For more information")
    };
    let (mut fault, mut tips) = (String::new(), String::new());
    for line in text.lines().map(str::trim).filter(useful) {
        match line.strip_prefix("tip: ") {
            // "a similar subcommand exists: 'classify'", "some similar arguments exist: '--json', '--jsonl'"
            Some(tip) => match tip.split_once(" exists: ").or(tip.split_once(" exist: ")) {
                Some((_, names)) => tips += &format!(" (did you mean {names}?)"),
                None => tips += &format!(" ({tip})"),
            },
            None if fault.is_empty() => fault += line,
            None => fault += &format!(" {line}"),
        }
    }
    if let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand)
        && (Path::new(name).exists() || picture::is_picture_name(Path::new(name)))
    {
        tips = format!(" (did you mean 'mobileone classify {name}'?)");
    }
    plain(&format!("{fault}{tips}; see --help"))
}

/// Names a runtime folder where the user has none: drivers look for a display in it, and the library that they do that
/// with complains on standard error of its absence. Nothing can lie in the one named, by anybody: it is no folder.
#[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
#[allow(unsafe_code)]
fn runtime_folder() {
    let absolute = |value: std::ffi::OsString| std::path::Path::new(&value).is_absolute();
    if !std::env::var_os("XDG_RUNTIME_DIR").is_some_and(absolute) {
        // SAFETY: no other thread runs yet that could read the environment meanwhile.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", "/dev/null") };
    }
}
