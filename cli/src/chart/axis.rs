//! Axes: where a value stands, and which values are written beside it.

#[derive(Clone, Copy, PartialEq)]
pub enum Scale {
    Linear,
    Log,
}

pub struct Axis {
    pub label: String,
    scale: Scale,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis that holds all `values`, with some room around them. Those of a logarithmic axis are positive.
    pub fn over(label: impl Into<String>, scale: Scale, values: impl Iterator<Item = f64>) -> Axis {
        let (least, most) = values.fold((f64::MAX, f64::MIN), |(a, b), value| (a.min(value), b.max(value)));
        let (least, most) = if least > most { (1.0, 2.0) } else { (least, most) };
        let (from, to) = match scale {
            Scale::Log => (least / 1.25, most * 1.4),
            Scale::Linear => {
                let room = ((most - least) * 0.12).max(most.abs() * 0.01).max(1e-12);
                (least - room, most + room)
            }
        };
        Axis { label: label.into(), scale, from, to }
    }

    /// The same, from zero.
    pub fn based_on_zero(mut self) -> Axis {
        self.from = 0.0;
        self
    }

    /// Where `value` stands: 0 at the beginning, 1 at the end.
    pub fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value / self.from).ln() / (self.to / self.from).ln(),
        }
    }

    /// Round values to be written, some five of them.
    pub fn ticks(&self) -> Vec<f64> {
        let decades = |steps: &'static [f64]| {
            let (first, last) = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
            let all =
                (first..=last).flat_map(move |power| steps.iter().map(move |step| step * 10f64.powi(power)));
            all.filter(|value| (self.from..=self.to).contains(value)).collect::<Vec<f64>>()
        };
        match self.scale {
            Scale::Log => {
                let fine = decades(&[1.0, 2.0, 5.0]);
                if fine.len() > 9 { decades(&[1.0]) } else { fine }
            }
            Scale::Linear => {
                let rough = (self.to - self.from) / 6.0;
                let power = 10f64.powf(rough.log10().floor());
                let step =
                    [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|&step| step >= rough);
                let step = step.expect("ten times a power of ten is above it");
                let first = (self.from / step).ceil() as i64;
                let last = (self.to / step).floor() as i64;
                (first..=last).map(|count| count as f64 * step).collect()
            }
        }
    }
}

/// A number with three digits that count.
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}
