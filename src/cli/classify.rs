use std::path::PathBuf;

use mobileone::{Form, Session, Top, labels::Labels, sample};
use serde::Serialize;

use super::{
    Verdict,
    args::{PictureArgs, load},
    feed::{Bar, Seen, feed, pictures_in},
    opened::DeviceArgs,
    out::{self, Stop, note, plain, say},
    watch::{self, Watch},
};

const EXAMPLES: &str = "\
Examples:
  mobileone classify photo.jpg                     a digit held up to the camera: the built-in model
  mobileone classify --model s1 cat.jpg dog.png    ImageNet's classes
  mobileone classify --model s0 --device cpu --top-k 1 holidays/
  mobileone classify --model s1 --watch inbox/ --jsonl
  mobileone classify --model flowers.safetensors --labels flowers.txt --jsonl photos/ | jq .top[0].label";

/// Name what pictures show
///
/// Of a folder, the pictures in it are taken, sorted by name; not those of folders in it. A picture that cannot
/// be read is reported, the others go on, and the exit status is 1.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, or digits, which is built in and taken without --model
    #[arg(long, value_name = "M")]
    model: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// So many of the best classes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top_k: u16,
    #[command(flatten)]
    picture: PictureArgs,
    /// One JSON object for all pictures, at the end
    #[arg(long, conflicts_with = "jsonl")]
    json: bool,
    /// One JSON object per picture, as each is done
    #[arg(long)]
    jsonl: bool,
    /// Then go on with pictures that appear or change in this folder, until stopped
    #[arg(long, value_name = "DIR", conflicts_with = "json")]
    watch: Option<PathBuf>,
    /// Pictures, and folders of them
    #[arg(required_unless_present = "watch", value_name = "IMAGE|DIR")]
    images: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    model: String,
    device: String,
    dtype: String,
    results: Vec<Row>,
    /// What ended the work before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// One picture's result.
#[derive(Serialize)]
struct Row {
    image: String,
    #[serde(flatten)]
    found: Found,
    /// What is wrong with a picture that was read all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    decode_ms: f64,
    engine_ms: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Found {
    Top(Vec<Class>),
    Error(String),
}

#[derive(Serialize)]
struct Class {
    index: usize,
    label: String,
    probability: f32,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let (paths, missing) = expand(&args.images)?;
    args.watch.as_deref().map_or(Ok(()), watch::check)?;
    let spec = args.model.as_deref().unwrap_or_else(|| {
        note("model: digits, the built-in sample; --model s1 has ImageNet's classes, fetched from the hub once");
        sample::NAME.as_ref()
    });
    let model = load(spec, Form::Fused)?;
    let labels = args.picture.labels(&model)?;
    let device = args.device.open_for(&model, args.picture.size(&model))?;
    let dtype = args.device.dtype();
    let session = args.picture.session(&device, &model, &args.device, usize::from(args.top_k))?;
    // From before the first picture, so that none is missed.
    let watch = args.watch.as_deref().map(Watch::new).transpose()?;
    let (rows, failed, end) = go_through(&session, &paths, &labels, args);
    if args.json {
        let (model, device, dtype) = (model.name, device.info().to_string(), dtype.to_string());
        let error = match &end {
            Err(Stop::Error(line)) => Some(line.clone()),
            _ => None,
        };
        out::json(&Report { model, device, dtype, results: rows, error }, true)?;
    }
    end?;
    if let Some(mut watch) = watch {
        note(&format!("watching {}", plain(&watch.folder().display().to_string())));
        loop {
            go_through(&session, &watch.next()?, &labels, args).2?;
        }
    }
    Ok(if missing + failed > 0 { Verdict::Bad } else { Verdict::Good })
}

/// Classifies and prints the pictures of `paths`: their rows where they are wanted later, how many could not be
/// read, and how it ended.
fn go_through(
    session: &Session,
    paths: &[PathBuf],
    labels: &Labels,
    args: &Args,
) -> (Vec<Row>, usize, Result<(), Stop>) {
    let bar = Bar::new(paths.len());
    let (mut rows, mut failed) = (Vec::new(), 0);
    let end = feed(session, paths, &bar, |seen| {
        let row = Row::new(seen, labels);
        failed += usize::from(matches!(row.found, Found::Error(_)));
        bar.aside(|| row.print(args))?;
        if args.json {
            rows.push(row);
        }
        Ok(())
    });
    let seconds = bar.seconds();
    drop(bar);
    if end.is_ok() && paths.len() > 1 {
        let count = paths.len();
        let failures = if failed > 0 { format!(", {failed} of them unreadable") } else { String::new() };
        note(&format!(
            "{count} pictures{failures} in {seconds:.1} s, {:.1} pictures/s",
            count as f64 / seconds
        ));
    }
    (rows, failed, end)
}

impl Row {
    fn new(seen: Seen, labels: &Labels) -> Row {
        let class = |top: &Top| Class {
            index: top.index,
            label: labels.name(top.index).into(),
            probability: top.probability,
        };
        let (found, engine_ms) = match seen.found {
            Ok((top, engine_ms)) => (Found::Top(top.iter().map(class).collect()), Some(engine_ms)),
            Err(error) => (Found::Error(error), None),
        };
        let (image, warning) = (seen.path.display().to_string(), seen.warning);
        Row { image, found, warning, decode_ms: seen.decode_ms, engine_ms }
    }

    fn print(&self, args: &Args) -> Result<(), Stop> {
        if let Found::Error(error) = &self.found {
            note(&format!("error: {}", plain(error)));
        }
        if let Some(warning) = &self.warning {
            note(&format!("warning: {}", plain(&format!("{}: {warning}", self.image))));
        }
        match &self.found {
            _ if args.jsonl => out::json(self, false),
            Found::Top(top) if !args.json => {
                let percent = |class: &Class| f64::from(class.probability) * 100.0;
                for (at, class) in top.iter().enumerate() {
                    let label = plain(&class.label);
                    match at {
                        0 => say(&format!("{}: {label} ({:.1}%)", plain(&self.image), percent(class)))?,
                        _ => say(&format!("    {:5.1}%  {label}", percent(class)))?,
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The pictures that are meant by files and folders, and the count of folders without any, which are reported.
fn expand(images: &[PathBuf]) -> Result<(Vec<PathBuf>, usize), Stop> {
    let mut paths = Vec::new();
    let mut empty = Vec::new();
    for image in images {
        if image.is_dir() {
            let pictures = pictures_in(image)?;
            if pictures.is_empty() {
                empty.push(format!("{}: no pictures in this folder", image.display()));
            }
            paths.extend(pictures);
        } else {
            paths.push(image.clone());
        }
    }
    if paths.is_empty() && !empty.is_empty() {
        return Err(Stop::Error(empty.join("; ")));
    }
    empty.iter().for_each(|line| note(&format!("error: {}", plain(line))));
    Ok((paths, empty.len()))
}
