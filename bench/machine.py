"""The machine: what it is, and the programs that a run needs from Debian."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

PACKAGES = {"Orthanc": "orthanc orthanc-dicomweb", "storescu": "dcmtk", "wrk": "wrk"}
ORTHANC_DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_IDLE = 0.1  # share of processor time that nobody needs to be concerned about


class Unusable(Exception):
    """The run cannot take place; the text says what to do."""


def ensure_programs() -> None:
    """Install what is missing where we may, else raise `Unusable` naming the command."""
    missing = [packages for program, packages in PACKAGES.items() if not _has(program)]
    if not missing:
        return
    command = "apt-get install -y --no-install-recommends " + " ".join(missing)
    if shutil.which("apt-get") is None:
        raise Unusable(f"install these programs (Debian's names): {' '.join(missing)}")
    if os.geteuid() != 0:
        raise Unusable(f"programs are missing. Type: sudo {command}")
    print(f"installing {' '.join(missing)}", flush=True)
    # Debian starts a service of its own on installation, which would take part in our run.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        raise Unusable(f"this failed, see above: {command}") from error
    finally:
        if ours:
            policy.unlink()


def _has(program: str) -> bool:
    if program == "Orthanc" and not ORTHANC_DICOMWEB.exists():
        return False
    return find(program) is not None


def find(program: str) -> str | None:
    """Path of a program; Debian keeps Orthanc in /usr/sbin, which is not on everyone's path."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")


def wait_idle(seconds: float = 120.0) -> None:
    """Wait until nobody computes, so that what one side still has to do slows no other. Raises
    `Unusable` where somebody goes on."""
    deadline = time.monotonic() + seconds
    busy = 1.0
    while busy > _IDLE:
        if time.monotonic() > deadline:
            raise Unusable(f"the machine is {busy:.0%} busy; stop what else runs on it")
        idle, every = _jiffies()
        time.sleep(0.5)
        idle_now, every_now = _jiffies()
        busy = 1 - (idle_now - idle) / (every_now - every)


def _jiffies() -> tuple[int, int]:
    """Of all processors since the start: idle, and in total."""
    counts = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return counts[3] + counts[4], sum(counts)


def describe() -> dict[str, str | int]:
    """Processor, cores, memory and system; nothing that names the machine."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 2**30),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
    }


def package_version(package: str) -> str:
    """Version of an installed Debian package."""
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout or "unknown"
