//! What `mobileone` does when nothing is asked of it: pictures of digits, read by the model in the box.

use std::time::Instant;

use mobileone::{Form, Input, Model, Options, Session, picture, sample};

use super::{
    Verdict, cache,
    out::{Stop, bar, ms, plain, say, table},
};

const NEXT: &str = "
Next, a picture of yours:

  mobileone classify photo.jpg               a digit held up to the camera
  mobileone classify --model s1 cat.jpg      ImageNet's 1000 classes; fetches MobileOne-S1 from the hub, once
  mobileone classify --model FILE cat.jpg    your checkpoint: .safetensors, .pth, .pth.tar, .bin
  mobileone devices                          what it can run on
  mobileone --help                           everything else";

pub fn run() -> Result<Verdict, Stop> {
    let wanted = std::env::var("MOBILEONE_DEVICE").unwrap_or_else(|_| "auto".into());
    let model = Model::new(sample::digits()?, Form::Fused)?;
    let labels = model.labels.clone().expect("the model in the box names its classes");
    let device = cache::open(&wanted)?;
    let session = Session::new(&device, &model, &Options::of(&model))?;
    let on = plain(&device.info().name);

    let mut rows = vec![["demo/images/", "shows", "how sure", "ms", "device"].map(String::from)];
    for (name, bytes) in sample::PICTURES {
        let picture = picture::decode(bytes)?;
        let begun = Instant::now();
        let answer = session.run(Input::Pixels(picture.pixels()))?;
        let took = ms(begun);
        let best = &answer.top[0][0];
        let sure = format!("{} {:5.1}%", bar(best.probability, 20), best.probability * 100.0);
        rows.push([name.to_string(), labels[best.index].clone(), sure, format!("{took:.2}"), on.clone()]);
    }
    say(&format!(
        "mobileone {}: names what pictures show, on any GPU and on the CPU. Its built-in model reads digits.\n",
        env!("CARGO_PKG_VERSION")
    ))?;
    table(&rows).iter().try_for_each(|line| say(line))?;
    let on = plain(&format!("{} ({})", device.info(), device.why()));
    say(&format!("\nDevice: {on}; MOBILEONE_DEVICE chooses another."))?;
    say(NEXT)?;
    Ok(Verdict::Good)
}
