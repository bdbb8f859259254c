//! Broken stores: requests that are misread.

use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::{
    AcquireRequest, HeadStart, KeepAlive, LeaseName, LeaseTime, LockKey, Metadata, Mode, OnHeld,
    OwnerId, Ttl,
};

use super::Broken;
use crate::fault::Fault;

/// The span by which leases end too early or too late.
const OFF: Duration = Duration::from_millis(100);

impl Broken {
    /// The key under which this one is read.
    pub(super) fn key(&self, key: &LockKey) -> LockKey {
        let text = key.as_str();
        let taken_for = match self.fault {
            Fault::FoldsCase => text.to_ascii_lowercase(),
            Fault::NormalisesUnicode => text.replace("e\u{301}", "\u{e9}"),
            Fault::TruncatesKeys => text.chars().take(500).collect(),
            Fault::TakesTheTagForTheKey => tag(text).unwrap_or(text).to_owned(),
            _ => return key.clone(),
        };
        LockKey::parse(taken_for).expect("no text became invalid")
    }

    /// The owner under which this one is read.
    pub(super) fn owner(&self, owner: &OwnerId) -> OwnerId {
        match self.fault {
            Fault::FoldsOwners => {
                let folded = owner.as_str().to_ascii_lowercase();
                OwnerId::parse(folded).expect("no text became invalid")
            }
            _ => owner.clone(),
        }
    }

    /// The request under which this one is read.
    pub(super) fn bend(&self, request: &AcquireRequest) -> AcquireRequest {
        let ttl = self.bend_ttl(request.ttl);
        if ttl != request.ttl && !self.is(Fault::CapsLongTtls) {
            self.story().lies.insert(request.id, (ttl, request.ttl));
        }
        let (key, owner) = (self.key(&request.key), self.owner(&request.owner));
        let mut bent = AcquireRequest::new(request.id, key, owner)
            .with_session(request.session)
            .with_ttl(ttl)
            .with_mode(self.bend_mode(request.mode))
            .with_head_start(self.bend_head_start(request))
            .with_on_held(self.bend_on_held(request.on_held))
            .with_metadata(self.bend_metadata(&request.metadata));
        bent.mailbox = request.mailbox;
        bent
    }

    /// The true name of a lease whose shown name is this.
    pub(super) fn bend_name(&self, name: &LeaseName) -> LeaseName {
        let key = self.key(&name.key);
        let story = self.story();
        let real = match story.leases.get(&name.request) {
            Some((lease, _)) if story.token(lease) == name.token => lease.token,
            _ => name.token,
        };
        LeaseName::new(key, name.request, real)
    }

    /// The ttl as which this one is read.
    pub(super) fn bend_ttl(&self, ttl: Ttl) -> Ttl {
        let Some(span) = ttl.span() else {
            let second = Ttl::parse(Duration::from_secs(1)).expect("a valid ttl");
            return if self.is(Fault::NeverMeansASecond) { second } else { Ttl::Never };
        };
        let span = match self.fault {
            Fault::EndsLeasesEarly if span > OFF => span - OFF,
            Fault::LeasesLinger if span < LeaseTime::MAX => span + OFF,
            Fault::RaisesShortTtls => span.max(OFF),
            Fault::CapsLongTtls => span.min(Duration::from_secs(24 * 60 * 60)),
            Fault::RoundsTtlsUpToSeconds => {
                Duration::from_secs(span.as_secs() + u64::from(span.subsec_nanos() > 0))
            }
            _ => span,
        };
        Ttl::parse(span).expect("no span became invalid")
    }

    fn bend_mode(&self, mode: Mode) -> Mode {
        match (self.fault, mode) {
            (Fault::UpgradesWaitForTheirLease, Mode::Upgrade { .. })
            | (Fault::ReadersExclude, _) => Mode::Exclusive,
            (Fault::IgnoresPermits, Mode::Shared { .. }) => Mode::READER,
            (Fault::MixesPermits, Mode::Shared { limit: Some(limit) }) => {
                Mode::Shared { limit: Some(limit.max(NonZeroU32::new(3).expect("not zero"))) }
            }
            _ => mode,
        }
    }

    fn bend_head_start(&self, request: &AcquireRequest) -> HeadStart {
        let span = request.head_start.span();
        let is_shared = matches!(request.mode, Mode::Shared { .. });
        let mut story = self.story();
        story.arrivals += 1;
        let arrivals = story.arrivals;
        let bent = match self.fault {
            Fault::LifoQueue => Duration::from_secs(60 * 60) * arrivals,
            Fault::IgnoresHeadStart => Duration::ZERO,
            Fault::StrictPriority => span * 1000,
            Fault::TiesGoToTheLast => span + Duration::from_millis(1) * arrivals,
            Fault::RanksByTheClock => span + story.latest.since(self.now()),
            Fault::RoundsHeadStarts => span / 10_000_000 * 10_000_000,
            Fault::ReadersPassWriters if is_shared => HeadStart::MAX,
            Fault::ReadersNeverPassWriters if is_shared => Duration::ZERO,
            _ => span,
        };
        HeadStart::parse(bent.min(HeadStart::MAX)).expect("no head start became invalid")
    }

    fn bend_on_held(&self, on_held: OnHeld) -> OnHeld {
        let OnHeld::Queue { keep_alive, queue_limit } = on_held else { return on_held };
        match self.fault {
            Fault::NeverDropsTheSilent => {
                let keep_alive = KeepAlive::parse(KeepAlive::MAX).expect("a valid keep-alive");
                OnHeld::Queue { keep_alive, queue_limit }
            }
            Fault::IgnoresQueueLimits => OnHeld::Queue { keep_alive, queue_limit: None },
            _ => on_held,
        }
    }

    fn bend_metadata(&self, metadata: &Metadata) -> Metadata {
        let cut = |text: &str| match self.fault {
            Fault::CutsMetadataAtZeros => text.split('\0').next().unwrap_or_default().to_owned(),
            Fault::TruncatesMetadata => text.chars().take(1000).collect(),
            _ => text.to_owned(),
        };
        let entries = metadata.iter().map(|(name, text)| (name, cut(text)));
        Metadata::parse(entries).expect("no metadata became invalid")
    }
}

/// The text between the first braces, which decides the slot in some stores.
fn tag(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}
