use mobileone::{Device, DeviceInfo, DeviceKind};
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

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    let list = Device::list();
    let gpu = |info: &DeviceInfo| !matches!(info.kind, DeviceKind::Software | DeviceKind::Cpu);
    let cpu = |info: &DeviceInfo| info.kind == DeviceKind::Cpu;
    let auto = list.iter().position(gpu).or_else(|| list.iter().position(cpu));
    let row = |(at, info): (usize, &'_ DeviceInfo)| -> [String; 6] {
        let mark = if auto == Some(at) { "*" } else { " " };
        let features = info.features.join(" ");
        [
            mark.into(),
            plain(&info.name),
            info.backend.into(),
            info.kind.to_string(),
            plain(&info.driver),
            features,
        ]
    };
    if args.json {
        let row = |(at, info)| {
            let DeviceInfo { name, backend, kind, driver, features } = info;
            Row { name, backend, kind: kind.to_string(), driver, features, auto: auto == Some(at) }
        };
        let rows: Vec<Row> = list.iter().enumerate().map(row).collect();
        out::json(&serde_json::json!({ "devices": rows }), true)?;
    } else {
        let head = ["", "name", "backend", "kind", "driver", "features"].map(String::from);
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(list.iter().enumerate().map(row)).collect();
        out::table(&rows).iter().try_for_each(|line| say(line))?;
        say("* is what --device auto takes")?;
    }
    Ok(Verdict::Good)
}
