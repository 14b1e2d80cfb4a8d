//! A model on a device, as Python holds it.

use std::{num::NonZero, panic::catch_unwind, path::PathBuf, sync::Mutex};

use mobileone::{
    Answer, DType, Form, Input, Model as Network, Options, Outputs, Preprocess, Session, Shape, Tensor,
    labels::Labels,
    named,
    picture::{self, Picture},
    preprocess::Scratch,
};
use numpy::{PyArray1, PyArrayDyn, prelude::*};
use pyo3::{exceptions::PyUserWarning, prelude::*};

use crate::{
    Device, Error,
    input::{self, Given, What},
    refused,
};

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
/// number for both, where it is not to be the model's own, and `labels` a file of names, where they are not to be.
#[pyclass(frozen, module = "mobileone")]
pub struct Model {
    session: Session,
    preprocess: Preprocess,
    labels: Labels,
    name: String,
    device: mobileone::DeviceInfo,
    dtype: &'static str,
    classifies: bool,
    process: u32,
    free: Mutex<Vec<Memory>>,
}

/// What a call works in; it is kept for later calls.
struct Memory {
    picture: Picture,
    tensor: Tensor,
    scratch: Scratch,
}

/// A larger picture, in bytes, is not kept.
const LARGE: usize = 1 << 26;

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (model, *, device="auto", dtype="f32", threads=None, batch=1, top_k=5, size=None, labels=None))]
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
        labels: Option<PathBuf>,
    ) -> PyResult<Model> {
        let (batch, top_k) = (count("batch", batch, i64::MAX)?, count("top_k", top_k, i64::MAX)?);
        let threads = threads.map(|threads| count("threads", threads, 1024)).transpose()?;
        let size = size.map(|size| sides(&size)).transpose()?;
        let (storage, name, fast) = match dtype {
            "f32" => (DType::F32, "f32", false),
            "f16" => (DType::F16, "f16", false),
            "f16-fast" => (DType::F16, "f16-fast", true),
            _ => return Err(Error::new_err(format!("dtype \"{dtype}\": expected f32, f16 or f16-fast"))),
        };
        let spec = model.display().to_string();
        let made = py.detach(|| {
            let network = Network::new(named::open(&model, &mut |_| {})?, Form::Fused)?;
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
            options.outputs = Outputs {
                logits: classes.is_some(),
                probabilities: false,
                top_k: top_k.get().min(classes.unwrap_or(0)),
                features: true,
            };
            Ok(Model {
                session: Session::new(&device, &network, &options)?,
                preprocess: options.preprocess,
                labels: Labels::choose(labels.as_deref(), network.labels.as_deref(), classes.unwrap_or(0))?,
                name: network.name,
                device: device.info().clone(),
                dtype: name,
                classifies: classes.is_some(),
                process: std::process::id(),
                free: Mutex::default(),
            })
        });
        made.map_err(|error: mobileone::Error| match error {
            mobileone::Error::Tensor { .. } | mobileone::Error::Metadata { .. } => {
                refused(Some(&spec), &error)
            }
            _ => refused(None, &error),
        })
    }

    /// The best classes of a picture, best first, or a list of such lists for a list of pictures.
    ///
    /// A picture is a path, an image of PIL, or a NumPy array of uint8, [height, width, 3] in the order red, green,
    /// blue, or [height, width, 4] with alpha, which is laid over white. Files are turned upright as their EXIF
    /// data says; images of PIL are taken as they stand. Lists and arrays [n, height, width, 3] hold pictures.
    fn __call__<'py>(&self, py: Python<'py>, pictures: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.classified()?;
        let (answer, alone) = self.run(py, pictures, false)?;
        let top = |top: &mobileone::Top| Top {
            label: self.labels.name(top.index).into(),
            index: top.index,
            probability: top.probability,
        };
        let mut lists = answer.top.iter().map(|best| best.iter().map(top).collect::<Vec<Top>>());
        match alone {
            true => lists.next().unwrap_or_default().into_pyobject(py),
            false => lists.collect::<Vec<_>>().into_pyobject(py),
        }
    }

    /// The scores before the softmax: float32, [n, classes], or [classes] of one picture.
    ///
    /// It takes what a call takes, and arrays of float32 that are normalized already: [n, height, width, 3] or
    /// [height, width, 3], of the size that the network reads. x.transpose(0, 2, 3, 1) makes NHWC of NCHW.
    fn logits<'py>(&self, py: Python<'py>, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        self.classified()?;
        let (answer, alone) = self.run(py, x, true)?;
        array(py, answer.logits, answer.batch, alone)
    }

    /// The pooled features before the classifier: float32, [n, channels], or [channels] of one picture. It takes
    /// what logits() takes.
    fn features<'py>(&self, py: Python<'py>, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let (answer, alone) = self.run(py, x, true)?;
        array(py, answer.features, answer.batch, alone)
    }

    /// The normalized values that the network reads of pictures, [n, height, width, 3], or [height, width, 3] of
    /// one: what logits() takes.
    fn preprocess<'py>(
        &self,
        py: Python<'py>,
        pictures: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let (h, w) = self.preprocess.size;
        let Given { what, alone } = input::sort(pictures, (h, w), false)?;
        let What::Pictures(list) = what else { unreachable!("values were not asked for") };
        let mut memory = self.memory();
        let mut values = Vec::with_capacity(list.len() * h * w * 3);
        for (at, picture) in list.iter().enumerate() {
            memory.reshape(Shape::new(1, h, w, 3));
            self.prepare(py, picture, &mut memory, 0).map_err(|error| named(py, error, at, alone))?;
            values.extend_from_slice(memory.tensor.data());
            py.check_signals()?;
        }
        self.give_back(memory);
        let shape = [list.len(), h, w, 3];
        PyArray1::from_vec(py, values).reshape(&shape[usize::from(alone)..])
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
    /// Runs what `object` holds, and says whether it was one picture by itself.
    fn run(&self, py: Python, object: &Bound<PyAny>, values: bool) -> PyResult<(Answer, bool)> {
        if std::process::id() != self.process {
            return Err(Error::new_err(
                "this model was opened before the process was forked: open it in the process that uses it, or \
                 start processes with the method \"spawn\"",
            ));
        }
        let (h, w) = self.preprocess.size;
        let Given { what, alone } = input::sort(object, (h, w), values)?;
        let batch = self.session.batch();
        let mut memory = self.memory();
        let mut answer = Answer::default();
        match what {
            What::Values(array) => {
                let values = array.as_slice().map_err(|error| Error::new_err(error.to_string()))?;
                // All of them before the first runs: without the GIL, another thread may write to the array.
                let copied = values
                    .chunks(batch * h * w * 3)
                    .map(|chunk| Tensor::new(Shape::new(chunk.len() / (h * w * 3), h, w, 3), chunk.to_vec()));
                let copied = copied.collect::<Result<Vec<Tensor>, _>>();
                drop(array);
                for tensor in copied.map_err(|error| refused(None, &error))? {
                    answer.extend(self.run_tensor(py, &tensor)?);
                }
            }
            What::Pictures(list) if batch == 1 => {
                for (at, picture) in list.iter().enumerate() {
                    let ran = self.run_picture(py, picture, &mut memory);
                    answer.extend(ran.map_err(|error| named(py, error, at, alone))?);
                }
            }
            What::Pictures(list) => {
                for (first, chunk) in (0..).step_by(batch).zip(list.chunks(batch)) {
                    memory.reshape(Shape::new(chunk.len(), h, w, 3));
                    for (place, picture) in chunk.iter().enumerate() {
                        let done = self.prepare(py, picture, &mut memory, place);
                        done.map_err(|error| named(py, error, first + place, alone))?;
                    }
                    answer.extend(self.run_tensor(py, &memory.tensor)?);
                }
            }
        }
        self.give_back(memory);
        Ok((answer, alone))
    }

    fn run_tensor(&self, py: Python, tensor: &Tensor) -> PyResult<Answer> {
        py.check_signals()?;
        py.detach(|| self.session.run(Input::Tensor(tensor))).map_err(|error| refused(None, &error))
    }

    fn run_picture(&self, py: Python, object: &Bound<PyAny>, memory: &mut Memory) -> PyResult<Answer> {
        py.check_signals()?;
        let path = input::take(object, &mut memory.picture)?;
        let run = || {
            read(path, &mut memory.picture)?;
            self.session.run(Input::Pixels(memory.picture.pixels()))
        };
        let answer = py.detach(run).map_err(|error| refused(None, &error))?;
        warn(py, &mut memory.picture)?;
        Ok(answer)
    }

    /// Puts the input of a picture into the tensor, as its picture `place`.
    fn prepare(&self, py: Python, object: &Bound<PyAny>, memory: &mut Memory, place: usize) -> PyResult<()> {
        let path = input::take(object, &mut memory.picture)?;
        let Memory { picture, tensor, scratch } = memory;
        let one = tensor.shape().with_batch(1).len();
        let run = || {
            read(path, picture)?;
            let dst = &mut tensor.data_mut()[place * one..][..one];
            self.preprocess.run_into(&picture.pixels(), scratch, dst)
        };
        py.detach(run).map_err(|error| refused(None, &error))?;
        warn(py, picture)
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

    fn memory(&self) -> Memory {
        self.free.lock().expect("no panic while memory is kept").pop().unwrap_or_else(|| Memory {
            picture: Picture { width: 0, height: 0, rgba: Vec::new(), warning: None },
            tensor: Tensor::zeros(Shape::new(0, 0, 0, 0)),
            scratch: Scratch::default(),
        })
    }

    fn give_back(&self, mut memory: Memory) {
        if memory.picture.rgba.capacity() > LARGE {
            memory.picture.rgba = Vec::new();
        }
        self.free.lock().expect("no panic while memory is kept").push(memory);
    }
}

impl Memory {
    /// Gives the tensor this shape; it holds anything then.
    fn reshape(&mut self, shape: Shape) {
        if self.tensor.shape() != shape {
            self.tensor = Tensor::zeros(shape);
        }
    }
}

/// A number from 1 to `most`, which Python has without bounds.
fn count(name: &str, count: i64, most: i64) -> PyResult<NonZero<usize>> {
    let found = usize::try_from(count).ok().and_then(NonZero::new).filter(|_| count <= most);
    found.ok_or_else(|| match most {
        i64::MAX => Error::new_err(format!("{name} {count}: expected a number from 1")),
        _ => Error::new_err(format!("{name} {count}: expected a number from 1 to {most}")),
    })
}

/// A height and a width, or one number for both.
fn sides(size: &Bound<PyAny>) -> PyResult<(usize, usize)> {
    let both = size.extract().or_else(|_| size.extract().map(|side: usize| (side, side)));
    both.map_err(|_| Error::new_err(format!("size {size}: expected (height, width), or one number for both")))
}

/// Reads the picture at `path`, if there is one.
fn read(path: Option<PathBuf>, picture: &mut Picture) -> mobileone::Result<()> {
    let Some(path) = path else { return Ok(()) };
    // A decoder that panics costs its picture, not the program.
    *picture = catch_unwind(|| picture::open(&path)).unwrap_or_else(|_| {
        let reason = "the decoder broke on it: the file is damaged".into();
        Err(mobileone::Error::File { path: path.clone(), reason })
    })?;
    Ok(())
}

/// Hands what is wrong with a picture that was read all the same to Python's warnings.
fn warn(py: Python, picture: &mut Picture) -> PyResult<()> {
    let Some(warning) = picture.warning.take() else { return Ok(()) };
    let warning = std::ffi::CString::new(warning).expect("a sentence of this program's");
    PyErr::warn(py, &py.get_type::<PyUserWarning>(), &warning, 1)
}

/// An error of the library's, which says which picture of a list it is about.
fn named(py: Python, error: PyErr, at: usize, alone: bool) -> PyErr {
    match alone || !error.is_instance_of::<Error>(py) {
        true => error,
        false => Error::new_err(format!("picture {at} of the list: {}", error.value(py))),
    }
}

/// `values` as `[n, width]`, or `[width]` of one alone.
fn array(py: Python, values: Vec<f32>, n: usize, alone: bool) -> PyResult<Bound<PyArrayDyn<f32>>> {
    let shape = [n, values.len() / n.max(1)];
    PyArray1::from_vec(py, values).reshape(&shape[usize::from(alone)..])
}
