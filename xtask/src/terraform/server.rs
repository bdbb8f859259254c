//! The server under test: a process, and the calls that a scenario makes.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::until;
use crate::service::{Process, ask};

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

impl Server {
    /// Starts `program` on a free port, with its data in `folder`.
    pub(super) fn start(program: PathBuf, folder: PathBuf) -> Result<Self> {
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
        ask(&self.address, method, path, body)
    }
}
