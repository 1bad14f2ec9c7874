"""`isocenter top`: what is going on now, from the monitors of one or several installations."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext

import httpx
from rich.live import Live

from isocenter.cli.common import out
from isocenter.cli.health import own_monitor, problem_of
from isocenter.cli.top_samples import Interval, Scrape
from isocenter.cli.top_view import view
from isocenter.core.errors import Invalid, Unavailable
from isocenter.runtime.listen import MONITOR_PORT
from isocenter.settings import Settings

_SECONDS = 10.0  # for one page: a supervisor waits for its processes before it answers


async def top(settings: Settings, urls: Sequence[str], *, every: float, once: bool) -> int:
    """Show what happened in the last seconds, again and again; `once`: for scripts."""
    addresses = [_address(url) for url in urls] or [own_monitor(settings)]
    before = await _scrape(settings, addresses)
    if not before.samples:
        told = "; ".join(f"{address}: {why}" for address, why in before.problems.items())
        raise Unavailable(
            f"no metrics to show: {told or 'nothing is measured there'}",
            fix="start Isocenter with a monitor: --set monitor.port="
            f"{MONITOR_PORT}, or ISOCENTER_MONITOR__PORT={MONITOR_PORT}",
        )
    live = None if once else Live(console=out, screen=out.is_terminal, auto_refresh=False)
    with live or nullcontext():
        try:
            while True:
                await asyncio.sleep(every)
                after = await _scrape(settings, addresses)
                if live is None:
                    out.print(view(Interval(before, after)))
                    return 0
                live.update(view(Interval(before, after)), refresh=True)
                before = after
        except asyncio.CancelledError:  # Ctrl-C is how it ends
            return 0


def _address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise Invalid(f"{url}: not the address of a monitor", fix="write http://host:port")
    return url.rstrip("/").removesuffix("/metrics")


async def _scrape(settings: Settings, addresses: Sequence[str]) -> Scrape:
    async with httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client:
        pages = await asyncio.gather(*(_page(client, address) for address in addresses))
    ready = await asyncio.gather(*(problem_of(settings, address) for address in addresses))
    texts, problems = {}, {}
    for address, (text, wrong), problem in zip(addresses, pages, ready, strict=True):
        if text:
            texts[address] = text
        if why := wrong or problem:
            problems[address] = why
    return Scrape.of(texts, problems)


async def _page(client: httpx.AsyncClient, address: str) -> tuple[str, str]:
    """The metrics, or what is wrong."""
    try:
        answer = await client.get(f"{address}/metrics")
    except httpx.HTTPError as error:
        return "", str(error) or type(error).__name__
    if not answer.is_success:
        return "", f"status {answer.status_code} for {address}/metrics: that is no monitor"
    return answer.text, ""
