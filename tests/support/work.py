"""The work of a hospital while something is done to an installation, and the count afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.clients import dcmtk
from support.files import Series, count_instances, write_series
from support.harness import Reached, wait_until
from support.readers import Reader
from support.senders import DimseSender, Sender, StowSender, check_kept

PAUSE = 0.05  # seconds between two instances
MANY = 600  # instances a sender has at most


def store(installed: Reached, folder: Path, count: int, seconds: float = 20) -> Series:
    """A series that storescu has stored, and that is found within so many seconds."""
    series = write_series(folder, count)
    stored = dcmtk("storescu", installed, "+sd", series.folder)
    assert stored.code == 0, stored.text
    wait_until(lambda: count_instances(installed, series.study) == count, seconds, "findable")
    return series


@contextmanager
def clients(installed: Reached, folder: Path, reference: Series | None = None) -> Iterator[Series]:
    """Senders and a reader at work meanwhile; then everything acknowledged is counted. The reader
    looks at `reference`, which is stored unless it is given, and answered with."""
    reference = reference or store(installed, folder / "reference", 6, 60)
    series = [write_series(folder / f"sent-{number}", MANY) for number in range(3)]
    senders: list[Sender] = [
        DimseSender(installed, series[:1], pause=PAUSE),
        DimseSender(installed, series[1:2], pause=PAUSE),
        StowSender(installed, series[2:], pause=PAUSE),
    ]
    reader = Reader(installed, reference, again=1)
    for thread in (*senders, reader):
        thread.start()
    try:
        yield reference
        before = [len(sender.acknowledged) for sender in senders], reader.good["search"]
        wait_until(
            lambda: (
                all(len(one.acknowledged) > n for one, n in zip(senders, before[0], strict=True))
                and reader.good["search"] > before[1]
            ),
            60,
            "work goes on afterwards",
        )
    finally:
        for thread in (*senders, reader):
            thread.stopping.set()
    for sender in senders:
        sender.stop()
    reader.stop()
    assert not reader.failed, f"asking again did not help: {reader.failed}"
    acknowledged = {uid: path for one in senders for uid, path in one.acknowledged.items()}
    begun = [one for one in series if one.files.keys() & acknowledged.keys()]
    check_kept(installed, begun, acknowledged, seconds=120)
