//! The options of `serve`, from the command line, the environment and a file.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args, Subcommand, ValueEnum};
use lock_server::Role;
use serde::{Deserialize, Deserializer};

use super::atlantis::AtlantisLimits;
use super::terraform::Rule;
use crate::exit::{Exit, Failure};

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ServeArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<ServeVerb>,
    /// File of TOML with these options by their names, `url` among them; what is given here or in the
    /// environment goes first
    #[arg(long, value_name = "FILE", env = "LOCKCTL_SERVE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Examine the configuration and the store, say what would be done, and end
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    given: Options,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServeVerb {
    /// Make a token of access: it is printed once, with its lines for the file of --tokens
    Token {
        /// Name of the client, for the audit log
        name: String,
        /// read, use or operate
        #[arg(long, value_parser = role)]
        role: Role,
        /// Only keys that begin with this; may be given several times
        #[arg(long = "prefix", value_name = "PREFIX", required_unless_present = "all_keys")]
        prefixes: Vec<String>,
        /// Every key
        #[arg(long, conflicts_with = "prefixes")]
        all_keys: bool,
    },
}

/// The options, each of which may be missing.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Options {
    /// In the file alone: elsewhere it is an option of every verb.
    #[arg(skip)]
    pub(crate) url: Option<String>,
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:7420]
    #[arg(long, value_name = "ADDRESS", env = "LOCKCTL_SERVE_LISTEN", hide_env_values = true)]
    pub(crate) listen: Option<String>,
    /// File of tokens, one of which every client then needs
    #[arg(long, value_name = "FILE", env = "LOCKCTL_SERVE_TOKENS", hide_env_values = true)]
    pub(crate) tokens: Option<PathBuf>,
    /// Listen where other machines can reach it, although nobody is asked for a token
    #[arg(long, num_args = 0, default_missing_value = "true", action = ArgAction::Set)]
    #[arg(env = "LOCKCTL_SERVE_WITHOUT_AUTHENTICATION", hide_env_values = true)]
    pub(crate) without_authentication: Option<bool>,
    /// Certificate for TLS, and those between it and its authority, in PEM
    #[arg(long, value_name = "FILE", env = "LOCKCTL_SERVE_TLS_CERT", hide_env_values = true)]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of the certificate, in PEM
    #[arg(long, value_name = "FILE", env = "LOCKCTL_SERVE_TLS_KEY", hide_env_values = true)]
    pub(crate) tls_key: Option<PathBuf>,
    /// File to which each forced act is appended as a line of JSON
    #[arg(long, value_name = "FILE", env = "LOCKCTL_SERVE_AUDIT", hide_env_values = true)]
    pub(crate) audit: Option<PathBuf>,
    /// Folder of Terraform states, which are served under /terraform/NAME
    #[arg(long, value_name = "FOLDER", env = "LOCKCTL_SERVE_STATES", hide_env_values = true)]
    pub(crate) states: Option<PathBuf>,
    /// Keep Terraform states in the store of the locks instead, for services on several machines
    #[arg(long, num_args = 0, default_missing_value = "true", action = ArgAction::Set)]
    #[arg(
        env = "LOCKCTL_SERVE_STATES_IN_STORE",
        hide_env_values = true,
        conflicts_with = "states"
    )]
    pub(crate) states_in_store: Option<bool>,
    /// In the file alone: the terms of Terraform's locks.
    #[arg(skip)]
    pub(crate) terraform_rule: Vec<Rule>,
    /// Longest wait of Terraform's LOCK before it is told its place; for ever if not given
    #[arg(long, value_parser = crate::cli::wait, env = "LOCKCTL_SERVE_PATIENCE")]
    #[arg(hide_env_values = true)]
    #[serde(deserialize_with = "duration")]
    pub(crate) patience: Option<Duration>,
    /// Maximum number of connections at a time; further ones wait [default: 16384]
    #[arg(long, value_name = "N", env = "LOCKCTL_SERVE_CONNECTIONS", hide_env_values = true)]
    pub(crate) connections: Option<NonZeroU32>,
    /// Address and port at which an Atlantis finds its Redis, in this store; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "LOCKCTL_SERVE_ATLANTIS_LISTEN")]
    #[arg(hide_env_values = true)]
    pub(crate) atlantis_listen: Option<String>,
    /// Before the first start for Atlantis, copy what it has from here: its file or redis://
    #[arg(long, value_name = "SOURCE", env = "LOCKCTL_SERVE_ATLANTIS_IMPORT")]
    #[arg(hide_env_values = true, requires = "atlantis_listen")]
    pub(crate) atlantis_import: Option<String>,
    /// In the file alone: the limits of the connections of Atlantis.
    #[arg(skip)]
    pub(crate) atlantis_limits: AtlantisLimits,
    /// Format of the log on standard error; json with --json [default: text]
    #[arg(long, value_enum, env = "LOCKCTL_SERVE_LOG_FORMAT", hide_env_values = true)]
    pub(crate) log_format: Option<LogFormat>,
    /// Filter of the log, in the form of `RUST_LOG`: debug has a line for each request [default: info]
    #[arg(long, value_name = "FILTER", env = "LOCKCTL_SERVE_LOG_FILTER", hide_env_values = true)]
    pub(crate) log_filter: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl ServeArgs {
    /// The options as they are given here, and otherwise in the file.
    pub(crate) fn options(&self) -> Result<Options, Failure> {
        match &self.config {
            Some(path) => Ok(self.given.clone().or(Options::read(path)?)),
            None => Ok(self.given.clone()),
        }
    }
}

impl Options {
    fn read(path: &Path) -> Result<Self, Failure> {
        let text = read(path)?;
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            wrong(format!("{}: line {line}: {}", path.display(), error.message()))
        })
    }

    fn or(self, other: Self) -> Self {
        Self {
            url: self.url.or(other.url),
            listen: self.listen.or(other.listen),
            tokens: self.tokens.or(other.tokens),
            without_authentication: self.without_authentication.or(other.without_authentication),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            audit: self.audit.or(other.audit),
            states: self.states.or(other.states),
            states_in_store: self.states_in_store.or(other.states_in_store),
            terraform_rule: other.terraform_rule,
            patience: self.patience.or(other.patience),
            connections: self.connections.or(other.connections),
            atlantis_listen: self.atlantis_listen.or(other.atlantis_listen),
            atlantis_import: self.atlantis_import.or(other.atlantis_import),
            atlantis_limits: other.atlantis_limits,
            log_format: self.log_format.or(other.log_format),
            log_filter: self.log_filter.or(other.log_filter),
        }
    }

    /// The options without those that a running service takes up.
    pub(crate) fn fixed(&self) -> Self {
        let (tokens, tls_cert, tls_key, log_filter) = (None, None, None, None);
        Self { tokens, tls_cert, tls_key, log_filter, ..self.clone() }
    }
}

/// The text of a file of the configuration.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| wrong(format!("{}: {error}", path.display())))
}

/// The configuration is wrong.
pub(crate) fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Configuration, message)
}

fn role(text: &str) -> Result<Role, String> {
    let role = Role::deserialize(serde::de::value::StrDeserializer::new(text));
    role.map_err(|error: serde::de::value::Error| error.to_string())
}

pub(super) fn duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::cli::wait(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_goes_before_the_file() {
        let given = Options { listen: Some("a:1".to_owned()), ..Options::default() };
        let file: Options = toml::from_str("listen = 'b:1'\npatience = '50s'").unwrap();
        let merged = given.or(file);
        assert_eq!(merged.listen.as_deref(), Some("a:1"));
        assert_eq!(merged.patience, Some(Duration::from_secs(50)));
    }
}
