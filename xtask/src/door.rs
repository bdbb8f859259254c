//! `door`: clients of Redis in other languages replay the commands of an Atlantis at the server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::service::{self, Launch, Process};
use crate::sh::Sh;
use crate::test::Tally;

/// The recorded commands, which the tests of the crate replay with redis-rs.
const SEQUENCES: &str = "crates/lock-atlantis-server/tests/recorded/sequences.json";
const SCRIPTS: &str = "crates/lock-atlantis-server/src/scripts";
const PYTHON: &str = "redis==8.1.0";
const NODE: &str = "ioredis@6.0.0";
/// An installation takes no longer than that.
const SECONDS: &str = "60";

/// A client in another language.
struct Client {
    name: &'static str,
    /// Installs it in a folder, and returns the words that run its script.
    install: fn(&Sh, &Path) -> Result<Vec<String>>,
    script: &'static str,
}

/// Replays the commands with each client that can be installed.
pub(crate) fn run(sh: &Sh) -> Result<()> {
    let tally = replayed(sh);
    ensure!(tally.failed == 0, "{} of the clients failed", tally.failed);
    Ok(())
}

/// The same as a part of a check of everything.
pub(crate) fn check(sh: &Sh) -> Tally {
    replayed(sh)
}

fn replayed(sh: &Sh) -> Tally {
    let clients = [
        Client { name: "redis-py", install: python, script: "xtask/door/replay.py" },
        Client { name: "ioredis", install: node, script: "xtask/door/replay.mjs" },
    ];
    let mut tally = Tally::default();
    for Client { name, install, script } in clients {
        let outcome = folder(sh).and_then(|folder| {
            let program = install(sh, &folder).map_err(|error| format!("{error:#}"));
            match program {
                Ok(program) => replay(sh, &folder, &program, script).map(|()| true),
                Err(error) => {
                    println!("skipped: door: {name}: {error}");
                    Ok(false)
                }
            }
        });
        tally = tally
            + match outcome {
                Ok(true) => Tally { passed: 1, ..Tally::default() },
                Ok(false) => Tally::SKIPPED_STEP,
                Err(error) => {
                    eprintln!("error: {name}: {error:#}");
                    Tally::FAILED_STEP
                }
            };
    }
    tally
}

fn folder(sh: &Sh) -> Result<PathBuf> {
    let folder = sh.metadata()?.target_directory.into_std_path_buf().join("door");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Python with redis-py, in an environment of its own.
fn python(sh: &Sh, folder: &Path) -> Result<Vec<String>> {
    let venv = folder.join("venv");
    let program = venv.join("bin/python").display().to_string();
    if !sh.works(&program, &["-c", "import redis; assert redis.__version__ == '8.1.0'"]) {
        let venv = venv.display().to_string();
        sh.tool("timeout", &[SECONDS, "python3", "-m", "venv", &venv]).run()?;
        let install = [SECONDS, &program, "-m", "pip", "install", "--quiet", PYTHON];
        sh.tool("timeout", &install).run().context("pip cannot install redis-py")?;
    }
    Ok(vec![program])
}

/// Node with ioredis, in a folder of its own.
fn node(sh: &Sh, folder: &Path) -> Result<Vec<String>> {
    ensure!(sh.works("node", &["--version"]), "there is no node");
    let modules = folder.join("node");
    if !modules.join("node_modules/ioredis").exists() {
        let prefix = modules.display().to_string();
        let install =
            [SECONDS, "npm", "install", "--silent", "--no-save", "--prefix", &prefix, NODE];
        sh.tool("timeout", &install).run().context("npm cannot install ioredis")?;
    }
    let modules = modules.display().to_string();
    Ok(vec!["env".to_owned(), "-C".to_owned(), modules, "node".to_owned()])
}

/// Starts a server for each sequence, and lets the client replay them.
fn replay(sh: &Sh, folder: &Path, program: &[String], script: &str) -> Result<()> {
    let lockctl = service::build(sh)?;
    let text = fs::read_to_string(sh.root().join(SEQUENCES))?;
    let sequences: Value = serde_json::from_str(&text)?;
    let count = sequences["sequences"].as_array().context("there are sequences")?.len();
    let stores = folder.join("stores");
    if stores.exists() {
        fs::remove_dir_all(&stores)?;
    }
    let start = |number: usize| -> Result<(Process, String)> {
        let launch = Launch::new(&lockctl, &stores.join(number.to_string()));
        let launch = launch.with_options(&["--atlantis-listen", "127.0.0.1:0"]);
        let (process, started) = launch.started("127.0.0.1:0")?;
        let address = started["atlantis"].as_str().context("the server tells its address")?;
        let port = address.rsplit_once(':').context("the address has a port")?.1;
        Ok((process, port.to_owned()))
    };
    let servers: Result<Vec<_>> = (0..count).map(start).collect();
    let servers = servers?;
    let root = sh.root();
    let paths = [script, SEQUENCES, SCRIPTS].map(|path| root.join(path).display().to_string());
    let ports = servers.iter().map(|(_, port)| port.as_str());
    let words = program[1..].iter().chain(&paths).map(String::as_str).chain(ports);
    let words: Vec<&str> = words.collect();
    sh.tool(&program[0], &words).run()?;
    Ok(())
}
