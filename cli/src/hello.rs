//! What `mobileone` does when nothing is asked of it: pictures of digits, read by the model in the box.

use std::time::Instant;

use mobileone::{Form, Input, Model, Options, Session, picture, sample};

use crate::{
    Verdict, cache,
    out::{BEST, Stop, Talk, WIDTH, bar, ms, percent, plain, say, table, talk, wrap},
};

const NEXT: &str = "
Next, a picture of yours:

  mobileone classify photo.jpg               a digit held up to the camera
  mobileone classify --model s1 cat.jpg      ImageNet's classes; fetches S1 once
  mobileone classify --model FILE cat.jpg    your checkpoint: .safetensors, .pth
  mobileone devices                          what it can run on
  mobileone --help                           everything else";

pub fn run() -> Result<Verdict, Stop> {
    let wanted = std::env::var("MOBILEONE_DEVICE").unwrap_or_default();
    let wanted = if wanted.is_empty() { "auto" } else { &wanted };
    let model = Model::new(sample::digits()?, Form::Fused)?;
    let labels = model.labels.clone().expect("the model in the box names its classes");
    let device = cache::open(wanted)?;
    let session = Session::new(&device, &model, &Options::of(&model))?;

    let mut rows = vec![["demo/images/", "shows", "how sure", "ms"].map(String::from)];
    for (name, bytes) in sample::PICTURES {
        let picture = picture::decode(bytes)?;
        let begun = Instant::now();
        let answer = session.run(Input::Pixels(picture.pixels()))?;
        let took = ms(begun);
        let best = &answer.top[0][0];
        let sure = format!("{} {:>6}", bar(best.probability, 20), percent(best.probability));
        let label = format!("{BEST}{}{BEST:#}", labels[best.index]);
        rows.push([name.to_string(), label, sure, format!("{took:.2}")]);
    }
    if talk() != Talk::Quiet {
        say(&format!(
            "mobileone {}: image classification with MobileOne, on any GPU and on the\n\
             CPU. Its built-in model reads digits.\n",
            env!("CARGO_PKG_VERSION")
        ))?;
    }
    table(&rows).iter().try_for_each(|line| say(line))?;
    if talk() != Talk::Quiet {
        let on = format!("Device: {} ({}); MOBILEONE_DEVICE chooses another.", device.info(), device.why());
        say("")?;
        wrap(&plain(&on), WIDTH).iter().try_for_each(|line| say(line))?;
        say(NEXT)?;
    }
    Ok(Verdict::Good)
}
