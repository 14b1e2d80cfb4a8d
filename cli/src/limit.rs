//! A device's limit, measured and said.

use indicatif::{ProgressBar, ProgressStyle};
use mobileone::{Device, bench::Limit};
use serde::Serialize;

use crate::{
    Verdict,
    out::{Stop, note, plain},
};

/// Measures `device` and says what it can do.
pub fn measure(device: &Device) -> Result<Limit, Stop> {
    let bar = ProgressBar::new(100);
    bar.set_style(
        ProgressStyle::with_template("measuring the device  {wide_bar}").expect("a valid template"),
    );
    let limit = Limit::measure(device, |share| bar.set_position((share * 100.0) as u64));
    bar.finish_and_clear();
    let limit = limit?;
    let peak = |macs: f64| format!("{:.1} GFLOP/s", 2e-9 * macs);
    let f16 = limit.f16_macs.map_or(String::new(), |macs| format!(", {} in f16", peak(macs)));
    let sets = limit.bandwidth.iter().map(|&(set, rate)| format!("{} of {}", gb(rate), bytes(set)));
    let dispatch = match limit.dispatch {
        0.0 => String::new(),
        seconds => format!("; a dispatch of nothing takes {:.1} us", seconds * 1e6),
    };
    note(&format!(
        "limit of {}: {} in f32{f16}; {}{dispatch}",
        plain(&device.info().to_string()),
        peak(limit.f32_macs),
        sets.collect::<Vec<_>>().join(", "),
    ));
    Ok(limit)
}

fn gb(rate: f64) -> String {
    format!("{:.1} GB/s", rate / 1e9)
}

/// `256 KiB`, `4 MiB`.
fn bytes(set: u64) -> String {
    match set >> 20 {
        0 => format!("{} KiB", set >> 10),
        mib => format!("{mib} MiB"),
    }
}

/// Nothing is faster than its floor, or else the floor is wrong: those that are, if any, are said.
pub fn verdict(beaten: Vec<String>) -> Verdict {
    if beaten.is_empty() {
        return Verdict::Good;
    }
    note(&format!("error: faster than the floor, which is wrong then: {}", plain(&beaten.join("; "))));
    Verdict::Bad
}

/// A limit in JSON.
#[derive(Serialize)]
pub struct Said {
    f32_gflops: f64,
    f16_gflops: Option<f64>,
    dispatch_us: f64,
    bandwidth: Vec<Set>,
}

#[derive(Serialize)]
struct Set {
    bytes: u64,
    gb_per_s: f64,
}

impl From<&Limit> for Said {
    fn from(limit: &Limit) -> Said {
        Said {
            f32_gflops: 2e-9 * limit.f32_macs,
            f16_gflops: limit.f16_macs.map(|macs| 2e-9 * macs),
            dispatch_us: limit.dispatch * 1e6,
            bandwidth: limit
                .bandwidth
                .iter()
                .map(|&(bytes, rate)| Set { bytes, gb_per_s: rate / 1e9 })
                .collect(),
        }
    }
}
