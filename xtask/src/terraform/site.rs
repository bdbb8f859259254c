//! The working folders of one scenario, and the Terraform processes that run in them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::server::Server;
use super::turns::{self, Turn};
use super::{Tools, until};
use crate::service::Launch;

/// One scenario's folder: the server's data, the notes of the applies, and the working folders.
#[derive(Debug)]
pub(super) struct Site {
    tools: Tools,
    folder: PathBuf,
    pub(super) server: Server,
}

/// One working folder with a configuration, whose only resource has its name.
#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    script: PathBuf,
    environment: Vec<(&'static str, OsString)>,
}

/// A Terraform process, killed with the value.
#[derive(Debug)]
pub(super) struct Run {
    child: Child,
    output: PathBuf,
}

/// What became of a process.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) success: bool,
    pub(super) output: String,
}

impl Site {
    /// Starts a server with its states in a folder, in an empty folder. That stays afterwards, to be
    /// looked at.
    pub(super) fn new(tools: &Tools, name: &str) -> Result<Self> {
        Self::with(tools, name, |launch, _| Ok(launch.with_options(&["--states", "states"])))
    }

    /// The same with a server that is started in another way, with files in its folder.
    pub(super) fn with(
        tools: &Tools,
        name: &str,
        change: impl FnOnce(Launch, &Path) -> Result<Launch>,
    ) -> Result<Self> {
        let folder = tools.folder.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let data = folder.join("server");
        fs::create_dir_all(&data)?;
        let launch = change(Launch::new(&tools.server, &data), &data)?;
        Ok(Self { tools: tools.clone(), folder, server: Server::start(launch)? })
    }

    /// Makes a working folder whose state is at `address`, which leads to the server.
    pub(super) fn workspace(&self, name: &str, address: &str) -> Result<Workspace> {
        self.workspace_with(name, &format!("http://{address}"), "")
    }

    /// The same with more settings of the backend, at the root of a server.
    pub(super) fn workspace_with(
        &self,
        name: &str,
        root: &str,
        settings: &str,
    ) -> Result<Workspace> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let url = format!("{root}{}", Server::state_path());
        let configuration = format!(
            r#"terraform {{
  backend "http" {{
    address        = "{url}"
    lock_address   = "{url}"
    lock_method    = "LOCK"
    unlock_address = "{url}"
    unlock_method  = "UNLOCK"
    {settings}
  }}
}}

resource "terraform_data" "{name}" {{
  provisioner "local-exec" {{
    command = "exec python3 \"$SCRIPT\" hold {name}"
  }}
}}
"#
        );
        fs::write(folder.join("main.tf"), configuration)?;
        let script = self.tools.script.clone();
        let environment = vec![
            ("PYTHONPATH", self.tools.library.clone().into()),
            // The person's own settings decide nothing.
            ("TF_CLI_CONFIG_FILE", "/dev/null".into()),
            ("SCRIPT", script.clone().into()),
            ("SERVER", self.server.address.clone().into()),
            ("KEY", Server::key().into()),
            ("NOTES", self.notes().into()),
            ("GATE", self.gate().into()),
        ];
        Ok(Workspace { name: name.to_owned(), folder, script, environment })
    }

    /// Makes and initialises this many working folders.
    pub(super) fn workspaces(&self, number: usize, address: &str) -> Result<Vec<Workspace>> {
        let names = (1..=number).map(|number| format!("run_{number:03}"));
        let all: Vec<_> =
            names.map(|name| self.workspace(&name, address)).collect::<Result<_>>()?;
        let inits: Vec<_> = all.iter().map(Workspace::init).collect::<Result<_>>()?;
        inits.into_iter().try_for_each(Run::succeed)?;
        Ok(all)
    }

    /// Lets the applies end: until then each one holds the lock.
    pub(super) fn open_gate(&self) -> Result<()> {
        Ok(fs::write(self.gate(), "")?)
    }

    /// Returns the notes of the applies, in the order of their begins.
    pub(super) fn turns(&self) -> Result<Vec<Turn>> {
        let notes = self.notes();
        turns::parse(&if notes.exists() { fs::read_to_string(notes)? } else { String::new() })
    }

    /// Waits until this many applies have held the lock.
    pub(super) fn begun(&self, number: usize) -> Result<()> {
        until(&format!("the begin of {number} applies"), || {
            Ok((self.turns()?.len() == number).then_some(()))
        })
    }

    /// The folder of the server.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("server")
    }

    fn gate(&self) -> PathBuf {
        self.folder.join("gate")
    }

    fn notes(&self) -> PathBuf {
        self.folder.join("notes")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What a killed Terraform had started waits for it.
        let _ = self.open_gate();
    }
}

impl Workspace {
    /// Starts `terraform init`.
    pub(super) fn init(&self) -> Result<Run> {
        self.terraform(&["init", "-input=false", "-no-color"])
    }

    /// Starts `terraform apply`, of its own resource alone: it leaves those of the others in the
    /// state.
    pub(super) fn apply(&self) -> Result<Run> {
        let target = format!("-target=terraform_data.{}", self.name);
        self.terraform(&["apply", "-auto-approve", "-input=false", "-no-color", &target])
    }

    /// Returns whether Terraform kept a state with the resource that it could not write.
    pub(super) fn has_errored_state(&self) -> bool {
        let kept = fs::read_to_string(self.folder.join("errored.tfstate"));
        kept.is_ok_and(|state| state.contains(&self.name))
    }

    /// Starts a command, whose output goes to a file of its name.
    pub(super) fn terraform(&self, words: &[&str]) -> Result<Run> {
        let output = self.folder.join(format!("{}.log", words[0]));
        let log = File::create(&output)?;
        let child = Command::new("python3")
            .arg(&self.script)
            .arg("terraform")
            .args(words)
            .current_dir(&self.folder)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("python3 does not start")?;
        Ok(Run { child, output })
    }
}

impl Run {
    /// Waits for the end.
    pub(super) fn outcome(mut self) -> Result<Outcome> {
        let what = format!("the end of what writes {}", self.output.display());
        let status = until(&what, || Ok(self.child.try_wait()?))?;
        let output = fs::read_to_string(&self.output)?;
        Ok(Outcome { success: status.success(), output })
    }

    /// Waits for the end, which must be a success.
    pub(super) fn succeed(self) -> Result<()> {
        let Outcome { success, output } = self.outcome()?;
        ensure!(success, "Terraform failed:\n{output}");
        Ok(())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
