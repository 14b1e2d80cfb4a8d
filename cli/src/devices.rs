use mobileone::{Device, DeviceInfo, Error};
use serde::Serialize;

use crate::{
    Verdict, cache,
    out::{self, Stop, WIDTH, chain, plain, say},
    table::{Give, fit, short},
};

/// List the devices, best first, and what they can do
///
/// Each is opened once, so that a driver that refuses shows. Of the CPU, the instruction set that its executor takes
/// is listed with its name. What `--device auto` remembers of an earlier search is forgotten.
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
    /// Of the CPU its name and instruction set.
    driver: &'a str,
    features: &'a [&'static str],
    /// Whether `--device auto` takes it.
    auto: bool,
    /// Why its driver refuses to open it.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    devices: Vec<Row<'a>>,
}

pub fn run(args: &Args) -> Result<Verdict, Stop> {
    cache::forget_search();
    let list = Device::list_opened();
    let devices = rows(&list);
    if args.json {
        out::json(&Report { devices }, true)?;
        return Ok(Verdict::Good);
    }
    lines(&devices).iter().try_for_each(|line| say(line))?;
    if devices.iter().any(|row| row.auto) {
        say("* is what --device auto takes")?;
    }
    Ok(Verdict::Good)
}

fn rows(list: &[(DeviceInfo, Option<Error>)]) -> Vec<Row<'_>> {
    let infos: Vec<DeviceInfo> = list.iter().map(|(info, _)| info.clone()).collect();
    let auto = DeviceInfo::choose("auto", &infos).into_iter().find(|&at| list[at].1.is_none());
    let reason = |error: &Error| match error {
        Error::Device { reason, .. } => reason.clone(),
        other => chain(other),
    };
    let mut rows = Vec::new();
    for (at, (info, refused)) in list.iter().enumerate() {
        let DeviceInfo { name, backend, kind, driver, features } = info;
        let (kind, auto) = (kind.to_string(), auto == Some(at));
        let refused = refused.as_ref().map(reason);
        rows.push(Row { name, backend, kind, driver, features, auto, refused });
    }
    rows
}

/// A line for each device, and beneath it its driver, its features and what is wrong with it.
fn lines(devices: &[Row]) -> Vec<String> {
    let columns =
        [("", Give::Stays), ("name", Give::Shortens(20)), ("backend", Give::Stays), ("kind", Give::Stays)];
    let cells = |row: &Row| {
        let mark = if row.auto { "*" } else { "" };
        [mark, row.name, row.backend, &row.kind].map(String::from).to_vec()
    };
    let table = fit(&columns, &devices.iter().map(cells).collect::<Vec<_>>());
    let mut table = table.into_iter();
    let mut lines: Vec<String> = table.next().into_iter().collect();
    for (line, row) in table.zip(devices) {
        lines.push(line);
        let features = row.features.join(", ");
        let refused = row.refused.as_ref().map(|reason| format!("refused: {reason}")).unwrap_or_default();
        let below = [row.driver, &features, &refused].map(|text| format!("     {}", plain(text)));
        lines.extend(below.iter().filter(|line| !line.trim().is_empty()).map(|line| short(line, WIDTH)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use mobileone::DeviceKind;

    #[test]
    fn one_that_refuses_is_reported_and_not_taken() {
        let info = |name: &str, backend, kind| DeviceInfo {
            name: name.into(),
            backend,
            kind,
            driver: "Maker's 1.0".into(),
            features: vec!["f16", "subgroups", "timestamps", "pipeline cache", "cooperative matrices"],
        };
        let long = "A GPU of a very long name, as their makers like to give them, revision 2";
        let refused = Error::Device { wanted: long.into(), reason: "Parent device is lost".into() };
        let list = [
            (info(long, "vulkan", DeviceKind::Discrete), Some(refused)),
            (info("Small", "vulkan", DeviceKind::Integrated), None),
            (info("CPU, 2 threads", "cpu", DeviceKind::Cpu), None),
        ];
        let rows = rows(&list);
        assert_eq!(rows.iter().map(|row| row.auto).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(rows[0].refused.as_deref(), Some("Parent device is lost"));
        let lines = lines(&rows);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:#?}");
        assert_eq!(lines.iter().filter(|line| line.contains("refused: Parent device is lost")).count(), 1);
        assert!(lines.iter().any(|line| line.starts_with("*  Small ")), "{lines:#?}");
    }
}
