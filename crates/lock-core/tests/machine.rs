//! The state machine under random commands and times, against the rules in plain words.

#![expect(clippy::panic, reason = "a failed test panics")]

#[path = "machine/action.rs"]
mod action;
#[path = "machine/bench.rs"]
mod bench;
#[path = "machine/crowd.rs"]
mod crowd;
#[path = "machine/ended.rs"]
mod ended;
#[path = "machine/marks.rs"]
mod marks;
#[path = "machine/play.rs"]
mod play;
#[path = "machine/settled.rs"]
mod settled;
#[path = "machine/stored.rs"]
mod stored;

use lock_core::machine::{KeyState, Step};
use lock_core::{ChangeKinds, KeepAlive, ReleaseRequest, Timestamp};
use proptest::prelude::*;

use action::{Action, REQUESTS, Terms, actions, id};
use bench::Bench;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn rules_hold_under_any_commands(actions in actions()) {
        let mut bench = Bench::new();
        for action in &actions {
            bench.act(action);
        }
        // Nothing is left behind when all have gone, and their marks are over.
        for request in 0..REQUESTS {
            bench.cancel(id(request), false);
        }
        bench.act(&Action::Forward { micros: 365 * 24 * 3_600_000_000 });
        bench.act(&Action::Inspect { limit: 1 });
        prop_assert!(bench.state.is_idle());
    }

    /// The clock may stand still or jump anywhere: order and tokens do not depend on it.
    #[test]
    fn tokens_and_arrivals_keep_their_order_whatever_the_clock_does(
        times in proptest::collection::vec(0..3_600_000_000_u64, 2..40),
    ) {
        let mut state = KeyState::default();
        let mut last_token = None;
        let mut order = Vec::new();
        // The jumps are shorter than the keep-alive: all stay, and only their order is looked at.
        let keep_alive = KeepAlive::parse(KeepAlive::MAX).expect("a valid span");
        let step = |micros: u64, last_token| {
            let now = Timestamp::from_micros(1_800_000_000_000_000 + micros);
            Step::new(now, last_token, ChangeKinds::ALL)
        };
        for (number, micros) in times.iter().enumerate() {
            let number = u8::try_from(number).expect("few requests");
            let request = Terms::exclusive_for_ever().of(number).queueing(keep_alive);
            let mut step = step(*micros, last_token);
            let _ = state.acquire(&mut step, &request);
            last_token = step.last_token;
            order.push(request.id);
        }
        let mut granted = Vec::new();
        let mut tokens = Vec::new();
        for micros in times {
            let mut step = step(micros, last_token);
            let Some(lease) = state.leases(step.now).next().cloned() else { break };
            granted.push(lease.request);
            tokens.push(lease.token);
            let _ = state.release(&mut step, &ReleaseRequest::new(lease.name()));
            last_token = step.last_token;
        }
        prop_assert_eq!(granted, order);
        prop_assert!(tokens.is_sorted_by(|a, b| a < b), "{:?}", tokens);
    }
}
