//! The whole conformance suite on the store in memory.

mod common;

lock_testkit::conformance!(common::Memory);
