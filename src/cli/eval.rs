use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use mobileone::{Error, Form, labels::Labels};
use serde::Serialize;

use super::{
    Verdict,
    args::{PictureArgs, load},
    feed::{Bar, feed, pictures_in},
    opened::DeviceArgs,
    out::{self, Stop, note, plain, say},
};

const EXAMPLES: &str = "\
Examples:
  mobileone eval validation/                          validation/n02124075/*.JPEG, or validation/Egyptian cat/*.jpg
  mobileone eval --model flowers.safetensors --labels flowers.txt --json test/ > report.json";

/// Measure the accuracy on a folder per class
///
/// Each folder in DIR is named after a class: by its label (case, _ and - do not matter), its WordNet id where
/// the classes are ImageNet's, or its number. Pictures that cannot be read are reported and not counted, and
/// the exit status is 1.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A file, a folder, a hub id, s0 to s4, or digits
    #[arg(long, value_name = "M", default_value = "s1")]
    model: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    picture: PictureArgs,
    /// One JSON object, with the confusion matrix
    #[arg(long)]
    json: bool,
    /// Holds a folder of pictures per class
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Serialize)]
struct Report {
    model: String,
    device: String,
    dtype: String,
    /// Shares of the pictures counted.
    top1: f64,
    top5: f64,
    images: usize,
    failed: usize,
    /// Pictures that were read and counted although a part of them is damaged.
    damaged: usize,
    images_per_second: f64,
    /// The classes that are true or were found, in order of their index.
    classes: Vec<Class>,
    /// `confusion[i][j]`: pictures of `classes[i]` that were taken for `classes[j]`.
    confusion: Vec<Vec<usize>>,
}

#[derive(Serialize)]
struct Class {
    index: usize,
    label: String,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let model = load(&args.model, Form::Fused)?;
    let labels = args.picture.labels(&model)?;
    let (paths, truth) = collect(&args.folder, &labels)?;
    let device = args.device.open_for(&model, args.picture.size(&model))?;
    let dtype = args.device.dtype();
    let session = args.picture.session(&device, &model, &args.device, 5)?;
    let bar = Bar::new(paths.len());
    let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let (mut at, mut top5, mut failed, mut damaged) = (0, 0, 0, 0);
    feed(&session, &paths, &bar, |seen| {
        let class = truth[at];
        at += 1;
        if let Some(warning) = seen.warning {
            damaged += 1;
            let line = format!("{}: {warning}", seen.path.display());
            bar.aside(|| note(&format!("warning: {}", plain(&line))));
        }
        match seen.found {
            Ok((top, _)) => {
                let found = top.first().expect("a classifier has at least one class").index;
                *counts.entry((class, found)).or_default() += 1;
                top5 += usize::from(top.iter().any(|top| top.index == class));
            }
            Err(error) => {
                failed += 1;
                bar.aside(|| note(&format!("error: {}", plain(&error))));
            }
        }
        Ok(())
    })?;
    let seconds = bar.seconds();
    drop(bar);
    let images: usize = counts.values().sum();
    let share = |right: usize| if images == 0 { 0.0 } else { right as f64 / images as f64 };
    let top1: usize =
        counts.iter().filter(|((class, found), _)| class == found).map(|(_, count)| count).sum();
    let classes: Vec<usize> =
        BTreeSet::from_iter(counts.keys().flat_map(|&(a, b)| [a, b])).into_iter().collect();
    let count = |&class: &usize, &found: &usize| counts.get(&(class, found)).copied().unwrap_or(0);
    let report = Report {
        model: model.name,
        device: device.info().to_string(),
        dtype: dtype.to_string(),
        top1: share(top1),
        top5: share(top5),
        images,
        failed,
        damaged,
        images_per_second: images as f64 / seconds,
        confusion: classes.iter().map(|a| classes.iter().map(|b| count(a, b)).collect()).collect(),
        classes: classes.iter().map(|&index| Class { index, label: labels.name(index).into() }).collect(),
    };
    if damaged > 0 {
        note(&format!("warning: {damaged} of {images} pictures are damaged, and are counted all the same"));
    }
    if args.json {
        out::json(&report, true)?;
    } else {
        say(&format!(
            "top-1 {:.2}%, top-5 {:.2}% of {images} pictures ({failed} unreadable), {:.1} pictures/s",
            report.top1 * 100.0,
            report.top5 * 100.0,
            report.images_per_second
        ))?;
    }
    Ok(if failed > 0 { Verdict::Bad } else { Verdict::Good })
}

/// The pictures of all class folders in `folder`, and the class of each.
fn collect(folder: &Path, labels: &Labels) -> Result<(Vec<PathBuf>, Vec<usize>), Stop> {
    let io = |source| Stop::from(Error::Io { path: folder.into(), source });
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.path().is_dir() && !entry.file_name().as_encoded_bytes().starts_with(b".") {
            folders.push(entry.path());
        }
    }
    folders.sort();
    let (mut paths, mut truth) = (Vec::new(), Vec::new());
    for folder in &folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let class = labels.find(&name).map_err(|e| Stop::about(&folder.display().to_string(), e))?;
        let pictures = pictures_in(folder)?;
        truth.extend(std::iter::repeat_n(class, pictures.len()));
        paths.extend(pictures);
    }
    if paths.is_empty() {
        return Err(Stop::Error(format!(
            "{}: no pictures; expected a folder per class, with the pictures of the class in it",
            folder.display()
        )));
    }
    Ok((paths, truth))
}
