//! `camera`: see the README.

use camera::{args::Args, headless, plain, record, window};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    plain::hook_panics();
    let args = Args::parse();
    let done = match (&args.animate, args.headless) {
        (Some(folders), _) => record::animate(&folders[0], &folders[1], args.animation()),
        (None, _) if args.cameras => {
            println!("{}", Args::list_cameras());
            Ok(())
        }
        (None, true) => headless::run(&args),
        (None, false) => window::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("camera: {reason}");
            ExitCode::from(2)
        }
    }
}
