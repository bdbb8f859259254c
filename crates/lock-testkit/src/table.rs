//! The table of cases: each promise of the contract, and the cases that hold it.

/// Calls a macro with its arguments in parentheses and the table of cases.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_case {
    ([$($callback:tt)*] $($args:tt)*) => {
        $($callback)*! {
            ($($args)*)
            "Commands of one key take effect one after another, from any number of clients.":
                exclusion::one_winner_among_many;
            "Every command takes effect in the store, not in the connection: another connection \
             sees it.":
                connections::another_connection_sees_an_acquire,
                connections::another_connection_sees_a_waiter,
                connections::another_connection_sees_a_hearing,
                connections::another_connection_sees_a_claim,
                connections::another_connection_sees_a_renewal,
                connections::another_connection_sees_a_release,
                connections::another_connection_sees_a_cancel,
                connections::another_connection_sees_a_transfer,
                connections::another_connection_sees_an_eviction,
                connections::another_connection_sees_an_evicted_waiter;
            "Any connection may send the next command of a request.":
                connections::any_connection_continues_a_request;
            "Every reply carries the store's time.":
                clock::replies_carry_the_time;
            "The same request sent again has one effect, whatever became of the first answer.":
                requests::same_request_gets_the_same_lease,
                requests::lost_answer_is_found_again,
                requests::queued_request_is_granted_once,
                requests::repeated_release_is_not_held,
                requests::repeated_cancel_changes_nothing,
                requests::repeated_transfer_gives_the_same_lease;
            "Each request stands for itself, also among those of one owner.":
                requests::each_request_stands_for_itself,
                exclusion::same_owner_needs_its_own_turn;
            "Each lease of a key has a higher token than all leases before it, however those \
             ended and whatever is left of them; and a double holds every token exactly.":
                tokens::tokens_increase_with_every_lease,
                tokens::tokens_increase_after_expiry,
                tokens::tokens_increase_after_the_key_was_forgotten,
                tokens::promoted_lease_has_a_higher_token,
                tokens::transferred_lease_has_a_higher_token,
                tokens::tokens_increase_after_eviction,
                tokens::tokens_are_exact_in_doubles;
            "A lease lasts exactly its ttl, and one that never expires lasts until it is ended.":
                leases::lease_lasts_until_its_ttl,
                leases::lease_ends_at_its_ttl,
                leases::shortest_ttl_is_honoured,
                leases::longest_ttl_is_honoured,
                leases::sub_second_ttl_is_not_rounded_up,
                leases::never_ending_lease_does_not_end;
            "The key of a lease that expires goes to the head of the queue by itself.":
                leases::expired_lease_goes_to_the_waiter;
            "A lease that is over counts nowhere, however many are over at once.":
                crowds::many_leases_that_are_over_count_nowhere;
            "A grant is state: the command that ends a lease writes the next lease in the same \
             step, and as many as fit, no more.":
                handoff::release_grants_to_the_next,
                handoff::exactly_one_is_granted,
                shared::queued_readers_are_granted_together,
                shared::one_permit_is_handed_on;
            "A command grants a bounded number of leases, and the rest follow without a timer.":
                crowds::long_queue_of_readers_is_granted;
            "A lease that is handed to a waiter lasts the claim window, which is the waiter's \
             keep-alive or the ttl if that is shorter, until the waiter is heard, asks again or \
             renews; then it is full length.":
                liveness::claim_window_ends_an_unclaimed_grant,
                liveness::unclaimed_never_ending_lease_ends,
                liveness::short_ttl_bounds_the_claim_window,
                liveness::asking_again_claims_the_grant,
                liveness::hearing_claims_the_grant,
                liveness::renewal_claims_the_grant;
            "A command that names a lease never touches another lease of the same request.":
                names::late_renewal_does_not_touch_the_next_lease,
                names::late_release_does_not_touch_the_next_lease,
                names::late_transfer_does_not_touch_the_next_lease,
                names::late_eviction_does_not_touch_the_next_lease;
            "A request that was ended by force leaves a mark: commands that name it are answered \
             with its end, and it takes no lock.":
                marks::evicted_request_takes_no_lock,
                marks::evicted_waiter_does_not_join_again,
                marks::renewal_reports_the_end,
                marks::release_reports_the_end,
                marks::transfer_reports_the_end,
                marks::hear_reports_the_end,
                marks::giver_of_a_transfer_learns_the_end;
            "A mark affects no other request, and expires.":
                marks::mark_affects_no_other_request,
                marks::mark_ends,
                marks::mark_lasts_as_long_as_the_lease;
            "Keys and owners are compared byte by byte, no character is special, and keys do not \
             affect each other.":
                isolation::glob_characters_are_plain,
                isolation::prefixes_are_different_keys,
                isolation::unicode_keys_are_exact,
                isolation::longest_key_works,
                isolation::separators_are_plain,
                isolation::keys_are_case_sensitive,
                isolation::owners_are_exact,
                isolation::keys_do_not_affect_each_other;
            "A key without holders and waiters leaves nothing visible behind.":
                isolation::many_keys_leave_nothing_behind,
                exclusion::refused_request_leaves_nothing_behind;
            "Time is the store's: a clock that stands still or jumps back changes neither the \
             order of the queue nor that of the tokens.":
                clock::standing_clock_keeps_tokens_increasing,
                clock::standing_clock_keeps_arrival_order,
                clock::jump_back_keeps_tokens_increasing,
                clock::jump_back_keeps_arrival_order;
            "Leases end when the store's clock says so: later after a jump back, at once after a \
             jump forward.":
                clock::jump_back_does_not_end_leases,
                clock::jump_forward_ends_leases;
            "A store with notices notifies the mailbox of a waiter of its grant.":
                notices::waiter_is_notified_of_its_grant;
            "A grant by a command of another connection is notified as well.":
                notices::waiter_is_notified_of_a_grant_by_another_connection;
            "Only the mailbox of the granted request is notified.":
                handoff::exactly_one_is_notified;
            "The command that ends a lease or a waiter by force pushes an Ended notice, with who \
             and why, to its mailbox.":
                notices::holder_is_notified_of_its_eviction,
                notices::waiter_is_notified_of_its_eviction,
                notices::giver_is_notified_of_a_transfer,
                notices::receiver_is_notified_of_a_transfer;
            "A renewal or a hear that names another mailbox moves the notices of its lease or \
             waiter there.":
                notices::renewal_moves_the_mailbox,
                notices::hearing_moves_the_mailbox;
            "A command that leaves waiters that could be granted notifies the next head to ask.":
                notices::next_head_is_notified_to_ask;
            "A notice is a hint: a request that misses it finds its lease when it is heard.":
                notices::missed_notice_is_found_by_hearing;
            "A mailbox may be opened before any request, and again at any time.":
                notices::mailbox_can_be_opened_again;
            "An exclusive lease is alone: any other request is refused or queued, and learns the \
             holder.":
                exclusion::second_owner_is_refused;
            "A key without holders and waiters is granted immediately.":
                exclusion::released_key_is_free_again;
            "The lease repeats what the request asked for, with the times of its grant and its \
             end.":
                leases::lease_repeats_the_request;
            "A request that holds gets its lease again, no longer than it was, unless it was in \
             its claim window.":
                requests::asking_again_does_not_extend_the_lease;
            "A request that waits keeps its place, and is heard for another keep-alive.":
                requests::same_request_keeps_its_place,
                liveness::asking_again_keeps_the_place;
            "A request that is silent for its keep-alive loses its place.":
                liveness::silent_waiter_loses_its_place;
            "Dead waiters block nobody: they are skipped, however many there are.":
                liveness::dead_head_is_skipped,
                liveness::many_dead_heads_are_skipped;
            "Waiters are granted in the order of rank, which is their arrival less their head \
             start; equal ranks go by arrival.":
                queue::waiters_are_granted_in_arrival_order,
                queue::higher_priority_goes_first,
                queue::equal_rank_goes_by_arrival,
                crowds::long_queue_keeps_its_order;
            "Nobody is overtaken by a request that came later by more than its head start.":
                queue::head_start_is_bounded;
            "A newcomer gets no key that a request of better or equal rank waits for.":
                queue::newcomer_does_not_overtake_the_queue,
                shared::reader_does_not_join_past_a_waiting_writer;
            "A position reports the length of the queue and the holder, and follows the queue as \
             it moves; a refused request learns the position that it would have had.":
                queue::position_reports_rank_and_holder,
                queue::positions_move_up,
                queue::better_rank_takes_a_better_position,
                shared::refused_reader_sees_the_waiting_writer;
            "A position names the next instant at which time alone can lead to a grant: the \
             end of the lease that ends first, or the silence of the head.":
                queue::position_names_the_next_change;
            "A request joins no queue longer than its limit; dead waiters count only while a \
             store is still dropping many.":
                crowds::full_queue_refuses,
                crowds::queue_limit_counts_only_the_living;
            "A queue may be long: every request in it is served, once and in order.":
                crowds::five_hundred_waiters_are_all_served;
            "Shared leases of one mode are alive together up to the limit of the mode, and never \
             beside leases of another mode.":
                shared::readers_share,
                shared::writer_waits_for_all_readers,
                shared::semaphore_is_limited_to_its_permits,
                shared::unlike_limits_take_turns;
            "A shared newcomer joins the holders past waiters of worse rank.":
                shared::better_ranked_reader_joins;
            "An upgrade is granted as soon as its lease is the only one, which ends in the same \
             step.":
                upgrades::only_reader_upgrades_at_once,
                upgrades::upgrade_waits_for_the_other_readers;
            "An upgrade ranks before all who wait.":
                upgrades::upgrade_passes_the_queue;
            "Of two upgrades the second is refused.":
                upgrades::second_upgrade_is_a_deadlock;
            "An upgrade of a lease that is over is refused.":
                upgrades::upgrade_needs_its_lease;
            "A waiter keeps its place and learns its position.":
                liveness::heard_waiter_keeps_its_place;
            "A request that was granted is answered with its lease, which is full length from \
             then on.":
                hearing::granted_request_is_answered_with_its_lease;
            "A request that neither waits nor holds is absent, and nothing changes.":
                hearing::unknown_request_is_absent,
                hearing::silent_waiter_is_absent;
            "A batch is answered one for one, in the order given.":
                hearing::answers_come_in_order;
            "A renewed lease lasts the ttl of the renewal from then on, and is otherwise the same \
             lease.":
                renewal::renewal_extends_the_lease,
                renewal::renewal_can_change_the_ttl,
                renewal::renewal_keeps_the_token;
            "A lease that is over is never revived, and the lease of the next holder is not \
             touched.":
                renewal::late_renewal_does_not_revive,
                renewal::late_renewal_does_not_touch_the_successor,
                renewal::renewal_after_release_is_refused;
            "Only the holding request renews.":
                renewal::renewal_by_another_request_is_refused;
            "A batch is answered one for one, in the order given.":
                renewal::renewals_are_answered_in_order;
            "Only the holding request releases; any other changes nothing.":
                release::release_by_another_request_is_refused,
                release::waiting_request_cannot_release,
                release::release_of_a_free_key_is_not_held;
            "A release after the end of its lease does not touch the next holder's lease.":
                release::late_release_does_not_touch_the_successor;
            "A lease that is over is of no other use either, even if no command touched its key \
             since.":
                release::over_lease_cannot_be_used;
            "A request that waits leaves the queue, and is never granted; the others keep their \
             places.":
                cancel::cancelled_waiter_is_not_granted,
                cancel::cancel_of_one_spares_the_others;
            "A request that was granted meanwhile releases its lease, claimed or not.":
                cancel::cancel_of_a_granted_request_releases;
            "A request that neither waits nor holds changes nothing.":
                cancel::cancel_of_an_unknown_request_is_absent;
            "Waiters behind one that leaves are granted if they fit now.":
                cancel::cancelled_head_lets_the_next_fit;
            "A cancel undoes an acquire that was dropped before its answer, if it follows on the \
             same connection.":
                cancel::dropped_acquire_can_be_cancelled;
            "An acquire that arrives after a cancel with an outstanding answer takes no lock.":
                marks::late_acquire_takes_no_lock;
            "A waiter gets the lease past the queue, with the terms that it asked for, and must \
             claim it.":
                transfer::transfer_to_a_waiter_passes_the_queue,
                transfer::lease_transferred_to_a_waiter_must_be_claimed;
            "An owner that does not wait gets a lease of full length in the mode and with the ttl \
             of the giver's lease.":
                transfer::transfer_to_an_owner_that_does_not_wait;
            "Only the holding request transfers, and holds nothing afterwards.":
                transfer::transfer_by_another_request_is_refused,
                transfer::giver_holds_nothing_after_transfer;
            "A receiver that does not wait in the mode of the lease, that holds already or that \
             has a mark gets nothing, and nothing changes.":
                transfer::transfer_to_an_absent_waiter_changes_nothing,
                transfer::transfer_needs_the_same_mode,
                transfer::transfer_to_a_holder_changes_nothing,
                marks::marked_request_receives_nothing;
            "The named leases end, also those that never expire, and the answer lists them.":
                evict::eviction_ends_the_lease,
                evict::eviction_ends_a_never_ending_lease;
            "The key goes to the head of the queue in the same step.":
                evict::eviction_grants_to_the_next;
            "One lease can be ended without the others of its key.":
                evict::eviction_of_one_lease_spares_the_others;
            "A waiter can be removed from the queue; the others keep their places.":
                evict::eviction_of_a_waiter_spares_the_others;
            "An evicted holder can neither renew nor release, and does not touch the next \
             holder's lease.":
                evict::evicted_holder_cannot_renew,
                evict::evicted_holder_cannot_release_the_successor;
            "Evicting from a free key changes nothing.":
                evict::eviction_of_a_free_key_takes_nothing;
            "One command ends a bounded number of leases, and says whether more are left.":
                crowds::eviction_of_many_reports_whether_more_are_left;
            "The mailbox of each holder gets a Wanted notice with who, why and how soon, and the \
             answer lists the holders.":
                appeals::holders_are_asked_to_release;
            "The leases stay as they are.":
                appeals::appeal_changes_no_lease;
            "An appeal up to a token asks no later holder.":
                appeals::appeal_spares_later_leases;
            "One command asks a bounded number of holders, and says whether there are more.":
                crowds::appeal_to_many_reports_whether_more_are_left;
            "Leases that are over and waiters that were silent for too long are not shown.":
                inspection::the_dead_are_not_shown,
                listing::over_leases_are_not_listed;
            "Ages and remaining times are differences between times of one reply, all on the \
             store's clock.":
                inspection::ages_are_counted_on_the_stores_clock;
            "Metadata is shown as it was given, up to the largest that is allowed.":
                metadata::metadata_is_kept,
                metadata::largest_metadata_is_kept;
            "A key without holders and waiters shows nothing.":
                inspection::free_key_shows_nothing;
            "Leases are shown as they were granted, the first to end first, those that never end \
             last, at most as many as the limit.":
                inspection::holders_are_shown;
            "Waiters are shown with what they asked for, the head first.":
                inspection::waiters_are_shown_in_order;
            "Following the pages to the last shows every waiter once while nothing changes, and \
             no page shows more than the limit.":
                inspection::waiters_are_paged;
            "Holders and waiters are counted exactly.":
                inspection::queue_of_many_is_counted;
            "Inspection grants what is due: the waiter after an expired lease is shown as the \
             holder that it now is.":
                inspection::inspection_grants_what_is_due;
            "Following the pages to the last lists every lease once while nothing changes, and no \
             page holds more than the limit.":
                listing::every_lease_is_listed_once;
            "Each of the leases that share a key is listed.":
                listing::shared_leases_are_listed_each;
            "Requests that wait are not listed.":
                listing::waiters_are_not_listed;
            "A lease that is held from the first page to the last is listed, whatever is granted, \
             ended or renewed in between.":
                listing::lease_held_throughout_is_listed_despite_changes;
            "A prefix and an owner match literally, and a lease is listed when it matches both.":
                listing::listing_filters_by_prefix,
                listing::listing_filters_by_owner;
            "A cursor that is not the store's own is refused as InvalidInput.":
                listing::foreign_cursor_is_refused;
            "Every waiter of exactly this owner is found, on any key.":
                inspection::waits_of_an_owner_are_found;
            "Every waiter of exactly this session is found, and none of another session of its \
             owner.":
                inspection::waits_of_a_session_are_found;
            "A request that was granted or left the queue is not found.":
                inspection::waits_end_with_the_grant;
            "Following the pages to the last finds every waiter once while nothing changes.":
                inspection::waits_are_paged;
            "From the return of this call on, every change of a key is an event, in order, with \
             the lease or waiter concerned.":
                events::events_record_every_change_of_a_key;
            "A watch after the cursor of an event sees what followed, each event once; where the \
             store no longer keeps all of that, it sees Watched::Missed first.":
                events::watch_resumes_after_a_cursor;
            "Only events that match the whole filter are seen.":
                events::events_are_filtered;
            "An eviction names the lease or the waiter, who ended it and why.":
                events::eviction_event_names_who_and_why;
            "A transfer names both leases and concerns both owners.":
                events::transfer_event_names_both;
            "An expiry is an event as soon as a command touches the key: that of a lease, before \
             the grant that follows, and that of a silent waiter.":
                events::expiry_is_an_event,
                events::lapsed_and_cancelled_waiters_are_events;
            "The store reports what it is, the same on every connection.":
                inspection::health_is_reported;
            "The reported capabilities hold, and are the same on every connection.":
                inspection::capabilities_are_as_expected;
        }
    };
}
