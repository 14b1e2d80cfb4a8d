use std::path::PathBuf;

use mobileone::{
    Form, Model, Options,
    models::mobileone::{VARIANTS, synthetic},
    verify::{Line, examine},
};
use serde::Serialize;

use super::{
    Verdict,
    args::{ReadArgs, load, without_pictures},
    opened::DeviceArgs,
    out::{self, Stop, plain, say},
};

const EXAMPLES: &str = "\
Examples:
  mobileone verify                                 random S0 and S4 on the device that auto takes
  mobileone verify --device vulkan --dtype f16
  mobileone verify --model s1 --device cpu --json";

/// Judge a device: each dispatch against the reference
///
/// Every dispatch of the plan is fed the device's own previous output and compared with plain loops on the
/// processor; then the logits of an ordinary run. Ends in PASS, or in FAIL with exit status 1. This takes
/// minutes on a slow processor.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, or digits; without it, random S0 and S4 at 224x224
    #[arg(long, value_name = "M")]
    model: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    device: String,
    driver: String,
    dtype: String,
    pass: bool,
    models: Vec<Judged>,
}

#[derive(Serialize)]
struct Judged {
    model: String,
    pass: bool,
    lines: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    label: String,
    absolute: f64,
    relative: f64,
    fault: Option<String>,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let models = match &args.model {
        Some(spec) => vec![load(spec, Form::Fused, &args.read, without_pictures)?],
        None => [&VARIANTS[0], &VARIANTS[4]]
            .into_iter()
            .map(|variant| Model::new(synthetic(variant, 1000, 0), Form::Fused))
            .collect::<Result<_, _>>()?,
    };
    let device = args.device.open()?;
    let dtype = args.device.dtype();
    let mut judged = Vec::new();
    for model in models {
        let size = model.preprocess.size;
        if !args.json {
            say(&format!(
                "{} at {}x{}, {dtype}, on {}",
                model.name,
                size.0,
                size.1,
                plain(&device.info().to_string())
            ))?;
        }
        let lines = examine(&device, &model, args.device.options(&device, Options::of(&model)))?;
        if !args.json {
            print(&lines)?;
        }
        let pass = lines.iter().all(|line| line.fault.is_none());
        let row = |Line { label, absolute, relative, fault, .. }| Row { label, absolute, relative, fault };
        judged.push(Judged { model: model.name, pass, lines: lines.into_iter().map(row).collect() });
    }
    let pass = judged.iter().all(|model| model.pass);
    if args.json {
        let info = device.info();
        let (device, driver, dtype) = (info.to_string(), info.driver.clone(), dtype.to_string());
        out::json(&Report { device, driver, dtype, pass, models: judged }, true)?;
    } else {
        say(if pass { "PASS" } else { "FAIL" })?;
    }
    Ok(if pass { Verdict::Good } else { Verdict::Bad })
}

fn print(lines: &[Line]) -> Result<(), Stop> {
    let head = ["", "worst absolute", "relative", ""].map(String::from);
    let row = |line: &Line| {
        let end = line.fault.as_ref().map_or("ok".into(), |fault| format!("FAIL: {fault}"));
        [line.label.clone(), format!("{:.1e}", line.absolute), format!("{:.1e}", line.relative), end]
    };
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(lines.iter().map(row)).collect();
    out::table(&rows).iter().try_for_each(|line| say(&format!("  {line}")))
}
