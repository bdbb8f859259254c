//! An operator at the page: looks, waits for changes, and evicts with the keyboard alone.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::PATIENCE;
use super::browser::{Browser, ENTER, TAB};
use crate::service::{Launch, Process, ask, call, until};

/// The page of the key that everybody wants.
const KEY: &str = "acme/infra/prod";

/// Tabs after which the keyboard does not reach a link.
const TABS: usize = 30;

/// Names and bytes of pictures.
type Pictures = Vec<(&'static str, Vec<u8>)>;

/// A service with a few locks, and a browser.
#[derive(Debug)]
pub(super) struct Scenario {
    launch: Launch,
    process: Process,
    address: String,
    browser: Browser,
}

impl Scenario {
    pub(super) fn start(program: &Path, folder: &Path) -> Result<Self> {
        let launch = Launch::new(program, folder);
        let (process, address) = launch.start("127.0.0.1:0")?;
        let browser = Browser::start(folder)?;
        Ok(Self { launch, process, address, browser })
    }

    /// Takes every step, and returns the pictures.
    pub(super) fn run(mut self) -> Result<Pictures> {
        self.fill()?;
        let mut pictures = self.list_is_live().context("the list")?;
        pictures.extend(self.key_is_live().context("the key")?);
        pictures.extend(self.keyboard_evicts().context("the keyboard")?);
        self.console_is_silent()?;
        self.outage_is_seen().context("the outage")?;
        Ok(pictures)
    }

    /// Makes locks and waiters.
    fn fill(&self) -> Result<()> {
        for (key, owner, ttl) in [
            (KEY, "pull request #1042", json!({ "for": 1_800_000 })),
            ("acme/infra/staging", "pull request #1037", json!("never")),
            ("acme/shop/migrations", "deploy-7f3a", json!({ "for": 95_000 })),
            ("billing/nightly", "cron@batch-2", json!({ "for": 7_205_000 })),
            ("terraform/network", "alice@laptop", json!({ "for": 60_000 })),
        ] {
            self.acquire(&json!({ "key": key, "owner": owner, "ttl": ttl }))?;
        }
        for number in 1..=5 {
            self.acquire(&json!({
                "key": "runners/linux-large", "owner": format!("build-{number}"),
                "mode": { "shared": { "limit": 8 } }, "ttl": { "for": 600_000 },
            }))?;
        }
        self.wait("terraform/network", "bob@laptop", "normal")?;
        self.wait(KEY, "pull request #1045", "normal")?;
        self.wait(KEY, "nightly drift check", "low")
    }

    fn acquire(&self, body: &Value) -> Result<()> {
        ask(&self.address, "POST", "/v1/acquire", Some(body)).map(drop)
    }

    /// Leaves a request in the queue.
    fn wait(&self, key: &str, owner: &str, priority: &str) -> Result<()> {
        let body = json!({
            "key": key, "owner": owner, "priority": priority, "wait_ms": 1, "keep_alive": 600_000,
        });
        let (status, answer) = call(&self.address, "POST", "/v1/acquire", Some(&body))?;
        ensure!(status == "409", "a request that waits was answered {status}: {answer}");
        Ok(())
    }

    /// A new lock appears by itself.
    fn list_is_live(&self) -> Result<Pictures> {
        self.show(1280, 560, "light")?;
        self.browser.open(&format!("http://{}/", self.address))?;
        self.becomes("Live")?;
        self.browser.until("document.querySelectorAll('.locks tbody').length === 6")?;
        self.acquire(
            &json!({ "key": "acme/web", "owner": "deploy-7f41", "ttl": { "for": 300_000 } }),
        )?;
        self.browser.until("document.querySelector('a[href=\"/locks/acme/web\"]')")?;
        self.browser
            .until("document.getElementById('news').textContent === '7 locks, 3 waiting'")?;
        let wide = self.browser.picture()?;
        self.show(375, 800, "light")?;
        self.fits(375)?;
        Ok(vec![("list", wide), ("list-narrow", self.browser.picture()?)])
    }

    /// A waiter of better rank appears by itself, before the others.
    fn key_is_live(&self) -> Result<Pictures> {
        self.show(1280, 900, "light")?;
        self.browser.open(&format!("http://{}/locks/{KEY}", self.address))?;
        self.becomes("Live")?;
        self.wait(KEY, "hotfix #1047", "critical")?;
        self.browser.until(
            "document.querySelector('.queue tbody tr th')?.textContent === 'hotfix #1047'",
        )?;
        // The event is read by then, or a moment later.
        self.browser
            .until("document.querySelector('.history tbody')?.innerText.includes('hotfix')")?;
        let wide = self.browser.picture()?;
        let ground = "return getComputedStyle(document.body).backgroundColor";
        let light = self.browser.script(ground)?;
        self.show(1280, 900, "dark")?;
        ensure!(self.browser.script(ground)? != light, "dark is as light");
        let dark = self.browser.picture()?;
        self.show(375, 800, "dark")?;
        self.fits(375)?;
        let narrow = self.browser.picture()?;
        Ok(vec![("key", wide), ("key-dark", dark), ("key-narrow-dark", narrow)])
    }

    /// From the address line to the notice, without a pointer.
    fn keyboard_evicts(&self) -> Result<Pictures> {
        self.show(1280, 900, "light")?;
        self.browser.open(&format!("http://{}/locks/{KEY}", self.address))?;
        self.browser.press([TAB])?;
        self.focused("className", "skip")?;
        self.browser.press([ENTER])?;
        self.tab_to("id.startsWith('evict-')")?;
        self.becomes("Live")?;
        // The focus outlives the next change.
        let before = self.browser.script("return document.querySelector('.asof').textContent")?;
        self.browser.until(&format!("document.querySelector('.asof').textContent !== {before}"))?;
        self.browser.until("document.activeElement.id.startsWith('evict-')")?;
        self.browser.press([ENTER])?;
        self.browser.until("document.title === 'Evict a holder'")?;
        self.tab_to("name === 'by'")?;
        self.browser.press("ops".chars())?;
        self.browser.press([TAB])?;
        self.browser.press("the runner is gone".chars())?;
        let form = self.browser.picture()?;
        self.browser.press([ENTER])?;
        self.browser
            .until("document.querySelector('.done')?.textContent.includes('was evicted')")?;
        let lock = ask(&self.address, "GET", &format!("/v1/locks/{KEY}"), None)?;
        let holder = &lock["value"]["leases"][0]["owner"];
        ensure!(*holder == "hotfix #1047", "the next holder is {holder}");
        self.browser.until(
            "document.querySelector('.history tbody')?.innerText.includes('the runner is gone')",
        )?;
        Ok(vec![("evict", form)])
    }

    /// Neither errors nor violations of the policy.
    fn console_is_silent(&self) -> Result<()> {
        let lines = self.browser.console()?;
        ensure!(lines.is_empty(), "the console has {lines:#?}");
        Ok(())
    }

    /// A page that is no longer live says so, until it is again.
    fn outage_is_seen(&mut self) -> Result<()> {
        self.process.kill();
        self.becomes("Not live: the connection is lost")?;
        let (process, address) = self.launch.start(&self.address)?;
        self.process = process;
        ensure!(address == self.address, "the server moved to {address}");
        self.becomes("Live")
    }

    /// Presses Tab until the element with the focus is such a one.
    fn tab_to(&self, condition: &str) -> Result<()> {
        let script = format!("return document.activeElement.{condition}");
        for _ in 0..TABS {
            self.browser.press([TAB])?;
            if self.browser.script(&script)? == true {
                return Ok(());
            }
        }
        anyhow::bail!("{TABS} tabs do not lead to an element with {condition}")
    }

    fn focused(&self, property: &str, value: &str) -> Result<()> {
        let found = self.browser.script(&format!("return document.activeElement.{property}"))?;
        ensure!(found == value, "the element with the focus has {property} {found}");
        Ok(())
    }

    fn becomes(&self, words: &str) -> Result<()> {
        let script = "return document.getElementById('live').textContent";
        until(words, PATIENCE, || Ok((self.browser.script(script)? == words).then_some(())))
    }

    fn show(&self, width: u32, height: u32, scheme: &str) -> Result<()> {
        self.browser.show(width, height, scheme)
    }

    /// The page is no wider than the window.
    fn fits(&self, width: u32) -> Result<()> {
        let found = self.browser.script("return document.documentElement.scrollWidth")?;
        ensure!(
            found.as_u64() <= Some(width.into()),
            "the page is {found} pixels wide, not {width}"
        );
        Ok(())
    }
}
