//! What a layer adds to one acquire and its release through the trait.

use std::hint::black_box;
use std::num::NonZeroU32;

use criterion::{Criterion, Throughput};
use lock_core::layer::{BreakerConfig, CircuitBreaker, Metered, OwnerLimit, Prefixed, Traced};
use lock_core::{
    AcquireRequest, Acquisition, LockBackend, LockKey, OwnerId, ReleaseRequest, RequestId,
};
use lock_memory::MemoryBackend;
use tokio::runtime::Builder;
use tokio::time::Instant;

/// Commands of a pair.
const COMMANDS: u64 = 2;

pub(crate) fn benches(criterion: &mut Criterion) {
    let store = MemoryBackend::new;
    let prefixed = Prefixed::new(store(), "acme/").expect("a valid prefix");
    bench(criterion, "none", store());
    bench(criterion, "traced", Traced::new(store()));
    bench(criterion, "metered", Metered::new(store()));
    bench(criterion, "prefixed", prefixed);
    let breaker = CircuitBreaker::new(store(), BreakerConfig::default());
    bench(criterion, "circuit-breaker", breaker);
    bench(criterion, "owner-limit", OwnerLimit::new(store(), NonZeroU32::MAX));
}

fn bench(criterion: &mut Criterion, name: &str, store: impl LockBackend) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime can start");
    let store: Box<dyn LockBackend> = Box::new(store);
    let key = LockKey::parse("infra/project-0001").expect("a valid key");
    let owner = OwnerId::parse("acme/infra#1234").expect("a valid owner");
    let mut group = criterion.benchmark_group("layers");
    group.throughput(Throughput::Elements(COMMANDS));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iters| {
            runtime.block_on(async {
                let start = Instant::now();
                for _ in 0..iters {
                    let request =
                        AcquireRequest::new(RequestId::random(), key.clone(), owner.clone());
                    let reply = store.acquire(black_box(&request)).await.expect("an answer");
                    let Acquisition::Granted(lease) = reply.value else {
                        unreachable!("the key is free")
                    };
                    let release = ReleaseRequest::new(lease.name());
                    let _ = black_box(store.release(&release).await.expect("an answer"));
                }
                start.elapsed()
            })
        });
    });
    group.finish();
}
