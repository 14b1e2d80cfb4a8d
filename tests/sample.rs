//! The model in the box: its file, and what it makes of the pictures beside it.

use mobileone::{DType, Device, Form, Input, Model, Options, Session, picture, sample};

/// What the picture of this name shows.
fn shown(name: &str) -> &'static str {
    const NAMES: [&str; 11] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "nothing"];
    const LABELS: [&str; 11] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "nothing"];
    let word = name.split('-').next().unwrap();
    LABELS[NAMES.iter().position(|name| *name == word).unwrap()]
}

fn model() -> Model {
    Model::new(sample::digits().unwrap(), Form::Fused).unwrap()
}

#[test]
fn the_file_says_what_it_is() {
    assert!(sample::DIGITS.len() <= 400_000, "{} bytes", sample::DIGITS.len());
    let model = model();
    let labels = model.labels.unwrap();
    assert_eq!(labels[..10], std::array::from_fn::<_, 10, _>(|digit| digit.to_string()));
    assert_eq!(labels[10..], ["nothing"]);
    assert_eq!(model.preprocess.size, (80, 80));
    assert_eq!(model.preprocess_source, "metadata");
    assert_eq!(model.metadata.license.as_deref(), Some("MIT OR Apache-2.0"));
    let training = model.metadata.training.unwrap();
    let top1 = training["validation_top1"].as_f64().unwrap();
    assert!(top1 > 50.0 && top1 <= 100.0, "{training}");
}

#[test]
fn it_reads_the_pictures() {
    let model = model();
    let labels = model.labels.clone().unwrap();
    let read = |device: &Device, dtype: DType| {
        let options = Options { dtype, ..Options::of(&model) };
        let session = Session::new(device, &model, &options).unwrap();
        for (name, bytes) in sample::PICTURES {
            let picture = picture::decode(bytes).unwrap();
            let answer = session.run(Input::Pixels(picture.pixels())).unwrap();
            let best = &answer.top[0][0];
            assert_eq!(labels[best.index], shown(name), "{name} on {} in {dtype}: {best:?}", device.info());
        }
    };
    read(&Device::open("cpu").unwrap(), DType::F32);
    let Some(device) = crate::gpu::device() else { return };
    read(&device, DType::F32);
    if crate::gpu::has_f16(&device) {
        read(&device, DType::F16);
    }
}
