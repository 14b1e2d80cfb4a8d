use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Id,
    cache::Kept,
    client::{Client, Failure},
    env,
    weights::{USUAL, is_weights_name, pick},
};
use crate::{
    error::{Error, Result},
    near,
};

const CONFIG: &str = "config.json";

/// How long the hub is waited for where only the `config.json` of weights that are there already is wanted.
const SHORT: Duration = Duration::from_secs(3);

/// Where models are fetched from, and where they are kept.
///
/// ```no_run
/// use mobileone::{Model, hub::{Hub, Id}};
///
/// let id = Id::parse("timm/mobileone_s1.apple_in1k")?.unwrap();
/// let fetched = Hub::from_env()?.fetch(&id, &mut |come, all| eprint!("\r{come} of {all}"))?;
/// let model = Model::load(fetched.file)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hub {
    /// The server's address, without a slash at the end.
    pub endpoint: String,
    /// The folder of the cache, laid out as every Hugging Face library does it.
    pub cache: PathBuf,
    /// What opens private models.
    pub token: Option<String>,
    /// Whether only the cache may be used.
    pub offline: bool,
    /// The longest silence of the server before it is given up.
    pub patience: Duration,
}

/// A model of the hub, on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The file of weights; the model's `config.json`, where it has one, lies beside it.
    pub file: PathBuf,
    /// Why there is no `config.json` beside the weights although the model may have one.
    pub unknown: Option<String>,
}

impl Hub {
    /// The hub as the environment describes it: `HF_ENDPOINT`; for the cache `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`,
    /// `HF_HOME` or `XDG_CACHE_HOME`, in which `~` and variables may stand; `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN` or
    /// `HF_TOKEN_PATH`; `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// [`Error::Hub`] when there is no folder for the cache.
    pub fn from_env() -> Result<Hub> {
        Ok(Hub {
            endpoint: super::endpoint(),
            cache: env::cache()?,
            token: env::token(),
            offline: env::offline(),
            patience: Duration::from_secs(10),
        })
    }

    /// The files of the model that `id` names: `model.safetensors`, else `pytorch_model.bin`, else the only other file
    /// of weights, and the `config.json` beside it. Weights in the cache are not fetched again. A `config.json` that
    /// is missing beside them is asked for once, with little patience: without it the weights are of use.
    ///
    /// `progress` gets the bytes that have come and the bytes in all.
    ///
    /// # Errors
    /// [`Error::Hub`] naming the address and what to do: no network, no such model, a private one, an answer
    /// that is cut short, silence, a full disk, nothing in the cache when offline.
    pub fn fetch(&self, id: &Id, progress: &mut dyn FnMut(u64, u64)) -> Result<Fetched> {
        let one = id.path.as_deref().filter(|path| is_weights_name(path));
        let folder = match (one, id.path.as_deref()) {
            (Some(file), _) => file.rsplit_once('/').map_or("", |(folder, _)| folder),
            (None, folder) => folder.unwrap_or(""),
        };
        let inside = |name: &str| if folder.is_empty() { name.into() } else { format!("{folder}/{name}") };
        let wanted = one.map_or_else(|| USUAL.map(inside).to_vec(), |file| vec![file.into()]);
        let model = Wanted { hub: self, id, kept: Kept::new(&self.cache, id), config: inside(CONFIG) };
        if let Some(file) = wanted.iter().find_map(|name| model.kept.file(name)) {
            return Ok(model.with_config(file, None));
        }
        // Another file of weights is taken from the cache only where the hub cannot say whether it has a usual one.
        let other = || {
            let names = model.kept.names(folder);
            pick(&names).ok().filter(|_| one.is_none()).and_then(|name| model.kept.file(&inside(name)))
        };
        if self.offline {
            return other().map(|file| model.with_config(file, None)).ok_or_else(|| model.not_kept(folder));
        }
        // The small file first, as what a wrong name or a missing network fails on.
        let client = model.client(id.revision());
        let absent = match client.get(&model.config, &model.kept, self.patience, &mut |_, _| {}) {
            Ok(_) => false,
            Err(Failure::Absent) => true,
            Err(failure) => match (other(), &failure) {
                (Some(file), Failure::Network(reason)) => {
                    return Ok(Fetched { file, unknown: Some(reason.clone()) });
                }
                _ => return Err(model.explain(&model.config, failure)),
            },
        };
        let file = model.weights(&client, &wanted, folder, progress)?;
        Ok(model.with_config(file, Some(absent)))
    }
}

/// One model that is fetched.
struct Wanted<'a> {
    hub: &'a Hub,
    id: &'a Id,
    kept: Kept,
    /// The path of its `config.json` in the repository.
    config: String,
}

impl<'a> Wanted<'a> {
    fn client<'b>(&'b self, revision: &'b str) -> Client<'b> {
        Client { hub: self.hub, repo: &self.id.repo, revision }
    }

    /// The first of the `wanted` files that the hub has, else what its list of files shows.
    fn weights(
        &self,
        client: &Client,
        wanted: &[String],
        folder: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<PathBuf> {
        let patience = self.hub.patience;
        for name in wanted {
            match client.get(name, &self.kept, patience, progress) {
                Err(Failure::Absent) => {}
                result => return result.map_err(|failure| self.explain(name, failure)),
            }
        }
        let none = || self.explain(&wanted[0], Failure::Absent);
        let Ok(all) = client.list(patience) else { return Err(none()) };
        let beside = |path: &String| {
            let name = path.strip_prefix(folder)?;
            let name = if folder.is_empty() { name } else { name.strip_prefix('/')? };
            (!name.contains('/')).then(|| name.to_string())
        };
        let names: Vec<String> = all.iter().filter_map(beside).collect();
        let Id { repo, revision, .. } = self.id;
        let at = |name: &str| Id { repo: repo.clone(), revision: revision.clone(), path: Some(name.into()) };
        match pick(&names) {
            _ if self.id.path.as_deref() == Some(&wanted[0]) => {
                let hint = near::hint(&wanted[0], all.iter().map(String::as_str));
                Err(Error::Hub(format!("{}/{repo}: no file {}{hint}", self.hub.endpoint, wanted[0])))
            }
            Ok(name) => {
                let name = if folder.is_empty() { name.into() } else { format!("{folder}/{name}") };
                client.get(&name, &self.kept, patience, progress).map_err(|f| self.explain(&name, f))
            }
            Err(several) if !several.is_empty() => Err(Error::Hub(format!(
                "{}/{repo}: several files of weights ({}): name one, as in {}",
                self.hub.endpoint,
                shown(&several),
                at(several[0])
            ))),
            Err(_) if all.is_empty() => Err(none()),
            Err(_) => {
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                let address = format!("{}/{repo}", self.hub.endpoint);
                Err(Error::Hub(format!(
                    "{address}: no weights that this program reads among {}",
                    shown(&all)
                )))
            }
        }
    }

    /// `file`, and the `config.json` beside it, which is asked for where nobody knows that there is none. `absent`:
    /// whether the hub just said so.
    fn with_config(&self, file: PathBuf, absent: Option<bool>) -> Fetched {
        if file.with_file_name(CONFIG).is_file() {
            return Fetched { file, unknown: None };
        }
        let Some(commit) = self.kept.commit() else {
            return Fetched { file, unknown: Some("its cache has no snapshot".into()) };
        };
        let known = self.kept.lacks(&commit, &self.config);
        let unknown = match absent {
            Some(true) => Ok(()),
            _ if known => Ok(()),
            _ if self.hub.offline => Err("HF_HUB_OFFLINE is set".into()),
            _ => self.ask_for_config(&commit),
        };
        if unknown.is_ok() && !known && !file.with_file_name(CONFIG).is_file() {
            self.kept.remember_absent(&commit, &self.config);
        }
        Fetched { file, unknown: unknown.err() }
    }

    /// Fetches the `config.json` of `commit`; fine also where there is none.
    fn ask_for_config(&self, commit: &str) -> Result<(), String> {
        let patience = SHORT.min(self.hub.patience);
        let get = |revision: &str| {
            self.client(revision).get(&self.config, &self.kept, patience, &mut |_, _| {}).map(|_| ())
        };
        let result = match self.client(self.id.revision()).commit(&self.config, patience) {
            Ok(now) if now == commit => get(self.id.revision()),
            // The branch has gone on: what fits the weights is the file as it was then.
            Ok(_) | Err(Failure::Absent) => get(commit),
            Err(failure) => Err(failure),
        };
        match result {
            Ok(()) | Err(Failure::Absent) => Ok(()),
            Err(Failure::Forbidden) => Err(format!("{} does not give it: set HF_TOKEN", self.hub.endpoint)),
            Err(Failure::Network(reason)) => Err(format!("{}: {reason}", self.hub.endpoint)),
            Err(Failure::Local(reason)) => Err(reason),
        }
    }

    fn not_kept(&self, folder: &str) -> Error {
        let (id, cache) = (self.id, self.hub.cache.display());
        let what = match self.kept.names(folder).is_empty() {
            true => "not in the cache",
            false => "no weights among its files in the cache",
        };
        let near = match self.kept.commit() {
            None => near::hint(&id.repo, kept_models(&self.hub.cache).iter().map(String::as_str)),
            Some(_) => String::new(),
        };
        Error::Hub(format!(
            "{id}: {what} {cache}, and HF_HUB_OFFLINE is set: unset it, or give the path of a file{near}"
        ))
    }

    fn explain(&self, file: &str, failure: Failure) -> Error {
        let Id { repo, .. } = self.id;
        let url = format!("{}/{repo}/resolve/{}/{file}", self.hub.endpoint, self.id.revision());
        let timm: Vec<String> = super::VARIANTS.iter().map(|variant| super::timm(variant)).collect();
        let near = match timm.contains(repo) {
            true => String::new(),
            false => near::hint(repo, timm.iter().map(String::as_str)),
        };
        Error::Hub(match failure {
            Failure::Absent => {
                let id = self.id;
                let spelled = if near.is_empty() { ": is it spelled right?" } else { &near };
                format!("{url}: the hub has no such file, nor is there a file or folder {id} here{spelled}")
            }
            Failure::Forbidden => {
                format!("{url}: no such model, or a private one: check \"{repo}\", or set HF_TOKEN{near}")
            }
            Failure::Network(reason) => format!(
                "{url}: {reason}; download {} and {CONFIG} from there by other means into one folder, \
                 and give the folder's path as the model",
                file.rsplit('/').next().filter(|name| *name != CONFIG).unwrap_or(USUAL[0]),
            ),
            Failure::Local(reason) => {
                format!("{}: {reason}; the cache is {}", self.id, self.hub.cache.display())
            }
        })
    }
}

/// The models that a cache holds.
fn kept_models(cache: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(cache).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| Some(name.strip_prefix("models--")?.replacen("--", "/", 1))).collect()
}

/// The first few of many names.
fn shown(names: &[&str]) -> String {
    match names.len() {
        0..=6 => names.join(", "),
        count => format!("{} and {} more", names[..5].join(", "), count - 5),
    }
}
