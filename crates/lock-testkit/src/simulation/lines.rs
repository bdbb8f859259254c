//! A store in this process, behind a line for each process of a program; lines fail on command.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{LockStore, Operation};

use super::site::{PROCESSES, Site, Trouble};
use crate::{Fault, Faulty, NoticeFault};

/// The commands that a trouble affects.
const COMMANDS: [Operation; 8] = [
    Operation::Listen,
    Operation::Acquire,
    Operation::Hear,
    Operation::Renew,
    Operation::Release,
    Operation::Cancel,
    Operation::Transfer,
    Operation::Evict,
];

/// A store in this process, behind a line for each process of a program; lines fail on command.
#[derive(Debug)]
pub struct Lines<S> {
    lines: Vec<Faulty<S>>,
    slack: Duration,
}

impl<S> Lines<S> {
    /// The stores that `connect` makes for the processes, with this allowance for delays.
    pub fn new(connect: impl FnMut(usize) -> S, slack: Duration) -> Self {
        Self { lines: (0..PROCESSES).map(connect).map(Faulty::new).collect(), slack }
    }
}

#[async_trait]
impl<S: LockStore + Clone> Site for Lines<S> {
    async fn connect(&self, process: usize) -> Arc<dyn LockStore> {
        Arc::new(self.lines[process].clone())
    }

    fn trouble(&self, process: usize, trouble: Trouble) {
        let line = &self.lines[process];
        line.heal();
        let fault = match trouble {
            Trouble::Slow(longest) => Fault::AnswerDelayed(longest),
            Trouble::LosesRequests => Fault::Hangs,
            Trouble::LosesAnswers => Fault::AnswerHangs,
            Trouble::Cut => Fault::AnswerLost,
            Trouble::Refuses => Fault::Refused,
            Trouble::LosesNotices => return line.inject_notices(NoticeFault::Lost),
            Trouble::DelaysNotices(longest) => {
                return line.inject_notices(NoticeFault::Delayed(longest));
            }
        };
        COMMANDS.iter().for_each(|command| line.inject(*command, fault));
    }

    fn heal(&self, process: usize) {
        self.lines[process].heal();
    }

    fn slack(&self) -> Duration {
        self.slack
    }
}
