//! One file, or the list of files, off the network.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use hf_hub::{
    Cache, Repo, RepoType,
    api::{
        Progress,
        sync::{ApiBuilder, ApiError, ApiRepo},
    },
};

use super::{Hub, cache::Kept};

/// Asks the hub about one revision of one repository.
///
/// The client library knows no timeouts, so it works on a thread of its own, and is left to itself when nothing has
/// been heard of it for the given patience.
pub(super) struct Client<'a> {
    pub hub: &'a Hub,
    pub repo: &'a str,
    pub revision: &'a str,
}

impl Client<'_> {
    /// Fetches a file into the cache.
    pub fn get(
        &self,
        file: &str,
        kept: &Kept,
        patience: Duration,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<PathBuf, Failure> {
        let (file, blobs) = (file.to_string(), kept.blobs());
        let mut all = 0;
        let path = self.ask(
            patience,
            &mut |come, bytes| {
                all = bytes;
                progress(come, bytes);
            },
            move |repo, news| download(repo, &file, news, &blobs),
        )?;
        whole(path, all)
    }

    /// The commit that the hub has a file in.
    pub fn commit(&self, file: &str, patience: Duration) -> Result<String, Failure> {
        let api = self.api()?;
        let file = file.to_string();
        self.ask(patience, &mut |_, _| {}, move |repo, _| {
            Ok(api.metadata(&repo.url(&file)).map_err(failure)?.commit_hash().to_string())
        })
    }

    /// The names of the repository's files.
    pub fn list(&self, patience: Duration) -> Result<Vec<String>, Failure> {
        self.ask(patience, &mut |_, _| {}, |repo, _| {
            let info = repo.info().map_err(failure)?;
            Ok(info.siblings.into_iter().map(|file| file.rfilename).collect())
        })
    }

    fn api(&self) -> Result<hf_hub::api::sync::Api, Failure> {
        ApiBuilder::from_cache(Cache::new(self.hub.cache.clone()))
            .with_endpoint(self.hub.endpoint.clone())
            .with_token(self.hub.token.clone())
            .with_progress(false)
            .build()
            .map_err(|error| Failure::Network(error.to_string()))
    }

    fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        progress: &mut dyn FnMut(u64, u64),
        work: impl FnOnce(&ApiRepo, &dyn Fn() -> Report<T>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let repo = Repo::with_revision(self.repo.into(), RepoType::Model, self.revision.into());
        let repo = self.api()?.repo(repo);
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let result = work(&repo, &|| Report(sender.clone()));
            sender.send(News::Done(result)).ok();
        });
        let (mut come, mut all) = (0, 0);
        loop {
            match receiver.recv_timeout(patience) {
                Ok(News::Done(result)) => return result,
                Ok(News::All(bytes)) => (come, all) = (0, bytes),
                Ok(News::Come(bytes)) => come += bytes,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Failure::Network(format!("no answer for {} s", patience.as_secs_f64())));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Network("an answer that is not the hub's".into()));
                }
            }
            progress(come, all);
        }
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
pub(super) enum Failure {
    /// The hub does not have it.
    Absent,
    /// The hub does not give it to us.
    Forbidden,
    /// The hub was not reached, or did not answer as it should.
    Network(String),
    /// This machine cannot keep it.
    Local(String),
}

/// What the asking thread has to say.
enum News<T> {
    All(u64),
    Come(u64),
    Done(Result<T, Failure>),
}

/// Passes the client's progress on.
struct Report<T>(Sender<News<T>>);

impl<T> Progress for Report<T> {
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
fn download<T>(
    repo: &ApiRepo,
    file: &str,
    report: &dyn Fn() -> Report<T>,
    blobs: &Path,
) -> Result<PathBuf, Failure> {
    let attempt = || repo.download_with_progress(file, report());
    let result = match attempt() {
        Err(ApiError::InvalidResume) => drop_parts(blobs).and_then(|()| attempt()),
        Err(ApiError::RequestError(e)) if matches!(*e, ureq::Error::StatusCode(416)) => {
            drop_parts(blobs).and_then(|()| attempt())
        }
        result => result,
    };
    result.map_err(failure)
}

fn failure(error: ApiError) -> Failure {
    match error {
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
    }
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
