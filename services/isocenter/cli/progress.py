"""Progress of long work: a bar with a rate while it runs, a summary at the end."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

MAX_EXAMPLES = 10


class Tally:
    """Counts what was done and groups what was not, called `otherwise`, by its reason."""

    def __init__(
        self, console: Console, verb: str, total: int | None = None, *, otherwise: str = "refused"
    ) -> None:
        self._console = console
        self._verb = verb
        self._otherwise = otherwise
        self._started = time.monotonic()
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self.done = 0
        self.bytes = 0
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(verb, total=total, rate="")

    @property
    def refused(self) -> int:
        """How many were refused."""
        return self._reasons.total()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def add(self, size: int = 0, count: int = 1) -> None:
        """`count` more were done, `size` bytes in all."""
        self.done += count
        self.bytes += size
        self._update(count)

    def refuse(self, what: str, reason: str) -> None:
        """One was refused."""
        self._reasons[reason] += 1
        self._examples.setdefault(reason, what)
        self._update(1)

    def _update(self, count: int) -> None:
        self._progress.update(self._task, advance=count, rate=self._rate())

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self._started, 1e-6)
        text = f"{self.done / seconds:,.0f}/s"
        return f"{text}, {self.bytes / seconds / 1e6:,.1f} MB/s" if self.bytes else text

    def summary(self, what: str) -> None:
        """Print the totals and, per reason, how many were refused with one example."""
        seconds = time.monotonic() - self._started
        size = f", {self.bytes / 1e6:,.1f} MB" if self.bytes else ""
        self._console.print(
            f"{self._verb}: {self.done:,} {what}{size} in {seconds:.1f} s ({self._rate()})",
            highlight=False,
        )
        if not self._reasons:
            return
        self._console.print(f"[red]{self._otherwise}: {self.refused:,}[/red]", highlight=False)
        for reason, count in self._reasons.most_common(MAX_EXAMPLES):
            example = escape(self._examples[reason])
            self._console.print(f"  {count:,} x {escape(reason)}", highlight=False)
            self._console.print(f"      for example {example}", highlight=False)
