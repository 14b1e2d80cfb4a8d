//! The library as a web page sees it: a classifier that takes the pixels of a canvas.

use mobileone::{
    Checkpoint, Device, DeviceKind, Form, Input, Model, Options, Outputs, Pixels, Session,
    checkpoint::{Reading, Which},
    labels::Labels,
    preprocess::{PixelFormat, Rotation},
    sample,
};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
unsafe extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn error(line: &str);
}

/// Has panics, which are this program's own faults, say what they are.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| error(&panic.to_string())));
}

/// A model on this browser's GPU, or on the CPU where the browser gives none.
#[wasm_bindgen]
pub struct Classifier {
    session: Session,
    labels: Labels,
    model: String,
    device: Device,
    notes: Vec<String>,
}

/// What a picture shows.
#[wasm_bindgen(getter_with_clone)]
pub struct Answer {
    /// The names of the best classes, best first.
    pub labels: Vec<String>,
    /// Their softmax.
    pub probabilities: Vec<f32>,
    /// The scores of all classes, in order.
    pub logits: Vec<f32>,
    outputs: Vec<(String, Vec<f32>)>,
}

#[wasm_bindgen]
impl Answer {
    /// The values of an output of this name that the classifier was opened for: channel after channel of a map, row after
    /// row in each; `undefined` for another.
    pub fn output(&self, name: &str) -> Option<Vec<f32>> {
        self.outputs.iter().find(|(known, _)| known == name).map(|(_, values)| values.clone())
    }
}

#[wasm_bindgen]
impl Classifier {
    /// Opens the bytes of a safetensors file, or the built-in model where there are none, on the device that `wanted`
    /// describes, as [`Device::open`] reads it: `auto` is the browser's GPU, and the CPU where it gives none but a
    /// software GPU, which is slower. `which`, `strides` and `epsilon` say what the file leaves open: which weights of
    /// several (`raw`, `ema`, or a name in it), strides such as `1,2,2,2,2`, and that of its batch normalizations. `outputs`
    /// are names of what an [`Answer::output`] has besides the logits.
    pub async fn open(
        wanted: &str,
        weights: Option<Vec<u8>>,
        which: Option<String>,
        strides: Option<String>,
        epsilon: Option<f64>,
        outputs: Option<Vec<String>>,
    ) -> Result<Classifier, JsError> {
        let Ok(which) = which.map_or(Ok(Which::default()), |text| text.parse());
        let strides = strides.map(|text| text.parse()).transpose()?;
        let reading = Reading { weights: which, strides, bn_eps: epsilon };
        let file = weights.as_deref().unwrap_or(sample::DIGITS);
        let model = Model::new(Checkpoint::from_bytes_with(file, None, &reading)?, Form::Fused)?;
        let Some(classes) = model.graph.classes() else {
            return Err(JsError::new("the model has no classifier, so there is nothing to name"));
        };
        let device = Device::open_async(wanted).await?;
        let names = outputs.into_iter().flatten().chain(["logits".into()]);
        let outputs = Outputs::named(names).and_best(5.min(classes));
        let options = Options { outputs, ..Options::of(&model) };
        let classifier = Classifier {
            session: Session::new(&device, &model, &options)?,
            labels: Labels::choose(None, model.labels.as_deref(), classes)?,
            device,
            model: model.name,
            notes: model.notes.iter().filter(|note| note.warning).map(|note| note.to_string()).collect(),
        };
        // The browser compiles shaders, and says what is wrong with them, when they first run: here, and not while
        // somebody waits for an answer.
        const SIDE: usize = 64;
        classifier.classify(&[128; 4 * SIDE * SIDE], SIDE, SIDE).await?;
        Ok(classifier)
    }

    /// Classifies the pixels of a canvas: rows of red, green, blue and alpha, which is ignored.
    pub async fn classify(&self, rgba: &[u8], width: usize, height: usize) -> Result<Answer, JsError> {
        let pixels = Pixels {
            bytes: rgba,
            size: (width, height),
            stride: width * 4,
            format: PixelFormat::Rgba8,
            crop: None,
            rotation: Rotation::None,
        };
        let answer = self.session.run_async(Input::Pixels(pixels)).await?;
        let top = answer.top.first().map_or(&[][..], Vec::as_slice);
        Ok(Answer {
            labels: top.iter().map(|top| self.labels.name(top.index).into()).collect(),
            probabilities: top.iter().map(|top| top.probability).collect(),
            logits: answer.logits().to_vec(),
            outputs: answer
                .outputs
                .iter()
                .map(|(name, tensor)| (name.to_string(), tensor.to_nchw()))
                .collect(),
        })
    }

    /// The name of the architecture.
    #[wasm_bindgen(getter)]
    pub fn model(&self) -> String {
        self.model.clone()
    }

    /// What had to be guessed of the file, or was passed over, a sentence each.
    #[wasm_bindgen(getter)]
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// What it runs on.
    #[wasm_bindgen(getter)]
    pub fn device(&self) -> String {
        self.device.info().to_string()
    }

    /// Whether that is a GPU, be it software.
    #[wasm_bindgen(getter, js_name = onGpu)]
    pub fn on_gpu(&self) -> bool {
        self.device.info().kind != DeviceKind::Cpu
    }

    /// Dispatches of one inference, a line each.
    pub fn describe(&self) -> String {
        self.session.describe()
    }
}

/// The names of the pictures that are built in.
#[wasm_bindgen(js_name = pictureNames)]
pub fn picture_names() -> Vec<String> {
    sample::PICTURES.iter().map(|(name, _)| (*name).into()).collect()
}

/// The JPEG file of the built-in picture `at`.
#[wasm_bindgen(js_name = pictureFile)]
pub fn picture_file(at: usize) -> Option<Vec<u8>> {
    sample::PICTURES.get(at).map(|(_, file)| file.to_vec())
}
