"""Progress of long work: a bar with a rate while it runs, a summary at the end.

Without a terminal (a pipe, a scheduler) the bar is a line every few seconds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
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
LINE_SECONDS = 10


class Tally:
    """Counts what was done and groups what was not, called `otherwise`, by its reason.

    Leaving it prints the summary, also when an error or Ctrl-C ended the work before its end.
    """

    def __init__(
        self,
        console: Console,
        verb: str,
        what: str,
        total: int | None = None,
        *,
        otherwise: str = "refused",
    ) -> None:
        self._console = console
        self._verb = verb
        self._what = what
        self._total = total
        self._otherwise = otherwise
        self._started = self._told = time.monotonic()
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._problems: set[str] = set()
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
            disable=not console.is_terminal,
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
        if kind is None or self.done or self.refused:
            self._summary(unfinished=kind is not None)

    def expect(self, total: int) -> None:
        """How many there will be is known now."""
        self._total = total
        self._progress.update(self._task, total=total)

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

    def refuse_new(self, problems: Mapping[str, str]) -> None:
        """Those of all problems so far (what -> reason) that were not refused before."""
        for what, reason in problems.items():
            if what not in self._problems:
                self._problems.add(what)
                self.refuse(what, reason)

    def _update(self, count: int) -> None:
        self._progress.update(self._task, advance=count, rate=self._rate())
        now = time.monotonic()
        if not self._console.is_terminal and now - self._told >= LINE_SECONDS:
            self._told = now
            of = f" of {self._total:,}" if self._total else ""
            looked_at = self.done + self.refused
            self._say(f"{self._verb}: {looked_at:,}{of} {self._what} so far ({self._rate()})")

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self._started, 1e-6)
        text = f"{self.done / seconds:,.0f}/s"
        return f"{text}, {_size(self.bytes / seconds)}/s" if self.bytes else text

    def _summary(self, *, unfinished: bool) -> None:
        """The totals and, per reason, how many were refused with one example."""
        seconds = time.monotonic() - self._started
        size = f", {_size(self.bytes)}" if self.bytes else ""
        rate = f" ({self._rate()})" if self.done else ""
        self._say(f"{self._verb}: {self.done:,} {self._what}{size} in {seconds:.1f} s{rate}")
        if unfinished:
            self._say("[red]ended before all was done[/red]")
        if not self._reasons:
            return
        self._say(f"[red]{self._otherwise}: {self.refused:,}[/red]")
        for reason, count in self._reasons.most_common(MAX_EXAMPLES):
            self._say(f"  {count:,} x {escape(reason)}")
            self._say(f"      for example {escape(self._examples[reason])}")
        more = len(self._reasons) - MAX_EXAMPLES
        if more > 0:
            self._say(f"  and {more:,} more reasons")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False)


def _size(count: float) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"
