//! A state that is written out and read back.

use lock_core::Timestamp;
use lock_core::machine::KeyState;

/// The state as a store reads it back.
#[cfg(feature = "serde")]
pub(crate) fn reloaded(state: &KeyState) -> KeyState {
    let text = serde_json::to_string(state).expect("a state can be written out");
    serde_json::from_str(&text).expect("a state can be read back")
}

/// The state as a copy of it: without serde there is no other.
#[cfg(not(feature = "serde"))]
pub(crate) fn reloaded(state: &KeyState) -> KeyState {
    state.clone()
}

/// All there is to know of a key, in a form that is equal for equal states.
#[cfg(feature = "serde")]
pub(crate) fn frozen(state: &KeyState, _now: Timestamp) -> String {
    serde_json::to_string(state).expect("a state can be written out")
}

/// All that can be seen of a key.
#[cfg(not(feature = "serde"))]
pub(crate) fn frozen(state: &KeyState, now: Timestamp) -> String {
    let (leases, waiters) = (state.leases(now), state.waiters(now));
    format!("{:?} {:?}", leases.collect::<Vec<_>>(), waiters.collect::<Vec<_>>())
}
