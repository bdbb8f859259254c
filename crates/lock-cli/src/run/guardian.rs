//! The guardian: a process outside of the command's group that ends the command when its lock is
//! lost and `lockctl run` cannot, because it was stopped or killed.
//!
//! Its messages are lines on its standard input. Times are milliseconds of `CLOCK_BOOTTIME`, which
//! continues while the machine is suspended.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::family::{Family, Mark};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// The delay of `lockctl run` after which the guardian asks the command to end: a second request
/// would make some programs abandon their clean shutdown.
const LAG: u64 = 250;
/// The clock is read this often, as a suspended machine does not count what it waits for.
const GLANCE: u64 = 1000;

/// Milliseconds since the machine started, suspended or not.
pub(crate) fn now() -> u64 {
    let Ok(time) = clock_gettime(ClockId::CLOCK_BOOTTIME) else { return 0 };
    time.tv_sec() as u64 * 1000 + time.tv_nsec() as u64 / 1_000_000
}

/// A message to the guardian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The process group of the command.
    Group(i32),
    /// The lease ends then, unless renewed, and the command is asked to end `grace` before.
    Deadline { at: u64, grace: u64 },
    /// The command was asked to end.
    Asked,
}

impl Word {
    pub(crate) fn line(self) -> String {
        match self {
            Self::Group(group) => format!("group {group}\n"),
            Self::Deadline { at, grace } => format!("deadline {at} {grace}\n"),
            Self::Asked => "asked\n".to_owned(),
        }
    }

    /// Returns `true` if it says the same, or what is no longer so.
    pub(crate) fn is_replaced_by(self, later: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&later)
    }

    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        Some(match words.next()? {
            "group" => Self::Group(words.next()?.parse().ok()?),
            "deadline" => Self::Deadline {
                at: words.next()?.parse().ok()?,
                grace: words.next()?.parse().ok()?,
            },
            "asked" => Self::Asked,
            _ => return None,
        })
    }
}

/// The guardian's next duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    /// Nothing, for so many milliseconds; `None` is until a word comes.
    Wait(Option<u64>),
    Ask(i32),
    Kill(i32),
    End,
}

/// The state of a guardian.
#[derive(Debug, Default)]
struct Watch {
    group: Option<i32>,
    deadline: Option<(u64, u64)>,
    is_asked: bool,
    is_over: bool,
}

impl Watch {
    fn hear(&mut self, word: Word) {
        match word {
            Word::Group(group) => self.group = Some(group),
            Word::Deadline { at, grace } => self.deadline = Some((at, grace)),
            Word::Asked => self.is_asked = true,
        }
    }

    /// Nobody renews the lease any more.
    fn orphan(&mut self, now: u64) {
        let (at, grace) = self.deadline.unwrap_or((u64::MAX, 0));
        let lag = if self.is_asked { 0 } else { LAG };
        // It is asked at once, and has its grace as far as the lease goes.
        self.deadline = Some((at.min(now.saturating_add(grace)), grace.saturating_add(lag)));
        self.is_over |= self.group.is_none();
    }

    fn duty(&mut self, now: u64) -> Duty {
        let (Some(group), false) = (self.group, self.is_over) else {
            return if self.is_over { Duty::End } else { Duty::Wait(None) };
        };
        let Some((at, grace)) = self.deadline else { return Duty::Wait(None) };
        let ask_at = at.saturating_sub(grace).saturating_add(LAG).min(at);
        if now >= at {
            self.is_over = true;
            Duty::Kill(group)
        } else if now >= ask_at && !self.is_asked {
            self.is_asked = true;
            Duty::Ask(group)
        } else {
            let next = if self.is_asked { at } else { ask_at };
            Duty::Wait(Some((next - now).min(GLANCE)))
        }
    }
}

/// Guards the command of a run until it has ended.
pub(crate) fn guard(mark: &str, output: Output) -> Result<Exit, Failure> {
    let mark = Mark::from(mark.to_owned());
    let family = |group| Family::new(Pid::from_raw(group), mark.clone());
    let stdin = io::stdin();
    let mut lines = BufReader::new(stdin.as_fd().try_clone_to_owned().map_or_else(
        |_| Box::new(io::empty()) as Box<dyn Read>,
        |stdin| Box::new(std::fs::File::from(stdin)),
    ));
    let (mut watch, mut is_alone) = (Watch::default(), false);
    loop {
        let limit = match watch.duty(now()) {
            Duty::End => return Ok(Exit::Done),
            Duty::Ask(group) => {
                family(group).ask();
                continue;
            }
            Duty::Kill(group) => {
                family(group).kill();
                output.warn("the lease is over: the command was killed");
                continue;
            }
            Duty::Wait(limit) => limit.and_then(|limit| u16::try_from(limit).ok()),
        };
        // Nobody else looks whether the command has ended, and its numbers may be given to others.
        if is_alone && watch.group.is_some_and(|group| family(group).is_gone()) {
            return Ok(Exit::Done);
        }
        let mut input = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        // Nothing more comes from an input that was closed.
        let input = if is_alone { &mut [][..] } else { &mut input[..] };
        let timeout = limit.map_or(PollTimeout::NONE, PollTimeout::from);
        if !matches!(poll(input, timeout), Ok(1..)) {
            continue;
        }
        let mut line = String::new();
        match lines.read_line(&mut line) {
            Ok(1..) => Word::read(&line).into_iter().for_each(|word| watch.hear(word)),
            _ => {
                is_alone = true;
                watch.orphan(now());
            }
        }
        // More lines may have been read than one.
        while lines.buffer().contains(&b'\n') {
            line.clear();
            if lines.read_line(&mut line).is_ok() {
                Word::read(&line).into_iter().for_each(|word| watch.hear(word));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(at: u64, grace: u64) -> Watch {
        let mut watch = Watch::default();
        watch.hear(Word::Group(7));
        watch.hear(Word::Deadline { at, grace });
        watch
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in [Word::Group(7), Word::Deadline { at: 5, grace: 3 }, Word::Asked] {
            assert_eq!(Word::read(&word.line()), Some(word));
        }
        assert_eq!(Word::read("nonsense\n"), None);
    }

    #[test]
    fn command_is_asked_before_the_deadline_and_killed_at_it() {
        let mut watch = watch(30_000, 5_000);
        assert_eq!(watch.duty(0), Duty::Wait(Some(GLANCE)));
        assert_eq!(watch.duty(25_000), Duty::Wait(Some(LAG)), "lockctl asks by itself");
        assert_eq!(watch.duty(25_250), Duty::Ask(7));
        assert_eq!(watch.duty(25_251), Duty::Wait(Some(GLANCE)));
        assert_eq!(watch.duty(30_000), Duty::Kill(7));
        assert_eq!(watch.duty(30_001), Duty::End);
    }

    #[test]
    fn renewal_moves_the_deadline() {
        let mut watch = watch(30_000, 5_000);
        watch.hear(Word::Deadline { at: 40_000, grace: 5_000 });
        assert_eq!(watch.duty(30_000), Duty::Wait(Some(GLANCE)));
    }

    #[test]
    fn command_that_was_asked_is_not_asked_again() {
        let mut watch = watch(30_000, 5_000);
        watch.hear(Word::Asked);
        assert_eq!(watch.duty(29_999), Duty::Wait(Some(1)));
        assert_eq!(watch.duty(30_000), Duty::Kill(7));
    }

    #[test]
    fn orphan_is_asked_at_once_and_killed_after_its_grace_at_most() {
        let mut far = watch(30_000, 5_000);
        far.orphan(1_000);
        assert_eq!(far.duty(1_000), Duty::Ask(7));
        assert_eq!(far.duty(6_000), Duty::Kill(7));
        let mut near = watch(30_000, 5_000);
        near.orphan(29_000);
        assert_eq!(near.duty(29_000), Duty::Ask(7));
        assert_eq!(near.duty(30_000), Duty::Kill(7));
    }

    /// A clock that goes on while the machine is suspended has jumped when it wakes.
    #[test]
    fn machine_that_was_suspended_past_the_deadline_kills_when_it_wakes() {
        let mut watch = watch(30_000, 5_000);
        assert_eq!(watch.duty(1_000), Duty::Wait(Some(GLANCE)));
        assert_eq!(watch.duty(600_000), Duty::Kill(7));
    }

    #[test]
    fn nothing_is_done_without_a_command() {
        let mut watch = Watch::default();
        watch.hear(Word::Deadline { at: 1, grace: 0 });
        assert_eq!(watch.duty(100), Duty::Wait(None));
        watch.orphan(100);
        assert_eq!(watch.duty(100), Duty::End);
    }
}
