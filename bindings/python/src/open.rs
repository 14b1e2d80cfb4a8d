//! Names of models to models, as the command takes them.

use std::path::Path;

use mobileone::{
    Checkpoint, Error, Form, Model,
    hub::{Hub, Place, locate},
    models::mobileone::{VARIANTS, synthetic},
    sample,
};

/// Before the name of a variant: its network with random weights.
const RANDOM: &str = "random:";

/// The network that `spec` names: in the box, in a file, on the hub, or random. What lies on this machine comes
/// first.
pub fn model(spec: &Path) -> mobileone::Result<Model> {
    Model::new(checkpoint(spec)?, Form::Fused)
}

fn checkpoint(spec: &Path) -> mobileone::Result<Checkpoint> {
    if spec.as_os_str() == sample::NAME && !spec.exists() {
        return sample::digits();
    }
    if let Some(name) = spec.to_str().and_then(|spec| spec.strip_prefix(RANDOM)) {
        let mut variants = (0..).map(|at| format!("s{at}")).zip(&VARIANTS);
        return match variants.find(|(short, _)| short.eq_ignore_ascii_case(name)) {
            Some((_, variant)) => Ok(synthetic(variant, 1000, 0)),
            None => Err(Error::Model(format!("{RANDOM}{name}: random networks are {RANDOM}s0 to s4"))),
        };
    }
    match locate(spec)? {
        Place::File(path) => Checkpoint::open(path),
        Place::Hub(id) => Checkpoint::open(Hub::from_env()?.fetch(&id, &mut |_, _| {})?),
    }
}
