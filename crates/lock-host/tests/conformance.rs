//! The whole conformance suite on a map in memory that conflicts on purpose, with and without notices.

#![expect(dead_code, reason = "other tests use the rest of what they share")]

mod common;

mod map {
    lock_testkit::conformance!(crate::common::Maps<true>);
}

mod map_without_notices {
    lock_testkit::conformance!(crate::common::Maps<false>);
}
