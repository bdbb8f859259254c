//! One acquire and its release, by tasks of which each has a key of its own.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::contestants::{Field, Key, Name};
use crate::meter::Meter;
use crate::samples::{Samples, Times};

pub(crate) const CONTESTANTS: [Name; 6] =
    [Name::Ping, Name::SetAndScript, Name::TwoScripts, Name::Trait, Name::Guard, Name::Rslock];
/// Numbers of concurrent tasks.
pub(crate) const TASKS: [usize; 4] = [1, 16, 64, 256];

const SPAN: Duration = Duration::from_millis(300);
const WARM_UP: Duration = Duration::from_millis(100);
/// The fewest rounds where waking a thread is most of the time, and differs a lot.
const ROUNDS_ALONE: usize = 9;

pub(crate) async fn measure(
    field: &Field,
    meter: &mut Meter,
    samples: &mut Samples,
    rounds: usize,
) {
    for name in CONTESTANTS {
        run(field, name, 16, WARM_UP).await;
    }
    for round in 0..rounds.max(ROUNDS_ALONE) {
        for tasks in TASKS.into_iter().filter(|tasks| round < rounds || *tasks == 1) {
            // Nobody always comes after the same.
            for place in 0..CONTESTANTS.len() {
                let name = CONTESTANTS[(place + round) % CONTESTANTS.len()];
                let before = meter.read().await;
                let start = Instant::now();
                let mut times = run(field, name, tasks, SPAN).await;
                let span = start.elapsed().as_secs_f64();
                let work = meter.read().await.since(before);
                let pairs = times.len() as f64;
                let id = format!("pair/{tasks}/{}", name.id());
                samples.push(format!("{id}/rate"), pairs / span);
                samples.push(format!("{id}/p50"), times.percentile(50.0));
                samples.push(format!("{id}/p99"), times.percentile(99.0));
                samples.push(format!("{id}/cpu"), work.cpu / pairs);
                samples.push(format!("{id}/commands"), work.commands / pairs);
                samples.push(format!("{id}/calls"), work.calls / pairs);
            }
        }
    }
}

/// Lets the tasks take pairs for a while.
pub(crate) async fn run(field: &Field, name: Name, tasks: usize, span: Duration) -> Times {
    let is_over = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    for number in 0..tasks {
        let (field, is_over) = (field.clone(), Arc::clone(&is_over));
        running.spawn(async move {
            let key = Key::new(format!("acme/infra/project-{number:04}"));
            let mut times = Times::default();
            while !is_over.load(Ordering::Relaxed) {
                let start = Instant::now();
                field.turn(name, &key, ready(())).await;
                times.push(start.elapsed().as_nanos() as u64);
            }
            times
        });
    }
    sleep(span).await;
    is_over.store(true, Ordering::Relaxed);
    let mut all = Times::default();
    while let Some(times) = running.join_next().await {
        all.append(times.expect("no task fails"));
    }
    all
}
