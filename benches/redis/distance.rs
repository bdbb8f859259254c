//! One acquire and its release over a line with a long round trip.

use std::net::SocketAddr;
use std::time::Duration;

use lock_testkit_redis::proxy::Proxy;

use crate::contestants::{Field, Name};
use crate::pairs;
use crate::samples::Samples;

pub(crate) const CONTESTANTS: [Name; 4] = [Name::Ping, Name::TwoScripts, Name::Trait, Name::Guard];
pub(crate) const TASKS: [usize; 2] = [1, 16];
/// The delay each way: half of the round trip.
const DELAY: Duration = Duration::from_millis(10);
const SPAN: Duration = Duration::from_millis(600);

pub(crate) async fn measure(server: SocketAddr, samples: &mut Samples, rounds: usize) {
    let proxy = Proxy::start(server).await;
    let field = Field::connect(&proxy.url()).await;
    proxy.delay(DELAY);
    for round in 0..rounds {
        for tasks in TASKS {
            for place in 0..CONTESTANTS.len() {
                let name = CONTESTANTS[(place + round) % CONTESTANTS.len()];
                let mut times = pairs::run(&field, name, tasks, SPAN).await;
                samples.push(format!("distance/{tasks}/{}/p50", name.id()), times.percentile(50.0));
            }
        }
    }
}

/// Round trips per command of a pair.
pub(crate) fn round_trips(samples: &Samples, tasks: usize, name: Name) -> f64 {
    let commands = if name == Name::Ping { 1.0 } else { 2.0 };
    let round_trip = samples.median("distance/1/ping/p50");
    samples.median(&format!("distance/{tasks}/{}/p50", name.id())) / commands / round_trip
}
