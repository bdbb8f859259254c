//! A client of Redis that does as little as possible: one command, one answer.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};

/// A connection to Redis that sends a command and reads its answer.
///
/// It never reconnects and has no time limit, so a test sees what happens on the wire. A dropped
/// call leaves its answer unread: drop the client too.
pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

impl Client {
    /// Connects by TCP.
    ///
    /// # Errors
    /// If nothing listens there.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Connects to a unix socket.
    ///
    /// # Errors
    /// If nothing listens there.
    pub async fn connect_unix(path: &Path) -> io::Result<Self> {
        Ok(Self::over(UnixStream::connect(path).await?))
    }

    fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    /// Sends a command and returns its answer as text.
    ///
    /// Arrays have an element a line; nothing is `(nil)`; an error begins with `(error) `, and is
    /// an answer like any other.
    ///
    /// # Errors
    /// If the connection ends before the answer.
    ///
    /// # Cancel safety
    /// The command may or may not happen, and the client is of no more use.
    pub async fn command(&mut self, words: &[&str]) -> io::Result<String> {
        self.send(words).await?;
        self.receive().await
    }

    /// Sends a command, and leaves the answer for [`receive`](Self::receive).
    ///
    /// # Errors
    /// If the connection has ended.
    ///
    /// # Cancel safety
    /// The command may be sent in part: the client is of no more use.
    pub async fn send(&mut self, words: &[&str]) -> io::Result<()> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await
    }

    /// Reads the next answer or message.
    ///
    /// # Errors
    /// If the connection ends before it.
    ///
    /// # Cancel safety
    /// It may be read in part: the client is of no more use.
    pub async fn receive(&mut self) -> io::Result<String> {
        let (mut lines, mut missing) = (Vec::new(), 1);
        while missing > 0 {
            missing -= 1;
            let line = self.line().await?;
            let (kind, text) = line.split_at_checked(1).ok_or(ErrorKind::InvalidData)?;
            match kind {
                "-" => lines.push(format!("(error) {text}")),
                "$" | "*" if text.starts_with('-') => lines.push("(nil)".to_owned()),
                "$" => lines.push(self.bulk(number(text)?).await?),
                "*" => missing += number(text)?,
                _ => lines.push(text.to_owned()),
            }
        }
        Ok(lines.join("\n"))
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    async fn bulk(&mut self, length: usize) -> io::Result<String> {
        let mut bytes = vec![0; length + "\r\n".len()];
        self.stream.read_exact(&mut bytes).await?;
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn number(text: &str) -> io::Result<usize> {
    text.parse().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
