"""Bytes that associations have in flight together: who is read on, and that somebody always is."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from isocenter.dimse.budget import Budget


@dataclass(eq=False)
class Reader:
    """An association, as its budget sees it."""

    stopped: bool = False
    messages: list[int] = field(default_factory=list)  # bytes of those that are not done

    def stop_reading(self) -> None:
        assert not self.stopped
        self.stopped = True

    def read_on(self) -> None:
        assert self.stopped
        self.stopped = False


def test_below_the_bound_all_are_read():
    budget, (a, b) = Budget(100), (Reader(), Reader())
    budget.add(a, 60)
    budget.add(b, 40)
    assert not a.stopped
    assert not b.stopped


def test_over_the_bound_who_began_first_goes_on_and_the_others_follow():
    budget, (a, b, c) = Budget(100), (Reader(), Reader(), Reader())
    for reader, count in ((a, 60), (b, 60), (c, 60), (a, 1000)):
        budget.add(reader, count)
    assert [one.stopped for one in (a, b, c)] == [False, True, True]
    budget.remove(a, 1060)
    assert [one.stopped for one in (a, b, c)] == [False, False, True]
    budget.remove(b, 60)
    assert not c.stopped
    assert budget.in_flight == 60


def test_who_has_nothing_in_flight_is_read():
    budget, (a, b) = Budget(100), (Reader(), Reader())
    budget.add(a, 200)
    budget.add(b, 50)
    assert b.stopped
    budget.remove(b, 50)  # all of it had been there already
    assert not b.stopped


def test_who_leaves_takes_along_what_it_had_in_flight():
    budget, (a, b) = Budget(100), (Reader(), Reader())
    budget.add(a, 200)
    budget.add(b, 50)
    budget.leave(a)
    assert not b.stopped
    assert budget.in_flight == 50
    budget.remove(a, 200)  # its handlers end later
    assert budget.in_flight == 50


@given(
    st.lists(
        st.tuples(st.sampled_from(["arrive", "begin", "done", "leave"]), st.integers(0, 4),
                  st.integers(0, 60)),
        max_size=200,
    )
)  # fmt: skip
def test_whatever_happens_one_is_read_on_and_counts_are_right(steps):
    budget, readers = Budget(100), [Reader() for _ in range(5)]
    for step, number, size in steps:
        reader = readers[number]
        if step == "leave":
            budget.leave(reader)
            readers[number] = Reader()
        elif step == "done":
            if reader.messages:
                budget.remove(reader, reader.messages.pop(0))
        elif not reader.stopped:
            if step == "begin" or not reader.messages:
                reader.messages.append(0)
            reader.messages[-1] += size
            budget.add(reader, size)
        busy = [one for one in readers if sum(one.messages)]
        assert budget.in_flight == sum(sum(one.messages) for one in readers)
        assert not busy or not all(one.stopped for one in busy)
        assert all(one in busy for one in readers if one.stopped)
        if budget.in_flight <= 100:
            assert not any(one.stopped for one in readers)
