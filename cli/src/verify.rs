use std::path::PathBuf;

use mobileone::{
    Form, Model, Options,
    models::mobileone::{VARIANTS, synthetic},
    verify::{Line, examine},
};
use serde::Serialize;

use crate::{
    Verdict,
    args::{DeviceArgs, ReadArgs},
    loaded::{load, without_pictures},
    opened::{Opened, hardware},
    out::{self, Stop, WIDTH, count, plain, say},
    table::{Give, fit, short},
};

const EXAMPLES: &str = "\
Examples:
  mobileone verify           random:s0 and random:s4, on what auto takes
  mobileone verify --device vulkan --dtype f16 --all
  mobileone verify --model s1 --device cpu --json";

/// Judge a device: each dispatch against the reference
///
/// Every dispatch of the plan is fed the device's own previous output and compared with plain loops on the
/// processor; then the logits of an ordinary run. Prints the worst errors with their bounds, and all that failed.
/// Ends in PASS, or in FAIL with exit status 1. This takes minutes on a slow processor.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, random:s0 to random:s4, or digits; without it, random:s0 and random:s4
    #[arg(long, value_name = "M")]
    model: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print every dispatch, not only the worst
    #[arg(long)]
    all: bool,
    /// One JSON object, with every dispatch
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
    absolute_bound: Option<f64>,
    relative: f64,
    relative_bound: f64,
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
    let on = Opened::of(&args.device)?.to_judge(&args.device)?;
    let dtype = on.dtype_name();
    let mut judged = Vec::new();
    if !args.json {
        say(&short(&plain(&format!("{}, {dtype}", hardware(on.device.info()))), WIDTH))?;
    }
    for model in models {
        if !args.json {
            let (h, w) = model.preprocess.size;
            say(&short(&plain(&format!("{} at {h}x{w}", model.name)), WIDTH))?;
        }
        let lines = examine(&on.device, &model, on.options(Options::of(&model)))?;
        if !args.json {
            print(&lines, args.all)?;
        }
        let pass = lines.iter().all(|line| line.fault.is_none());
        let row = |line: Line| Row {
            label: line.label,
            absolute: line.absolute,
            absolute_bound: line.absolute_bound,
            relative: line.relative,
            relative_bound: line.relative_bound,
            fault: line.fault,
        };
        judged.push(Judged { model: model.name, pass, lines: lines.into_iter().map(row).collect() });
    }
    let pass = judged.iter().all(|model| model.pass);
    if args.json {
        let info = on.device.info();
        let (device, driver) = (info.to_string(), info.driver.clone());
        out::json(&Report { device, driver, dtype, pass, models: judged }, true)?;
    } else {
        say(if pass { "PASS" } else { "FAIL" })?;
    }
    Ok(if pass { Verdict::Good } else { Verdict::Bad })
}

/// Failures that are printed without `--all`.
const FAILURES: usize = 4;

fn print(lines: &[Line], all: bool) -> Result<(), Stop> {
    let table = if all { every(lines) } else { worst(lines) };
    table.iter().try_for_each(|line| say(line))?;
    let failed: Vec<(&Line, &String)> =
        lines.iter().filter_map(|line| Some((line, line.fault.as_ref()?))).collect();
    let shown = if all { failed.len() } else { FAILURES };
    for (line, fault) in failed.iter().take(shown) {
        say(&plain(&format!("FAIL {}: {fault}", line.label)))?;
    }
    match failed.len().saturating_sub(shown) {
        0 => Ok(()),
        more => say(&format!("and {more} more: --all prints them")),
    }
}

/// Every dispatch and the logits.
fn every(lines: &[Line]) -> Vec<String> {
    let columns = [
        ("step", Give::Shortens(20)),
        ("relative", Give::Stays),
        ("bound", Give::Stays),
        ("absolute", Give::Stays),
        ("bound", Give::Stays),
        ("", Give::Stays),
    ];
    let row = |line: &Line| {
        let end = if line.fault.is_none() { "ok" } else { "FAIL" };
        let bound = line.absolute_bound.map(number).unwrap_or_default();
        let (relative, relative_bound) = (number(line.relative), number(line.relative_bound));
        let cells = [line.label.clone(), relative, relative_bound, number(line.absolute), bound];
        cells.into_iter().chain([end.into()]).collect()
    };
    fit(&columns, &lines.iter().map(row).collect::<Vec<_>>())
}

/// What came nearest to its bound, of the dispatches and of the logits.
fn worst(lines: &[Line]) -> Vec<String> {
    let columns =
        [("", Give::Stays), ("worst", Give::Stays), ("bound", Give::Stays), ("in", Give::Shortens(20))];
    let Some((last, steps)) = lines.split_last() else { return Vec::new() };
    let passed = steps.iter().filter(|line| line.fault.is_none()).count();
    let all = match passed == steps.len() {
        true => count(passed, "step"),
        false => format!("{passed} of {}", count(steps.len(), "step")),
    };
    // What cannot be compared is the worst.
    let share = |error: f64, bound: f64| if error.is_nan() { f64::INFINITY } else { error / bound };
    let largest = |of: &dyn Fn(&Line) -> Option<f64>| {
        let known = steps.iter().filter_map(|line| Some((of(line)?, line)));
        known.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, line)| line)
    };
    let row = |what: String, error: f64, bound: f64, label: &str| {
        [&what, &number(error), &number(bound), label].map(String::from).to_vec()
    };
    let relative = largest(&|line| Some(share(line.relative, line.relative_bound)));
    let absolute = largest(&|line| Some(share(line.absolute, line.absolute_bound?)));
    let mut rows = Vec::new();
    if let Some(line) = relative {
        rows.push(row(format!("{all}, relative"), line.relative, line.relative_bound, &line.label));
    }
    if let Some((line, bound)) = absolute.and_then(|line| Some((line, line.absolute_bound?))) {
        rows.push(row(format!("{all}, absolute"), line.absolute, bound, &line.label));
    }
    rows.push(row(format!("{}, relative", last.label), last.relative, last.relative_bound, ""));
    fit(&columns, &rows)
}

fn number(value: f64) -> String {
    format!("{value:.1e}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mobileone::{DType, Device, sample, verify::verify};

    #[test]
    fn the_worst_of_each_kind_is_printed() {
        let model = Model::from_bytes(sample::DIGITS).unwrap();
        let lines = verify(&Device::open("cpu").unwrap(), &model, DType::F32, (48, 48)).unwrap();
        let (last, steps) = lines.split_last().unwrap();
        let worst = worst(&lines);
        assert_eq!(worst.len(), 4, "{worst:#?}");
        let largest = steps.iter().map(|line| line.relative).fold(0.0, f64::max);
        let all = count(steps.len(), "step");
        assert!(
            worst[1].starts_with(&format!("{all}, relative")) && worst[1].contains(&number(largest)),
            "{worst:#?}"
        );
        assert!(worst[1].contains("1.0e-5") && worst[3].contains(&number(last.relative)), "{worst:#?}");
        assert!(worst[3].ends_with("5.0e-5"), "{worst:#?}");
        let every = every(&lines);
        assert_eq!(every.len(), lines.len() + 1);
        assert!(worst.iter().chain(&every).all(|line| line.chars().count() <= WIDTH), "{every:#?}");
    }
}
