//! Models from the hub: a server on loopback that answers as the hub does, and as a hub should not.

mod cache;
mod names;
mod server;

use std::{
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use mobileone::hub::{Fetched, Hub, Id};

use server::{Request, head, listen, request, status};

const ID: &str = "someone/mobileone_tiny";
const CONFIG: &[u8] = b"{\"architecture\": \"mobileone_tiny\"}";

/// How the server answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    /// As the hub does.
    Good,
    /// No `config.json`.
    NoConfig,
    /// No file at all.
    Empty,
    /// As for a private model.
    Private,
    /// The connection ends in the middle of the weights.
    Truncated,
    /// The whole file, whatever range was asked for.
    Rangeless,
    /// Less than it says, in a well-formed answer.
    Lying,
    /// It accepts, and says nothing.
    Silent,
    /// Half of the weights, then nothing more.
    Stalling,
    /// A web page, as behind a hotel's login.
    Page,
    /// Not even HTTP.
    Noise,
    /// It fails.
    Broken,
}

/// A server on loopback; it ends with the test.
struct Server {
    /// Its address.
    endpoint: String,
    requests: Arc<AtomicUsize>,
}

/// Starts a server that gives out `weights` in this `mood`.
fn serve(mood: Mood, weights: Vec<u8>) -> Server {
    let (counter, weights) = (Arc::new(AtomicUsize::new(0)), Arc::new(weights));
    let requests = counter.clone();
    let endpoint = listen(move |stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        answer(stream, mood, &weights);
    });
    Server { endpoint, requests }
}

fn answer(mut stream: TcpStream, mood: Mood, weights: &[u8]) -> Option<()> {
    let Request { path, range, .. } = request(&stream)?;
    let file = path.rsplit('/').next()?;
    let body = if file == "config.json" { CONFIG } else { weights };
    let is_weights = file != "config.json";
    match mood {
        Mood::Empty => return status(&mut stream, "404 Not Found"),
        Mood::NoConfig if !is_weights => return status(&mut stream, "404 Not Found"),
        Mood::Private => return status(&mut stream, "401 Unauthorized"),
        Mood::Broken => return status(&mut stream, "503 Service Unavailable"),
        Mood::Noise => return stream.write_all(b"\x00\xff no web server\r\n\r\n").ok(),
        Mood::Page => {
            return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlogin")
                .ok();
        }
        Mood::Silent => {
            thread::sleep(Duration::from_secs(20));
            return None;
        }
        _ => {}
    }
    let commit = path.strip_prefix(&format!("/{ID}/resolve/"))?.split('/').next()?;
    assert!(["main", "0123abcd"].contains(&commit), "{path}");
    let (start, end) = range
        .filter(|_| mood != Mood::Rangeless || range == Some((0, Some(0))))
        .map_or((0, body.len()), |(start, end)| (start, end.map_or(body.len(), |end| end + 1)));
    if start >= body.len() {
        return status(&mut stream, "416 Range Not Satisfiable");
    }
    let mut part = &body[start..end];
    if mood == Mood::Lying && is_weights && part.len() > 1 {
        part = &part[..part.len() / 2];
    }
    head(&mut stream, &format!("{file}-etag"), "0123abcd", [start, end, body.len()], part.len())?;
    let half = &part[..part.len() / 2];
    match mood {
        Mood::Truncated if is_weights && part.len() > 1 => stream.write_all(half).ok(),
        Mood::Stalling if is_weights && part.len() > 1 => {
            stream.write_all(half).ok()?;
            thread::sleep(Duration::from_secs(20));
            None
        }
        _ => stream.write_all(part).ok(),
    }
}

fn weights() -> Vec<u8> {
    (0..100_000u32).map(|i| (i * 7 % 251) as u8).collect()
}

/// An empty folder of this name.
pub fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::remove_dir_all(&path).ok();
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn hub(server: &Server, name: &str) -> Hub {
    hub_at(&server.endpoint, name)
}

fn hub_at(endpoint: &str, name: &str) -> Hub {
    Hub {
        endpoint: endpoint.into(),
        cache: folder(name),
        token: None,
        offline: false,
        patience: Duration::from_secs(60),
    }
}

/// The same for a server that stops answering.
fn impatient(hub: Hub) -> Hub {
    Hub { patience: Duration::from_secs(2), ..hub }
}

fn id(text: &str) -> Id {
    Id::parse(text).unwrap().unwrap()
}

/// The model called `text`.
fn fetch_id(hub: &Hub, text: &str) -> Result<Fetched, String> {
    hub.fetch(&id(text), &mut |_, _| {}).map_err(|error| error.to_string())
}

/// The weights of the model, of which everything must be known.
fn fetch(hub: &Hub) -> Result<PathBuf, String> {
    let fetched = fetch_id(hub, ID)?;
    assert_eq!(fetched.unknown, None);
    Ok(fetched.file)
}

#[test]
fn a_model_is_fetched_once() {
    for mood in [Mood::Good, Mood::NoConfig] {
        let server = serve(mood, weights());
        let hub = hub(&server, &format!("hub-{mood:?}"));
        let (mut last, mut steps) = ((0, 0), 0);
        let fetched = hub.fetch(&id(ID), &mut |come, all| (last, steps) = ((come, all), steps + 1)).unwrap();
        let path = fetched.file;
        assert_eq!(fetched.unknown, None);
        assert_eq!(std::fs::read(&path).unwrap(), weights());
        assert_eq!(last, (100_000, 100_000));
        assert!(steps > 1);
        let config = std::fs::read(path.with_file_name("config.json")).ok();
        assert_eq!(config.as_deref(), (mood == Mood::Good).then_some(CONFIG), "it lies beside the weights");
        let before = server.requests.load(Ordering::SeqCst);
        assert_eq!(fetch(&hub), Ok(path.clone()));
        assert_eq!(server.requests.load(Ordering::SeqCst), before, "the cache is enough");
        let offline = Hub { offline: true, endpoint: "http://127.0.0.1:1".into(), ..hub.clone() };
        assert_eq!(fetch(&offline), Ok(path.clone()));
        let unreachable = Hub { endpoint: "http://127.0.0.1:1".into(), ..hub };
        assert_eq!(fetch(&unreachable), Ok(path), "what is cached needs no network");
    }
}

#[test]
fn what_goes_wrong_is_said() {
    let rows = [
        (Mood::Empty, "/someone/mobileone_tiny/resolve/main/model.safetensors: the hub has no such file"),
        (Mood::Private, "no such model, or a private one: check \"someone/mobileone_tiny\", or set HF_TOKEN"),
        (
            Mood::Broken,
            "/resolve/main/config.json: http status: 503; download model.safetensors and config.json",
        ),
        (Mood::Silent, "/resolve/main/config.json: no answer for 2 s; download"),
        (Mood::Stalling, "/resolve/main/model.safetensors: no answer for 2 s; download"),
        (Mood::Truncated, "/resolve/main/model.safetensors: Peer disconnected; download"),
        (Mood::Lying, "/resolve/main/model.safetensors: 50000 bytes came instead of 100000; download"),
        (Mood::Page, "an answer without etag: not a hub; download"),
        (Mood::Noise, "; download"),
    ];
    for (mood, expected) in rows {
        let server = serve(mood, weights());
        let hub = hub(&server, &format!("hub-{mood:?}"));
        let waits = matches!(mood, Mood::Silent | Mood::Stalling);
        let error = fetch(&if waits { impatient(hub) } else { hub }).unwrap_err();
        assert!(error.contains(expected), "{mood:?}: {error}");
        assert!(error.contains(&server.endpoint) && !error.contains('\n'), "{mood:?}: {error}");
    }
    let nobody = Hub {
        endpoint: "http://127.0.0.1:1".into(),
        cache: folder("hub-nobody"),
        token: None,
        offline: false,
        patience: Duration::from_secs(60),
    };
    let error = fetch(&nobody).unwrap_err();
    assert!(error.contains("http://127.0.0.1:1/someone/mobileone_tiny/resolve/main/config.json"), "{error}");
    assert!(error.contains("refused") && error.contains("give the folder's path as the model"), "{error}");
    let error = fetch(&Hub { offline: true, ..nobody }).unwrap_err();
    assert!(error.starts_with("someone/mobileone_tiny: not in the cache"), "{error}");
    assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
}

#[test]
fn a_broken_download_leaves_nothing_wrong_behind() {
    for mood in [Mood::Truncated, Mood::Lying, Mood::Stalling] {
        let cut = serve(mood, weights());
        let hub = hub(&cut, &format!("hub-again-{mood:?}"));
        fetch(&if mood == Mood::Stalling { impatient(hub.clone()) } else { hub.clone() }).unwrap_err();
        let offline = Hub { offline: true, ..hub.clone() };
        assert!(fetch(&offline).is_err(), "{mood:?}: half a file must not pass for a whole one");
        if mood == Mood::Stalling {
            continue;
        }
        for again in [Mood::Good, Mood::Rangeless] {
            let server = serve(again, weights());
            let hub = Hub { endpoint: server.endpoint.clone(), ..hub.clone() };
            // A server that ignores ranges spoils the continued part: it is found out, and the next try is clean.
            let path = fetch(&hub).or_else(|_| fetch(&hub)).unwrap();
            assert_eq!(std::fs::read(path).unwrap(), weights(), "{mood:?}, then {again:?}");
        }
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let server = serve(Mood::Good, weights());
    let file = folder("hub-file").join("cache");
    std::fs::write(&file, "a file where the folder should be").unwrap();
    let hub = Hub { cache: file.clone(), ..hub(&server, "hub-unwritable") };
    let error = fetch(&hub).unwrap_err();
    assert!(error.contains(&format!("the cache is {}", file.display())), "{error}");
}
