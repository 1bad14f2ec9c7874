"""A process from its first role's start to its last role's stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Sequence

from isocenter.core.errors import IsocenterError
from isocenter.runtime.role import Role

logger = logging.getLogger(__name__)

_STOP_SECONDS = 10.0  # for one role's stop, which has nothing to wait for
SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def run(
    roles: Sequence[Role],
    *,
    drain_seconds: float,
    stop: asyncio.Event | None = None,
    started: Callable[[], None] | None = None,
    draining: Callable[[], None] | None = None,
) -> None:
    """Start roles in order, wait for SIGTERM, SIGINT or `stop`, drain and stop in reverse order.

    A role that cannot start stops those before it, and its error goes on. `started` is called
    when all have started, `draining` when stopping begins. A second signal ends the draining.
    """
    stop = stop or asyncio.Event()
    hurry = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, _on_signal, number, stop, hurry)
    running: list[Role] = []
    try:
        for role in roles:
            running.append(role)
            await _start(role)
            if stop.is_set():
                break
        else:
            # What was made until now stays: the garbage collector need not look at it again.
            gc.collect()
            gc.freeze()
            logger.info("started", extra={"roles": " ".join(role.name for role in running)})
            if started is not None:
                started()
            await stop.wait()
        if draining is not None:
            draining()
        await _drain(running, drain_seconds, hurry)
    finally:
        problems = [problem for role in reversed(running) if (problem := await _stop(role))]
        for number in SIGNALS:
            loop.remove_signal_handler(number)
    if problems:
        raise problems[0]
    logger.info("stopped")


def _on_signal(number: int, stop: asyncio.Event, hurry: asyncio.Event) -> None:
    fields = {"signal": signal.Signals(number).name}
    if stop.is_set():
        logger.info("stopping at once", extra=fields)
        hurry.set()
    else:
        logger.info("stopping", extra=fields)
    stop.set()


async def _start(role: Role) -> None:
    await role.start()
    logger.debug("role started", extra={"role": role.name})


async def _drain(roles: Sequence[Role], seconds: float, hurry: asyncio.Event) -> None:
    """All roles at once, the edges' work needs the services behind them; bounded."""
    tasks = {asyncio.create_task(role.drain()): role.name for role in reversed(roles)}
    impatient = asyncio.create_task(hurry.wait())
    everything = asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.wait(
        (everything, impatient), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
    )
    impatient.cancel()
    for task, name in tasks.items():
        if not task.done():
            logger.warning("a role did not drain in time", extra={"role": name})
            task.cancel()
        elif not task.cancelled() and (error := task.exception()):
            logger.error("a role failed to drain", extra={"role": name}, exc_info=error)
    await asyncio.gather(*tasks, impatient, everything, return_exceptions=True)


async def _stop(role: Role) -> Exception | None:
    """Stop one role whatever happens; answers with why it failed."""
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await role.stop()
    except TimeoutError:
        return IsocenterError(f"the role {role.name} did not stop in {_STOP_SECONDS:.0f} s")
    except Exception as error:
        logger.exception("a role failed to stop", extra={"role": role.name})
        return error
    logger.debug("role stopped", extra={"role": role.name})
    return None
