//! A headless Chromium, by the protocol `WebDriver`.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::PATIENCE;
use crate::service::{call, until};

/// Keys as `WebDriver` names them.
pub(super) const TAB: char = '\u{e004}';
pub(super) const ENTER: char = '\u{e007}';

/// A browser with one window, ended with the value.
#[derive(Debug)]
pub(super) struct Browser {
    driver: Child,
    address: String,
    session: String,
}

impl Browser {
    /// Starts a browser whose data is in `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join("driver.log");
        let log = File::create(&path)?;
        let driver = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("chromedriver does not start")?;
        let mut browser = Self { driver, address: String::new(), session: String::new() };
        let port = until("the port of chromedriver", PATIENCE, || {
            let text = fs::read_to_string(&path)?;
            let port = text.split("started successfully on port ").nth(1);
            Ok(port.and_then(|rest| rest.split_once('.')).map(|(port, _)| port.to_owned()))
        })?;
        browser.address = format!("127.0.0.1:{port}");
        let profile = format!("--user-data-dir={}", folder.join("profile").display());
        let args = [
            "--headless=new",
            // Root has no sandbox; the only page is ours.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-proxy-server",
            &profile,
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = browser.send("POST", "/session", Some(&capabilities))?;
        let id = session["sessionId"].as_str().context("no session")?;
        browser.session = format!("/session/{id}");
        Ok(browser)
    }

    /// Opens an address.
    pub(super) fn open(&self, url: &str) -> Result<()> {
        self.post("url", &json!({ "url": url })).map(drop)
    }

    /// Runs a script in the page, and returns its result.
    pub(super) fn script(&self, script: &str) -> Result<Value> {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true in the page.
    pub(super) fn until(&self, expression: &str) -> Result<()> {
        let script = format!("return Boolean({expression})");
        until(expression, PATIENCE, || Ok((self.script(&script)? == true).then_some(())))
            .with_context(|| self.text().unwrap_or_default())
    }

    /// The text of the page.
    fn text(&self) -> Result<String> {
        let text = self.script("return document.body.innerText")?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Presses the keys, one after the other.
    pub(super) fn press(&self, keys: impl IntoIterator<Item = char>) -> Result<()> {
        let stroke = |key| {
            let key = String::from(key);
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        };
        let strokes: Vec<_> = keys.into_iter().flat_map(stroke).collect();
        let actions = json!([{ "type": "key", "id": "keyboard", "actions": strokes }]);
        self.post("actions", &json!({ "actions": actions })).map(drop)
    }

    /// Shows the page in a window of this size, dark or light.
    pub(super) fn show(&self, width: u32, height: u32, scheme: &str) -> Result<()> {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", &size)?;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }))
    }

    /// A picture of what the window shows.
    pub(super) fn picture(&self) -> Result<Vec<u8>> {
        let picture = self.get("screenshot")?;
        Ok(BASE64_STANDARD.decode(picture.as_str().context("no picture")?)?)
    }

    /// What was logged to the console since the last call, violations of the policy among it.
    pub(super) fn console(&self) -> Result<Vec<String>> {
        let entries = self.post("se/log", &json!({ "type": "browser" }))?;
        let entries = entries.as_array().context("no log")?;
        Ok(entries.iter().map(|entry| entry["message"].to_string()).collect())
    }

    fn devtools(&self, command: &str, params: &Value) -> Result<()> {
        let body = json!({ "cmd": command, "params": params });
        self.post("goog/cdp/execute", &body).map(drop)
    }

    fn get(&self, what: &str) -> Result<Value> {
        self.send("GET", &format!("{}/{what}", self.session), None)
    }

    fn post(&self, what: &str, body: &Value) -> Result<Value> {
        self.send("POST", &format!("{}/{what}", self.session), Some(body))
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, body) = call(&self.address, method, path, body)?;
        ensure!(status == "200", "{method} {path} was answered {status}: {body}");
        let mut answer: Value = serde_json::from_str(&body)?;
        Ok(answer["value"].take())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser with the session.
        if !self.session.is_empty() {
            let _ = self.send("DELETE", &self.session, None);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
