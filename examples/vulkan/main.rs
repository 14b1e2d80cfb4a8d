//! Names what a picture shows, from an exported plan, on Vulkan itself: no wgpu, and nothing of this library but the
//! files that it wrote. This is what an engine with a GPU layer of its own would do.
//!
//! ```sh
//! cargo run -- export --target spirv plan digits
//! cargo run --example vulkan plan demo/images/seven-handwritten.jpg
//! ```

mod gpu;
mod picture;
mod plan;
mod runner;

use std::{error::Error, path::Path};

pub(crate) use runner::Runner;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, file, device) = match arguments.as_slice() {
        [folder, file] => (folder, file, ""),
        [folder, file, device] => (folder, file, device.as_str()),
        _ => return Err("usage: vulkan FOLDER PICTURE|INPUT.bin [PART OF A DEVICE'S NAME]".into()),
    };
    let mut runner = Runner::open(Path::new(folder), device)?;
    println!("{} dispatches on {}", runner.plan.dispatches.len(), runner.gpu.name);
    let found = if file.ends_with(".bin") {
        // Normalized pictures as `plan.json` describes its input.
        let input = std::fs::read(file)?;
        let pictures = input.len() / runner.plan.input.bytes;
        runner.run(&input, pictures)?
    } else {
        let picture = image::open(file)?.into_rgba8();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        runner.run_picture(&picture, width, height)?
    };
    for (top, logits) in found.top.iter().zip(&found.logits) {
        for &(class, probability) in top {
            let label = runner.plan.labels.as_ref().map_or(class.to_string(), |labels| labels[class].clone());
            println!("{:5.1}%  {label}  (logit {:.3})", 100.0 * probability, logits[class]);
        }
    }
    Ok(())
}
