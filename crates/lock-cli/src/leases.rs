//! `acquire`, `renew`, `release` and `transfer`: leases that scripts pass around as JSON.

use lock_core::{
    ErrorKind, Lease, LockBackend, LockKey, LockSet, Metadata, Operation, OwnerId, ReleaseRequest,
    RenewRequest, Renewal, RequestId, Transfer, TransferTo,
};

use crate::cli::{AcquireArgs, IfHeld};
use crate::exit::{Exit, Failure};
use crate::output::{Output, lease_on_stdin, print_json};
use crate::run::turn;
use crate::store::Store;

/// Acquires a key, prints the lease, and leaves it to the script.
pub(crate) async fn acquire(
    store: &Store,
    key: LockKey,
    args: AcquireArgs,
    output: Output,
) -> Result<Exit, Failure> {
    let mut signals = crate::run::signals()?;
    let manager = store.manager(args.owner.clone())?;
    let turn = turn::acquire(&manager, &[key], &args, IfHeld::Wait, &mut signals, output).await;
    let acquired = turn.and_then(turn::acquired);
    let printed = match acquired {
        Ok(set) => match lease(set).await {
            Ok(lease) => match print_json(&lease) {
                Ok(()) => Ok(Exit::Done),
                // The lease is unknown to others, so nothing would release it.
                Err(failure) => {
                    drop(manager.release_lease(&lease).await);
                    Err(failure)
                }
            },
            Err(error) => Err(Failure::new(Exit::Unavailable, error.to_string())),
        },
        Err(failure) => Err(failure.with_contended(args.contended_exit)),
    };
    crate::run::shut_down(&manager, &mut signals).await;
    printed
}

/// Takes the lease out of a set of one.
async fn lease(set: LockSet) -> Result<Lease, lock_core::Error> {
    match set.into_guards().pop() {
        Some(guard) => guard.into_lease().await.map_err(|failed| failed.error),
        None => Err(lock_core::Error::new(ErrorKind::NotHeld, Operation::Acquire)),
    }
}

pub(crate) async fn renew(store: &Store, _output: Output) -> Result<Exit, Failure> {
    let lease = lease_on_stdin()?;
    let request = RenewRequest::new(lease.name(), lease.ttl);
    let renewed = store.locks.renew(std::slice::from_ref(&request)).await.into_iter().next();
    match renewed.transpose()?.map(|renewed| renewed.value) {
        Some(Renewal::Renewed { expires_at }) => {
            print_json(&lease.with_expires_at(expires_at))?;
            Ok(Exit::Done)
        }
        Some(Renewal::Ended(end)) => Err(over(&lease, Some(end.to_string()))),
        _ => Err(over(&lease, None)),
    }
}

pub(crate) async fn release(store: &Store, output: Output) -> Result<Exit, Failure> {
    let lease = lease_on_stdin()?;
    let released = store.locks.release(&ReleaseRequest::new(lease.name())).await?.value;
    match released {
        lock_core::Release::Released => {
            output.show(&serde_json::json!({ "released": lease.key }), || {
                format!("released {}", lease.key)
            })?;
            Ok(Exit::Done)
        }
        lock_core::Release::Ended(end) => Err(over(&lease, Some(end.to_string()))),
        _ => Err(over(&lease, None)),
    }
}

pub(crate) async fn transfer(store: &Store, to: OwnerId, _output: Output) -> Result<Exit, Failure> {
    let lease = lease_on_stdin()?;
    let manager = store.manager(Some(lease.owner.clone()))?;
    let metadata: Metadata = lease.metadata.clone();
    let to = TransferTo::Owner { owner: to, request: RequestId::random(), metadata };
    match manager.transfer(&lease, to).await? {
        Transfer::Transferred(new) => {
            print_json(&new)?;
            Ok(Exit::Done)
        }
        Transfer::Ended(end) => Err(over(&lease, Some(end.to_string()))),
        _ => Err(over(&lease, None)),
    }
}

fn over(lease: &Lease, why: Option<String>) -> Failure {
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    Failure::new(Exit::Lost, format!("the lease of {} is over{why}", lease.key))
}
