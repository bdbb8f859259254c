//! The guardian as `lockctl run` knows it: a process that is told each deadline, and replaced when it ends.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::command::PROGRAM;
use super::family::Mark;
use super::guardian::{self, Word};
use crate::exit::{Exit, Failure};

/// The shortest time between two starts.
const PAUSE: Duration = Duration::from_secs(1);

/// The guardian of a command.
#[derive(Debug)]
pub(crate) struct Guardian {
    mark: Mark,
    process: Child,
    words: Option<ChildStdin>,
    started: Instant,
    /// What the next one has to know: the last word of each kind.
    told: Vec<Word>,
}

impl Guardian {
    pub(crate) fn start(mark: Mark) -> Result<Self, Failure> {
        let (process, words) = spawn(&mark).map_err(|error| {
            Failure::new(Exit::Unavailable, format!("the guardian does not start: {error}"))
        })?;
        Ok(Self { mark, process, words, started: Instant::now(), told: Vec::new() })
    }

    pub(crate) fn tell(&mut self, word: Word) {
        self.told.retain(|told| !told.is_replaced_by(word));
        self.told.push(word);
        self.write(word);
    }

    /// Tells a deadline, unless it is the one that was told last.
    pub(crate) fn tell_deadline(&mut self, left: Duration, grace: Duration) {
        let (left, grace) = (left.as_millis() as u64, grace.as_millis() as u64);
        let at = guardian::now() + left;
        // The clocks are read one after the other: less is no news.
        let is_known =
            |word: &Word| matches!(word, Word::Deadline { at: told, .. } if at <= told + 10);
        if !self.told.iter().any(is_known) {
            self.tell(Word::Deadline { at, grace });
        }
    }

    /// Starts another one if this one has ended: `true` if so.
    pub(crate) fn revive(&mut self) -> io::Result<bool> {
        // What cannot be looked at is killed with this, and replaced at the next look.
        if matches!(self.process.try_wait(), Ok(None)) || self.started.elapsed() < PAUSE {
            return Ok(false);
        }
        self.started = Instant::now();
        (self.process, self.words) = spawn(&self.mark)?;
        for word in self.told.clone() {
            self.write(word);
        }
        Ok(true)
    }

    /// That it cannot be told is no error: it has ended, and another one is told.
    fn write(&mut self, word: Word) {
        if let Some(words) = &mut self.words {
            drop(words.write_all(word.line().as_bytes()));
        }
    }
}

fn spawn(mark: &Mark) -> io::Result<(Child, Option<ChildStdin>)> {
    let (name, value) = Mark::variable_of_guardian();
    // In a group of its own, no signal of the terminal reaches it.
    let mut process = Command::new(PROGRAM)
        .args(["__guardian", mark.as_str()])
        .env(name, value)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()?;
    let words = process.stdin.take();
    Ok((process, words))
}

/// The command has ended, or was never started: nothing is left to guard.
impl Drop for Guardian {
    fn drop(&mut self) {
        // Also one that was stopped ends so.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
