//! The command and everything it started: its process group, and the processes that left the group but
//! carry the mark of the run in their environment.

use std::collections::HashSet;
use std::{env, fs};

use lock_core::{LockSet, RequestId};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// The variable with the marks of all runs that a process is in, the outermost first.
const VARIABLE: &str = "LOCKCTL_RUN";
/// Maximum number of passes over all processes while new ones appear.
const PASSES: usize = 100;

/// The mark of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark(String);

impl From<String> for Mark {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Mark {
    pub(crate) fn new(set: &LockSet) -> Self {
        let requests = set.guards().iter().map(|guard| guard.lease().request.to_string());
        Self(requests.collect::<Vec<_>>().join("+"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The variable for the command.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        (VARIABLE, within_outer(&self.0))
    }

    /// The variable for the guardian, which belongs to the outer runs alone.
    pub(crate) fn variable_of_guardian() -> (&'static str, String) {
        (VARIABLE, within_outer("guardian"))
    }
}

/// Whether the run of this request is around this process.
pub(crate) fn is_within(request: RequestId) -> bool {
    let request = request.to_string();
    env::var(VARIABLE).is_ok_and(|marks| marks.split([' ', '+']).any(|mark| mark == request))
}

fn within_outer(mark: &str) -> String {
    match env::var(VARIABLE) {
        Ok(outer) if !outer.is_empty() => format!("{outer} {mark}"),
        _ => mark.to_owned(),
    }
}

/// Relation of a process to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    /// In the process group of the command.
    Group,
    /// In another group.
    Left,
    /// Guarded by a nested run as well.
    Nested,
}

/// The command and everything it started.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) group: Pid,
    mark: Mark,
}

impl Family {
    pub(crate) const fn new(group: Pid, mark: Mark) -> Self {
        Self { group, mark }
    }

    /// Sends a signal to the process group and nothing after it.
    pub(crate) fn pass_on(&self, signal: Signal) {
        // A command that has ended is reported by its status.
        let _ = killpg(self.group, signal);
    }

    /// Asks all to end. Processes of a nested run are asked by that run.
    pub(crate) fn ask(&self) {
        for signal in [Signal::SIGTERM, Signal::SIGCONT] {
            if killpg(self.group, signal) == Err(Errno::ESRCH) {
                break;
            }
        }
        for (pid, member) in self.members() {
            if member == Member::Left {
                let _ = kill(pid, Signal::SIGTERM);
                let _ = kill(pid, Signal::SIGCONT);
            }
        }
    }

    /// Kills all, also what they start meanwhile.
    pub(crate) fn kill(&self) {
        let _ = killpg(self.group, Signal::SIGKILL);
        let mut killed = HashSet::new();
        for _ in 0..PASSES {
            let known = killed.len();
            for (pid, _) in self.members() {
                let _ = kill(pid, Signal::SIGKILL);
                killed.insert(pid);
            }
            if killed.len() == known {
                return;
            }
        }
    }

    /// Whether processes of the group or of nested runs are alive. Those that left the group by themselves
    /// are daemons, for which nobody waits.
    pub(crate) fn has_remaining(&self) -> bool {
        self.members().any(|(_, member)| member != Member::Left)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.members().next().is_none()
    }

    fn members(&self) -> impl Iterator<Item = (Pid, Member)> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid: i32| Some((Pid::from_raw(pid), self.member(pid)?)))
    }

    fn member(&self, pid: i32) -> Option<Member> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name, which may hold anything, come the state, the parent and the group.
        let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        if fields.nth(1)?.parse() == Ok(self.group.as_raw()) {
            return Some(Member::Group);
        }
        // Not readable for processes of other users, to which no signal can be sent either.
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        relation(&environment, &self.mark)
    }
}

fn relation(environment: &[u8], mark: &Mark) -> Option<Member> {
    let marks = environment
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="))?;
    let mut inner = marks.split(|byte| *byte == b' ').skip_while(|it| *it != mark.0.as_bytes());
    inner.next()?;
    Some(if inner.next().is_none() { Member::Left } else { Member::Nested })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_tell_whose_a_process_is() {
        let mark = Mark::from("b".to_owned());
        let of = |variable: &str| relation(format!("A=1\0{variable}\0").as_bytes(), &mark);
        assert_eq!(of("LOCKCTL_RUN=b"), Some(Member::Left));
        assert_eq!(of("LOCKCTL_RUN=a b"), Some(Member::Left));
        assert_eq!(of("LOCKCTL_RUN=b c"), Some(Member::Nested));
        assert_eq!(of("LOCKCTL_RUN=a guardian"), None);
        assert_eq!(of("LOCKCTL_RUN=bb"), None);
        assert_eq!(of("XLOCKCTL_RUN=b"), None);
    }
}
