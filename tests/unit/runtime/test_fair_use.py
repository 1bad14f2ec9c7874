"""What one caller may have of a process."""

from __future__ import annotations

import pytest

from isocenter.core.access import NOBODY, Caller, Kind
from isocenter.core.errors import TooMany
from isocenter.runtime import limits
from isocenter.runtime.access.doors import OPERATOR
from isocenter.runtime.addresses import place_of
from isocenter.runtime.fair_use import FairUse, Visit
from isocenter.runtime.instruments import LIMITS_REFUSED
from isocenter.runtime.limits import AtOnce, LimitSettings, Rate
from support.policies import person
from support.telemetry import Recorder

HERE, THERE = "192.0.2.1", "198.51.100.1"
EVA, TOM = person("viewer"), person("viewer", name="tom")
SMALL = LimitSettings(
    requests_per_second=2, burst=4, requests_at_once=3,
    address_requests_per_second=1, address_burst=2, address_requests_at_once=1,
)  # fmt: skip


class Clock:
    now = 1e6

    def __call__(self) -> float:
        return self.now


class Rig:
    def __init__(self, settings: LimitSettings = SMALL) -> None:
        self.clock, self.recorder = Clock(), Recorder()
        self.use = FairUse(settings, self.recorder.telemetry, self.clock)

    def begin(self, caller: Caller, host: str = HERE, shown: str = "") -> Visit:
        visit = self.use.visit()
        try:
            visit.come(host, shown)
            visit.of(caller)
        except TooMany:
            visit.end()
            raise
        return visit

    def once(self, caller: Caller, host: str = HERE, shown: str = "") -> None:
        self.begin(caller, host, shown).end()

    @property
    def refused(self) -> dict[tuple[str, ...], int]:
        return self.recorder.values(LIMITS_REFUSED)


def test_a_rate_allows_a_burst_and_then_one_at_a_time() -> None:
    clock = Clock()
    rate = Rate(3, 10_000, clock)
    assert sum(rate.take("eva") == 0 for _ in range(10_100)) == 10_000
    wait = rate.take("eva")
    assert 0 < wait <= 1 / 3
    clock.now += wait + 1e-6
    assert rate.take("eva") == 0
    assert rate.take("eva") > 0
    assert rate.take("tom") == 0
    clock.now += 1e6  # however long the pause is, no more than a burst
    assert sum(rate.take("eva") == 0 for _ in range(10_100)) == 10_000


def test_what_was_given_back_can_be_taken_again() -> None:
    rate = Rate(1, 1, Clock())
    assert rate.take("eva") == 0
    rate.give_back("eva")
    rate.give_back("tom")  # who never came
    assert rate.take("eva") == 0
    assert rate.take("eva") > 0


def test_what_is_kept_of_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELD", 3)
    rate = Rate(1, 1, Clock())
    for who in "abcd":
        assert rate.take(who) == 0
    assert list(rate._until) == ["b", "c", "d"]
    at_once = AtOnce()
    assert at_once.enter("a", 1)
    assert not at_once.enter("a", 1)
    at_once.leave("a")
    assert at_once._now == {}


def test_a_caller_may_ask_so_often_wherever_they_are_and_is_told_when_again() -> None:
    rig = Rig()
    for host in (HERE, THERE, HERE, THERE):
        rig.once(EVA, host, "eva's")
    with pytest.raises(TooMany, match="one caller may not ask so often") as refused:
        rig.once(EVA, HERE, "eva's")
    assert refused.value.seconds == 1
    rig.once(TOM, HERE, "tom's")
    rig.clock.now += 0.5
    rig.once(EVA, HERE, "eva's")
    assert rig.refused == {("requests",): 1}


def test_a_caller_has_so_many_requests_under_way() -> None:
    rig = Rig()
    first, *_ = [rig.begin(EVA, shown="eva's") for _ in range(3)]
    with pytest.raises(TooMany, match="more than 3 requests under way"):
        rig.begin(EVA, shown="eva's")
    rig.begin(TOM, shown="tom's")
    rig.clock.now += 1
    first.end()
    rig.begin(EVA, shown="eva's")
    assert rig.refused == {("requests-at-once",): 1}


def test_who_is_not_known_shares_with_their_address() -> None:
    rig = Rig()
    visit = rig.begin(NOBODY)
    with pytest.raises(TooMany, match="one address who have not signed in"):
        rig.begin(NOBODY)
    with pytest.raises(TooMany, match="so often"):
        rig.begin(NOBODY)
    rig.once(NOBODY, THERE)
    visit.end()
    rig.clock.now += 1
    rig.once(NOBODY)
    assert rig.refused == {("address-requests-at-once",): 1, ("address-requests",): 1}


def test_who_is_known_does_not_count_for_the_address_and_is_not_shut_out_by_it() -> None:
    rig = Rig()
    for number in range(10):
        rig.once(person("viewer", name=f"p{number}"), HERE, f"secret {number}")
    for _ in range(2):
        rig.once(NOBODY, HERE, "wrong")
    rig.once(person("viewer", name="p1"), HERE, "secret 1")
    with pytest.raises(TooMany):  # it was not known here that it is right
        rig.once(TOM, HERE, "tom's")
    rig.once(TOM, THERE, "tom's")
    rig.once(TOM, HERE, "tom's")


def test_what_is_not_right_any_more_counts_for_the_address() -> None:
    rig = Rig()
    rig.once(EVA, shown="eva's")
    for _ in range(2):
        rig.once(NOBODY, shown="eva's")  # the session is over
    with pytest.raises(TooMany):
        rig.once(NOBODY, shown="eva's")


def test_the_operator_of_the_machine_has_no_limits() -> None:
    rig = Rig()
    for _ in range(100):
        rig.begin(OPERATOR, "127.0.0.1")


def test_without_limits_nobody_has_any() -> None:
    none = {name: 0 for name in LimitSettings.model_fields if not name.endswith("burst")}
    rig = Rig(LimitSettings(**none))
    for caller in (NOBODY, EVA, Caller(Kind.LINK, "Dr. Stone (0123)")):
        for _ in range(2000):
            rig.begin(caller, shown=caller.name)


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("a socket", "a socket"),
    ],
)
def test_an_ipv6_host_is_where_its_network_is(host: str, place: str) -> None:
    assert place_of(host) == place
