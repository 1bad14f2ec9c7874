"""Real servers for all tests that ask for them, distribution over processes (tests that share an
installation or the servers stay together), and what is shown of a failure."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from support.harness import Isocenter
from support.pynetdicom_pause import make_certain
from support.stack import Stack

pytest.register_assert_rewrite("contract")

_LOG_LINES = 60


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, Elasticsearch and MinIO, running."""
    servers = Stack(tmp_path_factory.mktemp("stack"))
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture(scope="session", autouse=True)
def certain_pauses() -> Iterator[None]:
    """pynetdicom is a client of many tests."""
    with pytest.MonkeyPatch.context() as patch:
        make_certain(patch)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of a shared installation one worker process, and start the longest first."""
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "stack" in getattr(item, "fixturenames", ()) or params.get("isocenter") == "cluster":
            item.add_marker(pytest.mark.xdist_group("stack"))
        elif item.path.parent.name == "stack":
            item.add_marker(pytest.mark.xdist_group(item.path.stem))  # servers of its own
        elif "isocenter" in params:
            item.add_marker(pytest.mark.xdist_group(f"isocenter-{params['isocenter']}"))
        elif "isocenter" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(f"isocenter-{item.path.parent.name}"))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Verbs configure the logging of their process, which tests and what they set up share."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        return (yield)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the installations of the test had to say."""
    report = yield
    if report.failed:
        arguments = getattr(item, "funcargs", {}).values()
        logs = {one.log for one in arguments if isinstance(one, Isocenter)}
        logs.update(*(one.glob("*.log") for one in arguments if isinstance(one, Path)))
        for log in sorted(log for log in logs if log.is_file()):
            lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            report.sections.append((f"the end of {log.name}", "\n".join(lines)))
    return report
