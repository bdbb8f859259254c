//! The terminal, whose foreground the command gets, as in a shell.

use std::io::{IsTerminal, stdin, stdout};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{Pid, getpgrp, getppid, getsid, tcgetpgrp, tcsetpgrp};

/// The terminal on the standard input, and who has its foreground.
#[derive(Debug)]
pub(crate) struct Terminal {
    is_given: bool,
}

impl Terminal {
    pub(crate) const fn new() -> Self {
        Self { is_given: false }
    }

    /// Gives the foreground to the command, unless others share it: in a pipeline, they may read from
    /// the terminal.
    pub(crate) fn give(&mut self, group: Pid) {
        if stdout().is_terminal() {
            self.give_on_demand(group);
        }
    }

    /// Gives the foreground to the command, which was stopped for want of it.
    pub(crate) fn give_on_demand(&mut self, group: Pid) {
        if stdin().is_terminal() && tcgetpgrp(stdin()) == Ok(getpgrp()) {
            self.is_given = set_foreground(group);
        }
    }

    pub(crate) const fn is_given(&self) -> bool {
        self.is_given
    }

    /// Takes the foreground back, if it was given.
    pub(crate) fn take(&mut self) {
        if self.is_given {
            set_foreground(getpgrp());
            self.is_given = false;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.take();
    }
}

/// Returns `true` if nobody would resume this process if it stopped: its parent is in another
/// session.
pub(crate) fn is_orphan() -> bool {
    getsid(Some(getppid())) != getsid(None)
}

fn set_foreground(group: Pid) -> bool {
    // A background process that changes the foreground is stopped by this signal, unless it is
    // blocked.
    let mut stopping = SigSet::empty();
    stopping.add(Signal::SIGTTOU);
    let Ok(before) = stopping.thread_swap_mask(SigmaskHow::SIG_BLOCK) else { return false };
    let is_set = tcsetpgrp(stdin(), group).is_ok();
    let _ = before.thread_set_mask();
    is_set
}
