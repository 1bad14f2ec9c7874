"""`isocenter health`: whether processes can do their work, for probes that run a command."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx

from isocenter.cli.common import out
from isocenter.core.errors import Invalid
from isocenter.runtime.listen import MONITOR_PORT
from isocenter.runtime.rpc_peers import target_of
from isocenter.settings import Settings

_SECONDS = 5.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - asked, not bound
_FORMS = "write http://host:port, http://host:port/readyz or grpc://host:port"


async def health(settings: Settings, urls: Sequence[str]) -> int:
    """Ask every address, tell each answer in a line; 0 if all are ready."""
    asked = [*urls] or [own_monitor(settings)]
    problems = {url: await problem_of(settings, url) for url in asked}
    for url, problem in problems.items():
        out.print(f"{url}: {problem or 'ready'}", markup=False)
    return 1 if any(problems.values()) else 0


def own_monitor(settings: Settings) -> str:
    """The monitor of the process that has these settings. Raises `Invalid` if it has none."""
    where = settings.monitor
    if not where.port:
        raise Invalid(
            "no address to ask, and these settings have no monitor",
            fix=f"set one where Isocenter runs, and here: --set monitor.port={MONITOR_PORT}; "
            f"or name an address: {_FORMS}",
        )
    return f"http://{_EVERYWHERE.get(where.host, where.host)}:{where.port}"


async def problem_of(settings: Settings, url: str) -> str:
    """Why whoever is there is not ready; empty if it is. Raises `Invalid` for a wrong address."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and parts.hostname:
        return await _ask_http(url if parts.path.strip("/") else f"{url.rstrip('/')}/readyz")
    if parts.scheme == "grpc" and parts.hostname:
        try:
            target_of(parts.netloc)
        except ValueError as error:
            raise Invalid(f"{url}: {error}", fix=_FORMS) from error
        return await _ask_grpc(settings, parts.netloc)
    raise Invalid(f"{url}: not an address to ask", fix=_FORMS)


async def _ask_http(url: str) -> str:
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client:
            answer = await client.get(url)
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    if answer.is_success:
        return ""
    try:
        return "; ".join(answer.json()["problems"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


async def _ask_grpc(settings: Settings, address: str) -> str:
    import grpc.aio
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from isocenter.runtime.rpc_channel import open_channel

    channel = open_channel(address, tls=settings.rpc.tls)
    try:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
    except grpc.aio.AioRpcError as error:
        return error.details() or error.code().name
    finally:
        await channel.close()
    name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "" if name == "SERVING" else name.lower().replace("_", " ")
