"""All on one machine, and a process a role on servers: both shapes give the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from support.harness import Isocenter, running
from support.stack import Stack
from support.web_answers import Asked, ask, fill, requests


@pytest.fixture(scope="module")
def both(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Isocenter, Isocenter]]:
    """Both shapes, which keep the same."""
    folder = tmp_path_factory.mktemp("same")
    with ExitStack() as stopping:
        up = stopping.enter_context(running(folder / "up", "up"))
        split = stopping.enter_context(running(folder / "split", "split", stack.settings("same")))
        for one in (up, split):
            fill(one)
        yield up, split


@pytest.mark.parametrize("asked", list(requests()), ids=str)
def test_both_shapes_give_the_same_answer(both: tuple[Isocenter, Isocenter], asked: Asked) -> None:
    up, split = (ask(one, asked) for one in both)
    assert up.status == split.status
    assert up.fields == split.fields
    assert up.body == split.body
    assert up.status < 500


def test_the_requests_have_every_kind_of_answer(both: tuple[Isocenter, Isocenter]) -> None:
    statuses = {ask(both[0], asked).status for asked in requests()}
    refused = {400, 404, 405, 406, 409, 412, 415, 416}
    assert statuses >= {200, 204, 206, 304, 307} | refused
