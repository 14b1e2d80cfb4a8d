//! Statistics of known series, and series of round trips.

use mobileone::{
    DType, Profiled,
    bench::{Limit, Stats, quantile, trim},
};

#[test]
fn statistics_of_known_series() {
    let hundred: Vec<f64> = (0..=100).rev().map(f64::from).collect();
    // A series; its least, p5, median, p95, largest and average.
    let rows: [(&[f64], [f64; 6]); 4] = [
        (&[7.0], [7.0; 6]),
        (&[4.0, 1.0], [1.0, 1.15, 2.5, 3.85, 4.0, 2.5]),
        (&[3.0, 100.0, 1.0, 2.0], [1.0, 1.15, 2.5, 85.45, 100.0, 26.5]),
        (&hundred, [0.0, 5.0, 50.0, 95.0, 100.0, 50.0]),
    ];
    for (samples, expected) in rows {
        let Stats { count, min, p5, median, p95, max, mean } = Stats::of(samples);
        assert_eq!(count, samples.len());
        for (found, expected) in [min, p5, median, p95, max, mean].into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{samples:?}: {found}, expected {expected}");
        }
    }
    assert_eq!(quantile(&[1.0, 3.0], 0.75), 2.5);
}

#[test]
fn trimming_takes_both_ends() {
    let rows: [(&[f64], usize, &[f64]); 4] = [
        (&[5.0, 1.0, 4.0, 2.0, 3.0], 1, &[2.0, 3.0, 4.0]),
        (&[5.0, 1.0, 4.0, 2.0, 3.0], 2, &[3.0]),
        (&[3.0, 1.0, 2.0], 0, &[1.0, 2.0, 3.0]),
        (&[4.0, 1.0, 3.0, 2.0], 2, &[1.0, 2.0, 3.0, 4.0]),
    ];
    for (samples, count, expected) in rows {
        assert_eq!(trim(samples, count), expected, "{samples:?} without {count} at each end");
    }
}

#[cfg(feature = "cpu")]
#[test]
fn a_series_ends_at_its_bound() {
    use mobileone::{
        Device, Form, Input, Model, Options, Session, Shape,
        bench::{Bounds, input, round_trips},
        models::mobileone::{Recipe, random},
    };
    let recipe = Recipe {
        channels: 3,
        stem: 8,
        widths: vec![8],
        blocks: vec![1],
        branches: 1,
        squeezed: vec![0],
        classes: Some(4),
        strides: None,
        form: Form::Fused,
    };
    let model = Model::new(random(&recipe, 0), Form::Fused).unwrap();
    let mut options = Options::of(&model);
    options.preprocess.size = (32, 32);
    let session = Session::new(&Device::open("cpu").unwrap(), &model, &options).unwrap();
    let x = input(Shape::new(1, 32, 32, 3)).unwrap();
    assert!(x.data().iter().all(|value| (-2.0..2.0).contains(value)));
    assert!(session.run(Input::Tensor(&x)).is_ok());

    for (bounds, least, most) in [
        (Bounds { seconds: 1e9, iterations: 7 }, 7, 7),
        (Bounds { seconds: 1e-9, iterations: 100 }, 3, 3),
        (Bounds { seconds: 0.02, iterations: usize::MAX }, 4, usize::MAX),
    ] {
        let mut shares = Vec::new();
        let samples = round_trips(&session, &x, bounds, |share| shares.push(share)).unwrap();
        assert!((least..=most).contains(&samples.len()), "{bounds:?}: {} round trips", samples.len());
        assert!(samples.iter().all(|&seconds| seconds > 0.0 && seconds < 10.0));
        assert_eq!((shares.len(), shares.last()), (samples.len(), Some(&1.0)));
        assert!(shares.is_sorted());
    }
}

/// A device of round numbers.
fn limit() -> Limit {
    let bandwidth = vec![(1 << 18, 100e9), (1 << 20, 200e9), (1 << 22, 50e9), (1 << 24, 10e9)];
    Limit { f32_macs: 1e12, f16_macs: Some(2e12), bandwidth, dispatch: 2e-6 }
}

#[test]
fn floors_of_known_steps() {
    let limit = limit();
    // Bytes, and the bandwidth of a working set of so many: the faster one of the measured sets around it.
    let rows = [
        (0, 100e9),
        (1 << 17, 100e9),
        (1 << 18, 100e9),
        ((1 << 18) + 1, 200e9),
        (1 << 20, 200e9),
        (3 << 20, 200e9),
        ((1 << 22) + 1, 50e9),
        (1 << 24, 50e9),
        (1 << 30, 10e9),
    ];
    for (bytes, expected) in rows {
        assert_eq!(limit.bandwidth(bytes), expected, "{bytes} bytes");
    }
    let step = |macs, bytes| Profiled { label: String::new(), macs, bytes, seconds: 1.0 };
    let profile = [step(1_000_000_000, 1000), step(1000, 1 << 30), step(0, 0)];
    let moved = (1u64 << 30) as f64 / 10e9;
    for (dtype, computed) in [(DType::F32, 1e-3), (DType::F16, 0.5e-3)] {
        let expected = [computed + 2e-6, moved + 2e-6, 2e-6];
        for (found, expected) in limit.floors(&profile, dtype).into_iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 1e-12, "{dtype}: {found}, expected {expected}");
        }
    }
    let without = Limit { f16_macs: None, ..limit };
    assert_eq!(without.macs(DType::F16), 1e12, "f16 storage is summed in f32");
}

/// Every figure is one that a device can have, and working sets ascend.
fn check(limit: &Limit) {
    let rate = |rate: f64| (1e6..1e17).contains(&rate);
    assert!(rate(limit.f32_macs) && limit.f16_macs.is_none_or(rate), "{limit:?}");
    assert!(limit.bandwidth.len() >= 3 && limit.bandwidth.iter().all(|&(_, bytes)| rate(bytes)), "{limit:?}");
    assert!(limit.bandwidth.is_sorted_by_key(|&(set, _)| set), "{limit:?}");
    assert!((0.0..0.1).contains(&limit.dispatch), "{limit:?}");
}

#[cfg(feature = "cpu")]
#[test]
fn the_processor_has_a_limit() {
    let mut shares = Vec::new();
    let limit = Limit::measure(&mobileone::Device::open("cpu").unwrap(), |share| shares.push(share)).unwrap();
    check(&limit);
    assert_eq!((limit.f16_macs, limit.dispatch), (None, 0.0));
    assert!(shares.is_sorted() && shares.last() == Some(&1.0), "{shares:?}");
}

#[cfg(feature = "gpu")]
#[test]
fn a_gpu_has_a_limit() {
    let Some(device) = crate::gpu::device() else { return };
    let mut shares = Vec::new();
    let limit = Limit::measure(&device, |share| shares.push(share)).unwrap();
    check(&limit);
    assert_eq!(limit.f16_macs.is_some(), device.info().features.contains(&"f16"));
    assert!(shares.is_sorted() && shares.last() == Some(&1.0), "{shares:?}");
}
