//! Ids on the Hugging Face hub to files on this machine, through the hub's usual cache.
//!
//! ```no_run
//! use mobileone::{Model, hub::Hub};
//!
//! let hub = Hub::from_env()?;
//! let file = hub.fetch("timm/mobileone_s1.apple_in1k", &mut |come, all| eprint!("\r{come} of {all}"))?;
//! let model = Model::load(file)?;
//! # Ok::<(), mobileone::Error>(())
//! ```

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use hf_hub::{
    Cache, Repo,
    api::{
        Progress,
        sync::{ApiBuilder, ApiError, ApiRepo},
    },
};

use crate::error::{Error, Result};

const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";

/// Where models are fetched from, and where they are kept.
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

impl Hub {
    /// The hub as the environment describes it: `HF_ENDPOINT`, `HF_HUB_CACHE` or `HF_HOME`, `HF_TOKEN`,
    /// `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// [`Error::Hub`] when there is no folder for the cache.
    pub fn from_env() -> Result<Hub> {
        let text = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = folder("HF_HUB_CACHE")
            .or_else(|| folder("HF_HOME").map(|home| home.join("hub")))
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache/huggingface/hub")))
            .ok_or_else(|| Error::Hub("no home folder for the hub's cache: set HF_HOME".into()))?;
        // The client library compares paths of its own making, which must be absolute.
        let cache = std::path::absolute(&cache).map_err(|source| Error::Io { path: cache, source })?;
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let yes = |value: String| matches!(&*value.to_uppercase(), "1" | "ON" | "YES" | "TRUE");
        Ok(Hub {
            endpoint: endpoint.trim_end_matches('/').into(),
            token: text("HF_TOKEN").or_else(|| Cache::new(cache.clone()).token()),
            cache,
            offline: text("HF_HUB_OFFLINE").is_some_and(yes),
            patience: Duration::from_secs(10),
        })
    }

    /// The file of the model that `id` names, as in `timm/mobileone_s1.apple_in1k`; `config.json`, where the
    /// model has one, comes to lie beside it. What is in the cache is not fetched again, nor is a `config.json`
    /// asked for that is missing beside cached weights: it would have come before them.
    ///
    /// `progress` is told the bytes that have come and the bytes in all.
    ///
    /// # Errors
    /// [`Error::Hub`] naming the address and what to do: no network, no such model, a private one, an answer
    /// that is cut short, silence, a full disk, nothing in the cache when offline.
    pub fn fetch(&self, id: &str, progress: &mut dyn FnMut(u64, u64)) -> Result<PathBuf> {
        let cached = Cache::new(self.cache.clone()).model(id.into()).get(WEIGHTS);
        if let Some(path) = cached {
            return Ok(path);
        }
        if self.offline {
            return Err(Error::Hub(format!(
                "{id}: not in the cache {}, and HF_HUB_OFFLINE is set: unset it, or give the path of a file",
                self.cache.display()
            )));
        }
        // The small file first: once the weights are there, nothing is missing but what the hub lacks.
        match self.get(id, CONFIG, &mut |_, _| {}) {
            Ok(_) | Err(Failure::Absent) => {
                self.get(id, WEIGHTS, progress).map_err(|failure| self.explain(id, WEIGHTS, failure))
            }
            Err(failure) => Err(self.explain(id, CONFIG, failure)),
        }
    }

    /// One file of a model, from the cache or the network.
    ///
    /// The client library knows no timeouts, so it works on a thread of its own, and is left to itself when
    /// nothing has been heard of it for `patience`.
    fn get(
        &self,
        id: &str,
        file: &'static str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<PathBuf, Failure> {
        let cache = Cache::new(self.cache.clone()).model(id.into());
        if let Some(path) = cache.get(file) {
            return Ok(path);
        }
        let repo = ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_progress(false)
            .build()
            .map_err(|error| Failure::Network(error.to_string()))?
            .repo(Repo::model(id.into()));
        let (sender, receiver) = channel();
        let blobs = cache.blob_path("");
        thread::spawn(move || {
            let result = download(&repo, file, &sender, &blobs);
            sender.send(News::Done(result)).ok();
        });
        let (mut come, mut all) = (0, 0);
        loop {
            match receiver.recv_timeout(self.patience) {
                Ok(News::Done(result)) => return result.and_then(|path| whole(path, all)),
                Ok(News::All(bytes)) => (come, all) = (0, bytes),
                Ok(News::Come(bytes)) => come += bytes,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Failure::Network(format!("no answer for {} s", self.patience.as_secs_f64())));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Network("an answer that is not the hub's".into()));
                }
            }
            progress(come, all);
        }
    }

    fn explain(&self, id: &str, file: &str, failure: Failure) -> Error {
        let url = format!("{}/{id}/resolve/main/{file}", self.endpoint);
        Error::Hub(match failure {
            Failure::Absent => format!(
                "{url}: the hub has no such file, nor is there a file or folder {id} here: is it spelled right?"
            ),
            Failure::Forbidden => {
                format!("{url}: no such model, or a private one: check \"{id}\", or set HF_TOKEN")
            }
            Failure::Network(reason) => format!(
                "{url}: {reason}; download {WEIGHTS} and {CONFIG} from there by other means into one folder, \
                 and give the folder's path as the model"
            ),
            Failure::Local(reason) => format!("{id}: {reason}; the cache is {}", self.cache.display()),
        })
    }
}

/// The downloaded file, if it is as long as the hub said; else it is taken out of the cache again.
fn whole(path: PathBuf, expected: u64) -> Result<PathBuf, Failure> {
    let local = |error: io::Error| Failure::Local(error.to_string());
    let found = path.metadata().map_err(local)?.len();
    if found == expected {
        return Ok(path);
    }
    let blob = path.canonicalize().map_err(local)?;
    std::fs::remove_file(blob).map_err(local)?;
    std::fs::remove_file(path).ok();
    Err(Failure::Network(format!("{found} bytes came instead of {expected}")))
}

/// Why a file did not come.
enum Failure {
    /// The hub does not have it.
    Absent,
    /// The hub does not give it to us.
    Forbidden,
    /// The hub was not reached, or did not answer as it should.
    Network(String),
    /// This machine cannot keep it.
    Local(String),
}

/// What the downloading thread has to say.
enum News {
    All(u64),
    Come(u64),
    Done(Result<PathBuf, Failure>),
}

/// Passes the client's progress on.
struct Report(Sender<News>);

impl Progress for Report {
    fn init(&mut self, size: usize, _: &str) {
        self.0.send(News::All(size as u64)).ok();
    }
    fn update(&mut self, size: usize) {
        self.0.send(News::Come(size as u64)).ok();
    }
    fn finish(&mut self) {}
}

/// Downloads `file` into the cache, whose blobs lie in `blobs`. A part left by an earlier try is continued; one
/// that cannot be is dropped, and the file begun anew.
fn download(repo: &ApiRepo, file: &str, news: &Sender<News>, blobs: &Path) -> Result<PathBuf, Failure> {
    let attempt = || repo.download_with_progress(file, Report(news.clone()));
    let result = match attempt() {
        Err(ApiError::InvalidResume) => drop_parts(blobs).and_then(|()| attempt()),
        Err(ApiError::RequestError(e)) if matches!(*e, ureq::Error::StatusCode(416)) => {
            drop_parts(blobs).and_then(|()| attempt())
        }
        result => result,
    };
    result.map_err(|error| match error {
        ApiError::RequestError(error) => match *error {
            ureq::Error::StatusCode(404) => Failure::Absent,
            ureq::Error::StatusCode(401 | 403) => Failure::Forbidden,
            error => Failure::Network(error.to_string()),
        },
        ApiError::IoError(error) if is_local(&error) => Failure::Local(error.to_string()),
        ApiError::IoError(error) => Failure::Network(error.to_string()),
        ApiError::LockAcquisition(path) => {
            Failure::Local(format!("another program is fetching it (it holds {})", path.display()))
        }
        ApiError::MissingHeader(name) => Failure::Network(format!("an answer without {name}: not a hub")),
        error => Failure::Network(error.to_string()),
    })
}

fn drop_parts(blobs: &Path) -> Result<(), ApiError> {
    for entry in std::fs::read_dir(blobs)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "part") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Whether an error comes from this machine's files; the client gives those of the network the same type.
fn is_local(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    let network = matches!(
        error.kind(),
        ConnectionRefused
            | ConnectionReset
            | ConnectionAborted
            | NotConnected
            | BrokenPipe
            | TimedOut
            | UnexpectedEof
            | HostUnreachable
            | NetworkUnreachable
            | NetworkDown
    );
    error.raw_os_error().is_some() && !network
}
