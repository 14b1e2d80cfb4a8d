//! What is typed, and what it means: one file per command.
//!
//! Answers go to standard output, everything else to standard error. A command ends in a [`Verdict`] or stops
//! with one line that says what is wrong and what to do.

mod args;
mod bench;
mod cache;
mod chart;
mod classify;
mod devices;
mod eval;
mod export;
mod feed;
mod fuse;
mod hello;
mod info;
mod limit;
mod opened;
mod out;
mod profile;
mod run;
mod table;
mod tune;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use out::{Stop, note, plain};

const EXAMPLES: &str = "\
Examples:
  mobileone                                         the built-in model on the built-in pictures
  mobileone classify photo.jpg                      a digit held up to the camera
  mobileone classify --model s1 cat.jpg             with MobileOne-S1 from the hub
  mobileone classify --watch inbox/ --jsonl         pictures as they appear
  mobileone classify --model my.safetensors --labels my.txt --json photos/
  mobileone eval --model s0 validation/             a folder per class
  mobileone fuse mobileone_s0_unfused.pth.tar s0.safetensors --dtype f16
  mobileone export --target spirv out/ s0           plan, weights and shaders, for an engine of your own
  mobileone verify --device vulkan                  judge a driver, layer by layer
  mobileone bench --device cpu --plot bench.svg     how fast it is here
  mobileone profile --model s0 --plot layers.svg    where the time goes, and what the device could do
  MOBILEONE_DEVICE=cpu mobileone run --model s0 --input x.safetensors --output y.safetensors

A model is a file (safetensors, or PyTorch's .pth, .pth.tar, .bin), a folder with model.safetensors and
config.json, a hub id such as timm/mobileone_s1.apple_in1k, s0 to s4 for timm's, the built-in digits, or random:s0
to random:s4 for random weights.
A device is auto, cpu, gpu, vulkan, metal, dx12, gl, software, or a part of an adapter's name or driver.

Exit status: 0 done; 1 some pictures could not be read, verify failed, or a floor was beaten; 2 nothing could
be done.";

/// Classifies pictures with MobileOne, on any GPU and on the CPU.
#[derive(Parser)]
#[command(name = "mobileone", version, after_help = EXAMPLES)]
struct Cli {
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
}

/// How a command that came to its end has ended.
enum Verdict {
    /// As it should.
    Good,
    /// Some pictures could not be read, the device failed its examination, or a floor was beaten.
    Bad,
}

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            note(&one_line(&error.to_string()));
            return ExitCode::from(2);
        }
        Err(help) => help.exit(),
    };
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

/// What the parser says of a mistake, without the usage.
fn one_line(text: &str) -> String {
    let useful = |line: &&str| {
        !line.is_empty() && !line.starts_with("Usage:") && !line.starts_with("For more information")
    };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(useful).collect();
    plain(&format!("{}; see --help", lines.join(" ")))
}
