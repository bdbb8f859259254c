//! Answers and requests as the history shows them: short, and the same in every run.

use lock_core::{
    Acquisition, Cancellation, Eviction, Heard, Inspection, InvalidInput, Lease, LeaseName, Notice,
    QueuePosition, Release, ReleaseRequested, Renewal, RequestId, Timed, Timestamp, Transfer,
};

/// The text of an answer in the history.
pub(super) trait Show {
    fn show(&self) -> String;
}

/// A request: the jobs of a plan have small numbers.
pub(super) fn request(request: RequestId) -> String {
    format!("r{:x}", request.to_bits())
}

/// The name of a lease.
pub(super) fn name(lease: &LeaseName) -> String {
    format!("{} {} #{}", lease.key, request(lease.request), lease.token)
}

/// A notice.
pub(super) fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Granted(grant) => {
            let until = end(grant.granted_at, grant.expires_at);
            format!("granted {} {} #{} {until}", grant.key, request(grant.request), grant.token)
        }
        Notice::Ended { key, request: of, token, end } => {
            format!("ended {key} {} {token:?}: {end}", request(*of))
        }
        Notice::Ask { key, request: of } => format!("ask {key} {}", request(*of)),
        other => format!("{other:?}"),
    }
}

fn lease(lease: &Lease, now: Timestamp) -> String {
    format!("granted #{} {}", lease.token, end(now, lease.expires_at))
}

fn end(now: Timestamp, expires_at: Option<Timestamp>) -> String {
    match expires_at {
        Some(at) => format!("for {:?}", at.since(now)),
        None => "for ever".to_owned(),
    }
}

fn position(position: &QueuePosition, now: Timestamp) -> String {
    let next = position.next_change_at.map(|at| at.since(now));
    format!("{} of {}, next change in {next:?}", position.position, position.waiting)
}

impl Show for Timed<Acquisition> {
    fn show(&self) -> String {
        let now = self.observed_at;
        match &self.value {
            Acquisition::Granted(granted) => lease(granted, now),
            Acquisition::Queued(place) => format!("queued {}", position(place, now)),
            Acquisition::Held(place) => format!("held {}", position(place, now)),
            Acquisition::QueueFull(place) => format!("queue full {}", position(place, now)),
            other => format!("{other:?}"),
        }
    }
}

impl Show for Timed<Heard> {
    fn show(&self) -> String {
        let now = self.observed_at;
        match &self.value {
            Heard::Granted(granted) => lease(granted, now),
            Heard::Queued(place) => format!("queued {}", position(place, now)),
            other => format!("{other:?}"),
        }
    }
}

impl Show for Timed<Renewal> {
    fn show(&self) -> String {
        match &self.value {
            Renewal::Renewed { expires_at } => {
                format!("renewed {}", end(self.observed_at, *expires_at))
            }
            other => format!("{other:?}"),
        }
    }
}

impl Show for Timed<Transfer> {
    fn show(&self) -> String {
        match &self.value {
            Transfer::Transferred(given) => {
                format!("transferred to {}, {}", given.owner, lease(given, self.observed_at))
            }
            other => format!("{other:?}"),
        }
    }
}

impl Show for Timed<Eviction> {
    fn show(&self) -> String {
        let Eviction { leases, waiter, .. } = &self.value;
        let leases: Vec<_> = leases.iter().map(|lease| name(&lease.name())).collect();
        let waiter = waiter.as_ref().map(|waiter| request(waiter.request));
        format!("evicted {leases:?} {waiter:?}")
    }
}

impl Show for Timed<ReleaseRequested> {
    fn show(&self) -> String {
        let tokens: Vec<_> = self.value.holders.iter().map(|holder| holder.token.get()).collect();
        format!("asked {tokens:?}")
    }
}

impl Show for Timed<Release> {
    fn show(&self) -> String {
        format!("{:?}", self.value)
    }
}

impl Show for Timed<Cancellation> {
    fn show(&self) -> String {
        format!("{:?}", self.value)
    }
}

impl Show for Timed<Result<Inspection, InvalidInput>> {
    fn show(&self) -> String {
        "seen".to_owned()
    }
}

impl<T: Show> Show for Vec<T> {
    fn show(&self) -> String {
        self.iter().map(Show::show).collect::<Vec<_>>().join("; ")
    }
}
