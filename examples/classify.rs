//! Names what a picture shows, on the best device of this machine.
//!
//! ```sh
//! cargo run --example classify demo/images/seven-handwritten.jpg        # the built-in model
//! cargo run --example classify cat.jpg mobileone_s1.safetensors         # your own
//! ```

use std::process::ExitCode;

use mobileone::{Device, Error, Input, Model, Options, Result, Session, labels::Labels, picture, sample};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("classify: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let file = arguments.next().ok_or(Error::Option("usage: classify PICTURE [MODEL.safetensors]".into()))?;
    let model = match arguments.next() {
        Some(path) => Model::load(path)?,
        None => Model::from_bytes(sample::DIGITS)?,
    };
    let labels = Labels::choose(None, model.labels.as_deref(), model.graph.classes().unwrap_or(0))?;

    // Planned, compiled and loaded here, once. Any number of pictures may follow.
    let device = Device::open(&std::env::var("MOBILEONE_DEVICE").unwrap_or("auto".into()))?;
    let session = Session::new(&device, &model, &Options::of(&model))?;

    let picture = picture::open(file)?;
    let answer = session.run(Input::Pixels(picture.pixels()))?;
    println!("on {} ({})", device.info(), device.why());
    for top in &answer.top[0] {
        println!("{:5.1}%  {}", 100.0 * top.probability, labels.name(top.index));
    }
    Ok(())
}
