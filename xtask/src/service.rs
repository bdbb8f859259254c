//! The service as a process, and calls of HTTP services.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::sh::Sh;

/// A call that is not answered for that long fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// How `lockctl serve` is started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    program: PathBuf,
    folder: PathBuf,
    store: String,
    options: Vec<String>,
}

impl Launch {
    /// On a SQLite file in `folder`.
    pub(crate) fn new(program: &Path, folder: &Path) -> Self {
        let store = format!("sqlite:{}", folder.join("locks.db").display());
        Self { program: program.to_owned(), folder: folder.to_owned(), store, options: Vec::new() }
    }

    /// On another store.
    pub(crate) fn with_store(self, store: String) -> Self {
        Self { store, ..self }
    }

    pub(crate) fn with_options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// Starts the program, and returns the address that it listens on.
    pub(crate) fn start(&self, address: &str) -> Result<(Process, String)> {
        let (process, started) = self.started(address)?;
        let url = started["url"].as_str().context("the server tells no URL")?;
        let address = url.split_once("://").map_or(url, |(_, address)| address);
        Ok((process, address.to_owned()))
    }

    /// The same, and returns all that it says of itself.
    pub(crate) fn started(&self, address: &str) -> Result<(Process, Value)> {
        let folder = &self.folder;
        fs::create_dir_all(folder)?;
        let log = File::options().create(true).append(true).open(folder.join("server.log"))?;
        let mut child = Command::new(&self.program)
            .args(["--url", &self.store, "--json", "serve", "--listen", address])
            .args(&self.options)
            // The person's own settings decide nothing.
            .env_remove("LOCKCTL_URL")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("the server does not start")?;
        let stdout = child.stdout.take().context("stdout was piped")?;
        let mut process = Process { child, stdout: BufReader::new(stdout) };
        let mut line = String::new();
        process.stdout.read_line(&mut line)?;
        let started: Value = serde_json::from_str(&line).with_context(|| {
            format!("the server does not listen: see {}", folder.join("server.log").display())
        })?;
        Ok((process, started))
    }
}

/// A process of the service, killed with the value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Kept open: the program may print more.
    stdout: BufReader<ChildStdout>,
}

impl Process {
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

/// Builds `lockctl` and returns its path.
///
/// A test is built beside it: dependencies then have the features that the tests need, and nothing that
/// was built for them is built again.
pub(crate) fn build(sh: &Sh) -> Result<PathBuf> {
    sh.cargo(&["build", "--quiet", "--all-features", "--bin", "lockctl", "--test", "serve"])
        .run()?;
    Ok(sh.metadata()?.target_directory.into_std_path_buf().join("debug/lockctl"))
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
