//! `doctor`: what an operator should know of a store.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lock_core::{ListQuery, LockInspector};
use serde_json::json;
use tokio::time::Instant;

use crate::exit::{Exit, Failure};
use crate::output::{Output, span};
use crate::store::Store;

/// Number of calls whose median is the round trip.
const CALLS: usize = 9;
/// The smallest clock skew between store and machine that is reported.
const SKEW: Duration = Duration::from_secs(2);

/// The time of this machine.
#[expect(clippy::disallowed_methods, reason = "this clock is what is examined")]
fn here() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

pub(crate) async fn examine(store: &Store, output: Output) -> Result<Exit, Failure> {
    let health = store.locks.health().await?;
    let capabilities = store.locks.capabilities();
    let query = ListQuery::all().with_limit(std::num::NonZeroU32::MIN);
    let (mut times, mut skew) = (Vec::new(), Duration::ZERO);
    for _ in 0..CALLS {
        let start = Instant::now();
        let listed = store.locks.list(&query).await?;
        times.push(start.elapsed());
        skew = here().abs_diff(Duration::from_micros(listed.observed_at.as_micros()));
    }
    times.sort_unstable();
    let round_trip = times[CALLS / 2];
    let mut warnings = health.warnings.clone();
    if let Some(redis) = &store.redis {
        warnings.extend(redis.weak_points().await?);
    }
    if skew > SKEW {
        warnings
            .push(format!("the clocks of the store and of this machine are {} apart", span(skew)));
    }
    let value = json!({
        "address": store.address,
        "store": health.store,
        "grants": health.grants,
        "round_trip_us": round_trip.as_micros() as u64,
        "clock_skew_ms": skew.as_millis() as u64,
        "durable": capabilities.durable,
        "shared": capabilities.shared,
        "events": capabilities.events,
        "warnings": warnings,
    });
    output.show(&value, || {
        let yes = |is: bool| if is { "yes" } else { "no" };
        let mut lines = vec![
            format!("store        {}", health.store),
            format!("address      {}", store.address),
            format!("grants       {}", yes(health.grants)),
            format!("round trip   {} us", round_trip.as_micros()),
            format!("clock skew   {} ms", skew.as_millis()),
            format!("durable      {}", yes(capabilities.durable)),
            format!("machines     {}", if capabilities.shared { "several" } else { "this one" }),
            format!("events       {}", yes(capabilities.events)),
        ];
        lines.extend(warnings.iter().map(|warning| format!("warning      {warning}")));
        lines.join("\n")
    })?;
    Ok(Exit::Done)
}
