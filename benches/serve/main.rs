//! Cost of locks over HTTP, relative to an empty route of the same server library in the same run.

#![expect(clippy::print_stdout, reason = "the tables and figures are the result")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

mod child;
mod client;
mod polls;
mod rate;

fn main() {
    if child::is_child() {
        return child::serve();
    }
    // Cargo asks every benchmark to be quick when it tests them.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        rate::rates().await;
        polls::polls().await;
    });
}

/// Prints a figure with its target.
fn figure(name: &str, value: f64, target: f64, most: bool) {
    let verdict = if (value <= target) == most { "ok" } else { "short" };
    println!("figure serve.{name} {value:.3} {target:.3} {verdict}");
}
