mod report;
mod truth;

use std::path::{Path, PathBuf};

use mobileone::{Error, labels::Labels, named};

use self::{
    report::{BEST, Counts, Report},
    truth::{ClassOrder, Truth, classes},
};
use crate::{
    Verdict,
    args::{DeviceArgs, PictureArgs, ReadArgs},
    feed::{Bar, feed, pictures_in},
    loaded::{keep, model_or_digits},
    opened::Opened,
    out::{self, Stop, chain, check_output, name, note, plain},
    pictures,
};

const EXAMPLES: &str = "\
Examples:
  mobileone eval --model s1 validation/     validation/n02124075/*.JPEG, or
                                            validation/Egyptian cat/*.jpg
  mobileone eval --model flowers.pth --labels flowers.txt --json test/
  mobileone eval --model flowers.pth --classes class_to_idx.json \\
      --mistakes wrong.csv test/";

/// Measure the accuracy on a folder per class
///
/// Each folder in DIR is named after a class: by its label (case, _ and - do not matter), its WordNet id where
/// the classes are ImageNet's, or its number. PyTorch's ImageFolder numbers classes in the order of their folders'
/// names as text (0, 1, 10, 2), which --class-order text takes. Pictures that cannot be read are reported and not
/// counted, and the exit status is 1.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, or digits, which is built in and taken without --model
    #[arg(long, value_name = "M")]
    model: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    picture: PictureArgs,
    /// What decides which class a folder is; without it labels, else numbers
    #[arg(long, value_name = "ORDER", conflicts_with = "classes")]
    class_order: Option<ClassOrder>,
    /// The folders' names in the order of the classes, in any form that --labels takes
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// One JSON object, with the confusion matrix, the accuracy per class, and the mistakes
    #[arg(long)]
    json: bool,
    /// Write all mistakes to this file, as CSV
    #[arg(long, value_name = "FILE")]
    mistakes: Option<PathBuf>,
    /// Holds a folder of pictures per class
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let spec = model_or_digits(args.model.as_deref());
    if let Some(path) = &args.mistakes {
        let read = [Some(spec), args.classes.as_deref(), args.picture.labels.as_deref()];
        keep(path, &read.into_iter().flatten().collect::<Vec<_>>())?;
        check_output(path)?;
    }
    let folders = folders(&args.folder)?;
    let (model, opened) = Opened::beside(&args.device, || pictures::load(&args.picture, spec, &args.read))?;
    let labels = pictures::labels(&args.picture, &model)?;
    let (paths, truth) = collect(args, &folders, &labels)?;
    let on = opened.to_run(&args.device, &model, pictures::size(&args.picture, &model))?;
    let session = pictures::session(&args.picture, &on, &model, BEST, args.model.as_deref())?;
    let bar = Bar::new(paths.len());
    let (mut counts, mut at) = (Counts::default(), 0);
    feed(&session, &paths, &bar, |seen| {
        let class = truth[at];
        at += 1;
        if let Some(warning) = seen.warning {
            counts.damaged += 1;
            let line = format!("{}: {}", name(seen.path.as_os_str()), plain(&warning));
            bar.aside(|| note(&format!("warning: {line}")));
        }
        match seen.found {
            Ok((top, _)) => {
                let best: Vec<(usize, f32)> = top.iter().map(|top| (top.index, top.probability)).collect();
                counts.add(seen.path.into(), class, &best);
            }
            Err(error) => {
                counts.failed += 1;
                bar.aside(|| note(&format!("error: {}", plain(&error))));
            }
        }
        Ok(())
    })?;
    let seconds = bar.seconds();
    drop(bar);
    let mut report = Report::new(counts, &labels, seconds);
    report.model = model.name;
    report.device = on.device.info().to_string();
    report.dtype = on.dtype().to_string();
    if report.damaged > 0 {
        let are = if report.damaged == 1 { "is" } else { "are" };
        let damaged = format!("{} of {} pictures {are} damaged", report.damaged, report.images);
        note(&format!("warning: {damaged}, and counted all the same"));
    }
    if let Some(path) = &args.mistakes {
        out::write(path, report.csv().as_bytes())?;
    }
    match args.json {
        true => out::json(&report, true)?,
        false => report.print()?,
    }
    Ok(if report.failed > 0 { Verdict::Bad } else { Verdict::Good })
}

/// The folders in `folder`, by name.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    let io = |source: std::io::Error| {
        let missing = source.kind() == std::io::ErrorKind::NotFound;
        let error = Stop::from(Error::Io { path: folder.into(), source });
        match (error, beside(folder).filter(|_| missing)) {
            (Stop::Error(line), Some(near)) => {
                Stop::Error(format!("{line}; did you mean {}?", near.display()))
            }
            (error, _) => error,
        }
    };
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.path().is_dir() && !entry.file_name().as_encoded_bytes().starts_with(b".") {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

/// The folder whose name is nearest to that of `folder`, beside it.
fn beside(folder: &Path) -> Option<PathBuf> {
    let name = folder.file_name()?.to_str()?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(parent).ok()?.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    named::nearest(name, names.iter().map(String::as_str)).map(|near| folder.with_file_name(near))
}

/// The pictures of all class `folders`, and the class of each.
fn collect(args: &Args, folders: &[PathBuf], labels: &Labels) -> Result<(Vec<PathBuf>, Vec<usize>), Stop> {
    // A folder without pictures says nothing, but it has a place among the others.
    let names: Vec<String> =
        folders.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy().into()).collect();
    let about = |error: String| Stop::Error(format!("{}: {error}", args.folder.display()));
    let truth = match &args.classes {
        Some(file) => Truth { classes: listed(file, &names, labels).map_err(about)?, said: None },
        None => classes(&names, labels, args.class_order).map_err(about)?,
    };
    if let Some(line) = &truth.said {
        note(&plain(&format!("warning: classes: {line}")));
    }
    let (mut paths, mut classes) = (Vec::new(), Vec::new());
    for (folder, &class) in folders.iter().zip(&truth.classes) {
        let pictures = pictures_in(folder)?;
        classes.extend(std::iter::repeat_n(class, pictures.len()));
        paths.extend(pictures);
    }
    if paths.is_empty() {
        return Err(Stop::Error(format!(
            "{}: no pictures; expected a folder per class, with the pictures of the class in it",
            args.folder.display()
        )));
    }
    Ok((paths, classes))
}

/// The class of each folder by a file that lists the folders' names in the order of the classes.
fn listed(file: &Path, names: &[String], labels: &Labels) -> Result<Vec<usize>, String> {
    let given = Labels::choose(Some(file), None, labels.names().len()).map_err(|error| chain(&error))?;
    if let Some(line) = given.note() {
        note(&plain(&format!("warning: {}: {line}", file.display())));
    }
    let class = |name: &String| match given.find_name(name).map_err(|error| error.to_string())? {
        Some(class) => Ok(class),
        None => {
            let near = named::nearest(name, given.names().iter().map(String::as_str));
            let hint = near.map_or(String::new(), |near| format!(", where \"{near}\" is near"));
            Err(format!("folder \"{name}\" is not in {}{hint}", file.display()))
        }
    };
    names.iter().map(class).collect()
}
