//! The table of cases, and how each is run.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::{Fixture, World, cases};

/// How long a case may take, on its own clock.
const LIMIT: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// How long a case may take that runs in real time.
const REAL_LIMIT: Duration = Duration::from_secs(60);

/// One case of the suite.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Case {
    /// Its module and name.
    pub name: &'static str,
    /// What it does.
    pub body: fn(World) -> Pin<Box<dyn Future<Output = ()>>>,
}

/// Runs one case on a store of its own, in a runtime of its own.
///
/// # Panics
/// When the store does not do what the case asks for.
pub fn run<F: Fixture, C: Future<Output = ()>>(case: impl FnOnce(World) -> C) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(F::paused())
        .build()
        .expect("a runtime starts");
    let limit = if F::paused() { LIMIT } else { REAL_LIMIT };
    runtime.block_on(async {
        let world = World::start::<F>().await;
        tokio::time::timeout(limit, case(world)).await.expect("the case ends");
    });
}

/// Calls a macro with its arguments in parentheses and the table of cases.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_case {
    ([$($callback:tt)*] $($args:tt)*) => {
        $($callback)*! {
            ($($args)*)
            exclusion::second_owner_is_refused,
            exclusion::one_winner_among_many,
            exclusion::same_owner_needs_its_own_turn,
            exclusion::released_key_is_free_again,
            exclusion::refused_request_leaves_nothing_behind,
            tokens::tokens_increase_with_every_lease,
            tokens::tokens_increase_after_expiry,
            tokens::tokens_increase_after_the_key_was_forgotten,
            tokens::promoted_lease_has_a_higher_token,
            tokens::transferred_lease_has_a_higher_token,
            tokens::tokens_increase_after_eviction,
            tokens::tokens_are_exact_in_doubles,
            leases::lease_lasts_until_its_ttl,
            leases::lease_ends_at_its_ttl,
            leases::shortest_ttl_is_honoured,
            leases::longest_ttl_is_honoured,
            leases::never_ending_lease_does_not_end,
            leases::expired_lease_goes_to_the_waiter,
            leases::lease_tells_what_was_asked,
            leases::sub_second_ttl_is_not_rounded_up,
            renewal::renewal_extends_the_lease,
            renewal::renewal_can_change_the_ttl,
            renewal::late_renewal_does_not_revive,
            renewal::renewal_by_another_request_is_refused,
            renewal::renewal_after_release_is_refused,
            renewal::renewals_are_answered_in_order,
            renewal::renewal_keeps_the_token,
            renewal::late_renewal_does_not_touch_the_successor,
            requests::same_request_gets_the_same_lease,
            requests::asking_again_does_not_extend_the_lease,
            requests::same_request_keeps_its_place,
            requests::queued_request_is_granted_once,
            requests::repeated_release_is_not_held,
            requests::repeated_cancel_changes_nothing,
            requests::repeated_transfer_gives_the_same_lease,
            requests::lost_answer_is_found_again,
            requests::each_request_stands_for_itself,
            queue::waiters_are_granted_in_arrival_order,
            queue::higher_priority_goes_first,
            queue::head_start_is_bounded,
            queue::equal_rank_goes_by_arrival,
            queue::newcomer_does_not_overtake_the_queue,
            queue::place_tells_position_and_holder,
            queue::places_move_up,
            queue::better_rank_takes_a_better_place,
            crowds::full_queue_refuses,
            crowds::queue_limit_counts_only_the_living,
            crowds::five_hundred_waiters_are_all_served,
            crowds::long_queue_keeps_its_order,
            handoff::release_grants_to_the_next,
            handoff::exactly_one_is_granted,
            handoff::exactly_one_is_woken,
            waits::wait_returns_upon_the_grant,
            waits::wait_returns_when_its_time_is_up,
            waits::wait_for_a_granted_request_returns_at_once,
            waits::wait_for_an_unknown_request_returns_at_once,
            waits::missed_wake_finds_the_lease,
            waits::cancelled_wait_can_be_repeated,
            liveness::silent_waiter_loses_its_place,
            liveness::dead_head_is_skipped,
            liveness::many_dead_heads_are_skipped,
            liveness::heard_waiter_keeps_its_place,
            liveness::claim_window_ends_an_unclaimed_grant,
            liveness::renewal_claims_the_grant,
            liveness::asking_again_claims_the_grant,
            liveness::unclaimed_never_ending_lease_ends,
            liveness::short_ttl_bounds_the_claim_window,
            cancel::cancelled_waiter_is_not_granted,
            cancel::cancel_of_a_granted_request_releases,
            cancel::cancel_of_an_unknown_request_is_absent,
            cancel::cancelled_head_lets_the_next_fit,
            cancel::dropped_acquire_can_be_cancelled,
            cancel::cancel_of_one_spares_the_others,
            release::release_by_another_request_is_refused,
            release::late_release_does_not_touch_the_successor,
            release::over_lease_cannot_be_used,
            release::waiting_request_cannot_release,
            release::release_of_a_free_key_is_not_held,
            shared::readers_share,
            shared::writer_waits_for_all_readers,
            shared::reader_does_not_join_past_a_waiting_writer,
            shared::better_ranked_reader_joins,
            shared::semaphore_is_limited_to_its_permits,
            shared::unlike_limits_take_turns,
            shared::queued_readers_are_granted_together,
            shared::one_permit_is_handed_on,
            shared::refused_reader_sees_the_waiting_writer,
            transfer::transfer_to_a_waiter_passes_the_queue,
            transfer::transfer_to_an_owner_that_does_not_wait,
            transfer::transfer_by_another_request_is_refused,
            transfer::transfer_to_an_absent_waiter_changes_nothing,
            transfer::giver_holds_nothing_after_transfer,
            transfer::lease_transferred_to_a_waiter_must_be_claimed,
            transfer::transfer_needs_the_same_mode,
            transfer::transfer_to_a_holder_changes_nothing,
            transfer::transfer_wakes_the_receiver,
            evict::eviction_ends_the_lease,
            evict::eviction_grants_to_the_next,
            evict::eviction_of_one_request_spares_the_others,
            evict::evicted_holder_cannot_renew,
            evict::evicted_holder_cannot_release_the_successor,
            evict::eviction_of_a_free_key_takes_nothing,
            evict::eviction_ends_a_never_ending_lease,
            inspection::free_key_shows_nothing,
            inspection::holders_are_shown,
            inspection::waiters_are_shown_in_order,
            inspection::ages_are_counted_on_the_stores_clock,
            inspection::the_dead_are_not_shown,
            inspection::inspection_grants_what_is_due,
            inspection::waits_of_an_owner_are_found,
            inspection::waits_end_with_the_grant,
            inspection::health_is_told,
            inspection::capabilities_are_as_expected,
            inspection::queue_of_many_is_counted,
            metadata::metadata_is_kept,
            metadata::largest_metadata_is_kept,
            listing::every_lease_is_listed_once,
            listing::listing_filters_by_prefix,
            listing::listing_filters_by_owner,
            listing::waiters_are_not_listed,
            listing::lease_held_throughout_is_listed_despite_changes,
            listing::foreign_cursor_is_refused,
            listing::over_leases_are_not_listed,
            listing::shared_leases_are_listed_each,
            events::events_tell_the_story_of_a_key,
            events::events_are_filtered,
            events::eviction_event_names_who_and_why,
            events::transfer_event_names_both,
            events::expiry_is_an_event,
            events::lapsed_and_cancelled_waiters_are_events,
            isolation::glob_characters_are_plain,
            isolation::prefixes_are_different_keys,
            isolation::unicode_keys_are_exact,
            isolation::longest_key_works,
            isolation::separators_are_plain,
            isolation::keys_are_case_sensitive,
            isolation::owners_are_exact,
            isolation::keys_do_not_disturb_each_other,
            isolation::many_keys_leave_nothing_behind,
            clock::standing_clock_keeps_tokens_increasing,
            clock::standing_clock_keeps_arrival_order,
            clock::jump_back_keeps_tokens_increasing,
            clock::jump_back_keeps_arrival_order,
            clock::jump_back_does_not_end_leases,
            clock::jump_forward_ends_leases,
        }
    };
}

/// Expands to one `#[test]` for each case of the suite, run on stores of the given
/// [`Fixture`].
#[macro_export]
macro_rules! conformance {
    ($fixture:ty) => {
        $crate::for_each_case!([$crate::case_tests] $fixture);
    };
}

/// Expands to the tests of [`conformance!`].
#[macro_export]
#[doc(hidden)]
macro_rules! case_tests {
    (($fixture:ty) $($module:ident :: $case:ident,)*) => {
        $(
            #[test]
            fn $case() {
                $crate::run::<$fixture, _>($crate::cases::$module::$case);
            }
        )*
    };
}

macro_rules! case_list {
    (() $($module:ident :: $case:ident,)*) => {
        vec![$(Case {
            name: concat!(stringify!($module), "::", stringify!($case)),
            body: |world| Box::pin(cases::$module::$case(world)),
        },)*]
    };
}

/// Every case of the suite.
#[must_use]
pub fn all_cases() -> Vec<Case> {
    for_each_case!([case_list])
}
