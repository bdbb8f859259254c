//! What the processes do whose power is cut: every kind of command, alone and in turns, each said before
//! it is sent and after it is answered.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, EvictRequest, FencingToken,
    HearRequest, Heard, KeepAlive, Lease, LockBackend, LockKey, MailboxId, Metadata, NoticeStream,
    OwnerId, Reason, Release, ReleaseRequest, RenewRequest, Renewal, RequestId, Transfer,
    TransferRequest, TransferTo, Ttl,
};
use lock_documents::{DocumentStore, Replacement, Revision};
use lock_sqlite::{SqliteBackend, SqliteConfig, SqliteDocuments, Synchronous};

/// For longer than the test lasts.
const LONG: Duration = Duration::from_secs(3600);

/// One of the processes.
pub(crate) struct Process {
    name: String,
    store: SqliteBackend,
    documents: SqliteDocuments,
    said: File,
    mailbox: MailboxId,
    notices: NoticeStream,
    number: Cell<u64>,
}

pub(crate) fn owner() -> OwnerId {
    OwnerId::parse("process").unwrap()
}

pub(crate) fn request(key: &str) -> AcquireRequest {
    let key = LockKey::parse(key).unwrap();
    AcquireRequest::new(RequestId::random(), key, owner()).with_ttl(Ttl::Never)
}

fn reason() -> Reason {
    Reason::parse("test").unwrap()
}

/// How often the log began anew, as its header says.
fn began_anew(log: &Path) -> u32 {
    let mut header = [0; 16];
    let read = File::open(log).unwrap().read(&mut header).unwrap();
    assert!(read == 0 || read == 16, "{read} bytes");
    u32::from_be_bytes(*header.last_chunk().unwrap())
}

impl Process {
    pub(crate) async fn start(
        name: &str,
        path: &Path,
        said: &Path,
        synchronous: Synchronous,
    ) -> Self {
        let store = SqliteConfig::new(path).with_synchronous(synchronous).open().unwrap();
        let said = OpenOptions::new().create(true).append(true).open(said).unwrap();
        let mailbox = MailboxId::random();
        let notices = store.listen(mailbox).await.unwrap();
        let documents = SqliteDocuments::new(store.clone());
        let (name, number) = (name.to_owned(), Cell::new(0));
        Self { name, store, documents, said, mailbox, notices, number }
    }

    fn say(&self, words: &str) {
        (&self.said).write_all(format!("{words}\n").as_bytes()).unwrap();
    }

    /// A key that nobody else uses.
    fn key(&self) -> String {
        self.number.set(self.number.get() + 1);
        format!("{}/{}", self.name, self.number.get())
    }

    pub(crate) async fn acquire(&self, key: &str) -> Lease {
        let acquired = self.store.acquire(&request(key)).await.unwrap().value;
        let Acquisition::Granted(lease) = acquired else { panic!("{acquired:?}") };
        self.say(&format!("granted {} {}", lease.key, lease.token));
        lease
    }

    async fn release(&self, lease: &Lease) {
        self.say(&format!("ends {} {}", lease.key, lease.token));
        let released = self.store.release(&ReleaseRequest::new(lease.name())).await.unwrap();
        assert_eq!(released.value, Release::Released);
        self.say(&format!("ended {} {} by release", lease.key, lease.token));
    }

    /// Does everything again and again, until the log began anew so often.
    pub(crate) async fn work(&mut self, log: &Path, restarts: u32) {
        let pair = [self.acquire(&self.key()).await, self.acquire(&self.key()).await];
        self.say(&format!("pair {} {}", pair[0].key, pair[1].key));
        let mut revision = None;
        for round in 0.. {
            if began_anew(log) >= restarts {
                break;
            }
            assert!(round < 1000, "the log does not begin anew");
            let kept = self.acquire(&self.key()).await;
            let ended = self.acquire(&self.key()).await;
            self.turn().await;
            match round % 3 {
                0 => self.release(&ended).await,
                1 => self.transfer(&ended).await,
                _ => self.evict(&ended).await,
            }
            if round % 4 == 0 {
                self.queue_and_cancel(&kept).await;
                self.renew(&pair, round).await;
                revision = self.write(round, revision).await;
            }
        }
    }

    /// Waits for a key that both processes want, and passes it on. Then both want another key.
    async fn turn(&mut self) {
        let keep_alive = KeepAlive::parse(LONG).unwrap();
        let wanted = request("turns").queueing(keep_alive).with_mailbox(self.mailbox);
        match self.store.acquire(&wanted).await.unwrap().value {
            Acquisition::Granted(lease) => {
                self.say(&format!("granted turns {} {}", lease.token, wanted.id));
                self.release(&lease).await;
                self.race(lease.token).await;
            }
            Acquisition::Queued(position) => {
                self.say(&format!("queued turns {}", wanted.id));
                // The notice comes when the other has released, which goes on at the same time.
                self.notice().await;
                self.race(position.holder.unwrap().token).await;
                let lease = self.granted(wanted.id).await;
                self.say(&format!("granted turns {} {}", lease.token, wanted.id));
                self.release(&lease).await;
                self.race(lease.token).await;
            }
            other => panic!("{other:?}"),
        }
    }

    /// Waits for a notice, which is a hint and may be lost.
    async fn notice(&mut self) {
        let notice = poll_fn(|cx| self.notices.as_mut().poll_next(cx));
        let _ = tokio::time::timeout(Duration::from_millis(100), notice).await;
    }

    /// Claims what was granted. What is heard before that is a heartbeat.
    async fn granted(&mut self, id: RequestId) -> Lease {
        let hear =
            [HearRequest::new(LockKey::parse("turns").unwrap(), id).with_mailbox(self.mailbox)];
        loop {
            match self.store.hear(&hear).await.remove(0).unwrap().value {
                Heard::Granted(lease) => return lease,
                Heard::Queued(_) => self.notice().await,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Wants a key that only one process gets. The other has seen that grant, perhaps before it was
    /// synced.
    async fn race(&self, number: FencingToken) {
        let key = format!("races/{number}");
        match self.store.acquire(&request(&key)).await.unwrap().value {
            Acquisition::Granted(lease) => self.say(&format!("granted {key} {}", lease.token)),
            Acquisition::Held(position) => {
                self.say(&format!("granted {key} {}", position.holder.unwrap().token));
            }
            other => panic!("{other:?}"),
        }
    }

    async fn transfer(&self, lease: &Lease) {
        self.say(&format!("ends {} {}", lease.key, lease.token));
        let (request, metadata) = (RequestId::random(), Metadata::default());
        let to = TransferTo::Owner { owner: owner(), request, metadata };
        let transfer = TransferRequest::new(lease.name(), owner(), to);
        let transferred = self.store.transfer(&transfer).await.unwrap().value;
        let Transfer::Transferred(next) = transferred else { panic!("{transferred:?}") };
        self.say(&format!("ended {} {} by transfer", lease.key, lease.token));
        self.say(&format!("granted {} {}", next.key, next.token));
    }

    async fn evict(&self, lease: &Lease) {
        self.say(&format!("ends {} {}", lease.key, lease.token));
        let evict = EvictRequest::lease(lease.name(), owner(), reason());
        assert_eq!(self.store.evict(&evict).await.unwrap().value.leases.len(), 1);
        self.say(&format!("ended {} {} by evict", lease.key, lease.token));
    }

    async fn queue_and_cancel(&self, held: &Lease) {
        let wanted = request(held.key.as_str()).queueing(KeepAlive::parse(LONG).unwrap());
        let queued = self.store.acquire(&wanted).await.unwrap().value;
        assert!(matches!(queued, Acquisition::Queued(_)), "{queued:?}");
        self.say(&format!("queued {} {}", held.key, wanted.id));
        self.say(&format!("leaves {} {}", held.key, wanted.id));
        let cancelled = self.store.cancel(&CancelRequest::new(held.key.clone(), wanted.id)).await;
        assert_eq!(cancelled.unwrap().value, Cancellation::Dequeued);
        self.say(&format!("left {} {}", held.key, wanted.id));
    }

    /// Renews both in one transaction, so that both end at the same time.
    async fn renew(&self, pair: &[Lease; 2], round: usize) {
        let ttl = Ttl::parse(LONG + Duration::from_secs(round as u64)).unwrap();
        let renewals = pair.each_ref().map(|lease| RenewRequest::new(lease.name(), ttl));
        let renewed: Vec<_> = self.store.renew(&renewals).await;
        for (lease, renewed) in pair.iter().zip(renewed) {
            let renewed = renewed.unwrap().value;
            let Renewal::Renewed { expires_at } = renewed else { panic!("{renewed:?}") };
            let expires_at = expires_at.unwrap().as_micros();
            self.say(&format!("renewed {} {expires_at}", lease.key));
        }
    }

    async fn write(&self, round: usize, before: Option<Revision>) -> Option<Revision> {
        let body = round.to_string();
        let replaced = self.documents.replace(&self.name, before, Some(body.as_bytes())).await;
        assert_eq!(replaced.unwrap(), Replacement::Done);
        self.say(&format!("wrote {} {round}", self.name));
        self.documents.read(&self.name).await.unwrap().map(|document| document.revision)
    }
}
