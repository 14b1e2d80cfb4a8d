//! Reads a `config.json`: timm's, the hub's, a training script's, or one about something else.
//!
//! What it says of pictures and of the network is taken, or kept as a [`Fault`] where it cannot be followed; all else
//! that is not understood is passed over with a note.

use serde_json::{Map, Value};

use super::{
    args,
    classes::by_number,
    json::brief,
    metadata::{About, CONFIG, Claims, Fault, Metadata, PreprocessFields, SHARE, share, side, within},
    naming::Names,
    raw::Source,
    reading::EPSILON_RANGE,
    strides::{GivenStrides, stage_strides, stride},
};
use crate::{
    error::Result,
    preprocess::{CropMode, Interpolation, Units, units},
};

/// Objects that say how pictures become inputs: timm's, and mmpretrain's.
const PICTURES: [&str; 3] = ["pretrained_cfg", "data_preprocessor", "img_norm_cfg"];

/// What `text`, the `config.json`, says of a network of the family `names`.
///
/// # Errors
/// [`Error::File`](crate::Error::File) when it begins like a JSON object and is damaged.
pub(super) fn read(source: &Source, text: &str, names: &Names) -> Result<Metadata> {
    let mut reader = Reader::default();
    let root = match parse(text) {
        Ok(Value::Object(root)) => root,
        Ok(other) => {
            reader.note(format!("{CONFIG} is {}, not an object: passed over", brief(&other)));
            return Ok(reader.metadata(Metadata::default()));
        }
        Err(reason) if text.trim_start_matches(MARK).trim_start().starts_with('{') => {
            return Err(source.fault(format!("the file is not JSON: {reason}; mend or remove it")));
        }
        Err(reason) => {
            reader.note(format!("{CONFIG} is not JSON: {reason}: passed over"));
            return Ok(reader.metadata(Metadata::default()));
        }
    };
    let top = reader.level("", &root);
    let mut metadata = Metadata::default();
    // What pretrained_cfg says is what the weights were made with.
    for key in PICTURES {
        match root.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Object(inner)) => metadata = metadata.or(reader.level(key, inner)),
            Some(other) => {
                reader.note(format!("{CONFIG} \"{key}\": {} is not an object: passed over", brief(other)))
            }
        }
    }
    let labels = top.labels.clone();
    let mut metadata = metadata.or(top);
    // Of the names of classes, those at the top are newer, as in timm.
    metadata.labels = labels.or(metadata.labels);
    let network = reader.is_network(&root, names);
    if network {
        // What the network was made with outranks the rest.
        if let Some(args) = object(&root, "model_args") {
            metadata.bn_eps = reader.epsilon("model_args", args).or(metadata.bn_eps);
        }
        reader.network(&root, names);
        reader.claims(&root, &mut metadata.claims);
    }
    Ok(reader.metadata(metadata))
}

/// A byte order mark, as some editors write.
const MARK: char = '\u{feff}';

/// The JSON of `text`, where Python's NaN and Infinity are texts.
fn parse(text: &str) -> Result<Value, String> {
    let text = text.trim_start_matches(MARK);
    if text.trim().is_empty() {
        return Err("it is empty".into());
    }
    serde_json::from_str(text).or_else(|e| serde_json::from_str(&quoted(text)).map_err(|_| e.to_string()))
}

/// `text` with quotes around NaN and Infinity where they stand for numbers.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    let (mut rest, mut inside) = (text, false);
    while let Some(c) = rest.chars().next() {
        let word =
            ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !inside && rest.starts_with(word));
        let taken = match (word, c) {
            (Some(word), _) => {
                quoted += &format!("\"{word}\"");
                word.len()
            }
            // What is escaped ends no text.
            (None, '\\') if inside => {
                let taken = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                quoted += &rest[..taken];
                taken
            }
            (None, _) => {
                inside ^= c == '"';
                quoted.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    quoted
}

/// What was found so far that goes into no field.
#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
    notes: Vec<String>,
}

impl Reader {
    /// `metadata` with the faults and the notes.
    fn metadata(self, mut metadata: Metadata) -> Metadata {
        metadata.preprocess_source = (metadata.preprocess != PreprocessFields::default()).then_some(CONFIG);
        let found = [
            ("variant", metadata.variant.is_some()),
            ("strides", metadata.strides.is_some()),
            ("labels", metadata.labels.is_some()),
        ];
        metadata.from_config = found.iter().filter(|(_, found)| *found).map(|(field, _)| *field).collect();
        metadata.faults.extend(self.faults);
        metadata.notes.extend(self.notes);
        metadata
    }

    fn note(&mut self, line: String) {
        self.notes.push(line);
    }

    /// What one object of the file says, the one at `path`.
    fn level(&mut self, path: &str, map: &Map<String, Value>) -> Metadata {
        let mut level = Level { path, map, faults: Vec::new(), notes: &mut self.notes };
        let preprocess = level.preprocess();
        Metadata {
            variant: level.text("architecture"),
            strides: level.strides(),
            bn_eps: level.epsilon(),
            labels: level.labels(),
            preprocess,
            license: level.text("license"),
            faults: level.faults,
            ..Metadata::default()
        }
    }

    fn epsilon(&mut self, path: &str, map: &Map<String, Value>) -> Option<f64> {
        let mut level = Level { path, map, faults: Vec::new(), notes: &mut self.notes };
        let epsilon = level.epsilon();
        self.faults.extend(level.faults);
        epsilon
    }

    /// Whether the file is about a network such as this one; if it names another, says so.
    fn is_network(&mut self, root: &Map<String, Value>, names: &Names) -> bool {
        match root.get("architecture") {
            Some(Value::String(name)) if !name.to_ascii_lowercase().contains(names.id) => {
                self.note(format!(
                    "{CONFIG} \"architecture\": {} is not a {}, as the tensors are: what {CONFIG} says of the network \
                     is passed over",
                    brief(&Value::String(name.clone())),
                    names.family
                ));
                false
            }
            _ => true,
        }
    }

    /// Finds what makes another network than the one that runs here.
    fn network(&mut self, root: &Map<String, Value>, names: &Names) {
        let objects = [("", Some(root)), ("pretrained_cfg", object(root, "pretrained_cfg"))];
        let args = ("model_args", object(root, "model_args"));
        for (path, map) in objects.into_iter().chain([args]) {
            let all = path == "model_args";
            for (key, value) in map.into_iter().flatten() {
                let claimed = ["num_classes", "in_chans"].contains(&key.as_str());
                if claimed || key == "global_pool" && value == "" {
                    continue;
                }
                if let Some(reason) = args::refused(key, value, all, names) {
                    self.faults.push(Fault { about: About::Network, field: join(path, key), reason });
                }
            }
        }
        if let Some(other) = root.get("model_args").filter(|value| !value.is_object() && !value.is_null()) {
            let reason = format!("{} is not an object of names and values", brief(other));
            self.faults.push(Fault { about: About::Network, field: "model_args".into(), reason });
        }
    }

    /// Finds what the tensors have to confirm.
    fn claims(&mut self, root: &Map<String, Value>, claims: &mut Claims) {
        let places = ["model_args", "", "pretrained_cfg"];
        let places = places.map(|path| (path, if path.is_empty() { Some(root) } else { object(root, path) }));
        let find = |key: &str| {
            places.iter().find_map(|(path, map)| {
                let value = map.as_ref()?.get(key).filter(|value| !value.is_null())?;
                Some((join(path, key), value))
            })
        };
        let number = |key: &str| find(key).and_then(|(key, value)| Some((key, value.as_u64()?)));
        claims.classes = number("num_classes");
        claims.channels = number("in_chans").or(claims.channels.take());
        claims.unpooled = find("global_pool").filter(|(_, value)| *value == "").map(|(key, _)| key);
    }
}

fn object<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Map<String, Value>> {
    map.get(key).and_then(Value::as_object)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}

/// One object of the file.
struct Level<'a> {
    path: &'a str,
    map: &'a Map<String, Value>,
    faults: Vec<Fault>,
    notes: &'a mut Vec<String>,
}

impl<'a> Level<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn fault(&mut self, about: About, key: &str, reason: String) {
        self.faults.push(Fault { about, field: join(self.path, key), reason });
    }

    fn passed_over(&mut self, key: &str, value: &Value, expected: &str) {
        let key = join(self.path, key);
        self.notes.push(format!("{CONFIG} \"{key}\": {} is not {expected}: passed over", brief(value)));
    }

    /// A text that decides nothing.
    fn text(&mut self, key: &str) -> Option<String> {
        let value = self.get(key)?;
        let text = value.as_str().map(String::from);
        if text.is_none() {
            self.passed_over(key, value, "a text");
        }
        text
    }

    /// The value that `read` makes of `key`, or a fault that says what was `expected`.
    fn read<T>(
        &mut self,
        about: About,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let found = read(value);
        if found.is_none() {
            self.fault(about, key, format!("{} cannot be followed; expected {expected}", brief(value)));
        }
        found
    }

    fn one_of<T: Copy>(&mut self, about: About, key: &str, names: &[(&str, T)]) -> Option<T> {
        let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        let expected = format!("one of {}, the modes that this program has", known.join(", "));
        let find = |value: &Value| {
            let text = value.as_str()?;
            names.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
        };
        self.read(about, key, &expected, find)
    }

    fn preprocess(&mut self) -> PreprocessFields {
        self.order();
        let size = self.read(
            About::Size,
            "input_size",
            "[channels, height, width], the sides from 1 to 4096",
            |value| match value {
                Value::Number(_) => side(value).map(|side| (side, side)),
                _ => match &value.as_array()?[..] {
                    [h, w] => Some((side(h)?, side(w)?)),
                    [c, h, w] => {
                        c.as_u64().filter(|c| (1..=4096).contains(c)).and(Some((side(h)?, side(w)?)))
                    }
                    _ => None,
                },
            },
        );
        let crop_pct = self.read(About::CropPct, "crop_pct", SHARE, share);
        let crop_mode = self.one_of(About::CropMode, "crop_mode", CropMode::NAMES);
        let interpolation = self.one_of(About::Interpolation, "interpolation", Interpolation::NAMES);
        let Units { mean, std, .. } = self.normalization();
        PreprocessFields { size, crop_pct, crop_mode, interpolation, mean, std }
    }

    fn normalization(&mut self) -> Units {
        let expected = "1 or 3 numbers";
        let mean = self.read(About::Mean, "mean", expected, |value| numbers(value, IMAGENET_MEAN));
        let std = self.read(About::Std, "std", "1 or 3 numbers above 0", |value| {
            numbers(value, IMAGENET_STD).filter(|std| std.iter().all(|&std| std as f32 > 0.0))
        });
        match units(mean, std) {
            Ok(units) => {
                let place = if self.path.is_empty() { String::new() } else { format!("'s {}", self.path) };
                self.notes.extend(units.note(&format!("mean and std of {CONFIG}{place}")));
                units
            }
            Err(reason) => {
                for (about, key) in [(About::Mean, "mean"), (About::Std, "std")] {
                    if self.get(key).is_some() {
                        self.fault(about, key, reason.clone());
                    }
                }
                Units::default()
            }
        }
    }

    /// Refuses blue first, as OpenCV reads pictures.
    fn order(&mut self) {
        let blue_first = |key: &str, value: &Value| match key {
            "to_rgb" | "bgr_to_rgb" => value == false,
            "rgb_to_bgr" => value == true,
            _ => value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("bgr")),
        };
        // mmpretrain reads pictures blue first: what turns them, or does not, decides.
        let keys = ["to_rgb", "bgr_to_rgb", "rgb_to_bgr", "channel_order", "color_order", "input_img_mode"];
        for key in keys {
            if let Some(value) = self.get(key).filter(|value| blue_first(key, value)) {
                self.fault(
                    About::Order,
                    key,
                    format!("{} means blue first, which is not run here", brief(value)),
                );
            }
        }
    }

    fn strides(&mut self) -> Option<GivenStrides> {
        match self.get("strides")? {
            Value::Object(map) => {
                let path = join(self.path, "strides");
                let mut inner = Level { path: &path, map, faults: Vec::new(), notes: self.notes };
                let stem = inner.read(About::Strides, "stem", "1 or 2", stride);
                let stages =
                    inner.read(About::Strides, "stages", "a list of 1 or 2 per stage", stage_strides);
                let given = GivenStrides { stem, stages: stages.unwrap_or_default(), proven: false };
                let faults = inner.faults;
                if given.is_empty() && faults.is_empty() {
                    let value = Value::Object(map.clone());
                    self.passed_over("strides", &value, "{\"stem\": 2, \"stages\": [2, 2, 2, 2]}");
                }
                self.faults.extend(faults);
                Some(given).filter(|given| !given.is_empty())
            }
            // Whose they are is not said: harmless only where they are what is taken without them.
            value if value == 2 || value.as_array().is_some_and(|list| list.iter().all(|item| item == 2)) => {
                self.passed_over("strides", value, "{\"stem\": 2, \"stages\": [2, 2, 2, 2]}");
                None
            }
            value => {
                let reason = format!(
                    "{} cannot be followed; expected {{\"stem\": 2, \"stages\": [2, 2, 2, 2]}}",
                    brief(value)
                );
                self.fault(About::Strides, "strides", reason);
                None
            }
        }
    }

    /// ε of the batch normalizations.
    fn epsilon(&mut self) -> Option<f64> {
        self.read(About::Epsilon, "bn_eps", EPSILON_RANGE, within)
    }

    /// The names of the classes.
    fn labels(&mut self) -> Option<Vec<String>> {
        for (key, read) in LABELS {
            let Some(value) = self.get(key) else { continue };
            match read(value) {
                Some(names) if names.is_empty() => {}
                Some(names) => return Some(names),
                None => {
                    let each = if value.is_object() { ", each with a number of its own" } else { "" };
                    self.passed_over(key, value, &format!("names of classes{each}"));
                }
            }
        }
        None
    }
}

const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// Three numbers: as they are, one for all, or ImageNet's by its name.
fn numbers(value: &Value, imagenet: [f64; 3]) -> Option<[f64; 3]> {
    let number = |value: &Value| value.as_f64().filter(|v| (*v as f32).is_finite());
    match value {
        Value::Number(_) => number(value).map(|number| [number; 3]),
        Value::String(name) if name.eq_ignore_ascii_case("imagenet") => Some(imagenet),
        Value::Array(list) => match &list[..] {
            [one] => number(one).map(|number| [number; 3]),
            [r, g, b] => Some([number(r)?, number(g)?, number(b)?]),
            _ => None,
        },
        _ => None,
    }
}

type ReadNames = fn(&Value) -> Option<Vec<String>>;

/// Where names of classes stand, and how.
const LABELS: [(&str, ReadNames); 4] =
    [("label_names", names), ("labels", names), ("id2label", names), ("label2id", numbered)];

/// Names in order, or by number: what has none is empty.
fn names(value: &Value) -> Option<Vec<String>> {
    let name = |value: &Value| match value {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null => Some(String::new()),
        _ => None,
    };
    match value {
        Value::Array(list) => list.iter().map(name).collect(),
        Value::Object(map) => {
            let pairs = map.iter().map(|(id, value)| Some((id.parse().ok(), name(value)?)));
            by_number(pairs.collect::<Option<Vec<_>>>()?)
        }
        _ => None,
    }
}

/// Names with their numbers, as in `{"cat": 0}`.
fn numbered(value: &Value) -> Option<Vec<String>> {
    by_number(value.as_object()?.iter().map(|(name, id)| (id.as_u64(), name.clone())))
}
