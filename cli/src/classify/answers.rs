//! Where answers go, and in which form.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anstream::adapter::strip_str;
use mobileone::{Error, files::Unfinished};
use serde::Serialize;

use super::rows::{Class, Found, Header, Row};
use crate::out::{BEST, Stop, followed, percent, plain, put, quote, say};

/// How answers are written.
#[derive(Clone, Copy)]
pub enum Form {
    /// For people.
    Text,
    /// One document.
    Json,
    JsonLines,
    Csv,
}

/// Answers in the writing: each is out as soon as it is known.
pub struct Answers {
    form: Form,
    to: Sink,
    /// Whether there was a row.
    begun: bool,
}

enum Sink {
    Stdout,
    /// A file that appears when all answers are in it.
    Whole(PathBuf, Unfinished),
    /// A file that grows.
    Growing(PathBuf, File),
}

impl Answers {
    /// Answers for `output`, or for standard output. `endless` ones are in the file as they come.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(form: Form, output: Option<&Path>, endless: bool) -> Result<Answers, Stop> {
        let to = match output {
            None => Sink::Stdout,
            Some(path) => {
                let place = followed(path);
                let io = |source| Error::Io { path: path.into(), source };
                match endless {
                    true => Sink::Growing(path.into(), File::create(&place).map_err(io)?),
                    false => Sink::Whole(path.into(), Unfinished::new(&place).map_err(io)?),
                }
            }
        };
        Ok(Answers { form, to, begun: false })
    }

    /// Writes what comes before the first answer.
    pub fn begin(&mut self, header: &Header) -> Result<(), Stop> {
        match self.form {
            Form::Text | Form::JsonLines => Ok(()),
            Form::Csv => self.write("image,rank,index,label,probability,warning,error\n"),
            Form::Json => {
                let text = serde_json::to_string_pretty(header).map_err(io::Error::from)?;
                let open = text.strip_suffix("\n}").expect("an object over many lines");
                self.write(&format!("{open},\n  \"results\": ["))
            }
        }
    }

    /// Writes a picture's answer.
    pub fn row(&mut self, row: &Row) -> Result<(), Stop> {
        let first = !std::mem::replace(&mut self.begun, true);
        match self.form {
            Form::Text => text(row).iter().try_for_each(|line| self.line(line)),
            Form::Json => {
                let comma = if first { "" } else { "," };
                self.write(&format!("{comma}\n    {}", one_line(row)?))
            }
            Form::JsonLines => self.write(&(one_line(row)? + "\n")),
            Form::Csv => self.write(&csv(row)?),
        }
    }

    /// Writes what comes after the last answer: of a document, also what ended the work before its end. A file in
    /// another form, which could not say so, is then left as it was.
    pub fn finish(mut self, fault: Option<&Stop>) -> Result<(), Stop> {
        if let Form::Json = self.form {
            let close = if self.begun { "\n  ]" } else { "]" };
            let error = match fault {
                Some(Stop::Error(line)) => format!(",\n  \"error\": {}", one_line(line)?),
                _ => String::new(),
            };
            self.write(&format!("{close}{error}\n}}\n"))?;
        }
        match self.to {
            Sink::Whole(..) if fault.is_some() && !matches!(self.form, Form::Json) => Ok(()),
            Sink::Whole(path, file) => file.finish().map_err(|source| Error::Io { path, source }.into()),
            Sink::Stdout | Sink::Growing(..) => Ok(()),
        }
    }

    /// A line for people: colours are for terminals.
    fn line(&mut self, line: &str) -> Result<(), Stop> {
        match self.to {
            Sink::Stdout => say(line),
            Sink::Whole(..) | Sink::Growing(..) => self.write(&format!("{}\n", strip_str(line))),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Stop> {
        let (path, written) = match &mut self.to {
            Sink::Stdout => return put(text),
            Sink::Whole(path, file) => (path, file.write_all(text.as_bytes())),
            Sink::Growing(path, file) => (path, file.write_all(text.as_bytes())),
        };
        written.map_err(|source| Error::Io { path: path.clone(), source }.into())
    }
}

fn one_line(value: &impl Serialize) -> Result<String, Stop> {
    Ok(serde_json::to_string(value).map_err(io::Error::from)?)
}

fn text(row: &Row) -> Vec<String> {
    let name = row.name();
    let Found::Top(top) = &row.found else { return Vec::new() };
    let Some((best, rest)) = top.split_first() else {
        return vec![format!("{name}: nothing above the threshold")];
    };
    let first = format!("{name}: {BEST}{} ({}){BEST:#}", plain(&best.label), percent(best.probability));
    let rest =
        rest.iter().map(|class| format!("    {:>6}  {}", percent(class.probability), plain(&class.label)));
    [first].into_iter().chain(rest).collect()
}

/// A line per class; one for a picture without any.
fn csv(row: &Row) -> Result<String, Stop> {
    let line = |cells: [&str; 7]| cells.map(quote).join(",") + "\n";
    let (name, warning) = (&row.name(), row.warning.as_deref().unwrap_or(""));
    let class = |(rank, class): (usize, &Class)| {
        let Class { index, label, probability } = class;
        let (rank, index) = ((rank + 1).to_string(), index.to_string());
        Ok(line([name, &rank, &index, label, &one_line(probability)?, warning, ""]))
    };
    match &row.found {
        Found::Top(top) if !top.is_empty() => top.iter().enumerate().map(class).collect(),
        Found::Top(_) => Ok(line([name, "", "", "", "", warning, ""])),
        Found::Error(error) => Ok(line([name, "", "", "", "", warning, error])),
    }
}

#[cfg(test)]
mod tests {
    use mobileone::{Checkpoint, Form as Built, Model, labels::Labels, sample};
    use serde_json::{Value, json};

    use super::*;
    use crate::{feed::Seen, pictures::Preprocessing};

    /// What cannot say that it was cut short does not take a file's place.
    #[test]
    fn rows_of_work_that_failed_replace_nothing() {
        let path = std::env::temp_dir().join(format!("mobileone-answers-{}.csv", std::process::id()));
        std::fs::write(&path, "before").unwrap();
        for form in [Form::Text, Form::JsonLines, Form::Csv] {
            let mut answers = Answers::new(form, Some(&path), false).unwrap();
            answers.write("a row\n").unwrap();
            answers.finish(Some(&Stop::Error("the device is lost".into()))).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
            let mut answers = Answers::new(form, Some(&path), false).unwrap();
            answers.write("before").unwrap();
            answers.finish(None).unwrap();
        }
        std::fs::remove_file(path).unwrap();
    }

    /// A document is whole whatever ended it.
    #[test]
    fn documents_are_closed() {
        let model = Model::new(Checkpoint::from_bytes(sample::DIGITS).unwrap(), Built::Fused).unwrap();
        let labels = Labels::choose(None, model.labels.as_deref(), 11).unwrap();
        let path = std::env::temp_dir().join(format!("mobileone-answers-{}.json", std::process::id()));
        let full = Stop::Error("the device \"x\" is lost".into());
        for (pictures, fault) in [(0, None), (0, Some(&full)), (1, None), (2, Some(&full)), (2, None)] {
            let mut answers = Answers::new(Form::Json, Some(&path), false).unwrap();
            let header = Header {
                model: "m",
                requested: "r",
                device: "d",
                dtype: "f32",
                preprocessing: Preprocessing::new(&model.preprocess, "s".into()),
            };
            answers.begin(&header).unwrap();
            for at in 0..pictures {
                let name = format!("{at}.jpg");
                let found = Err("damaged".to_string());
                let seen = Seen { path: Path::new(&name), found, warning: None, decode_ms: 0.5 };
                answers.row(&Row::new(seen, &labels, None)).unwrap();
            }
            answers.finish(fault).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            let row = |at| json!({"image": format!("{at}.jpg"), "error": "damaged", "decode_ms": 0.5, "engine_ms": null});
            assert_eq!(report["results"], json!((0..pictures).map(row).collect::<Vec<_>>()));
            assert_eq!(report.get("error").is_some(), fault.is_some(), "{text}");
            if fault.is_some() {
                assert!(text.ends_with("],\n  \"error\": \"the device \\\"x\\\" is lost\"\n}\n"), "{text}");
            }
        }
        std::fs::remove_file(path).unwrap();
    }
}
