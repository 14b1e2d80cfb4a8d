//! Pictures and values through a session, with the GIL released while it works.

use std::path::PathBuf;

use mobileone::{
    Answer,
    Error::{File as NotSound, Input as NotFit, Io},
    Input, Shape, Tensor,
    picture::Picture,
    preprocess::Scratch,
};
use numpy::PyReadonlyArrayDyn;
use pyo3::{exceptions::PyException, prelude::*};

use super::Model;
use crate::{
    Error,
    canvas::Canvas,
    errors::{of_a_list, refused, refused_picture, warn},
    input::{self, Encoded, File, Given, What},
    options::Errors,
};

/// What a call works in; it is kept for later calls.
pub struct Memory {
    picture: Picture,
    tensor: Tensor,
    scratch: Scratch,
}

/// A larger picture, in bytes, is not kept.
const LARGE: usize = 1 << 26;

impl Memory {
    /// Gives the tensor this shape; it holds anything then.
    fn reshape(&mut self, shape: Shape) {
        if self.tensor.shape() != shape {
            self.tensor = Tensor::zeros(shape);
        }
    }
}

/// What came of a call.
pub struct Ran {
    /// The answers of the pictures that could be read.
    pub answer: Answer,
    /// What is wrong with the others, and their places.
    pub faults: Vec<(usize, PyErr)>,
    /// Whether it was one picture by itself, and not a list or a batch.
    pub alone: bool,
}

/// A picture's own fault, with which a call may go on; the outer error ends it.
type OfPicture<T> = PyResult<Result<T, PyErr>>;

fn of_picture<T>(py: Python, done: mobileone::Result<T>) -> OfPicture<T> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(error @ (Io { .. } | NotSound { .. } | NotFit(_))) => Ok(Err(refused_picture(py, &error))),
        Err(error) => Err(refused(py, None, &error)),
    }
}

/// The faults of a call's pictures.
struct Faults {
    errors: Errors,
    alone: bool,
    found: Vec<(usize, PyErr)>,
}

impl Faults {
    /// Keeps what is wrong with picture `at`, which is `object`, or ends the call with it. What is wrong with one that was
    /// read all the same is a warning of Python's, which may be an error there.
    fn sift<T>(
        &mut self,
        (at, object): (usize, &Bound<PyAny>),
        read: &mut Picture,
        done: Result<T, PyErr>,
    ) -> PyResult<Option<T>> {
        let py = object.py();
        let done = match read.warning.take() {
            Some(line) => {
                let line = match object.extract::<PathBuf>() {
                    Ok(path) => format!("{}: {line}", path.display()),
                    Err(_) if self.alone => format!("picture: {line}"),
                    Err(_) => format!("picture {at} of the list: {line}"),
                };
                warn(py, &line).and(done)
            }
            None => done,
        };
        match done {
            Ok(done) => Ok(Some(done)),
            Err(fault) if self.errors == Errors::Return => {
                self.found.push((at, fault));
                Ok(None)
            }
            Err(fault) if self.alone => Err(fault),
            Err(fault) => Err(of_a_list(py, fault, at)),
        }
    }
}

impl Model {
    /// Runs pictures or values.
    pub fn run(&self, py: Python, object: &Bound<PyAny>, exif: bool) -> PyResult<Ran> {
        self.check_process()?;
        let Given { what, alone } = input::sort(object, self.input, true)?;
        match what {
            What::Values(array) => Ok(Ran { answer: self.run_values(py, array)?, faults: vec![], alone }),
            What::Pictures(list) => {
                self.run_list(py, &list, exif, Faults { errors: Errors::Raise, alone, found: vec![] })
            }
        }
    }

    /// Runs pictures only.
    pub fn run_pictures(
        &self,
        py: Python,
        object: &Bound<PyAny>,
        exif: bool,
        errors: Errors,
    ) -> PyResult<Ran> {
        self.check_process()?;
        let (list, alone) = self.pictures(object)?;
        self.run_list(py, &list, exif, Faults { errors, alone, found: vec![] })
    }

    /// The input of pictures, how many there are, and whether it was one by itself.
    pub fn values(&self, py: Python, object: &Bound<PyAny>, exif: bool) -> PyResult<(Vec<f32>, usize, bool)> {
        let (list, alone) = self.pictures(object)?;
        let one = self.input;
        let mut faults = Faults { errors: Errors::Raise, alone, found: vec![] };
        let mut memory = self.memory();
        let mut values = Vec::with_capacity(list.len() * one.len());
        for (at, picture) in list.iter().enumerate() {
            memory.reshape(one);
            let done = self.prepare(py, picture, exif, &mut memory, 0)?;
            faults.sift((at, picture), &mut memory.picture, done)?;
            values.extend_from_slice(memory.tensor.data());
            py.check_signals()?;
        }
        self.give_back(memory);
        Ok((values, list.len(), alone))
    }

    fn pictures<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<(Vec<Bound<'py, PyAny>>, bool)> {
        let Given { what, alone } = input::sort(object, self.input, false)?;
        let What::Pictures(list) = what else { unreachable!("values were not asked for") };
        Ok((list, alone))
    }

    fn check_process(&self) -> PyResult<()> {
        if std::process::id() == self.process {
            return Ok(());
        }
        Err(Error::new_err(
            "this model was opened before the process was forked: open it in the process that uses it, or \
             start processes with the method \"spawn\"",
        ))
    }

    fn run_values(&self, py: Python, array: PyReadonlyArrayDyn<f32>) -> PyResult<Answer> {
        let one = self.input;
        let values = array.as_slice().map_err(|error| Error::new_err(error.to_string()))?;
        // All of them before the first runs: without the GIL, another thread may write to the array.
        let copied = values
            .chunks(self.session.batch() * one.len())
            .map(|chunk| Tensor::new(one.with_batch(chunk.len() / one.len()), chunk.to_vec()));
        let copied = copied.collect::<Result<Vec<Tensor>, _>>();
        drop(array);
        let mut answer = Answer::default();
        for tensor in copied.map_err(|error| refused(py, None, &error))? {
            answer.extend(self.run_tensor(py, &tensor)?);
        }
        Ok(answer)
    }

    fn run_list(&self, py: Python, list: &[Bound<PyAny>], exif: bool, mut faults: Faults) -> PyResult<Ran> {
        let batch = self.session.batch();
        let mut memory = self.memory();
        let mut answer = Answer::default();
        if batch == 1 {
            for (at, picture) in list.iter().enumerate() {
                let done = self.run_picture(py, picture, exif, &mut memory)?;
                answer.extend(faults.sift((at, picture), &mut memory.picture, done)?.unwrap_or_default());
            }
        } else {
            for (first, chunk) in (0..).step_by(batch).zip(list.chunks(batch)) {
                memory.reshape(self.input.with_batch(chunk.len()));
                let mut sound = 0;
                for (place, picture) in chunk.iter().enumerate() {
                    let done = self.prepare(py, picture, exif, &mut memory, sound)?;
                    let done = faults.sift((first + place, picture), &mut memory.picture, done)?;
                    sound += usize::from(done.is_some());
                }
                if sound < chunk.len() {
                    let values = memory.tensor.pictures(0..sound).to_vec();
                    let shape = self.input.with_batch(sound);
                    memory.tensor = Tensor::new(shape, values).map_err(|error| refused(py, None, &error))?;
                }
                if sound > 0 {
                    answer.extend(self.run_tensor(py, &memory.tensor)?);
                }
            }
        }
        self.give_back(memory);
        Ok(Ran { answer, faults: faults.found, alone: faults.alone })
    }

    fn run_tensor(&self, py: Python, tensor: &Tensor) -> PyResult<Answer> {
        py.check_signals()?;
        py.detach(|| self.session.run(Input::Tensor(tensor))).map_err(|error| refused(py, None, &error))
    }

    fn run_picture(
        &self,
        py: Python,
        object: &Bound<PyAny>,
        exif: bool,
        memory: &mut Memory,
    ) -> OfPicture<Answer> {
        py.check_signals()?;
        let file = match self.take(py, object, exif, memory)? {
            Ok(file) => file,
            Err(fault) => return Ok(Err(fault)),
        };
        let file = file.as_ref().map(Encoded::file);
        let run = || {
            read(file, &mut memory.picture)?;
            self.session.run(Input::Pixels(memory.picture.pixels()))
        };
        of_picture(py, py.detach(run))
    }

    /// Puts the input of a picture into the tensor, as its picture `place`.
    fn prepare(
        &self,
        py: Python,
        object: &Bound<PyAny>,
        exif: bool,
        memory: &mut Memory,
        place: usize,
    ) -> OfPicture<()> {
        let file = match self.take(py, object, exif, memory)? {
            Ok(file) => file,
            Err(fault) => return Ok(Err(fault)),
        };
        let file = file.as_ref().map(Encoded::file);
        let Memory { picture, tensor, scratch } = memory;
        let one = tensor.shape().with_batch(1).len();
        let run = || {
            read(file, picture)?;
            let dst = &mut tensor.data_mut()[place * one..][..one];
            self.preprocess.run_into(&picture.pixels(), scratch, dst)
        };
        of_picture(py, py.detach(run))
    }

    /// Draws what `object` is, or gives its file. Whatever goes wrong is the picture's fault, but for what ends a program.
    fn take<'py>(
        &self,
        py: Python<'py>,
        object: &Bound<'py, PyAny>,
        exif: bool,
        memory: &mut Memory,
    ) -> OfPicture<Option<Encoded<'py>>> {
        let (reads, has) = (self.input.c, self.preprocess.colour.channels());
        if reads != has {
            return Err(Error::new_err(format!(
                "input: the network reads {reads} channels, which no picture has here; give values of float32"
            )));
        }
        let mut canvas = Canvas { picture: &mut memory.picture, preprocess: &self.preprocess };
        match input::take(object, exif, &mut canvas) {
            Ok(file) => Ok(Ok(file)),
            Err(error) if error.is_instance_of::<PyException>(py) => Ok(Err(error)),
            Err(error) => Err(error),
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

/// Decodes the picture's file, if it is in one.
fn read(file: Option<File>, picture: &mut Picture) -> mobileone::Result<()> {
    if let Some(file) = file {
        *picture = file.read()?;
    }
    Ok(())
}
