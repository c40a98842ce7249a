"""The state machine of DESIGN section 3, one row after the other."""

import pytest

from sagas.definition.states import ARROWS, TERMINAL, UNFINISHED, SagaState, StateEvent, state_after

TABLE = """
pending                begin      in_progress
pending                cancel     failed
in_progress            complete   succeeded
in_progress            roll_back  compensating
in_progress            fail       failed
compensating           all_compensated failed
compensating           give_up    partially_compensated
failed                 retry      pending
partially_compensated  retry_compensations compensating
partially_compensated  resolve    failed
succeeded              compensate compensating
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize(("state", "event", "after"), ROWS)
def test_an_event_leads_where_the_table_says(state, event, after):
    assert state_after(SagaState(state), StateEvent(event)) is SagaState(after)


def test_there_are_no_other_arrows():
    assert len(ARROWS) == len(ROWS)
    for state in SagaState:
        for event in StateEvent:
            if [state, event] not in [row[:2] for row in ROWS]:
                with pytest.raises(KeyError):
                    state_after(state, event)


def test_three_states_are_terminal():
    assert {state.value for state in TERMINAL} == {"succeeded", "failed", "partially_compensated"}
    assert {state.value for state in UNFINISHED} == {"pending", "in_progress", "compensating"}
