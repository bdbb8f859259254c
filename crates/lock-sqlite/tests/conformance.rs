//! The whole conformance suite on the store in SQLite, each connection a file opened again.

mod common;

lock_testkit::conformance!(common::Sqlite);
