//! A client that keeps its connection, and costs little beside the server.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection, and what was read of it.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("an option");
        Self { stream, read: Vec::with_capacity(2048) }
    }

    /// Sends a request.
    pub(crate) async fn send(&mut self, path: &str, body: &str) {
        self.write("POST", path, body).await;
    }

    /// Makes a call without a body.
    pub(crate) async fn get(&mut self, path: &str) -> String {
        self.write("GET", path, "").await;
        self.answer().await
    }

    async fn write(&mut self, method: &str, path: &str, body: &str) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("the server reads");
    }

    /// Makes a call, and returns the body of the answer, which must be a success.
    pub(crate) async fn call(&mut self, path: &str, body: &str) -> String {
        self.send(path, body).await;
        self.answer().await
    }

    async fn answer(&mut self) -> String {
        self.read.clear();
        loop {
            let count = self.stream.read_buf(&mut self.read).await.expect("an answer");
            assert!(count > 0, "the server hung up");
            let text = std::str::from_utf8(&self.read).expect("text");
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            assert!(head.starts_with("HTTP/1.1 200"), "{text}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|it| it.parse().ok()).expect("a length");
            if body.len() == length {
                return body.to_owned();
            }
        }
    }
}
