//! A client of HTTP that can misbehave.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// Reads an answer to the end of its connection.
    pub(super) async fn read(stream: &mut TcpStream) -> Reply {
        let mut bytes = Vec::new();
        // A connection that is reset has no answer.
        let _ = stream.read_to_end(&mut bytes).await;
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("the head of an answer");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Asserts that it is a problem.
    pub(super) fn is_problem(&self, status: u16, code: &str) -> &Reply {
        assert_eq!(self.status, status, "{self:?} {}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let json = self.json();
        assert_eq!((&json["status"], &json["code"]), (&status.into(), &code.into()));
        assert!(json["detail"].as_str().is_some_and(|text| text.len() > 10), "{json}");
        assert_eq!(json["error"], json["detail"]);
        let waits = [429, 503].contains(&status);
        assert_eq!(self.header("retry-after").is_some(), waits, "{self:?}");
        self
    }
}

/// A request: method and path, headers, body.
pub(super) async fn send(
    address: SocketAddr,
    request: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&head(request, headers, body.len())).await.unwrap();
    // A body that is refused need not arrive.
    let _ = stream.write_all(body).await;
    Reply::read(&mut stream).await
}

/// The head of a request on a connection of its own, with a body of this length.
pub(super) fn head(request: &str, headers: &[(&str, &str)], len: usize) -> Vec<u8> {
    let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers: String = headers.collect();
    let fixed = format!("Host: x\r\nConnection: close\r\nContent-Length: {len}\r\n");
    format!("{request} HTTP/1.1\r\n{fixed}{headers}\r\n").into_bytes()
}

pub(super) async fn get(address: SocketAddr, path: &str) -> Reply {
    send(address, &format!("GET {path}"), &[], &[]).await
}

pub(super) async fn post(address: SocketAddr, path: &str, kind: &str, body: &[u8]) -> Reply {
    send(address, &format!("POST {path}"), &[("Content-Type", kind)], body).await
}
