//! Servers that are too old, played by one that only says so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error as _;

use lock_core::{ErrorKind, Operation};
use lock_redis::{RedisBackend, RedisConfig};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Reads a command as clients send it.
async fn command(line: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut head = String::new();
    line.read_line(&mut head).await.ok()?;
    let count: usize = head.trim_end().strip_prefix('*')?.parse().ok()?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut length = String::new();
        line.read_line(&mut length).await.ok()?;
        let length: usize = length.trim_end().strip_prefix('$')?.parse().ok()?;
        let mut word = vec![0; length + 2];
        line.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8(word).ok()?.trim_end().to_owned());
    }
    Some(words)
}

/// Answers as a server of this version does, and knows no script.
async fn serve(listener: TcpListener, version: &'static str) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut line = BufReader::new(stream);
            while let Some(words) = command(&mut line).await {
                let answer = match words[0].to_uppercase().as_str() {
                    "HELLO" => "%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n".to_owned(),
                    "CLIENT" if words[1].eq_ignore_ascii_case("INFO") => {
                        "+id=3 addr=127.0.0.1:1\r\n".to_owned()
                    }
                    "CLIENT" => "+OK\r\n".to_owned(),
                    "INFO" => {
                        let text = format!("# Server\r\nredis_version:{version}\r\n");
                        format!("${}\r\n{text}\r\n", text.len())
                    }
                    _ => "-ERR unknown command\r\n".to_owned(),
                };
                line.get_mut().write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }
}

/// Error of connecting to a server of this version.
async fn refused(version: &'static str) -> (ErrorKind, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(serve(listener, version));
    let error = RedisBackend::connect(RedisConfig::parse(&url).unwrap()).await.unwrap_err();
    server.abort();
    assert_eq!((error.operation(), error.is_unknown()), (Operation::Connect, false), "{error:?}");
    (error.kind(), error.source().unwrap().to_string())
}

#[tokio::test]
async fn server_that_is_too_old_is_refused_with_its_version() {
    for version in ["6.0.20", "5.0.14", "2.8", "?"] {
        let (kind, cause) = refused(version).await;
        assert_eq!(kind, ErrorKind::Unsupported, "{version}: {cause}");
        assert!(cause.contains(version) && cause.contains("6.2"), "{cause}");
    }
}

#[tokio::test]
async fn server_that_is_old_enough_is_refused_for_what_it_cannot_do() {
    let (kind, cause) = refused("6.2.0").await;
    assert_eq!(kind, ErrorKind::Unavailable, "{cause}");
    assert!(cause.contains("unknown command"), "{cause}");
}
