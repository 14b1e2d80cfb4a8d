use mobileone::{Device, DeviceInfo};
use serde::Serialize;

use super::{
    Verdict,
    out::{self, Stop, plain, say},
};

/// List the devices, best first, and what they can do
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  mobileone devices\n  mobileone devices --json | jq -r .devices[].name")]
pub struct Args {
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    backend: &'a str,
    kind: String,
    driver: &'a str,
    features: &'a [&'static str],
    /// Whether `--device auto` takes it.
    auto: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    devices: Vec<Row<'a>>,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let list = Device::list();
    let auto = DeviceInfo::choose("auto", &list).first().copied();
    let mut devices = Vec::new();
    for (at, info) in list.iter().enumerate() {
        let DeviceInfo { name, backend, kind, driver, features } = info;
        devices.push(Row { name, backend, kind: kind.to_string(), driver, features, auto: auto == Some(at) });
    }
    if args.json {
        out::json(&Report { devices }, true)?;
        return Ok(Verdict::Good);
    }
    let head = ["", "name", "backend", "kind", "driver", "features"].map(String::from);
    let line = |row: &Row| {
        let mark = if row.auto { "*" } else { "" };
        let features = row.features.join(", ");
        [mark, &plain(row.name), row.backend, &row.kind, &plain(row.driver), &features].map(String::from)
    };
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(devices.iter().map(line)).collect();
    out::table(&rows).iter().try_for_each(|line| say(line))?;
    say("* is what --device auto takes")?;
    Ok(Verdict::Good)
}
