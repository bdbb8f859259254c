//! The server under test: a process, and the calls that a scenario makes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::until;

/// The name of the state that every apply changes.
const STATE: &str = "sample";

/// A server on a SQLite file, ended with the value.
#[derive(Debug)]
pub(super) struct Server {
    program: PathBuf,
    folder: PathBuf,
    process: Process,
    /// `127.0.0.1:PORT`.
    pub(super) address: String,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// Kept open: the program may print more.
    stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts `program` on a free port, with its data in `folder`.
    pub(super) fn start(program: PathBuf, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let (process, address) = Process::start(&program, &folder, "127.0.0.1:0")?;
        Ok(Self { program, folder, process, address })
    }

    /// Kills the server, and starts it again with the same address and data.
    pub(super) fn kill_and_restart(&mut self) -> Result<()> {
        self.process.kill();
        let (process, address) = Process::start(&self.program, &self.folder, &self.address)?;
        ensure!(address == self.address, "the server moved from {} to {address}", self.address);
        self.process = process;
        Ok(())
    }

    /// Returns the lock of the state.
    pub(super) fn key() -> String {
        format!("terraform/{STATE}")
    }

    /// Returns the state's URL at an address.
    pub(super) fn state_url(address: &str) -> String {
        format!("http://{address}/terraform/{STATE}")
    }

    /// Returns the requests for the lock, in the order of the queue, the holder first.
    pub(super) fn queue(&self) -> Result<Vec<String>> {
        let lock = self.call("GET", &format!("/v1/locks/{}?limit=1000", Self::key()), None)?;
        let leases = lock["value"]["leases"].as_array().context("no leases")?;
        let waiters = lock["value"]["waiters"]["items"].as_array().context("no waiters")?;
        let request = |entry: &Value| entry["request"].as_str().map(str::to_owned);
        leases.iter().chain(waiters).map(|entry| request(entry).context("no request")).collect()
    }

    /// Waits until the queue has this many requests with the holder, and returns them.
    pub(super) fn queue_of(&self, number: usize) -> Result<Vec<String>> {
        until(&format!("{number} requests in the queue"), || {
            let queue = self.queue()?;
            Ok((queue.len() == number).then_some(queue))
        })
    }

    /// Evicts whoever holds the lock.
    pub(super) fn evict(&self) -> Result<()> {
        let body = serde_json::json!({
            "key": Self::key(),
            "by": "operator",
            "reason": "the runner is gone",
        });
        self.call("POST", "/v1/evict", Some(&body)).map(drop)
    }

    /// Returns the names of the resources in the state, in order.
    pub(super) fn resources(&self) -> Result<Vec<String>> {
        let state = self.call("GET", &format!("/terraform/{STATE}"), None)?;
        let resources = state["resources"].as_array().context("no resources in the state")?;
        let name = |resource: &Value| resource["name"].as_str().map(str::to_owned);
        let mut names: Vec<_> = resources.iter().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    /// Makes one call, which must succeed and be answered in JSON.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(&self.address).context("the server is gone")?;
        // By version 1.0 the answer comes in one piece and ends with the connection.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the answer was cut off")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        ensure!(status == "200", "{method} {path} was answered {status}: {body}");
        Ok(serde_json::from_str(body)?)
    }
}

impl Process {
    /// Starts the program, and returns the address that it listens on.
    fn start(program: &Path, folder: &Path, address: &str) -> Result<(Self, String)> {
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
    fn kill(&mut self) {
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
