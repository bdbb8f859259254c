//! A store as a whole: its shards, and what they share.

use std::sync::{Arc, OnceLock};

use lock_core::{
    Capabilities, HearRequest, Heard, Lease, ListQuery, LockKey, MailboxId, NoticeStream, Page,
    RenewRequest, Renewal, Result, Timed,
};
use tokio::task::JoinSet;

use crate::config::RedisConfig;
use crate::connection::dialer::Dialer;
use crate::keyspace::Keyspaces;
use crate::notify::Mailboxes;
use crate::store::Store;
use crate::subscription::Subscription;
use crate::topology::Endpoint;
#[cfg(feature = "cluster")]
use crate::topology::cluster::Cluster;

/// A store: one shard, or many in a cluster.
#[derive(Debug)]
pub(crate) struct Shards {
    pub(crate) stores: Vec<Arc<Store>>,
    pub(crate) keyspaces: Arc<Keyspaces>,
    pub(crate) config: RedisConfig,
    /// Where connections besides that for commands go.
    pub(crate) endpoint: Endpoint,
    pub(crate) capabilities: Capabilities,
    pub(crate) mailboxes: Arc<Mailboxes>,
    /// The connection of the mailboxes, from the first that is opened on.
    pub(crate) subscription: OnceLock<Arc<Subscription>>,
    #[cfg(feature = "cluster")]
    pub(crate) cluster: Option<Arc<Cluster>>,
}

impl Shards {
    /// The shard of a key.
    pub(crate) fn of(&self, key: &LockKey) -> &Arc<Store> {
        &self.stores[self.keyspaces.shard_of(key)]
    }

    /// The shard, where there is only one.
    pub(crate) fn single(&self) -> Option<&Arc<Store>> {
        match &self.stores[..] {
            [store] => Some(store),
            _ => None,
        }
    }

    pub(crate) async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        let subscription = self.subscription.get_or_init(|| {
            let dialer = Dialer::new(self.endpoint.clone(), self.config.clone());
            let (keyspaces, mailboxes) = (Arc::clone(&self.keyspaces), Arc::clone(&self.mailboxes));
            Subscription::start(dialer, keyspaces, mailboxes)
        });
        let opened = subscription.open(mailbox, self.config.timeout).await;
        opened.map_err(|error| error.with_server(self.config.address()))
    }

    pub(crate) async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        #[cfg(feature = "cluster")]
        if let Some(cluster) = &self.cluster
            && self.single().is_none()
        {
            return self.list_masters(cluster, query).await;
        }
        self.stores[0].list(query).await
    }

    /// Sends a command for every 128 requests of a shard, all at once.
    pub(crate) async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        let wanted = self.config.min_replicas;
        if let Some(store) = self.single() {
            return hear(store, requests, wanted).await;
        }
        let hear = |store: Arc<Store>, part: Vec<HearRequest>| async move {
            hear(&store, &part, wanted).await
        };
        self.spread(requests, |request| &request.key, hear).await
    }

    /// Sends a command for every 128 leases of a shard, all at once.
    pub(crate) async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        if let Some(store) = self.single() {
            return store.renew(requests).await;
        }
        let renew =
            |store: Arc<Store>, part: Vec<RenewRequest>| async move { store.renew(&part).await };
        self.spread(requests, |request| &request.lease.key, renew).await
    }

    /// Sends each request to its shard, and answers in the order of the requests.
    async fn spread<R, T, F>(
        &self,
        requests: &[R],
        key: impl Fn(&R) -> &LockKey,
        send: impl Fn(Arc<Store>, Vec<R>) -> F,
    ) -> Vec<Result<Timed<T>>>
    where
        R: Clone,
        T: Send + 'static,
        F: Future<Output = Vec<Result<Timed<T>>>> + Send + 'static,
    {
        let mut of_shards: Vec<Vec<usize>> = vec![Vec::new(); self.stores.len()];
        for (at, request) in requests.iter().enumerate() {
            of_shards[self.keyspaces.shard_of(key(request))].push(at);
        }
        let mut commands = JoinSet::new();
        for (store, ats) in self.stores.iter().zip(of_shards).filter(|(_, ats)| !ats.is_empty()) {
            let part = ats.iter().map(|at| requests[*at].clone()).collect();
            let sent = send(Arc::clone(store), part);
            commands.spawn(async move { (ats, sent.await) });
        }
        let mut answers: Vec<_> = requests.iter().map(|_| None).collect();
        for (ats, answered) in commands.join_all().await {
            for (at, answer) in ats.into_iter().zip(answered) {
                answers[at] = Some(answer);
            }
        }
        // Each shard answers each of its requests.
        answers.into_iter().flatten().collect()
    }
}

async fn hear(
    store: &Arc<Store>,
    requests: &[HearRequest],
    wanted: u32,
) -> Vec<Result<Timed<Heard>>> {
    match wanted {
        0 => store.hear(requests).await,
        wanted => Box::pin(store.hear_counted(requests, wanted)).await,
    }
}
