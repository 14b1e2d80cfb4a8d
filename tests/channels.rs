//! Networks whose inputs are no pictures of three colours, and those of one class.

use mobileone::{
    DType, Device, Error, Input, Model, Options, Outputs, Pixels, Session, Shape, Tensor,
    models::{
        Form,
        mobileone::{Recipe, random},
    },
    preprocess::{Colour, PixelFormat, Rotation},
    reference,
    verify::verify,
};

use crate::{
    models::{small, strides},
    session::devices,
};

fn of(channels: usize, form: Form, classes: usize) -> Model {
    let known = strides(2, &[1, 2, 2]);
    let recipe = Recipe { channels, classes: Some(classes), strides: known, ..small(form) };
    Model::new(random(&recipe, 4), Form::Fused).unwrap()
}

/// A session for inputs of 40x36.
fn session(device: &Device, model: &Model) -> Session {
    let mut options = Options { batch: 2, ..Options::of(model) };
    options.preprocess.size = (40, 36);
    options.outputs = Outputs::named(["logits", "probabilities", "features"]).and_best(3);
    Session::new(device, model, &options).unwrap()
}

fn near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let error = crate::reference::relative_l2(found, expected);
    assert!(error <= 5e-6, "{what}: {error:e}");
}

#[test]
fn one_two_and_four_channels() {
    for (channels, form) in
        [(1, Form::Train), (1, Form::Fused), (2, Form::Train), (4, Form::Train), (4, Form::Fused)]
    {
        let model = of(channels, form, 5);
        assert_eq!(model.graph.input_channels(), channels);
        let shape = Shape::new(3, 40, 36, channels);
        let values =
            (0..shape.len()).map(|i| ((i as f64 * 0.618_033_988_749_895).fract() * 4.0 - 2.0) as f32);
        let input = Tensor::new(shape, values.collect()).unwrap();
        let outputs = reference::run(&model.graph, &model.weights, &input).unwrap();
        let expected = outputs[model.graph.output("logits").unwrap()].data();
        let again = Model::new(model.to_checkpoint(), Form::Fused).unwrap();
        assert_eq!((&again.graph, &again.weights), (&model.graph, &model.weights));
        for device in devices() {
            let what = format!("{channels} channels, {form:?}, {}", device.info());
            let session = session(&device, &model);
            near(session.run(Input::Tensor(&input)).unwrap().logits(), expected, &what);
            let report = verify(&device, &model, DType::F32, (40, 36)).unwrap();
            assert!(report.iter().all(|line| line.fault.is_none()), "{what}: {report:?}");
            // Of two and four channels there are no pictures.
            let bytes = [120; 4 * 50 * 50];
            let (format, rotation) = (PixelFormat::Rgba8, Rotation::None);
            let pixels = Pixels { bytes: &bytes, size: (50, 50), stride: 200, format, crop: None, rotation };
            match session.run(Input::Pixels(pixels)) {
                Ok(_) => assert_eq!(channels, 1, "{what}"),
                Err(Error::Input(reason)) => {
                    let expected =
                        format!("the network reads {channels} channels, which no picture has here");
                    assert!(channels != 1 && reason.starts_with(&expected), "{what}: {reason}");
                }
                Err(other) => panic!("{what}: {other}"),
            }
        }
    }
    let five = Recipe { channels: 5, ..small(Form::Fused) };
    let error = Model::new(random(&five, 1), Form::Fused).unwrap_err().to_string();
    assert!(
        error.contains("\"stem.reparam_conv.weight\": expected [C, 1 to 4, 3, 3], found [6, 5, 3, 3]"),
        "{error}"
    );
}

#[test]
fn pictures_of_a_grey_network() {
    let model = of(1, Form::Train, 5);
    let preprocess = &model.preprocess;
    // timm's: the mean of those of colours.
    let near = |a: f32, b: f32| (a - b).abs() < 1e-6;
    assert_eq!((preprocess.colour, preprocess.mean), (Colour::Grey, [preprocess.mean[0]; 3]));
    assert!(near(preprocess.mean[0], 0.449) && near(preprocess.std[0], 0.226), "{preprocess:?}");
    let (w, h) = (67, 53);
    let bytes: Vec<u8> = (0..w * h * 4).map(|i| ((i * 37 + i / 97 * 11) % 251) as u8).collect();
    for format in [PixelFormat::Rgba8, PixelFormat::Bgra8] {
        let pixels = Pixels {
            bytes: &bytes,
            size: (w, h),
            stride: 4 * w,
            format,
            crop: None,
            rotation: Rotation::Half,
        };
        let mut sized = preprocess.clone();
        sized.size = (40, 36);
        let input = sized.run(&pixels).unwrap();
        let expected = reference::run(&model.graph, &model.weights, &input).unwrap();
        let expected = expected[model.graph.output("logits").unwrap()].data();
        for device in devices() {
            let found = session(&device, &model).run(Input::Pixels(pixels)).unwrap();
            // A device's resize may be 1/255 off in a pixel.
            let error = crate::reference::relative_l2(found.logits(), expected);
            assert!(error <= 2e-3, "{format:?} {}: {error:e}", device.info());
        }
    }
}

#[test]
fn one_class_has_a_sigmoid() {
    let model = of(3, Form::Train, 1);
    let shape = Shape::new(2, 40, 36, 3);
    let input = Tensor::new(shape, (0..shape.len()).map(|i| (i % 23) as f32 / 11.0 - 1.0).collect()).unwrap();
    for device in devices() {
        let answer = session(&device, &model).run(Input::Tensor(&input)).unwrap();
        let (logits, probabilities, top) = (answer.logits(), answer.probabilities(), &answer.top);
        assert_eq!((logits.len(), top.len()), (2, 2));
        for at in 0..2 {
            let sigmoid = 1.0 / (1.0 + (-logits[at]).exp());
            assert!(
                sigmoid < 0.999 && (probabilities[at] - sigmoid).abs() < 1e-5,
                "{logits:?} {probabilities:?}"
            );
            let [best] = top[at][..] else { panic!("{top:?}") };
            assert_eq!((best.index, best.probability), (0, probabilities[at]));
        }
    }
}
