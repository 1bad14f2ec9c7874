"""The supervisor starts, watches, restarts and drains; a child notices that it is gone."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path

import pytest

from isocenter.core.errors import Unavailable
from isocenter.runtime.supervisor import HURRY_SECONDS, READY, Child, Supervisor

# A child that says it is ready, writes its process ID, and ends with its parent or on SIGTERM.
SCRIPT = f"""
import os, signal, socket, sys
pids, number = sys.argv[1], int(sys.argv[2])
ended = open(pids + ".ended", "a")
def on_term(*_):
    ended.write("term\\n"); ended.flush(); sys.exit(0)
signal.signal(signal.SIGTERM, on_term)
line = socket.socket(fileno=number)
with open(pids, "a") as file:
    print(os.getpid(), file=file)
line.sendall({READY!r})
line.recv(1)
ended.write("orphan\\n"); ended.flush()
"""


def _child(pids: Path) -> Child:
    return Child("child", [sys.executable, "-c", SCRIPT, str(pids), "{fd}"])


async def _lines(path: Path, count: int) -> list[str]:
    for _ in range(500):
        lines = path.read_text().split() if path.exists() else []
        if len(lines) >= count:
            return lines
        await asyncio.sleep(0.01)
    raise AssertionError(f"{path.name} has fewer than {count} lines")


async def test_a_child_is_ready_then_drained(tmp_path: Path) -> None:
    supervisor = Supervisor([_child(tmp_path / "pids")], ready_seconds=20, drain_seconds=5)
    await supervisor.start()
    assert len(await _lines(tmp_path / "pids", 1)) == 1
    await supervisor.stop()
    assert await _lines(tmp_path / "pids.ended", 1) == ["term"]


async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor([_child(tmp_path / "pids")], ready_seconds=20, drain_seconds=5)
    await supervisor.start()
    (first,) = await _lines(tmp_path / "pids", 1)
    os.kill(int(first), signal.SIGKILL)
    first_again, second = await _lines(tmp_path / "pids", 2)
    assert first_again == first != second
    await supervisor.stop()


async def test_a_child_that_ends_while_starting_is_named() -> None:
    child = Child("broken", [sys.executable, "-c", "import sys; sys.exit(3)"])
    supervisor = Supervisor([child], ready_seconds=20, drain_seconds=1)
    with pytest.raises(Unavailable, match="broken ended with exit code 3"):
        await supervisor.start()
    await supervisor.stop()


async def test_a_child_that_is_never_ready_is_named() -> None:
    child = Child("silent", [sys.executable, "-c", "import time; time.sleep(60)"])
    supervisor = Supervisor([child], ready_seconds=0.5, drain_seconds=1)
    with pytest.raises(Unavailable, match="silent did not become ready"):
        await supervisor.start()
    await supervisor.stop()


STUBBORN = f"""
import os, signal, socket, sys, time
signal.signal(signal.SIGTERM, lambda *_: print("asked", file=open(sys.argv[1], "a"), flush=True))
socket.socket(fileno=int(sys.argv[2])).sendall({READY!r})
while True:
    time.sleep(60)
"""


async def test_a_child_that_goes_on_working_is_killed_soon_after_the_second_request(
    tmp_path: Path,
) -> None:
    asked = tmp_path / "asked"
    child = Child("stubborn", [sys.executable, "-c", STUBBORN, str(asked), "{fd}"])
    supervisor = Supervisor([child], ready_seconds=20, drain_seconds=3600)
    await supervisor.start()
    stopping = asyncio.create_task(supervisor.stop())
    await _lines(asked, 1)
    assert not stopping.done()
    supervisor.hurry()
    async with asyncio.timeout(HURRY_SECONDS + 5):
        await stopping
    assert await _lines(asked, 2) == ["asked", "asked"]


async def test_a_child_that_is_not_working_any_more_is_not_waited_for(tmp_path: Path) -> None:
    supervisor = Supervisor([_child(tmp_path / "pids")], ready_seconds=20, drain_seconds=3600)
    await supervisor.start()
    supervisor.hurry()
    async with asyncio.timeout(HURRY_SECONDS - 0.5):
        await supervisor.stop()
    assert await _lines(tmp_path / "pids.ended", 1) == ["term"]


async def test_children_that_fail_to_start_together_leave_no_error_unheard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit(1)"]
    children = [Child(name, command) for name in ("one", "two")]
    supervisor = Supervisor(children, ready_seconds=20, drain_seconds=1)
    with pytest.raises(Unavailable, match="ended with exit code 1"):
        await supervisor.start()
    await supervisor.stop()
    gc.collect()
    assert caplog.records == []


async def test_a_child_sees_the_end_of_a_killed_supervisor(tmp_path: Path) -> None:
    program = f"""
import asyncio
from isocenter.runtime.supervisor import Child, Supervisor
async def main():
    child = Child("child", {[sys.executable, "-c", SCRIPT, str(tmp_path / "pids"), "{fd}"]!r})
    await Supervisor([child], ready_seconds=20, drain_seconds=5).start()
    await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    await _lines(tmp_path / "pids", 1)
    parent.kill()
    await parent.wait()
    assert await _lines(tmp_path / "pids.ended", 1) == ["orphan"]
