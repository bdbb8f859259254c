//! Benchmarks of the workspace; `cargo xtask bench` runs them.
