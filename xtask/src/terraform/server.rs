//! The server under test: a process, and the calls that a scenario makes.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::until;
use crate::service::{Launch, Process, ask, call};

/// The name of the state that every apply changes.
const STATE: &str = "sample";

/// A server, ended with the value.
#[derive(Debug)]
pub(super) struct Server {
    launch: Launch,
    process: Process,
    /// `127.0.0.1:PORT`.
    pub(super) address: String,
}

impl Server {
    /// Starts it on a free port.
    pub(super) fn start(launch: Launch) -> Result<Self> {
        let (process, address) = launch.start("127.0.0.1:0")?;
        Ok(Self { launch, process, address })
    }

    /// Kills the server, and starts it again with the same address and data.
    pub(super) fn kill_and_restart(&mut self) -> Result<()> {
        self.process.kill();
        let (process, address) = self.launch.start(&self.address)?;
        ensure!(address == self.address, "the server moved from {} to {address}", self.address);
        self.process = process;
        Ok(())
    }

    /// Returns the lock of the state.
    pub(super) fn key() -> String {
        format!("terraform/{STATE}")
    }

    /// Returns the path of the state.
    pub(super) fn state_path() -> String {
        format!("/terraform/{STATE}")
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

    /// Locks or unlocks the state for a plan of this ID.
    pub(super) fn plan(&self, method: &str, id: &str) -> Result<()> {
        let info = serde_json::json!({ "ID": id, "Operation": "OperationTypePlan" });
        let path = Self::state_path();
        let (status, body) = call(&self.address, method, &path, Some(&info))?;
        ensure!(status == "200", "{method} was answered {status}: {body}");
        Ok(())
    }

    /// Makes one call, which must succeed and be answered in JSON.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        ask(&self.address, method, path, body)
    }
}
