//! `resnet serve`: the program itself, its signals and its usage. `crates/serve` tests the service.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use serde_json::Value;

use crate::common::Sandbox;

const PHOTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tests/photos");

/// A service that is ready.
struct Serving {
    child: Child,
    stderr: BufReader<ChildStderr>,
    address: String,
}

impl Serving {
    fn start(s: &Sandbox, args: &[&str]) -> Serving {
        let mut command = s.command(&[&["serve", "--port", "0"], args].concat());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut serving = Serving { child, stderr, address: String::new() };
        let ready = serving.event("ready");
        let url = ready["url"].as_str().unwrap();
        serving.address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        serving
    }

    /// Waits for a line of the log.
    fn event(&mut self, event: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "it ended before {event}");
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if value["event"] == event {
                return value;
            }
        }
    }

    fn predict(&self, path: &str, photo: &[u8]) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let len = photo.len();
        let head = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: image/x";
        write!(stream, "POST {path} {head}\r\nContent-Length: {len}\r\n\r\n").unwrap();
        stream.write_all(photo).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        serde_json::from_str(body).unwrap()
    }

    fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[cfg(unix)]
fn it_answers_as_predict_reloads_at_sighup_and_ends_at_sigterm() {
    let s = Sandbox::new();
    s.run(&["convert", "demo", "net.safetensors"]).success();
    let options = ["--image-size", "40", "--dtype", "bf16", "--threads", "2"];
    let args = [&["demo", "--model", "other=net.safetensors"], &options[..]].concat();
    let mut serving = Serving::start(&s, &args);
    for name in ["exif-6.jpg", "rgb.png", "grey.jpg"] {
        let photo = Path::new(PHOTOS).join(name);
        fs::copy(&photo, s.path(name)).unwrap();
        let expected = s.json(&[&["predict", "demo", name, "--json"], &options[..]].concat());
        for path in ["/v1/predict", "/v1/models/other/predict"] {
            let found = serving.predict(path, &fs::read(&photo).unwrap());
            assert_eq!(found["predictions"][0]["top"], expected[0]["top"], "{name} {path}");
        }
    }
    serving.signal("-HUP");
    assert_eq!(serving.event("loaded")["model"], "demo");
    assert_eq!(serving.event("loaded")["model"], "other");
    serving.signal("-TERM");
    serving.event("ended");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
#[cfg(unix)]
fn a_log_that_nobody_reads_keeps_no_request_waiting() {
    let s = Sandbox::new();
    let mut serving = Serving::start(&s, &["demo"]);
    // Their lines are more than a pipe holds.
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(&serving.address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        write!(stream, "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    serving.signal("-TERM");
    serving.event("ended");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn wrong_usage_is_named() {
    let s = Sandbox::new();
    fs::write(s.path("empty"), "\n\n").unwrap();
    fs::write(s.path("spaced"), "a token\n").unwrap();
    for (args, parts) in [
        (&[""; 0][..], &["required arguments"][..]),
        (&["--model", "net.pt"], &["NAME=PATH"]),
        (&["demo", "--model", "demo=x.pt"], &["two models are called demo", "--model"]),
        (&["a b.pt"], &["a b.pt is no name for a model", "--model"]),
        (&["demo", "--max-images", "99", "--queue", "10"], &["--queue 10", "--max-images 99"]),
        (&["demo", "--max-batch", "64"], &["from 1 to 32"]),
        (&["demo", "--max-body", "1K"], &["from 64K to 1G"]),
        (&["demo", "--listen", "127.0.0.1:0", "--port", "1"], &["--listen", "--port"]),
        (&["demo", "--listen", ":8000"], &["localhost:8000"]),
        (&["demo", "--host", ""], &["--host"]),
    ] {
        s.run(&[&["serve"], args].concat()).fails(2, parts);
    }
    for (option, host) in [("--host", "a..b"), ("--listen", "a..b:80")] {
        let unknown = format!("a..b cannot be looked up ({option})");
        s.run(&["serve", "demo", option, host]).fails(1, &[&unknown, "127.0.0.1"]);
    }
    s.run(&["serve", "demo", "--token-file", "none"]).fails(1, &["none cannot be read"]);
    s.run(&["serve", "demo", "--token-file", "empty"]).fails(1, &["empty has no token"]);
    s.run(&["serve", "demo", "--token-file", "spaced"]).fails(1, &["spaced has a token with"]);
}

#[test]
fn it_ends_if_it_cannot_begin() {
    let s = Sandbox::new();
    let missing = s.run(&["serve", "none.pt", "--port", "0", "--quiet"]);
    missing.fails(1, &["none.pt"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = s.run(&["serve", "demo", "--port", &port, "--quiet"]);
    refused.fails(1, &["cannot listen on 127.0.0.1:", "--port"]);
    let listen = format!("localhost:{port}");
    let refused = s.run(&["serve", "demo", "--listen", &listen, "--quiet"]);
    refused.fails(1, &["cannot listen on 127.0.0.1:"]);
}
