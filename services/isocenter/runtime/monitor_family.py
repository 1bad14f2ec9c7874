"""One monitor for a family of processes: asks each of them at its socket, and shows all as one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from isocenter.runtime.monitor import METRICS_TYPE, Answer, Page, livez, ready

_ANSWER_SECONDS = 3.0  # less than those who ask us wait, who are told then who does not answer
_GONE = "does not answer"


def pages_of_family(sockets: Mapping[str, Path]) -> Mapping[str, Page]:
    """The pages for processes by name. Their metrics tell themselves which process they are of."""

    async def readyz() -> Answer:
        answers = await _ask_all(sockets, "/readyz")
        return ready(
            [f"{name}: {problem}" for name, body in answers for problem in _problems(body)]
        )

    async def metrics() -> Answer:
        answers = await _ask_all(sockets, "/metrics")
        bodies = [body for _, body in answers if body is not None]
        return Answer(HTTPStatus.OK, METRICS_TYPE, await asyncio.to_thread(merged, bodies))

    return {"/livez": livez, "/readyz": readyz, "/metrics": metrics}


def merged(expositions: Iterable[bytes]) -> bytes:
    """Several expositions as one, in which each metric is described once."""
    families: dict[str, Metric] = {}
    for text in expositions:
        for family in text_string_to_metric_families(text.decode()):
            known = families.setdefault(family.name, family)
            if known is not family:
                known.samples.extend(family.samples)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families.values()))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


async def _ask_all(sockets: Mapping[str, Path], path: str) -> Sequence[tuple[str, bytes | None]]:
    bodies = await asyncio.gather(*(_ask(socket, path) for socket in sockets.values()))
    return list(zip(sockets, bodies, strict=True))


async def _ask(socket: Path, path: str) -> bytes | None:
    """The body of a process's page; None if there is no whole answer."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: process\r\n\r\n".encode())
                answer = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    return answer.partition(b"\r\n\r\n")[2] or None


def _problems(body: bytes | None) -> Sequence[str]:
    if body is None:
        return (_GONE,)
    found: Sequence[str] = orjson.loads(body)["problems"]
    return found
