use std::path::PathBuf;

use mobileone::{
    Form, Model, Options, Shape,
    labels::Labels,
    models::mobileone::{VARIANTS, synthetic},
};
use serde::Serialize;

use crate::{
    Verdict,
    args::{DeviceArgs, ReadArgs},
    loaded::{built, model_or_digits, open, without_pictures},
    opened::Opened,
    out::{self, Stop, WIDTH, bytes, commas, count, plain, say},
    pictures::{Preprocessing, describe},
};

const EXAMPLES: &str = "\
Examples:
  mobileone info                              the built-in model
  mobileone info --variants                   the paper's variants
  mobileone info s1
  mobileone info my.safetensors --layers --device cpu";

/// Say what a model is: widths, classes, cost, input
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, or digits, which is built in and the default
    #[arg(value_name = "MODEL")]
    model: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
    /// The same, as other commands take it
    #[arg(long = "model", value_name = "M", conflicts_with = "model")]
    named: Option<PathBuf>,
    /// The paper's variants instead, a line each
    #[arg(long, conflicts_with_all = ["model", "named", "layers"])]
    variants: bool,
    /// A line per dispatch of the plan on the device
    #[arg(long)]
    layers: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What there is to say of a model.
#[derive(Serialize)]
struct Report {
    model: String,
    requested: String,
    stem: usize,
    widths: Vec<usize>,
    blocks: Vec<usize>,
    /// Branches of training, if the file has them.
    branches: Option<usize>,
    /// Squeeze-excites in each stage.
    squeezed: Vec<usize>,
    strides: Vec<usize>,
    /// Whether any of them is not known.
    strides_guessed: bool,
    classes: Option<usize>,
    labels: Option<String>,
    /// Of the fused form.
    parameters: u64,
    /// Of the file, running statistics left out.
    parameters_in_file: u64,
    /// Of the fused form, for one picture of the input's size.
    macs: u64,
    /// Of the fused weights in f32.
    weight_bytes: u64,
    /// Of the maps read and written for one picture, in f32.
    map_bytes: u64,
    input: [usize; 4],
    preprocess: String,
    preprocess_source: String,
    preprocessing: Preprocessing,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Variants {
    variants: Vec<Report>,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    if args.variants {
        return variants(args.json);
    }
    let spec = model_or_digits(args.model.as_deref().or(args.named.as_deref()));
    let checkpoint = open(spec, &args.read)?;
    let statistic = |name: &str| name.ends_with(".running_mean") || name.ends_with(".running_var");
    let arrays = checkpoint.weights.iter().filter(|(name, _)| !statistic(name));
    let in_file = arrays.map(|(_, array)| array.data.len() as u64).sum();
    let model = built(spec, checkpoint, Form::Fused, &args.read, without_pictures)?;
    let mut report = report(&model, &spec.display().to_string(), in_file)?;
    if args.layers {
        let on = Opened::of(&args.device)?.to_run(&args.device, &model, model.preprocess.size)?;
        let plan = on.session(&model, &on.options(Options::of(&model)))?.describe();
        on.summary(&model.name, model.preprocess.size, None);
        report.layers = Some(plan.lines().map(String::from).collect());
    }
    match args.json {
        true => out::json(&report, true)?,
        false => print(&report)?,
    }
    Ok(Verdict::Good)
}

fn report(model: &Model, requested: &str, in_file: u64) -> Result<Report, Stop> {
    let (h, w) = model.preprocess.size;
    let input = Shape::new(1, h, w, model.graph.input_channels());
    let costs = model.graph.check(&model.weights, input)?.costs();
    let parameters = costs.iter().map(|cost| cost.params).sum();
    let classes = model.graph.classes();
    let labels = match classes {
        Some(classes) => Some(Labels::choose(None, model.labels.as_deref(), classes)?.source().to_string()),
        None => None,
    };
    let architecture = &model.architecture;
    let strides = &architecture.strides;
    Ok(Report {
        model: model.name.clone(),
        requested: requested.into(),
        stem: architecture.stem,
        widths: architecture.widths.clone(),
        blocks: architecture.blocks.clone(),
        branches: architecture.branches,
        squeezed: architecture.squeezed.iter().map(Vec::len).collect(),
        strides: std::iter::once(strides.stem).chain(strides.stages.iter().copied()).collect(),
        strides_guessed: model.strides.complete().is_none(),
        classes,
        labels,
        parameters,
        parameters_in_file: in_file,
        macs: costs.iter().map(|cost| cost.macs).sum(),
        weight_bytes: 4 * parameters,
        map_bytes: 4 * costs.iter().map(|cost| cost.activations).sum::<u64>(),
        input: [1, model.graph.input_channels(), h, w],
        preprocess: describe(&model.preprocess),
        preprocess_source: model.preprocess_source.clone(),
        preprocessing: Preprocessing::new(&model.preprocess, model.preprocess_source.clone()),
        layers: None,
    })
}

fn print(report: &Report) -> Result<(), Stop> {
    let form = match report.branches {
        Some(1) => "train form, 1 convolution branch".into(),
        Some(branches) => format!("train form, {branches} convolution branches"),
        None => "fused".into(),
    };
    let classes = match (report.classes, &report.labels) {
        (Some(classes), Some(labels)) => format!("{classes} (labels: {})", plain(labels)),
        _ => "none: the model ends in features".into(),
    };
    let guessed = if report.strides_guessed { " (a guess, the paper's)" } else { "" };
    let strides = format!("{:?}{guessed}", report.strides);
    let [_, _, h, w] = report.input;
    let (fit, normalized) = report.preprocessing.words();
    let row = |name: &str, text: String| [name.to_string(), text];
    let rows = [
        row("model", report.model.clone()),
        row("form", form),
        row("stem", count(report.stem, "channel")),
        row("stages", format!("{:?} channels, {:?} blocks", report.widths, report.blocks)),
        row("squeeze-excites", format!("{:?}", report.squeezed)),
        row("strides", strides),
        row("classes", classes),
        row(
            "parameters",
            format!("{} fused, {} in the file", commas(report.parameters), commas(report.parameters_in_file)),
        ),
        row("MACs", format!("{:.1} million at {h}x{w}", report.macs as f64 / 1e6)),
        row(
            "weights",
            format!("{} in f32, {} in f16", bytes(report.weight_bytes), bytes(report.weight_bytes / 2)),
        ),
        row("maps", format!("{} read and written per picture, in f32", bytes(report.map_bytes))),
        row("input", fit),
        row("normalized", normalized),
        row("source", plain(&report.preprocess_source)),
    ];
    out::fields(&rows).iter().try_for_each(|line| say(line))?;
    let Some(layers) = &report.layers else { return Ok(()) };
    say("")?;
    columns(layers).iter().try_for_each(|line| say(line))
}

/// The lines of a plan under heads in place of the words in them, with which they are wider than a terminal.
fn columns(lines: &[String]) -> Vec<String> {
    const MACS: usize = 4;
    // What a dispatch has, and a node of the CPU in part.
    let mut head = ["", "layer", "size", "groups", "MACs", "slot", "choice"].map(String::from);
    let place = |cell: &str| match cell {
        _ if cell.contains(" workgroup") => 3,
        _ if cell.ends_with(" MACs") => MACS,
        _ if cell.starts_with("slot ") => 5,
        _ if cell.contains("->") => 2,
        _ => 6,
    };
    let row = |line: &String| {
        let mut row = [const { String::new() }; 7];
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        for (at, cell) in cells.enumerate() {
            let place = if at < 2 { at } else { place(cell) };
            row[place] = match place {
                3..=5 => cell.chars().filter(char::is_ascii_digit).collect(),
                _ => cell.into(),
            };
        }
        row
    };
    let mut rows: Vec<_> = lines.iter().map(row).collect();
    let macs = |row: &[String; 7]| row[MACS].parse::<u64>().unwrap_or(0);
    if rows.iter().any(|row| macs(row) >= 10_000_000) {
        head[MACS] = "kMACs".into();
        rows.iter_mut().for_each(|row| row[MACS] = ((macs(row) + 500) / 1000).to_string());
    }
    rows.insert(0, head);
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let used: Vec<usize> = (0..7).filter(|&at| rows[1..].iter().any(|row| !row[at].is_empty())).collect();
    let whole = used.iter().map(|&at| width(at) + 2).sum::<usize>() - 2;
    let gap = if whole > WIDTH { " " } else { "  " };
    let line = |row: &[String; 7]| {
        // Numbers stand at the right.
        let cell = |&at: &usize| match at {
            0 | 3..=5 => format!("{:>1$}", row[at], width(at)),
            _ => format!("{:1$}", row[at], width(at)),
        };
        used.iter().map(cell).collect::<Vec<_>>().join(gap).trim_end().to_string()
    };
    rows.iter().map(line).collect()
}

/// The paper's variants, with 1000 classes.
fn variants(json: bool) -> Result<Verdict, Stop> {
    let mut reports = Vec::new();
    for (at, variant) in VARIANTS.iter().enumerate() {
        let checkpoint = synthetic(variant, 1000, 0);
        let in_file = checkpoint.weights.iter().map(|(_, array)| array.data.len() as u64).sum();
        reports.push(report(&Model::new(checkpoint, Form::Fused)?, &format!("s{at}"), in_file)?);
    }
    if json {
        out::json(&Variants { variants: reports }, true)?;
        return Ok(Verdict::Good);
    }
    let head = ["short", "model", "stem", "stages", "parameters", "million MACs"].map(String::from);
    let row = |(at, report): (usize, &Report)| {
        let macs = format!("{:.1}", report.macs as f64 / 1e6);
        let widths: Vec<String> = report.widths.iter().map(usize::to_string).collect();
        [
            format!("s{at}"),
            report.model.clone(),
            report.stem.to_string(),
            widths.join(" "),
            commas(report.parameters),
            macs,
        ]
    };
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(reports.iter().enumerate().map(row)).collect();
    out::table(&rows).iter().try_for_each(|line| say(line))?;
    say(
        "The paper's variants, fused, at 224x224 with 1000 classes.\n`mobileone info s1` looks at real weights.",
    )?;
    Ok(Verdict::Good)
}
