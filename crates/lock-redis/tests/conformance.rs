//! The whole conformance suite on a real server: on its own clock, and on one that is steered.

mod common;

mod on_server_time {
    lock_testkit::conformance!(crate::common::OnServerTime);
}

mod on_steered_time {
    lock_testkit::conformance!(crate::common::OnSteeredTime);
}
