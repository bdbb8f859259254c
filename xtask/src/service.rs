//! The service as a process, and calls of HTTP services.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A call that is not answered for that long fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process of the service on a SQLite file, killed with the value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Kept open: the program may print more.
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the program with its data in `folder`, and returns the address that it listens on.
    pub(crate) fn start(program: &Path, folder: &Path, address: &str) -> Result<(Self, String)> {
        fs::create_dir_all(folder)?;
        let store = format!("sqlite:{}", folder.join("locks.db").display());
        let log = File::options().create(true).append(true).open(folder.join("server.log"))?;
        let mut child = Command::new(program)
            .args([address, &store])
            .arg(folder.join("states"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("the server does not start")?;
        let stdout = child.stdout.take().context("stdout was piped")?;
        let mut process = Self { child, stdout: BufReader::new(stdout) };
        let mut line = String::new();
        process.stdout.read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.with_context(|| {
            format!("the server does not listen: see {}", folder.join("server.log").display())
        })?;
        Ok((process, address.to_owned()))
    }

    /// Kills the process, without a warning.
    pub(crate) fn kill(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Makes one call, and returns the status and the body of the answer.
pub(crate) fn call(
    address: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<(String, String)> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect(address).context("the server is gone")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // All answers have a length; not every server closes the connection after one.
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len(),
    )?;
    let mut reader = BufReader::new(stream);
    let (mut status, mut length) = (String::new(), 0);
    reader.read_line(&mut status)?;
    let status = status.split(' ').nth(1).context("the answer was cut off")?.to_owned();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).context("the answer was cut off")?;
    Ok((status, String::from_utf8(body)?))
}

/// Makes one call, which must succeed and be answered in JSON.
pub(crate) fn ask(address: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let (status, body) = call(address, method, path, body)?;
    ensure!(status == "200", "{method} {path} was answered {status}: {body}");
    Ok(serde_json::from_str(&body)?)
}

/// Repeats `look` until it returns something, for at most this long.
#[expect(clippy::disallowed_methods, reason = "real processes have no other clock")]
pub(crate) fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(start.elapsed() < patience, "in vain for {} s: {what}", patience.as_secs());
        thread::sleep(Duration::from_millis(20));
    }
}
