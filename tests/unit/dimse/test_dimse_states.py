"""The tables of the upper layer against an independent copy of the standard's."""

from __future__ import annotations

from pynetdicom import fsm

from isocenter.dimse.states import NEXT_STATE, TRANSITIONS, Action, Event, State


def _ours(name: str) -> str:
    return name.upper().replace("-", "")


def test_the_transition_table_is_that_of_the_standard():
    theirs = {
        (Event[_ours(event)], State[_ours(state)]): Action[_ours(action)]
        for (event, state), action in fsm.TRANSITION_TABLE.items()
    }
    assert theirs == TRANSITIONS


def test_every_action_leads_where_the_standard_says():
    for name, (_, _, after) in fsm.ACTIONS.items():
        states = (after,) if isinstance(after, str) else after
        assert NEXT_STATE[Action[_ours(name)]] in {State[_ours(state)] for state in states}


def test_every_event_happens_somewhere_and_every_action_is_reachable():
    assert {event for event, _ in TRANSITIONS} == set(Event)
    assert set(TRANSITIONS.values()) == set(Action)
