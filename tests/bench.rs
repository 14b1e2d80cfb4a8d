//! Statistics of known series, and series of round trips.

use mobileone::{
    Device, Form, Input, Model, Options, Session, Shape,
    bench::{Bounds, Stats, input, quantile, round_trips, trim},
    models::mobileone::{Recipe, random},
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
    let recipe = Recipe {
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
    let x = input(Shape::new(1, 32, 32, 3));
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
