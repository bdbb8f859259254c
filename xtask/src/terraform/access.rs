//! Passwords and TLS.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Tools;
use super::site::{Outcome, Site};
use crate::service::Launch;

/// A token that covers the state, as its lines for the file and as a password.
fn token(tools: &Tools) -> Result<(String, String)> {
    let output = Command::new(&tools.server)
        .args(["--json", "serve", "token", "ci", "--role", "use", "--prefix", "terraform/"])
        .output()?;
    let made: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let text = |name: &str| made[name].as_str().map(str::to_owned).context("a token");
    Ok((text("lines")?, text("token")?))
}

/// A certificate for this machine, which is its own authority.
fn certificate(folder: &Path) -> Result<()> {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .context("openssl does not start")?;
    ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

/// Over TLS with an authority of its own, the right password is served and a wrong one is not.
pub(super) fn password_is_needed(tools: &Tools) -> Result<()> {
    let (lines, password) = token(tools)?;
    let site = Site::with(tools, "password", |launch: Launch, folder: &Path| {
        certificate(folder)?;
        fs::write(folder.join("tokens.toml"), &lines)?;
        let options = ["--states", "states", "--tokens", "tokens.toml"];
        let tls = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
        Ok(launch.with_options(&options).with_options(&tls))
    })?;
    let authority = fs::read_to_string(site.data().join("cert.pem"))?;
    let port = site.server.address.rsplit_once(':').context("a port")?.1;
    let root = format!("https://localhost:{port}");
    let settings = |password: &str, authority: Option<&str>| {
        let trust = authority.map(|pem| format!("client_ca_certificate_pem = <<PEM\n{pem}PEM\n"));
        format!(
            "username = \"ci\"\n    password = \"{password}\"\n    {}",
            trust.unwrap_or_default()
        )
    };
    site.open_gate()?;
    for (name, password, authority, words) in [
        ("wrong", "wrong", Some(authority.as_str()), "401"),
        ("untrusted", &password, None, "certificate"),
    ] {
        let workspace = site.workspace_with(name, &root, &settings(password, authority))?;
        let Outcome { success, output } = workspace.init()?.outcome()?;
        // A state that cannot be read ends the first command already, or the first that reads it.
        let output = match success {
            false => output,
            true => workspace.apply()?.outcome()?.output,
        };
        let is_refused = output.contains(words) || output.contains("requires auth");
        ensure!(is_refused, "{name}: no {words} in:\n{output}");
    }
    let right = site.workspace_with("right", &root, &settings(&password, Some(&authority)))?;
    right.init()?.succeed()?;
    let state = r#"{"version":4,"terraform_version":"1.15.5","serial":1,"lineage":"right","outputs":{"text":{"value":"kept","type":"string"}},"resources":[]}"#;
    fs::write(right.folder.join("new.tfstate"), state)?;
    right.terraform(&["state", "push", "new.tfstate"])?.succeed()?;
    let Outcome { success, output } = right.terraform(&["state", "pull"])?.outcome()?;
    ensure!(success && output.contains("kept"), "the state is {output}");
    println!("a wrong password and an unknown authority were refused, the right ones served");
    Ok(())
}
