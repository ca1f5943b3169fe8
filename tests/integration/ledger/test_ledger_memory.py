"""The memory ledger of the state machine keeps the contract of the SQL ones: the same tests, unchanged."""

from __future__ import annotations

import pytest
from ledger_cases import StillClock
from test_ledger_acceptance import (  # noqa: F401 - pytest finds them here
    test_accept_new_order_gives_receipt_and_first_event,
    test_accept_order_due_later_sleeps_until_then,
    test_accept_other_content_under_known_id_gives_conflict,
    test_accept_repeats_inside_one_call_store_one_order,
    test_accept_same_content_again_gives_first_receipt,
    test_get_unknown_order_raises,
    test_list_orders_filters_and_pages_newest_first,
)
from test_ledger_changes import (  # noqa: F401
    test_add_change_numbers_them_in_order,
    test_change_done_with_its_order_is_written_with_it,
    test_change_that_was_moved_keeps_its_order_where_it_is,
    test_move_change_from_old_snapshot_changes_nothing,
    test_move_change_sets_columns_and_writes_event,
    test_move_change_settled_stays_settled,
    test_move_change_without_wake_at_shows_the_one_that_is_stored,
    test_order_that_was_moved_keeps_its_change_open,
    test_rest_change_lets_it_sleep_unless_it_was_moved,
)
from test_ledger_records import (  # noqa: F401
    test_fates_within_counts_dead_letters_and_acknowledged_orders,
    test_questions_are_open_orders_whose_code_asks_a_person,
)
from test_ledger_replays import (  # noqa: F401
    test_replay_again_with_other_content_is_refused,
    test_replay_again_with_the_same_content_gives_the_same_receipt,
    test_replay_of_a_discarded_letter_is_refused,
    test_replay_of_an_order_that_is_there_after_all_is_refused,
    test_replay_of_an_order_without_a_letter_raises,
    test_replay_stores_the_order_and_marks_the_letter,
    test_replay_under_an_id_that_is_taken_is_refused,
)
from test_ledger_schedule import (  # noqa: F401
    test_parked_accounts_names_each_account_with_a_parked_order,
    test_take_due_changes_takes_oldest_first_once,
    test_take_due_looks_at_the_given_states_only,
    test_take_due_puts_priority_first_then_the_longest_wait,
    test_take_due_takes_what_has_come_once,
)
from test_ledger_transitions import (  # noqa: F401
    test_add_executions_skips_known_ones,
    test_events_tell_the_whole_story,
    test_transition_every_pair_follows_the_table,
    test_transition_from_old_snapshot_changes_nothing,
    test_transition_to_an_end_clears_wake_and_lease,
    test_transition_without_wake_at_shows_the_one_that_is_stored,
    test_wake_moves_only_earlier,
    test_wake_order_that_sleeps_for_ever_wakes_it_while_open,
)

from tests.unit.services.memory_ledger import MemoryLedger


@pytest.fixture
def ledger(clock: StillClock) -> MemoryLedger:
    """Give an empty ledger in memory."""
    return MemoryLedger(clock, actor="test")
