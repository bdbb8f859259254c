//! Other stores of locks and states than a file and a folder.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::server::Server;
use super::site::{Outcome, Site};
use super::{Tools, all_took_turns, start, until};
use crate::service::Launch;

/// Bytes of a large state.
const LARGE: usize = 64 * 1024 * 1024;

/// A Redis of its own, killed with the value.
struct Redis(Child);

impl Redis {
    fn start(folder: &Path) -> Result<(Self, String)> {
        // Nobody else takes the port in the meantime, or the server does not start.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server does not start: cargo xtask redis")?;
        let redis = Self(child);
        until("the answer of Redis", || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(drop))
        })?;
        Ok((redis, format!("redis://127.0.0.1:{port}")))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Applies at two servers, whose locks and states are in one Redis, are in one queue.
pub(super) fn two_servers_share_a_redis(tools: &Tools, number: usize) -> Result<()> {
    let mut redis = None;
    let on_redis = |launch: Launch, folder: &Path| {
        let (server, url) = Redis::start(folder)?;
        redis = Some((server, url.clone()));
        Ok(launch.with_store(url).with_options(&["--states-in-store"]))
    };
    let site = Site::with(tools, "redis", on_redis)?;
    let (_redis, url) = redis.context("a Redis")?;
    let launch = Launch::new(&tools.server, &site.data()).with_store(url);
    let other = Server::start(launch.with_options(&["--states-in-store"]))?;
    let mut workspaces = Vec::new();
    for (index, server) in [&site.server, &other].into_iter().cycle().take(number).enumerate() {
        let workspace = site.workspace(&format!("run_{index:03}"), &server.address)?;
        workspace.init()?.succeed()?;
        workspaces.push(workspace);
    }
    let runs = start(&workspaces)?;
    let queue = site.server.queue_of(number)?;
    site.open_gate()?;
    all_took_turns(&site, &workspaces, runs, &queue)?;
    let resources = other.resources()?;
    ensure!(resources.len() == number, "the other server has {resources:?}");
    println!("they were at two servers on one Redis");
    Ok(())
}

/// A state of 64 MiB is written and read, in a folder and in the store.
pub(super) fn large_state_is_kept(tools: &Tools) -> Result<()> {
    for (name, options) in
        [("large", &["--states", "states"][..]), ("large-in-store", &["--states-in-store"])]
    {
        let site = Site::with(tools, name, |launch, _| Ok(launch.with_options(options)))?;
        let workspace = site.workspace("large", &site.server.address)?;
        workspace.init()?.succeed()?;
        let text = "x".repeat(LARGE);
        let state = format!(
            r#"{{"version":4,"terraform_version":"1.15.5","serial":1,"lineage":"large","outputs":{{"text":{{"value":"{text}","type":"string"}}}},"resources":[]}}"#
        );
        fs::write(workspace.folder.join("large.tfstate"), state)?;
        workspace.terraform(&["state", "push", "large.tfstate"])?.succeed()?;
        let Outcome { success, output } = workspace.terraform(&["state", "pull"])?.outcome()?;
        ensure!(success, "Terraform does not read the state");
        ensure!(output.contains(&text), "the state that was read has {} bytes", output.len());
        println!("a state of {} MiB is kept, {options:?}", LARGE / 1024 / 1024);
    }
    Ok(())
}
