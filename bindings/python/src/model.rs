//! A model on a device, as Python holds it.

mod run;

use std::{path::PathBuf, sync::Mutex};

use mobileone::{
    DType, Form, Model as Network, Options, Outputs, Preprocess, Session, Shape,
    graph::{FEATURES, LOGITS},
    labels::Labels,
    named,
    tasks::classify,
};
use numpy::{PyArray1, PyArrayDyn, prelude::*};
use pyo3::{
    prelude::*,
    types::{PyDict, PyTuple},
};

use crate::{
    Device, Error,
    errors::warn,
    options::{Errors, Names, count, reading, sides, with_argument},
    refused,
};
use run::{Memory, Ran};

/// One of the best classes of a picture.
#[pyclass(frozen, eq, get_all, module = "mobileone")]
#[derive(Clone, PartialEq)]
pub struct Top {
    /// The class's name.
    label: String,
    /// The class.
    index: usize,
    /// Its softmax.
    probability: f32,
}

#[pymethods]
impl Top {
    #[new]
    fn new(label: String, index: usize, probability: f32) -> Top {
        Top { label, index, probability }
    }

    /// What pickle and copy make it anew of.
    fn __getnewargs__(&self) -> (String, usize, f32) {
        (self.label.clone(), self.index, self.probability)
    }

    fn __repr__(&self) -> String {
        format!("Top(label={:?}, index={}, probability={:.4})", self.label, self.index, self.probability)
    }
}

/// A network on a device. Threads may share it: calls run without the GIL.
///
/// `model` is "s0" to "s4" (fetched from the hub once), a hub id, a path (safetensors, PyTorch's checkpoints, or a
/// folder with model.safetensors), "digits" (built in), or "random:s0" to "random:s4". `device` is "auto", "cpu",
/// "gpu", "vulkan", "metal", "dx12", "gl", "software", or a part of an adapter's name. `dtype` is how weights and
/// maps are stored: "f32", "f16", or "f16-fast", which also sums up to 32 products in f16. `threads` are those of
/// the CPU. Of a list, up to `batch` pictures run at once. `size` is (height, width) of the network's input, or one
/// number for both; by default the model's own. `labels` are the names of the classes, by default the model's own: a
/// list, a dict from numbers to names or from names to numbers, or the path of a file. `outputs` are the names of what
/// run() gives, such as ["probabilities"]; by default all that the network gives.
///
/// What had to be guessed of a file is a warning, and can be given. `weights` is which network of a file
/// that holds several: "raw", "ema" (the averaged one, which is taken by default where there is one), or its name in the
/// file. `strides` are those of the stem and of each stage, such as (1, 2, 2, 2, 2). `bn_eps` is the epsilon of every
/// batch normalization, such as 1e-3. They count whatever the file says.
///
/// model(picture) gives the best classes of a picture: help(Model.__call__) says what a picture may be.
#[pyclass(frozen, module = "mobileone")]
pub struct Model {
    session: Session,
    /// One picture as the network reads it.
    input: Shape,
    preprocess: Preprocess,
    labels: Labels,
    name: String,
    device: mobileone::DeviceInfo,
    dtype: &'static str,
    classifies: bool,
    /// What comes back by name, and the shape of one picture's.
    outputs: Vec<(String, Shape)>,
    notes: Vec<String>,
    /// The one that opened it.
    process: u32,
    /// Of calls that are over, for later ones.
    free: Mutex<Vec<Memory>>,
}

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (
        model, *, device="auto", dtype="f32", threads=None, batch=1, top_k=5, size=None, labels=None, weights=None,
        strides=None, bn_eps=None, outputs=None
    ))]
    #[allow(clippy::too_many_arguments)] // each has a name in Python
    fn new(
        py: Python,
        model: PathBuf,
        device: &str,
        dtype: &str,
        threads: Option<i64>,
        batch: i64,
        top_k: i64,
        size: Option<Bound<PyAny>>,
        labels: Option<Bound<PyAny>>,
        weights: Option<&str>,
        strides: Option<Bound<PyAny>>,
        bn_eps: Option<f64>,
        outputs: Option<Vec<String>>,
    ) -> PyResult<Model> {
        let (batch, top_k) = (count("batch", batch, i64::MAX)?, count("top_k", top_k, i64::MAX)?);
        let threads = threads.map(|threads| count("threads", threads, 1024)).transpose()?;
        let size = size.map(|size| sides(&size)).transpose()?;
        let names = labels.map(|labels| Names::of(&labels)).transpose()?;
        let reading = reading(weights, strides, bn_eps)?;
        let (storage, name, fast) = match dtype {
            "f32" => (DType::F32, "f32", false),
            "f16" => (DType::F16, "f16", false),
            "f16-fast" => (DType::F16, "f16-fast", true),
            _ => return Err(Error::new_err(format!("dtype \"{dtype}\": expected f32, f16 or f16-fast"))),
        };
        let spec = model.display().to_string();
        let made = py.detach(|| {
            let network = Network::new(named::open_with(&model, &reading, &mut |_| {})?, Form::Fused)?;
            let device = mobileone::Device::open(device)?;
            let device = match threads {
                Some(count) => device.with_threads(count)?,
                None => device,
            };
            let classes = network.graph.classes();
            let mut options = Options { batch: batch.get(), dtype: storage, ..Options::of(&network) };
            options.tuning.fast = fast;
            options.preprocess.size = size.unwrap_or(options.preprocess.size);
            options.preprocess.check()?;
            let own = || network.graph.outputs.iter().map(|output| output.name.clone()).collect();
            options.outputs = Outputs::named(outputs.unwrap_or_else(own)).and_best(top_k.get());
            let labels = Names::choose(names, network.labels.as_deref(), classes.unwrap_or(0))?;
            let (h, w) = options.preprocess.size;
            let mut warnings: Vec<String> =
                network.notes.iter().filter(|note| note.warning).map(with_argument).collect();
            warnings.extend(labels.note().map(|note| format!("labels: {note}")));
            let facts = network.notes.iter().filter(|note| !note.warning).map(with_argument);
            let input = Shape::new(1, h, w, network.graph.input_channels());
            let session = Session::new(&device, &network, &options)?;
            let given = classify::give(&network.graph, &options.outputs.and_best(0))?;
            let checked = given.check(&network.weights, input)?;
            let shaped =
                given.outputs.iter().map(|output| (output.name.clone(), checked.shapes()[output.node]));
            let model = Model {
                session,
                input,
                outputs: shaped.collect(),
                preprocess: options.preprocess,
                labels,
                name: network.name,
                device: device.info().clone(),
                dtype: name,
                classifies: classes.is_some(),
                notes: warnings.iter().cloned().chain(facts).collect(),
                process: std::process::id(),
                free: Mutex::default(),
            };
            Ok((model, warnings))
        });
        let (model, warnings) = made.map_err(|error: mobileone::Error| match error {
            mobileone::Error::Metadata { place: "reading", field, reason } => {
                Error::new_err(format!("{field}: {reason}"))
            }
            mobileone::Error::Weights { .. } => Error::new_err(format!("{error} (weights=)")),
            mobileone::Error::Tensor { .. } | mobileone::Error::Metadata { .. } => {
                refused(py, Some(&spec), &error)
            }
            _ => refused(py, None, &error),
        })?;
        warnings.iter().try_for_each(|line| warn(py, line))?;
        Ok(model)
    }

    /// The best classes of a picture, best first, or a list of such lists for a list of pictures. model(pictures) is
    /// model.classify(pictures).
    ///
    /// A picture is a path; the bytes of a file (bytes, bytearray, memoryview); a file object that gives them, or a
    /// response of urllib or requests; an image of PIL; or a NumPy array of uint8, [height, width, 3] in the order red,
    /// green, blue, or [height, width, 4] with alpha, which is laid over white. Lists, tuples and arrays
    /// [n, height, width, 3] hold pictures.
    ///
    /// Files are turned upright as their EXIF data says. Images of PIL are taken as they stand; with `exif=True` they
    /// are turned too, as PIL.ImageOps.exif_transpose does it.
    ///
    /// A picture that cannot be read raises its error. With `errors="return"` the error takes the place of its answer
    /// instead, and the others of the list are answered.
    #[pyo3(signature = (pictures, *, errors="raise", exif=false))]
    fn classify<'py>(
        &self,
        py: Python<'py>,
        pictures: &Bound<'py, PyAny>,
        errors: &str,
        exif: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.classified()?;
        let Ran { answer, faults, alone } = self.run_pictures(py, pictures, exif, Errors::named(errors)?)?;
        let top = |top: &mobileone::Top| Top {
            label: self.labels.name(top.index).into(),
            index: top.index,
            probability: top.probability,
        };
        let mut lists = answer.top.iter().map(|best| best.iter().map(top).collect::<Vec<Top>>());
        let mut faults = faults.into_iter().peekable();
        let mut places = Vec::with_capacity(answer.batch + faults.len());
        loop {
            places.push(match faults.next_if(|(at, _)| *at == places.len()) {
                Some((_, fault)) => fault.into_value(py).into_bound(py).into_any(),
                None => match lists.next() {
                    Some(list) => list.into_pyobject(py)?,
                    None => break,
                },
            });
        }
        match alone {
            true => Ok(places.remove(0)),
            false => places.into_pyobject(py),
        }
    }

    /// The scores before the softmax: float32, [n, classes], or [classes] of one picture.
    ///
    /// It takes what a call takes, and arrays of float32 that are normalized already: [n, height, width, 3] or
    /// [height, width, 3], of the size that the network reads. x.transpose(0, 2, 3, 1) makes NHWC of NCHW.
    #[pyo3(signature = (x, *, exif=false))]
    fn logits<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        exif: bool,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        self.classified()?;
        self.output(LOGITS)?;
        let Ran { answer, alone, .. } = self.run(py, x, exif)?;
        array(py, answer.logits().to_vec(), answer.batch, alone)
    }

    /// The pooled features before the classifier: float32, [n, channels], or [channels] of one picture. It takes
    /// what logits() takes.
    #[pyo3(signature = (x, *, exif=false))]
    fn features<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        exif: bool,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        self.output(FEATURES)?;
        let Ran { answer, alone, .. } = self.run(py, x, exif)?;
        array(py, answer.features().to_vec(), answer.batch, alone)
    }

    /// What the network gives by name, a dict of float32: maps as PyTorch has them, [n, channels, height, width], and
    /// vectors, [n, channels]; without n of one picture. It takes what logits() takes, and gives `outputs`, by default all
    /// of model.outputs.
    #[pyo3(name = "run", signature = (x, outputs=None, *, exif=false))]
    fn run_named<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        outputs: Option<Vec<String>>,
        exif: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        let all = || self.outputs.iter().map(|(name, _)| name.clone()).collect();
        let names = outputs.unwrap_or_else(all);
        let shapes = names.iter().map(|name| self.output(name)).collect::<PyResult<Vec<Shape>>>()?;
        let Ran { answer, alone, .. } = self.run(py, x, exif)?;
        let arrays = PyDict::new(py);
        for (name, shape) in names.iter().zip(shapes) {
            let tensor = answer.get(name).expect("a session gives what it was asked for");
            let values = py.detach(|| tensor.to_nchw());
            let shape = [vec![answer.batch], dimensions(shape)].concat();
            arrays.set_item(name, PyArray1::from_vec(py, values).reshape(&shape[usize::from(alone)..])?)?;
        }
        Ok(arrays)
    }

    /// The normalized values that the network reads of pictures, [n, height, width, 3], or [height, width, 3] of
    /// one: what logits() takes.
    #[pyo3(signature = (pictures, *, exif=false))]
    fn preprocess<'py>(
        &self,
        py: Python<'py>,
        pictures: &Bound<'py, PyAny>,
        exif: bool,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let (values, n, alone) = self.values(py, pictures, exif)?;
        let Shape { h, w, c, .. } = self.input;
        PyArray1::from_vec(py, values).reshape(&[n, h, w, c][usize::from(alone)..])
    }

    /// The name of the architecture, such as MobileOne-S0.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// The device that it runs on.
    #[getter]
    fn device(&self) -> Device {
        Device::from(&self.device)
    }

    /// How weights and maps are stored: f32, f16 or f16-fast.
    #[getter]
    fn dtype(&self) -> &str {
        self.dtype
    }

    /// The names of the classes, in order; none where there is no classifier.
    #[getter]
    fn labels(&self) -> Vec<String> {
        self.labels.names().to_vec()
    }

    /// Pictures that run at once: those that were asked for, or fewer where the device holds no more.
    #[getter]
    fn batch(&self) -> usize {
        self.session.batch()
    }

    /// What run() gives: a dict from names to shapes of one picture, (channels, height, width) of a map, (channels,) of a
    /// vector.
    #[getter]
    fn outputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let shapes = PyDict::new(py);
        for (name, shape) in &self.outputs {
            shapes.set_item(name, PyTuple::new(py, dimensions(*shape))?)?;
        }
        Ok(shapes)
    }

    /// What of the file was guessed, passed over or chosen, a sentence each: what may be wrong, which was a warning too,
    /// and then what is sure.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// Height and width of the network's input.
    #[getter]
    fn size(&self) -> (usize, usize) {
        self.preprocess.size
    }

    fn __repr__(&self) -> String {
        format!("<mobileone.Model {} on {}, {}>", self.name, self.device, self.dtype)
    }
}

impl Model {
    /// The shape of one picture's output of this name, if it comes back.
    fn output(&self, name: &str) -> PyResult<Shape> {
        let found = self.outputs.iter().find(|(known, _)| known == name);
        found.map(|&(_, shape)| shape).ok_or_else(|| {
            let known: Vec<&str> = self.outputs.iter().map(|(name, _)| name.as_str()).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            Error::new_err(format!("output \"{name}\": the model was opened for {known} (outputs=)"))
        })
    }

    fn classified(&self) -> PyResult<()> {
        match self.classifies {
            true => Ok(()),
            false => Err(Error::new_err(format!(
                "{}: the model has no classifier, so there is nothing to name; features() gives its features",
                self.name
            ))),
        }
    }
}

/// Of one picture: `[c, h, w]` of a map, `[c]` of a vector.
fn dimensions(shape: Shape) -> Vec<usize> {
    match shape.pixels() {
        1 => vec![shape.c],
        _ => vec![shape.c, shape.h, shape.w],
    }
}

/// `values` as `[n, width]`, or `[width]` of one alone.
fn array(py: Python, values: Vec<f32>, n: usize, alone: bool) -> PyResult<Bound<PyArrayDyn<f32>>> {
    let shape = [n, values.len() / n.max(1)];
    PyArray1::from_vec(py, values).reshape(&shape[usize::from(alone)..])
}
