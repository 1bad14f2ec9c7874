"""One installation for the tests that throw bad input at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.harness import Isocenter, running


@pytest.fixture(scope="module")
def isocenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isocenter]:
    """A running installation with short timeouts."""
    settings = {"gateway.association_timeout": 1, "process.workers": 1}
    with running(tmp_path_factory.mktemp("faults") / "data", settings=settings) as installation:
        yield installation


@pytest.fixture(autouse=True)
def the_next_normal_request_works(isocenter: Isocenter) -> Iterator[None]:
    """After every test of bad input: an association and a search are answered."""
    from support.clients import dcmtk

    before = set(isocenter.pids())
    yield
    assert dcmtk("echoscu", isocenter).code == 0
    assert isinstance(isocenter.search("/studies?limit=1"), list)
    assert set(isocenter.pids()) == before, "a process died"
