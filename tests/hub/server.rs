//! A server on loopback that answers as the hub does, for the tests of the library and of the command.

#![allow(dead_code)] // neither asks all of it

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A hub that has some files, each at its path, in a commit; it keeps what was asked for.
#[derive(Clone)]
pub struct Files {
    /// Its address.
    pub endpoint: String,
    has: Arc<Mutex<Has>>,
}

struct Has {
    commit: String,
    files: Vec<(String, Vec<u8>)>,
    asked: Vec<String>,
    token: Option<String>,
}

impl Files {
    /// A hub with these files of `u/m` on `main`, and the list of them.
    pub fn new(files: &[(&str, &[u8])]) -> Files {
        let list: Vec<_> = files.iter().map(|(name, _)| serde_json::json!({"rfilename": name})).collect();
        let list = serde_json::json!({"siblings": list, "sha": "a".repeat(40)}).to_string();
        let of_main = files.iter().map(|(name, bytes)| (format!("/u/m/resolve/main/{name}"), bytes.to_vec()));
        let files = of_main.chain([("/api/models/u/m/revision/main".into(), list.into_bytes())]).collect();
        let has = Arc::new(Mutex::new(Has { commit: "a".repeat(40), files, asked: Vec::new(), token: None }));
        let own = has.clone();
        Files { endpoint: listen(move |stream| give(stream, &own).unwrap_or_default()), has }
    }

    /// Has a file more, at a path such as `/u/m/resolve/v1/config.json`.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.has.lock().unwrap().files.push((path.into(), bytes.to_vec()));
    }

    /// Gives out its files as those of another commit.
    pub fn go_on(&self, commit: &str) {
        self.has.lock().unwrap().commit = commit.into();
    }

    /// The token that came with the last request.
    pub fn token(&self) -> Option<String> {
        self.has.lock().unwrap().token.clone()
    }

    /// What was asked for since the last time.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.has.lock().unwrap().asked)
    }
}

/// Answers requests on loopback until the test ends, `each` in a thread of its own; gives the address.
pub fn listen(each: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let each = Arc::new(each);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            thread::spawn(move || each(stream));
        }
    });
    endpoint
}

/// What is asked for.
pub struct Request {
    pub path: String,
    /// The first byte and the last.
    pub range: Option<(usize, Option<usize>)>,
    pub token: Option<String>,
}

/// The request that `stream` begins with.
pub fn request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_string();
    let (mut range, mut token) = (None, None);
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if line.to_lowercase().starts_with("authorization: bearer ") {
            token = line.split(' ').nth(2).map(String::from);
        }
        if let Some(value) = line.to_lowercase().strip_prefix("range: bytes=") {
            let (start, end) = value.split_once('-')?;
            range = Some((start.parse::<usize>().ok()?, end.parse::<usize>().ok()));
        }
    }
    Some(Request { path, range, token })
}

/// An answer without a body.
pub fn status(stream: &mut TcpStream, line: &str) -> Option<()> {
    write!(stream, "HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()
}

/// The head of an answer with `part` of a file, its first byte, the one after its last, and those of the whole; it claims to be of `length`.
pub fn head(stream: &mut TcpStream, etag: &str, commit: &str, part: [usize; 3], length: usize) -> Option<()> {
    let [start, end, all] = part;
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nETag: \"{etag}\"\r\nX-Repo-Commit: {commit}\r\n\
         Content-Range: bytes {start}-{}/{all}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
        end - 1,
    )
    .ok()
}

fn give(mut stream: TcpStream, has: &Mutex<Has>) -> Option<()> {
    let Request { path, range, token } = request(&stream)?;
    let (commit, body) = {
        let mut has = has.lock().unwrap();
        has.token = token;
        has.asked.push(path.clone());
        // A revision that is a commit gives that commit's files.
        let revision = path.split('/').nth(4).filter(|revision| revision.len() == 40);
        let commit = revision.unwrap_or(&has.commit).to_string();
        (commit, has.files.iter().find(|(file, _)| *file == path).map(|(_, bytes)| bytes.clone()))
    };
    let Some(body) = body else { return status(&mut stream, "404 Not Found") };
    let (start, end) =
        range.map_or((0, body.len()), |(start, end)| (start, end.map_or(body.len(), |end| end + 1)));
    let etag = format!("{:x}-{}", body.len(), path.replace('/', "-"));
    head(&mut stream, &etag, &commit, [start, end, body.len()], end - start)?;
    stream.write_all(&body[start..end]).ok()
}
