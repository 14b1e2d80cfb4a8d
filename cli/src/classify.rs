//! `mobileone classify`: the best classes of pictures.

mod answers;
mod rows;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use mobileone::{Session, labels::Labels};

use crate::{
    Verdict,
    args::{DeviceArgs, PictureArgs, ReadArgs, probability},
    feed::{Bar, STDIN, feed, look},
    loaded::{keep, model_or_digits},
    opened::Opened,
    out::{Stop, check_output, count, note, plain},
    pictures::{self, Preprocessing},
    watch::{self, Watch},
};
use answers::{Answers, Form as Answered};
use rows::{Found, Header, Row};

const EXAMPLES: &str = "\
Examples:
  mobileone classify photo.jpg                  a digit held up to the camera
  mobileone classify --model s1 cat.jpg dog.png         ImageNet's classes
  mobileone classify --model s0 --device cpu --top-k 1 holidays/
  mobileone classify --model s1 -r photos/ --csv --output photos.csv
  mobileone classify --model s1 --watch inbox/ --jsonl
  curl -s https://example.org/cat.jpg | mobileone classify --model s1 -
  mobileone classify --model flowers.safetensors --labels flowers.txt \\
      --jsonl photos/ | jq .top[0].label";

/// Name what pictures show
///
/// A folder means the pictures directly in it, sorted by name; with --recursive also those in the folders in it. A
/// picture that cannot be read is reported, the others go on, and the exit status is 1.
///
/// A name that is not UTF-8, or would move a terminal's cursor, is written $'a\xff.jpg', as shells read it; JSON has
/// its bytes as image_bytes, percent-encoded.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, or digits, which is built in and the default
    #[arg(long, value_name = "M")]
    model: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Number of classes to print, the best first
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top_k: u16,
    /// Leave out classes below this probability, such as 0.5; a picture may then have none
    #[arg(long, value_name = "P", value_parser = probability)]
    threshold: Option<f32>,
    #[command(flatten)]
    picture: PictureArgs,
    /// One JSON object for all pictures, written as the answers come
    #[arg(long, group = "form")]
    json: bool,
    /// One JSON object per picture, as each is done
    #[arg(long, group = "form")]
    jsonl: bool,
    /// A line of values between commas per class; one without a class for a picture that has none
    #[arg(long, group = "form")]
    csv: bool,
    /// Write the answers to this file. It appears when all are done, or grows as they come with --watch
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also take the pictures of the folders in a folder; not of hidden ones, nor of links to folders
    #[arg(short, long)]
    recursive: bool,
    /// Then go on with pictures that appear or change in this folder, until stopped
    #[arg(long, value_name = "DIR", conflicts_with = "json")]
    watch: Option<PathBuf>,
    /// Pictures, and folders of them; - is a picture on standard input
    #[arg(required_unless_present = "watch", value_name = "IMAGE|DIR")]
    images: Vec<PathBuf>,
}

impl Args {
    fn form(&self) -> Answered {
        match (self.json, self.jsonl, self.csv) {
            (true, ..) => Answered::Json,
            (_, true, _) => Answered::JsonLines,
            (_, _, true) => Answered::Csv,
            _ => Answered::Text,
        }
    }
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let (paths, missing) = expand(&args.images, args.recursive)?;
    args.watch.as_deref().map_or(Ok(()), watch::check)?;
    let spec = model_or_digits(args.model.as_deref());
    if let Some(output) = &args.output {
        let read = paths.iter().map(PathBuf::as_path).chain([spec]).chain(args.picture.labels.as_deref());
        keep(output, &read.collect::<Vec<_>>())?;
        check_output(output)?;
    }
    let (model, opened) = Opened::beside(&args.device, || pictures::load(&args.picture, spec, &args.read))?;
    let labels = pictures::labels(&args.picture, &model)?;
    let on = opened.to_run(&args.device, &model, pictures::size(&args.picture, &model))?;
    let top = usize::from(args.top_k);
    let session = pictures::session(&args.picture, &on, &model, top, args.model.as_deref())?;
    // From before the first picture, so that none is missed.
    let watch = args.watch.as_deref().map(|folder| Watch::new(folder, args.recursive)).transpose()?;
    let mut answers = Answers::new(args.form(), args.output.as_deref(), watch.is_some())?;
    answers.begin(&Header {
        model: &model.name,
        requested: &spec.display().to_string(),
        device: &on.device.info().to_string(),
        dtype: &on.dtype().to_string(),
        preprocessing: Preprocessing::new(
            &pictures::chosen(&args.picture, &model)?,
            pictures::source(&args.picture, &model),
        ),
    })?;
    let (failed, end) = go_through(&session, &paths, &labels, args, &mut answers);
    if let (Some(mut watch), Ok(())) = (watch, &end) {
        note(&format!("watching {}", plain(&watch.folder().display().to_string())));
        loop {
            go_through(&session, &watch.next()?, &labels, args, &mut answers).1?;
        }
    }
    let ended = answers.finish(end.as_ref().err());
    end.and(ended)?;
    Ok(if missing + failed > 0 { Verdict::Bad } else { Verdict::Good })
}

/// Classifies the pictures of `paths` and writes their answers: how many could not be read, and how it ended.
fn go_through(
    session: &Session,
    paths: &[PathBuf],
    labels: &Labels,
    args: &Args,
    answers: &mut Answers,
) -> (usize, Result<(), Stop>) {
    let bar = Bar::new(paths.len());
    let mut failed = 0;
    let end = feed(session, paths, &bar, |seen| {
        let row = Row::new(seen, labels, args.threshold);
        bar.aside(|| {
            if let Found::Error(error) = &row.found {
                failed += 1;
                note(&format!("error: {}", plain(error)));
            }
            if let Some(warning) = &row.warning {
                note(&plain(&format!("warning: {}: {warning}", row.name())));
            }
            answers.row(&row)
        })
    });
    let seconds = bar.seconds();
    drop(bar);
    if end.is_ok() && paths.len() > 1 {
        let pictures = count(paths.len(), "picture");
        let failures = if failed > 0 { format!(", {failed} of them unreadable,") } else { String::new() };
        let rate = paths.len() as f64 / seconds;
        note(&format!("{pictures}{failures} in {seconds:.1} s, {rate:.1} pictures/s"));
    }
    (failed, end)
}

/// The pictures that are meant by files and folders, and how many of the folders had none or could not be read,
/// which are reported.
fn expand(images: &[PathBuf], deep: bool) -> Result<(Vec<PathBuf>, usize), Stop> {
    let mut paths = Vec::new();
    let mut faults = Vec::new();
    for image in images {
        if image == Path::new(STDIN) {
            check_stdin(&paths)?;
            paths.push(image.clone());
        } else if image.is_dir() {
            let inside = look(image, deep)?;
            if inside.pictures.is_empty() {
                let hint = match inside.folders {
                    0 => String::new(),
                    _ if deep => ", nor in those below it".into(),
                    folders => format!(" itself; -r looks into the {} in it", count(folders, "folder")),
                };
                faults.push(format!("{}: no pictures in this folder{hint}", image.display()));
            }
            faults.extend(inside.unread);
            paths.extend(inside.pictures);
        } else {
            paths.push(image.clone());
        }
    }
    if paths.is_empty() && !faults.is_empty() {
        return Err(Stop::Error(faults.join("; ")));
    }
    faults.iter().for_each(|line| note(&format!("error: {}", plain(line))));
    Ok((paths, faults.len()))
}

fn check_stdin(paths: &[PathBuf]) -> Result<(), Stop> {
    if paths.iter().any(|path| path == Path::new(STDIN)) {
        return Err(Stop::Error("-: standard input holds one picture: name it once".into()));
    }
    if std::io::stdin().is_terminal() {
        let line =
            "-: standard input is a terminal: give it a picture, as in `mobileone classify - < cat.jpg`";
        return Err(Stop::Error(line.into()));
    }
    Ok(())
}
