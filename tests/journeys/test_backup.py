"""The worst day: a backup is taken while scanners send, the machine dies, the disk is gone; and
everything that was acknowledged before the backup is back."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clients import dcmtk
from support.files import Series, count_instances, data_set_bytes, find_instances, write_series
from support.harness import Isocenter, wait_until
from support.senders import DimseSender

SETTINGS = {"process.workers": 1, "indexing.orphan_seconds": 3600}


@pytest.fixture
def isocenter(tmp_path: Path) -> Iterator[Isocenter]:
    """One of its own, running."""
    installation = Isocenter(tmp_path / "data", settings=SETTINGS)
    try:
        installation.start()
        yield installation
    finally:
        installation.kill()


def backup(isocenter: Isocenter, to: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return isocenter.cli("backup", "--to", str(to), *arguments)


def command(isocenter: Isocenter, verb: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "isocenter", verb, "--data", str(isocenter.data),
            *map(str, arguments)]  # fmt: skip


def store(isocenter: Isocenter, series: Series) -> None:
    """With dcmtk, until searches find it all."""
    sent = dcmtk("storescu", isocenter, "+sd", series.folder, nagle=False)
    assert sent.code == 0, sent.text
    wait_until(lambda: len(find_instances(isocenter, series.study)) == series.count)


def records(isocenter: Isocenter, *arguments: str) -> list[dict[str, object]]:
    """The audit trail, as far as it was taken in."""
    listed = isocenter.cli("audit list", "--json", "--limit", "10000", *arguments)
    assert listed.returncode == 0, listed.stderr
    return [json.loads(line) for line in listed.stdout.splitlines() if line.startswith("{")]


def exports(isocenter: Isocenter) -> list[dict[str, object]]:
    """The records of backups and restores."""
    return records(isocenter, "--action", "export", "--action", "import")


def stores(isocenter: Isocenter) -> Counter[str]:
    """How many records there are of the store of each instance."""
    found = records(isocenter, "--action", "store")
    return Counter(str(uid) for one in found for uid in one["instances"])  # type: ignore[attr-defined]


def copies(folder: Path) -> dict[str, tuple[int, int]]:
    """The objects of a folder of backups: name -> when written, and inode."""
    return {
        path.name: (path.stat().st_ctime_ns, path.stat().st_ino)
        for path in (folder / "pool" / "objects").rglob("*.dcm")
    }


def test_everything_acknowledged_before_the_backup_survives_the_loss_of_the_disk(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    first = write_series(tmp_path / "first", 30, rows=128)
    store(isocenter, first)
    during = [write_series(tmp_path / f"during{n}", 1000, rows=32) for n in range(2)]
    sender = DimseSender(isocenter, during)
    sender.start()
    wait_until(lambda: len(sender.acknowledged) >= 20, what="storing is under way")
    before = {**first.files, **sender.acknowledged}
    done = backup(isocenter, tmp_path / "backups")
    assert done.returncode == 0, done.stderr
    assert sender.pending, "storing ended before the backup"
    sender.stop()
    assert not sender.refused

    isocenter.kill()
    shutil.rmtree(isocenter.data)
    restored = isocenter.cli("restore", "--from", str(tmp_path / "backups"))
    assert restored.returncode == 0, restored.stderr
    isocenter.start()

    series = [first, *during]
    found = {uid for one in series for uid in find_instances(isocenter, one.study)}
    assert before.keys() <= found
    assert len(find_instances(isocenter, first.study)) == first.count
    for one in series:
        uids = find_instances(isocenter, one.study)
        assert len(uids) == len(set(uids)) == count_instances(isocenter, one.study)
        for uid in uids:
            address = f"/studies/{one.study}/series/{one.series}/instances/{uid}"
            body = isocenter.get(address, accept="application/dicom; transfer-syntax=*")
            assert body.endswith(data_set_bytes(one.files[uid])), f"{uid} came back changed"
    wait_until(lambda: stores(isocenter).keys() >= before.keys(), 30, "every record of a store")
    assert set(stores(isocenter).values()) == {1}
    details = [one["detail"] for one in exports(isocenter)]
    assert any(str(one).startswith("restore of the backup") for one in details)
    assert "backup, beginning" in details
    later = write_series(tmp_path / "later", 3)
    store(isocenter, later)
    drill = isocenter.cli("drill")
    assert drill.returncode == 0, drill.stdout + drill.stderr


def test_a_backup_that_was_killed_is_none_and_the_next_one_copies_only_the_rest(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "sent", 200, rows=256)
    store(isocenter, series)
    to = tmp_path / "backups"
    killed = subprocess.Popen(
        command(isocenter, "backup", "--to", to),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(copies(to)) >= 20 or killed.poll() is not None, what="copies")
    finally:
        killed.kill()
        killed.wait()
    before = copies(to)
    assert 20 <= len(before) < series.count, "it was killed too late"
    refused = isocenter.cli("restore", "--from", str(to))
    assert "there is no backup" in " ".join(refused.stderr.split())
    done = backup(isocenter, to)
    assert done.returncode == 0, done.stderr
    after = copies(to)
    assert len(after) == series.count
    assert before.items() <= after.items(), "copied again"
    another = write_series(tmp_path / "more", 3)
    store(isocenter, another)
    assert backup(isocenter, to).returncode == 0
    assert after.items() < copies(to).items()
    assert len(copies(to)) == series.count + 3
    drill = isocenter.cli("drill", "--from", str(to))
    assert drill.returncode == 0, drill.stdout + drill.stderr


def test_a_full_disk_ends_a_backup_with_a_sentence_and_harms_nothing(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    """The disk of the backup is a small one in memory, which only that process sees."""
    series = write_series(tmp_path / "sent", 20, rows=512)
    store(isocenter, series)
    to = tmp_path / "backups"
    to.mkdir()
    mount = f"mount -t tmpfs -o size=4m tmpfs {to}"
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*alone, mount], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no user mount a disk in memory, so none can be filled")
    backup_there = shlex.join(command(isocenter, "backup", "--to", to))
    twice = f"{mount} && {backup_there}; echo first $?; {backup_there}; echo second $?; ls {to}/*"
    done = subprocess.run([*alone, twice], capture_output=True, text=True, timeout=60, check=False)
    told = " ".join(done.stderr.split())
    assert ("first 1" in done.stdout, "second 1" in done.stdout) == (True, True), done
    assert told.count("error: no room for objects/main/") == 2, told
    assert "Traceback" not in told
    assert len(find_instances(isocenter, series.study)) == series.count
    assert isocenter.cli("verify").returncode == 0
    wait_until(
        lambda: ["no room" in str(one["error"]) for one in exports(isocenter)].count(True) == 2
    )
    assert backup(isocenter, to).returncode == 0  # where there is room
    assert len(copies(to)) == series.count


def test_a_drill_while_scanners_send_finds_no_difference(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    store(isocenter, write_series(tmp_path / "first", 50))
    sender = DimseSender(isocenter, [write_series(tmp_path / "during", 2000, rows=16)])
    sender.start()
    wait_until(lambda: len(sender.acknowledged) >= 20, what="storing is under way")
    try:
        for _ in range(2):
            drill = isocenter.cli("drill", "--sample", "0.2")
            assert drill.returncode == 0, drill.stdout + drill.stderr
        assert sender.pending, "storing ended before the drill"
    finally:
        sender.stop()
