//! Cost of a lock in memory, compared with other keyed locks for async Rust.
//!
//! `pair` is one acquire and its release, `handoff` is the way of one lock from a holder to the
//! next in the queue; `layers` is a pair through each layer. Every contestant really takes turns: where two want one key, one waits.

mod contestants;
mod handoff;
mod layers;
mod pair;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(40)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(2500))
        .nresamples(10_000)
        .configure_from_args();
    pair::benches(&mut criterion);
    handoff::benches(&mut criterion);
    layers::benches(&mut criterion);
    criterion.final_summary();
}
