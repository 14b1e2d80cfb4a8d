//! What a run's picture shows.

use mobileone::DeviceKind;

use super::report::{Row, series};
use crate::chart::{Axis, Bar, Bars, Chart, Plot, Scale, Series};

/// Accuracy against latency and latency by variant; of a sweep, the time per multiply-add.
pub fn charts(rows: &[Row], sweep: bool) -> Vec<Chart> {
    match sweep {
        true => vec![growth(rows)],
        false => accuracy(rows).into_iter().chain([latency(rows)]).collect(),
    }
}

/// What tells series of one chart apart.
fn group(row: &Row) -> String {
    format!("{}, {}, batch {}", row.device, row.dtype, row.batch)
}

fn groups(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in rows.iter().map(group) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// After the paper's first figure: variants as points over latency and accuracy.
fn accuracy(rows: &[Row]) -> Option<Chart> {
    let known = |row: &&Row| row.top1_paper.is_some() && row.size() == "224x224";
    let rows: Vec<Row> = rows.iter().filter(known).cloned().collect();
    let point = |row: &Row| (row.median_ms, row.top1_paper.unwrap_or_default(), row.short().to_string());
    let of = |name: String| {
        let mut points: Vec<_> = rows.iter().filter(|row| group(row) == name).map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series { name, points }
    };
    let series: Vec<Series> = groups(&rows).into_iter().map(of).collect();
    // One model trades nothing for anything.
    let several = rows.iter().any(|row| row.short() != rows[0].short());
    several.then(|| {
        Chart::Plot(Plot {
            title: "Accuracy against latency".into(),
            x: Axis::over("median round trip (ms)", Scale::Log, rows.iter().map(|row| row.median_ms)),
            y: Axis::over(
                "ImageNet top-1 (%), as the paper reports it",
                Scale::Linear,
                rows.iter().filter_map(|row| row.top1_paper),
            ),
            series,
        })
    })
}

fn latency(rows: &[Row]) -> Chart {
    let groups = groups(rows);
    let bar = |row: &Row| Bar {
        label: match rows.iter().all(|other| other.size() == row.size()) {
            true => row.short().into(),
            false => format!("{} {}", row.short(), row.size()),
        },
        value: row.median_ms,
        mark: row.floor_ms,
        series: groups.iter().position(|name| *name == group(row)).unwrap_or(0),
    };
    let title = match &groups[..] {
        [one] => format!("Latency by variant: {one}"),
        _ => "Latency by variant".into(),
    };
    let mut notes = vec![match rows.iter().any(|row| row.floor_ms.is_some()) {
        true => "median round trip (ms); marks: the floor by the device's limit".to_string(),
        false => "median round trip (ms)".into(),
    }];
    // A CPU's figures hang on which it is.
    let cpu = rows.iter().find(|row| row.kind == DeviceKind::Cpu);
    notes.extend(cpu.map(|row| format!("CPU: {}", row.driver)));
    Chart::Bars(Bars { title, notes, bars: rows.iter().map(bar).collect(), series: groups })
}

fn growth(rows: &[Row]) -> Chart {
    let million = |row: &Row| row.macs as f64 / 1e6;
    let of = |(name, rows): (String, Vec<&Row>)| {
        let sizes = name.contains("sizes at");
        let words = |row: &Row| if sizes { row.input[2].to_string() } else { format!("×{}", row.batch) };
        let points = rows.iter().map(|row| (million(row), row.ps_per_mac(), words(row))).collect();
        Series { name, points }
    };
    Chart::Plot(Plot {
        title: "Cost as the work grows".into(),
        x: Axis::over("multiply-adds of a round trip (millions)", Scale::Log, rows.iter().map(million)),
        y: Axis::over("picoseconds per multiply-add", Scale::Linear, rows.iter().map(Row::ps_per_mac))
            .based_on_zero(),
        series: series(rows).into_iter().map(of).collect(),
    })
}
