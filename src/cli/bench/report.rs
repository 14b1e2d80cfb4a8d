//! The figures of a run, as a table, JSON, CSV or Markdown.

use serde::Serialize;

use super::Args;
use crate::cli::out::{self, Stop, plain, quote, say};

#[derive(Default, Serialize)]
pub struct Report {
    pub results: Vec<Row>,
    /// Combinations that a device cannot do, and why.
    pub left_out: Vec<String>,
    /// Of a sweep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rises: Vec<Rise>,
}

/// A model on a device.
#[derive(Clone, Serialize)]
pub struct Row {
    /// As it was asked for.
    pub model: String,
    /// What it is.
    pub name: String,
    pub device: String,
    pub driver: String,
    pub dtype: String,
    pub batch: usize,
    /// `[n, c, h, w]`.
    pub input: [usize; 4],
    /// Of the whole batch.
    pub macs: u64,
    /// Round trips that the figures are of.
    pub iterations: usize,
    pub median_ms: f64,
    pub p5_ms: f64,
    pub p95_ms: f64,
    pub min_ms: f64,
    pub max_ms: f64,
    pub average_ms: f64,
    /// At the median.
    pub pictures_per_second: f64,
    /// Reading the model and folding its branches.
    pub load_ms: f64,
    /// From the model in memory to the first logits: planning, compiling, packing, and one round trip.
    pub first_ms: f64,
    /// The device's own time for the dispatches of a round trip, each in a pass of its own and the least of a
    /// few; where it has timestamps.
    pub device_ms: Option<f64>,
    /// What no round trip can be faster than, by the device's measured limit; only with `--limit`.
    pub floor_ms: Option<f64>,
    /// The most memory that the process held in the meantime.
    pub peak_bytes: Option<u64>,
    /// Top-1 on ImageNet of this variant's trained weights, as the paper reports it; not measured here.
    pub top1_paper: Option<f64>,
    /// Every sample that was kept, in order of size; of modelbench only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples_ms: Vec<f64>,
}

impl Row {
    /// Picoseconds for each multiply-add.
    pub fn ps_per_mac(&self) -> f64 {
        self.median_ms * 1e9 / self.macs as f64
    }

    /// `224x224`.
    pub fn size(&self) -> String {
        format!("{}x{}", self.input[2], self.input[3])
    }

    /// `S0` of `MobileOne-S0`.
    pub fn short(&self) -> &str {
        self.name.strip_prefix("MobileOne-").unwrap_or(&self.name)
    }
}

/// How the time per multiply-add behaves as the work grows.
#[derive(Serialize)]
pub struct Rise {
    pub series: String,
    /// The largest ratio of a row's time per multiply-add to that of a row with less work.
    pub worst: f64,
}

/// The rows of a sweep that grow in one way, least work first, and how: over batches and over sizes.
pub fn series(rows: &[Row]) -> Vec<(String, Vec<&Row>)> {
    let mut all: Vec<(String, Vec<&Row>)> = Vec::new();
    for chunk in rows.chunk_by(|a, b| (&a.model, &a.device, &a.dtype) == (&b.model, &b.device, &b.dtype)) {
        let own = chunk[0].size();
        // Batches come first and grow; where they do no longer, sizes begin.
        let grows = |pair: &&[Row]| pair[0].batch < pair[1].batch;
        let (grown, sized) = chunk.split_at(1 + chunk.windows(2).take_while(grows).count());
        let name =
            |what: String| format!("{}, {}, {}: {what}", chunk[0].short(), chunk[0].device, chunk[0].dtype);
        all.push((name(format!("batches at {own}")), grown.iter().collect()));
        all.push((name("sizes at batch 1".into()), sized.iter().collect()));
    }
    all.retain(|(_, rows)| !rows.is_empty());
    all
}

/// The largest ratio of a value to an earlier one.
fn worst_rise(values: impl Iterator<Item = f64>) -> f64 {
    let mut least = f64::INFINITY;
    let mut worst: f64 = 0.0;
    for value in values {
        worst = worst.max(value / least);
        least = least.min(value);
    }
    worst
}

impl Report {
    /// Works out what is known only once all rows are there.
    pub fn finish(&mut self, sweep: bool) {
        if sweep {
            let rise = |(series, rows): (String, Vec<&Row>)| Rise {
                series,
                worst: worst_rise(rows.iter().map(|row| row.ps_per_mac())),
            };
            self.rises = series(&self.results).into_iter().map(rise).collect();
        }
    }

    pub fn print(&self, args: &Args) -> Result<(), Stop> {
        if args.json {
            return out::json(self, true);
        }
        rows(args, HEAD, self.results.iter().map(cells).collect())?;
        if args.csv {
            return Ok(());
        }
        for Rise { series, worst } in &self.rises {
            say(&format!(
                "{}: time per multiply-add rises {worst:.2} times at most as the work grows",
                plain(series)
            ))?;
        }
        Ok(())
    }
}

/// Rows as they are asked for: for people, between commas, or in Markdown. `head` has the names in CSV and for people.
pub fn rows<const N: usize>(
    args: &Args,
    head: [(&str, &str); N],
    rows: Vec<[String; N]>,
) -> Result<(), Stop> {
    if args.csv {
        say(&head.map(|(name, _)| name).join(","))?;
        return rows.into_iter().try_for_each(|row| say(&row.map(|cell| quote(&cell)).join(",")));
    }
    let head = head.map(|(_, name)| name.to_string());
    let rows: Vec<_> = std::iter::once(head).chain(rows).map(|row| row.map(|cell| plain(&cell))).collect();
    if !args.markdown {
        return out::table(&rows).iter().try_for_each(|line| say(line));
    }
    for (at, row) in rows.iter().enumerate() {
        say(&format!("| {} |", row.clone().map(|cell| cell.replace('|', "\\|")).join(" | ")))?;
        if at == 0 {
            say(&format!("|{}", " --- |".repeat(N)))?;
        }
    }
    Ok(())
}

/// Milliseconds, to the microsecond.
pub fn ms(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}

/// The columns: their names in CSV and for people.
const HEAD: [(&str, &str); 16] = [
    ("model", "model"),
    ("device", "device"),
    ("dtype", "dtype"),
    ("batch", "batch"),
    ("size", "size"),
    ("median_ms", "median ms"),
    ("p5_ms", "p5"),
    ("p95_ms", "p95"),
    ("min_ms", "min"),
    ("max_ms", "max"),
    ("average_ms", "average"),
    ("pictures_per_second", "pictures/s"),
    ("first_ms", "first ms"),
    ("device_ms", "device ms"),
    ("floor_ms", "floor ms"),
    ("peak_mb", "peak MB"),
];

fn cells(row: &Row) -> [String; 16] {
    let ms = |value: f64| format!("{value:.3}");
    [
        row.model.clone(),
        row.device.clone(),
        row.dtype.clone(),
        row.batch.to_string(),
        row.size(),
        ms(row.median_ms),
        ms(row.p5_ms),
        ms(row.p95_ms),
        ms(row.min_ms),
        ms(row.max_ms),
        ms(row.average_ms),
        format!("{:.1}", row.pictures_per_second),
        format!("{:.1}", row.first_ms),
        row.device_ms.map_or(String::new(), ms),
        row.floor_ms.map_or(String::new(), ms),
        row.peak_bytes.map_or(String::new(), |bytes| format!("{:.1}", bytes as f64 / 1e6)),
    ]
}
