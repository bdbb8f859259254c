//! The protocol that a store speaks: one attempt a call, every outcome a value.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, EvictRequest, Eviction, Release,
    ReleaseRequest, RenewRequest, Renewal, Result, Transfer, TransferRequest, WaitRequest, Wake,
};

/// The protocol that a store speaks.
///
/// [`LockManager`](crate::LockManager) calls it, and every backend implements it, by running the
/// [`machine`](crate::machine) or by doing exactly what the machine does. One attempt a call:
/// waiting, repeating, renewing and time-outs of the whole belong to the manager.
///
/// An error is what nobody planned for, and says whether the operation certainly did not happen or
/// is unknown. After an unknown one the same call again is safe, because the request's identity
/// makes both one.
///
/// # Cancel safety
/// A call that is dropped before it ends may or may not have happened. Repeat it, or
/// [`cancel`](Self::cancel) the request.
///
/// # Contract
/// - Commands of one key take effect one after another, whoever sends them from wherever.
///   `exclusion::one_winner_among_many`
/// - The same request sent again has one effect, whatever became of the first answer.
///   `requests::same_request_gets_the_same_lease` `requests::lost_answer_is_found_again`
///   `requests::queued_request_is_granted_once` `requests::repeated_release_is_not_held`
///   `requests::repeated_cancel_changes_nothing`
///   `requests::repeated_transfer_gives_the_same_lease`
/// - Requests stand each for itself, those of one owner too.
///   `requests::each_request_stands_for_itself` `exclusion::same_owner_needs_its_own_turn`
/// - Each lease of a key has a higher token than all leases before it, however those ended and
///   whatever is left of them; and no token is so high that a double would not hold it.
///   `tokens::tokens_increase_with_every_lease` `tokens::tokens_increase_after_expiry`
///   `tokens::tokens_increase_after_the_key_was_forgotten`
///   `tokens::promoted_lease_has_a_higher_token` `tokens::transferred_lease_has_a_higher_token`
///   `tokens::tokens_increase_after_eviction` `tokens::tokens_are_exact_in_doubles`
/// - A lease lasts exactly as long as its ttl says, and one that never ends lasts until it is
///   ended. `leases::lease_lasts_until_its_ttl` `leases::lease_ends_at_its_ttl`
///   `leases::shortest_ttl_is_honoured` `leases::longest_ttl_is_honoured`
///   `leases::sub_second_ttl_is_not_rounded_up` `leases::never_ending_lease_does_not_end`
/// - A lease that runs out goes to the next in the queue without anybody's help.
///   `leases::expired_lease_goes_to_the_waiter`
/// - A grant is state: whoever ends a lease writes the lease of the next in the same step, and as
///   many leases as fit, no more. `handoff::release_grants_to_the_next`
///   `handoff::exactly_one_is_granted` `shared::queued_readers_are_granted_together`
///   `shared::one_permit_is_handed_on`
/// - A lease that is handed to a waiter lasts the claim window, which is the waiter's keep-alive
///   or the ttl if that is shorter, until the waiter asks again or renews; then it is full length.
///   `liveness::claim_window_ends_an_unclaimed_grant`
///   `liveness::unclaimed_never_ending_lease_ends` `liveness::short_ttl_bounds_the_claim_window`
///   `liveness::asking_again_claims_the_grant` `liveness::renewal_claims_the_grant`
/// - Keys and owners are compared byte by byte, no character is special, and keys do not disturb
///   each other. `isolation::glob_characters_are_plain` `isolation::prefixes_are_different_keys`
///   `isolation::unicode_keys_are_exact` `isolation::longest_key_works`
///   `isolation::separators_are_plain` `isolation::keys_are_case_sensitive`
///   `isolation::owners_are_exact` `isolation::keys_do_not_disturb_each_other`
/// - A key that nobody holds or waits for leaves nothing behind that can be seen.
///   `isolation::many_keys_leave_nothing_behind`
///   `exclusion::refused_request_leaves_nothing_behind`
/// - Time is the store's: a clock that stands still or jumps back changes neither the order of the
///   queue nor that of the tokens. `clock::standing_clock_keeps_tokens_increasing`
///   `clock::standing_clock_keeps_arrival_order` `clock::jump_back_keeps_tokens_increasing`
///   `clock::jump_back_keeps_arrival_order`
/// - Leases end when the store's clock says so: later after a jump back, at once after a jump
///   forward. `clock::jump_back_does_not_end_leases` `clock::jump_forward_ends_leases`
#[async_trait]
pub trait LockBackend: Debug + Send + Sync + 'static {
    /// Asks for a key: grants it, queues the request or refuses it.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly.
    ///
    /// # Contract
    /// - An exclusive lease is alone: anybody else is refused or queued, and learns who holds.
    ///   `exclusion::second_owner_is_refused`
    /// - A key that nobody holds or waits for is granted at once.
    ///   `exclusion::released_key_is_free_again`
    /// - The lease tells everything that was asked, and when it was granted and will end.
    ///   `leases::lease_tells_what_was_asked`
    /// - A request that holds gets its lease again, no longer than it was, unless it was in its
    ///   claim window. `requests::asking_again_does_not_extend_the_lease`
    /// - A request that waits keeps its place, and is heard of for another keep-alive.
    ///   `requests::same_request_keeps_its_place` `liveness::heard_waiter_keeps_its_place`
    /// - A request that is silent for its keep-alive loses its place.
    ///   `liveness::silent_waiter_loses_its_place`
    /// - The silent hold nobody up: they are passed over, and however many there are, a waiter
    ///   that asks again while its place shows no holder is granted after a few asks.
    ///   `liveness::dead_head_is_skipped` `liveness::many_dead_heads_are_skipped`
    /// - Waiters are granted in the order of rank, which is their arrival less their head start;
    ///   equal ranks go by arrival. `queue::waiters_are_granted_in_arrival_order`
    ///   `queue::higher_priority_goes_first` `queue::equal_rank_goes_by_arrival`
    ///   `crowds::long_queue_keeps_its_order`
    /// - Nobody is overtaken by a request that came later by more than its head start.
    ///   `queue::head_start_is_bounded`
    /// - A newcomer gets no key that somebody of better or equal rank waits for.
    ///   `queue::newcomer_does_not_overtake_the_queue`
    ///   `shared::reader_does_not_join_past_a_waiting_writer`
    /// - A place tells the position, how many wait, and the lease that is in the way, and follows
    ///   the queue as that moves; to who is refused it tells the place that it would have had.
    ///   `queue::place_tells_position_and_holder` `queue::places_move_up`
    ///   `queue::better_rank_takes_a_better_place`
    ///   `shared::refused_reader_sees_the_waiting_writer`
    /// - A request joins no longer queue than it allows; the silent keep it out only while a store
    ///   still clears away many. `crowds::full_queue_refuses`
    ///   `crowds::queue_limit_counts_only_the_living`
    /// - A queue may be long: everybody in it is served, once and in order.
    ///   `crowds::five_hundred_waiters_are_all_served`
    /// - Shared leases of one mode are alive together up to the limit of the mode, and never
    ///   beside leases of another mode. `shared::readers_share`
    ///   `shared::writer_waits_for_all_readers` `shared::semaphore_is_limited_to_its_permits`
    ///   `shared::unlike_limits_take_turns`
    /// - A shared newcomer joins those who hold past waiters of worse rank.
    ///   `shared::better_ranked_reader_joins`
    async fn acquire(&self, asked: &AcquireRequest) -> Result<Acquisition>;

    /// Returns when the queued request was granted by somebody else's command, or something else
    /// may have changed for it, or the time is up. A hint: it may return for no reason, and the
    /// passing of time (a lease that runs out) is the caller's to watch.
    ///
    /// # Errors
    /// When the store cannot be listened to.
    ///
    /// # Contract
    /// - A store that [pushes grants](crate::Capabilities::pushes_grants) ends the wait upon the
    ///   grant, and hands over the lease. `waits::wait_returns_upon_the_grant`
    /// - Of all that wait, only those that were granted the key are told so.
    ///   `handoff::exactly_one_is_woken`
    /// - The wait ends when its time is up. `waits::wait_returns_when_its_time_is_up`
    /// - The wait ends at once for a request that does not wait, with the lease if it holds.
    ///   `waits::wait_for_a_granted_request_returns_at_once`
    ///   `waits::wait_for_an_unknown_request_returns_at_once`
    /// - The news is a hint: who misses it finds its lease by asking again.
    ///   `waits::missed_wake_finds_the_lease`
    /// - A wait may be dropped and repeated; the request waits on.
    ///   `waits::cancelled_wait_can_be_repeated`
    async fn wait(&self, awaited: &WaitRequest) -> Result<Wake>;

    /// Makes each lease last its ttl from now, and a lease in its claim window full length.
    ///
    /// Answers one for one, in the order given; what fails for one does not touch the others.
    ///
    /// # Contract
    /// - A renewed lease lasts the ttl of the renewal from then on, and is otherwise the same
    ///   lease. `renewal::renewal_extends_the_lease` `renewal::renewal_can_change_the_ttl`
    ///   `renewal::renewal_keeps_the_token`
    /// - A lease that is over is never revived, and the lease of the next holder is not touched.
    ///   `renewal::late_renewal_does_not_revive`
    ///   `renewal::late_renewal_does_not_touch_the_successor`
    ///   `renewal::renewal_after_release_is_refused`
    /// - Only the holding request renews. `renewal::renewal_by_another_request_is_refused`
    /// - A batch is answered one for one, in the order given.
    ///   `renewal::renewals_are_answered_in_order`
    async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>>;

    /// Ends a lease, and grants the key to the next in the queue in the same step.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly.
    ///
    /// # Contract
    /// - Only the holding request releases; from anybody else nothing changes.
    ///   `release::release_by_another_request_is_refused`
    ///   `release::waiting_request_cannot_release` `release::release_of_a_free_key_is_not_held`
    /// - A release that comes after the end of the lease does not touch the next holder's.
    ///   `release::late_release_does_not_touch_the_successor`
    /// - Nor does a lease that is over serve for anything else, although nobody looked at its key
    ///   since. `release::over_lease_cannot_be_used`
    async fn release(&self, held: &ReleaseRequest) -> Result<Release>;

    /// Ends a request: takes it out of the queue, or releases what it was granted.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly.
    ///
    /// # Contract
    /// - A request that waits leaves the queue, and is never granted; the others keep their
    ///   places. `cancel::cancelled_waiter_is_not_granted`
    ///   `cancel::cancel_of_one_spares_the_others`
    /// - A request that was granted meanwhile releases its lease, claimed or not.
    ///   `cancel::cancel_of_a_granted_request_releases`
    /// - A request that neither waits nor holds changes nothing.
    ///   `cancel::cancel_of_an_unknown_request_is_absent`
    /// - Those behind a waiter that leaves are granted if they fit now.
    ///   `cancel::cancelled_head_lets_the_next_fit`
    /// - Whatever an acquire did that was dropped before it answered, a cancel that follows it on
    ///   the same connection undoes. `cancel::dropped_acquire_can_be_cancelled`
    async fn cancel(&self, asked: &CancelRequest) -> Result<Cancellation>;

    /// Hands a lease to somebody by name, with a token of its own.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly.
    ///
    /// # Contract
    /// - A waiter gets the lease past the queue, with the terms that it asked for, and must claim
    ///   it. `transfer::transfer_to_a_waiter_passes_the_queue`
    ///   `transfer::lease_transferred_to_a_waiter_must_be_claimed`
    /// - An owner that does not wait gets a lease of full length in the mode and with the ttl of
    ///   the giver's. `transfer::transfer_to_an_owner_that_does_not_wait`
    /// - Only the holding request transfers, and holds nothing afterwards.
    ///   `transfer::transfer_by_another_request_is_refused`
    ///   `transfer::giver_holds_nothing_after_transfer`
    /// - A receiver that does not wait in the mode of the lease, or that holds already, gets
    ///   nothing, and nothing changes. `transfer::transfer_to_an_absent_waiter_changes_nothing`
    ///   `transfer::transfer_needs_the_same_mode` `transfer::transfer_to_a_holder_changes_nothing`
    /// - A receiver that waits is woken if the store pushes grants.
    ///   `transfer::transfer_wakes_the_receiver`
    async fn transfer(&self, given: &TransferRequest) -> Result<Transfer>;

    /// Takes leases away from their holders.
    ///
    /// # Errors
    /// When the store did not answer, or not sensibly.
    ///
    /// # Contract
    /// - The leases that were named are over, also those that never end by themselves, and the
    ///   answer tells which they were. `evict::eviction_ends_the_lease`
    ///   `evict::eviction_ends_a_never_ending_lease`
    /// - The key goes to the next in the queue in the same step.
    ///   `evict::eviction_grants_to_the_next`
    /// - The lease of one request can be taken and the others of the key left.
    ///   `evict::eviction_of_one_request_spares_the_others`
    /// - Who was evicted can neither renew nor release, and does not touch the next holder's
    ///   lease. `evict::evicted_holder_cannot_renew`
    ///   `evict::evicted_holder_cannot_release_the_successor`
    /// - Where nobody holds nothing is taken. `evict::eviction_of_a_free_key_takes_nothing`
    async fn evict(&self, eviction: &EvictRequest) -> Result<Eviction>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: LockBackend + ?Sized> LockBackend for Arc<B> {
    async fn acquire(&self, asked: &AcquireRequest) -> Result<Acquisition> {
        (**self).acquire(asked).await
    }
    async fn wait(&self, awaited: &WaitRequest) -> Result<Wake> {
        (**self).wait(awaited).await
    }
    async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
        (**self).renew(renewals).await
    }
    async fn release(&self, held: &ReleaseRequest) -> Result<Release> {
        (**self).release(held).await
    }
    async fn cancel(&self, asked: &CancelRequest) -> Result<Cancellation> {
        (**self).cancel(asked).await
    }
    async fn transfer(&self, given: &TransferRequest) -> Result<Transfer> {
        (**self).transfer(given).await
    }
    async fn evict(&self, eviction: &EvictRequest) -> Result<Eviction> {
        (**self).evict(eviction).await
    }
}
