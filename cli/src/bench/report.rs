//! The figures of a run, as a table, JSON, CSV or Markdown.

use serde::Serialize;

use super::Args;
use crate::{
    out::{self, Stop, WIDTH, plain, quote, say},
    table::{Column, Give, fit, short},
};
use mobileone::DeviceKind;

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
    #[serde(skip)]
    pub kind: DeviceKind,
    /// As tables name it.
    #[serde(skip)]
    pub on: String,
    /// Of the CPU its name and instruction set.
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
    /// How much more that was than it held before: what a session of this kind takes of the host's memory.
    pub host_bytes: Option<u64>,
    /// The session's buffers on a GPU.
    pub device_bytes: Option<u64>,
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
        rows(args, &HEAD, self.results.iter().map(cells).collect())?;
        if args.csv || self.rises.is_empty() {
            return Ok(());
        }
        say("How much the time per multiply-add rises as the work grows, at most:")?;
        for Rise { series, worst } in &self.rises {
            say(&short(&format!("{worst:6.2} times  {}", plain(series)), WIDTH))?;
        }
        Ok(())
    }
}

/// A column: its name in CSV, its title for people, and how it gives way where a table is too wide.
pub struct Head {
    csv: &'static str,
    title: &'static str,
    give: Give,
    /// What stands before and after a value that all rows share: it is said above the table then.
    shared: Option<[&'static str; 2]>,
}

pub const fn head(csv: &'static str, title: &'static str, give: Give) -> Head {
    Head { csv, title, give, shared: None }
}

pub const fn shared(csv: &'static str, title: &'static str, give: Give, words: [&'static str; 2]) -> Head {
    Head { csv, title, give, shared: Some(words) }
}

/// Rows as they are asked for: for people, between commas, or in Markdown.
pub fn rows(args: &Args, head: &[Head], rows: Vec<Vec<String>>) -> Result<(), Stop> {
    if args.csv {
        say(&head.iter().map(|head| head.csv).collect::<Vec<_>>().join(","))?;
        let line = |row: &Vec<String>| row.iter().map(|cell| quote(cell)).collect::<Vec<_>>().join(",");
        return rows.iter().try_for_each(|row| say(&line(row)));
    }
    if !args.markdown {
        return table(head, &rows).iter().try_for_each(|line| say(line));
    }
    let line = |row: Vec<String>| {
        let cells = row.iter().map(|cell| plain(cell).replace('|', "\\|"));
        say(&format!("| {} |", cells.collect::<Vec<_>>().join(" | ")))
    };
    line(head.iter().map(|head| head.title.into()).collect())?;
    say(&format!("|{}", " --- |".repeat(head.len())))?;
    rows.into_iter().try_for_each(line)
}

/// What all rows share above the table of the rest: the device in a line, the others in one.
fn table(head: &[Head], rows: &[Vec<String>]) -> Vec<String> {
    let same = |at: usize| rows.iter().all(|row| row[at] == rows[0][at]);
    let said: Vec<usize> = (0..head.len()).filter(|&at| head[at].shared.is_some() && same(at)).collect();
    let words = |&at: &usize| {
        let [before, after] = head[at].shared.unwrap_or_default();
        format!("{before}{}{after}", plain(&rows[0][at]))
    };
    let (device, others): (Vec<usize>, Vec<usize>) = said.iter().partition(|&&at| head[at].csv == "device");
    let above = [device, others].map(|part| part.iter().map(words).collect::<Vec<_>>().join(", "));
    let mut lines: Vec<String> =
        above.iter().filter(|line| !line.is_empty()).map(|line| short(line, WIDTH)).collect();
    let left: Vec<usize> = (0..head.len()).filter(|at| !said.contains(at)).collect();
    let columns: Vec<Column> = left.iter().map(|&at| (head[at].title, head[at].give)).collect();
    let cells = |row: &Vec<String>| left.iter().map(|&at| row[at].clone()).collect::<Vec<_>>();
    lines.extend(fit(&columns, &rows.iter().map(cells).collect::<Vec<_>>()));
    lines
}

/// Milliseconds, to the microsecond.
pub fn ms(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}

const HEAD: [Head; 18] = {
    use Give::{Goes, Shortens, Stays};
    [
        head("model", "model", Shortens(12)),
        shared("device", "device", Shortens(14), ["", ""]),
        shared("dtype", "dtype", Stays, ["", ""]),
        shared("batch", "batch", Stays, ["batch ", ""]),
        shared("size", "size", Stays, ["", ""]),
        head("median_ms", "median ms", Stays),
        head("p5_ms", "p5", Goes(6)),
        head("p95_ms", "p95", Goes(4)),
        head("min_ms", "min", Goes(8)),
        head("max_ms", "max", Goes(9)),
        head("average_ms", "average", Goes(7)),
        head("pictures_per_second", "pictures/s", Goes(0)),
        head("first_ms", "first ms", Goes(3)),
        head("device_ms", "device ms", Goes(1)),
        head("floor_ms", "floor ms", Goes(0)),
        head("peak_mb", "peak MB", Goes(5)),
        head("host_mb", "host MB", Goes(2)),
        head("device_mb", "device MB", Goes(2)),
    ]
};

fn cells(row: &Row) -> Vec<String> {
    let ms = |value: f64| format!("{value:.3}");
    let mb = |bytes: Option<u64>| bytes.map_or(String::new(), |bytes| format!("{:.1}", bytes as f64 / 1e6));
    vec![
        row.model.clone(),
        row.on.clone(),
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
        mb(row.peak_bytes),
        mb(row.host_bytes),
        mb(row.device_bytes),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rows_share_stands_above_them() {
        let row = |model: &str, device: &str, batch: &str| {
            let mut cells = vec!["1234.567".to_string(); HEAD.len()];
            for (at, cell) in [model, device, "f16-fast-matrices", batch, "1024x1024"].iter().enumerate() {
                cells[at] = cell.to_string();
            }
            cells
        };
        let long =
            "NVIDIA GeForce RTX 4090 Laptop GPU with a long name of its own, and more (vulkan, discrete GPU)";
        let one = table(&HEAD, &[row("random:s0", long, "1"), row("random:s1", long, "1")]);
        assert!(one[0].starts_with("NVIDIA") && one[0].ends_with('…'), "{one:#?}");
        assert_eq!((one[1].as_str(), one.len()), ("f16-fast-matrices, batch 1, 1024x1024", 5));
        assert!(one[2].starts_with("model") && one[2].contains("median ms") && !one[2].contains("batch"));
        let both = table(
            &HEAD,
            &[row("random:s0", long, "1"), row("a/long/path/to/a/model", "CPU, 2 threads (x)", "64")],
        );
        assert_eq!((both[0].as_str(), both.len()), ("f16-fast-matrices, 1024x1024", 4));
        assert!(
            both[1].contains("device") && both[1].contains("batch") && both[2].contains('…'),
            "{both:#?}"
        );
        for line in one.iter().chain(&both) {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}
