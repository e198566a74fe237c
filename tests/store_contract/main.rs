//! One suite over every backend of the `Store` contract. A backend joins with a [`fixture::Backend`] and one `suite!`
//! line; what only one backend can do (a file, a schema) is in a module of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics; clippy.toml covers #[test] functions only")]

mod audit;
mod changes;
mod claims;
#[path = "../common/mod.rs"]
mod common;
mod counts;
mod fixture;
mod import;
mod learning;
mod life;
mod listing;
mod log;
mod observing;
mod postgres;
mod reopened;
mod rotation;
mod sqlite;
mod undo;

/// Every sentence of the contract, by the name of its test.
macro_rules! suite {
    ($name:ident, $backend:ty) => {
        suite!(@tests $name, $backend,
            claims::{
                a_claim_gives_the_key_to_its_network,
                a_later_claim_is_held_by_what_was_there,
                one_key_has_one_winner_among_many,
                many_keys_have_one_winner_each,
                a_reserved_key_cannot_be_claimed,
                a_banned_key_cannot_be_claimed,
                a_ban_ends_exclusively,
                a_first_use_is_audited_once,
                a_claim_takes_no_revision,
                a_tried_claim_leaves_nothing,
                a_claim_dropped_at_any_moment_is_won_or_not,
            },
            learning::{
                networks_join_until_the_slots_are_taken,
                sixty_four_claimants_of_three_slots_are_three,
                a_window_ends_exclusively_and_seals,
                an_owner_takes_no_second_slot,
                fewer_slots_than_before_seal,
                a_joined_network_is_audited_and_takes_no_revision,
                no_network_joins_a_pinned_key,
                no_network_joins_a_banned_key,
                an_expired_provisional_binding_has_one_heir_among_many,
                a_provisional_binding_holds_until_it_expires,
            },
            observing::{
                candidates_come_in_their_order_and_own_nothing,
                the_number_of_candidates_is_bounded,
                an_owned_key_gets_no_candidates,
                a_claim_forgets_the_candidates,
                a_claim_that_forgets_candidates_takes_a_revision,
                observed_keys_are_listed_until_they_have_an_owner,
                promote_binds_one_candidate_and_reserves_several,
                pages_by_id_skip_no_row_even_if_rows_are_deleted,
                keys_with_an_owner_that_only_the_mode_lets_through_are_found,
            },
            life::{
                times_of_use_never_go_back,
                a_use_makes_no_row,
                only_what_is_neither_used_nor_refused_is_archived,
                an_archived_key_is_new_and_its_next_first_use_reports_its_last_owner,
                a_ban_outlives_the_archive,
                the_archive_goes_in_steps_the_longest_unused_first,
                an_archiving_can_be_undone,
                what_has_ended_is_deleted_in_steps_and_nothing_else,
                a_silence_is_a_pause_until_the_clock_is_set_back,
                a_replica_is_known_by_what_it_reads_and_by_what_it_has_written,
            },
            undo::{
                every_change_can_be_undone_and_the_undoing_too,
                an_undo_after_another_change_is_refused,
                an_undo_of_one_part_leaves_the_other,
                a_note_comes_back_only_to_a_binding,
                what_requests_cause_cannot_be_undone,
                an_opened_key_comes_back,
                a_change_names_its_record,
            },
            changes::{
                reserve_empties_the_networks,
                reserving_again_is_allowed_and_audited,
                hand_over_gives_the_key_to_exactly_one_network,
                open_lets_the_next_first_use_win,
                set_gives_a_key_exactly_these_networks,
                a_never_seen_key_can_be_given_its_networks,
                claim_is_for_a_key_without_a_binding,
                a_note_stays_with_the_binding,
                a_ban_says_until_when_why_and_by_whom,
                a_ban_replaces_the_earlier_one,
                a_never_seen_key_can_be_banned,
                unban_leaves_what_was_there,
                unbind_leaves_the_ban,
                an_expired_ban_can_be_lifted,
                a_key_by_its_prefix_is_the_key_by_itself,
                an_ambiguous_prefix_lists_its_keys_and_changes_nothing,
                many_candidates_are_cut_at_twenty,
                what_does_not_exist_is_refused_and_changes_nothing,
                revisions_are_in_order_and_without_gaps,
                refused_networks_are_listed_busiest_first,
                at_most_twenty_refused_networks_are_listed,
            },
            log::{
                a_lookup_of_an_unknown_key_creates_nothing,
                a_lookup_carries_the_revision_that_it_includes,
                changes_come_oldest_first,
                changes_are_pruned_after_a_day,
                a_clock_set_back_makes_no_hole,
                a_caller_ahead_of_the_store_gets_the_whole_log,
                a_store_has_one_history_until_it_is_restored,
                the_clock_and_the_pepper_are_the_stores,
            },
            audit::{
                records_come_back_as_they_were,
                records_come_newest_first,
                records_are_filtered,
                a_batch_is_appended_once,
                records_come_in_pages_as_they_were_stored,
                old_records_are_pruned_in_steps,
                no_record_gets_the_number_of_one_that_was_pruned,
            },
            listing::{
                keys_come_newest_first_and_once,
                keys_are_filtered,
                keys_come_in_pages,
                a_key_is_found_by_prefix_and_by_itself,
                a_key_is_found_with_who_was_refused_it,
                a_walk_by_id_goes_through_bindings_and_bans,
            },
            counts::{
                counts_count,
                the_networks_that_learned_most_come_first,
                denials_are_counted_by_reason_since_a_moment,
            },
            rotation::{
                activation_is_audited_and_takes_a_revision_that_no_key_changed_in,
                under_a_pepper_that_is_not_active_nothing_is_written,
                a_key_has_one_owner_whichever_pepper_finds_it,
                a_ban_under_the_old_pepper_binds_the_key_under_the_new_one,
                a_claim_of_a_key_whose_ban_has_ended_splits_no_key,
                a_moved_key_keeps_its_id_and_all_else,
                a_move_never_makes_a_second_row,
                what_is_done_to_a_key_of_the_old_pepper_moves_it,
                an_undo_makes_no_second_row_of_a_key,
                an_undo_after_a_rotation_there_and_back_does_not_hide_a_ban,
                a_pepper_in_use_is_not_retired,
                what_is_forgotten_is_named_and_new_again,
                forgetting_goes_in_bounded_steps,
                claims_that_meet_an_activation_have_one_winner_a_key,
            },
            import::{
                everything_that_is_known_of_a_key_moves,
                an_import_takes_a_revision_a_key_and_one_record,
                an_import_takes_no_key_from_its_owner,
                a_key_that_comes_twice_is_taken_once,
                an_import_is_done_whole_or_not_at_all,
                keys_under_another_pepper_bring_it_along_and_are_moved_when_used,
                an_import_that_meets_claims_leaves_one_owner_a_key,
            },
            reopened::{
                everything_is_there_after_reopening,
            },
        );
    };
    (@tests $name:ident, $backend:ty, $($module:ident::{ $($test:ident,)* },)*) => {
        mod $name {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    let place = <$backend as crate::fixture::Backend>::fresh().await;
                    crate::$module::$test(&place).await;
                }
            )*)*
        }
    };
}

suite!(on_sqlite, crate::sqlite::File);
suite!(on_postgres, crate::postgres::Database);
