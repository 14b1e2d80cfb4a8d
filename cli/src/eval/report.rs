//! What was counted, for programs and for people.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use mobileone::labels::Labels;
use serde::Serialize;

use crate::{
    out::{Stop, WIDTH, count, name, name_bytes, percent, plain, quote, say, table},
    table::short,
};

/// As many of the best classes of a picture are looked at.
pub const BEST: usize = 5;
/// As many rows are printed of a table that has more.
const ROWS: usize = 10;

/// What is known of each picture that was read.
#[derive(Default)]
pub struct Counts {
    /// Pictures by their true class and the class they were taken for.
    pairs: BTreeMap<(usize, usize), usize>,
    in_best: usize,
    pub failed: usize,
    /// Pictures that were read and counted although a part of them is damaged.
    pub damaged: usize,
    wrong: Vec<(PathBuf, usize, usize, f32)>,
}

impl Counts {
    /// Counts a picture of class `truth` whose best classes, each with its probability, are `best`.
    pub fn add(&mut self, path: PathBuf, truth: usize, best: &[(usize, f32)]) {
        let &(found, probability) = best.first().expect("a classifier has at least one class");
        *self.pairs.entry((truth, found)).or_default() += 1;
        self.in_best += usize::from(best.iter().any(|&(class, _)| class == truth));
        if found != truth {
            self.wrong.push((path, truth, found, probability));
        }
    }
}

#[derive(Serialize)]
pub struct Report {
    pub model: String,
    pub device: String,
    pub dtype: String,
    /// Shares of the pictures counted.
    pub top1: f64,
    pub top5: f64,
    /// As many of the best classes count for `top5`: fewer than 5 where the model has fewer.
    pub top_k: usize,
    pub images: usize,
    pub failed: usize,
    /// Pictures that were read and counted although a part of them is damaged.
    pub damaged: usize,
    pub images_per_second: f64,
    /// The classes that are true or were found, in order of their index.
    classes: Vec<Class>,
    /// `confusion[i][j]`: pictures of `classes[i]` that were taken for `classes[j]`.
    confusion: Vec<Vec<usize>>,
    /// The classes that have pictures, in order of their index.
    per_class: Vec<PerClass>,
    pub mistakes: Vec<Mistake>,
}

#[derive(Serialize)]
struct Class {
    index: usize,
    label: String,
}

#[derive(Serialize)]
struct PerClass {
    index: usize,
    label: String,
    images: usize,
    correct: usize,
    accuracy: f64,
    /// What its pictures were most often mistaken for, and how often.
    #[serde(skip)]
    taken_for: Option<(String, usize)>,
}

/// A picture that was taken for another class than its own.
#[derive(Serialize)]
pub struct Mistake {
    pub image: String,
    /// Where the name is not UTF-8: its bytes, percent-encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_bytes: Option<String>,
    #[serde(skip)]
    path: PathBuf,
    /// The label of its class, and of the class it was taken for.
    pub truth: String,
    pub found: String,
    pub truth_index: usize,
    pub found_index: usize,
    /// Of the class that was found.
    pub probability: f32,
}

impl Report {
    /// The report on `counts`; what ran, and how fast, is for the caller to fill in.
    pub fn new(counts: Counts, labels: &Labels, seconds: f64) -> Report {
        let pairs = &counts.pairs;
        let images: usize = pairs.values().sum();
        let share = |right: usize, of: usize| if of == 0 { 0.0 } else { right as f64 / of as f64 };
        let pictures = |truth: usize, found: usize| pairs.get(&(truth, found)).copied().unwrap_or(0);
        let classes: Vec<usize> =
            BTreeSet::from_iter(pairs.keys().flat_map(|&(a, b)| [a, b])).into_iter().collect();
        let true_ones = BTreeSet::from_iter(pairs.keys().map(|&(truth, _)| truth));
        let per_class = |&index: &usize| {
            let images: usize = classes.iter().map(|&found| pictures(index, found)).sum();
            let correct = pictures(index, index);
            let others = classes.iter().filter(|&&found| found != index);
            let most = others.map(|&found| (pictures(index, found), found)).max_by_key(|&(count, _)| count);
            PerClass {
                index,
                label: labels.name(index).into(),
                images,
                correct,
                accuracy: share(correct, images),
                taken_for: most
                    .filter(|&(count, _)| count > 0)
                    .map(|(count, found)| (labels.name(found).into(), count)),
            }
        };
        let label = |index: usize| labels.name(index).to_string();
        Report {
            model: String::new(),
            device: String::new(),
            dtype: String::new(),
            top1: share(classes.iter().map(|&class| pictures(class, class)).sum(), images),
            top5: share(counts.in_best, images),
            top_k: BEST.min(labels.names().len()),
            images,
            failed: counts.failed,
            damaged: counts.damaged,
            images_per_second: images as f64 / seconds,
            confusion: classes.iter().map(|&a| classes.iter().map(|&b| pictures(a, b)).collect()).collect(),
            per_class: true_ones.iter().map(per_class).collect(),
            mistakes: counts
                .wrong
                .into_iter()
                .map(|(path, truth, found, probability)| Mistake {
                    image: path.display().to_string(),
                    image_bytes: name_bytes(path.as_os_str()),
                    path,
                    truth: label(truth),
                    found: label(found),
                    truth_index: truth,
                    found_index: found,
                    probability,
                })
                .collect(),
            classes: classes.iter().map(|&index| Class { index, label: label(index) }).collect(),
        }
    }

    /// Prints the shares, the classes, the worst first, and the mistakes of which the network was surest.
    pub fn print(&self) -> Result<(), Stop> {
        say(&format!(
            "top-1 {:.2}%, top-{} {:.2}% of {} ({} unreadable), {:.1} pictures/s",
            self.top1 * 100.0,
            self.top_k,
            self.top5 * 100.0,
            count(self.images, "picture"),
            self.failed,
            self.images_per_second
        ))?;
        self.print_classes()?;
        self.print_mistakes()
    }

    fn print_classes(&self) -> Result<(), Stop> {
        let mut classes: Vec<&PerClass> = self.per_class.iter().collect();
        classes.sort_by(|a, b| a.accuracy.total_cmp(&b.accuracy).then(b.images.cmp(&a.images)));
        let mut rows = vec![["accuracy", "right", "of", "class", "most often taken for"].map(String::from)];
        rows.extend(classes.iter().take(ROWS).map(|class| {
            let taken_for = class.taken_for.as_ref();
            [
                format!("{:7.2}%", class.accuracy * 100.0),
                format!("{:5}", class.correct),
                class.images.to_string(),
                short(&plain(&class.label), 26),
                taken_for.map_or(String::new(), |(label, count)| {
                    format!("{} ({count})", short(&plain(label), 20))
                }),
            ]
        }));
        if classes.is_empty() {
            return Ok(());
        }
        say("")?;
        for line in table(&rows) {
            say(&line)?;
        }
        match classes.get(ROWS) {
            Some(next) => say(&format!(
                "and {} more, at least {:.2}% right",
                classes.len() - ROWS,
                next.accuracy * 100.0
            )),
            None => Ok(()),
        }
    }

    fn print_mistakes(&self) -> Result<(), Stop> {
        let mut mistakes: Vec<&Mistake> = self.mistakes.iter().collect();
        mistakes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        if mistakes.is_empty() {
            return Ok(());
        }
        say("")?;
        let total = mistakes.len();
        say(&match total {
            0..=ROWS => format!("{}, the surest first:", count(total, "mistake")),
            _ => format!("{ROWS} of {total} mistakes, the surest first (--mistakes FILE has all):"),
        })?;
        for Mistake { path, truth, found, probability, .. } in mistakes.iter().take(ROWS) {
            let rest = format!(
                ": {} ({}), not {}",
                short(&plain(found), 18),
                percent(*probability),
                short(&plain(truth), 18)
            );
            let left = (WIDTH - 2).saturating_sub(rest.chars().count());
            say(&format!("  {}{rest}", end_of(path, left)))?;
        }
        Ok(())
    }

    /// The mistakes as CSV.
    pub fn csv(&self) -> String {
        let mut text = "image,truth,found,probability\n".to_string();
        for Mistake { path, truth, found, probability, .. } in &self.mistakes {
            let row = [quote(&name(path.as_os_str())), quote(truth), quote(found), probability.to_string()];
            text += &(row.join(",") + "\n");
        }
        text
    }
}

/// The end of a long path, which tells it from others.
fn end_of(path: &Path, most: usize) -> String {
    let path = name(path.as_os_str());
    match path.chars().count().checked_sub(most) {
        Some(left @ 1..) => "…".to_string() + &path.chars().skip(left + 1).collect::<String>(),
        _ => path,
    }
}
