"""Logs of a process: one line per entry, for people or for collectors.

Entries are constant text plus fields (`extra=`). Fields hold no patient data: that is the duty
of whoever writes them, and of `core.errors`, whose messages never hold attribute values. Libraries
know no such duty, so they are heard from warnings up only, whatever the level.
"""

from __future__ import annotations

import logging
import sys
import warnings
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

import orjson

_OURS = __name__.partition(".")[0] + "."
# Libraries whose part we tell ourselves: one tells every lost connection many times over, the
# others tell the values that they read, whoever sent them.
_UNHEARD = ("kafka.", "pydicom", "pynetdicom")
_BUILT_IN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(
    level: str,
    form: Literal["text", "json"],
    instance: str,
    stream: TextIO | None = None,
    *,
    where: Callable[[], Mapping[str, str]] | None = None,
) -> None:
    """Send all logs of this process, from `level` up, to `stream` (default: standard error).
    `where` gives fields of each entry: those of the trace that it is part of."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(instance) if form == "json" else TextFormatter(instance))
    handler.addFilter(_ours_or_serious)
    if where is not None:
        handler.addFilter(_stamping(where))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Python keeps every text that was warned of, and each value that is read makes another one.
    warnings.filterwarnings("ignore", module="pydicom")


def _ours_or_serious(record: logging.LogRecord) -> bool:
    if record.name.startswith(_OURS):
        return True
    if record.name.startswith(_UNHEARD) and record.levelno < logging.CRITICAL:
        return False
    error = record.exc_info[1] if record.exc_info else None
    # A server that is told to stop at once cancels its requests: what it says of that is no news.
    return record.levelno >= logging.WARNING and not isinstance(error, CancelledError)


def _stamping(where: Callable[[], Mapping[str, str]]) -> Callable[[logging.LogRecord], bool]:
    def stamp(record: logging.LogRecord) -> bool:
        vars(record).update(where())
        return True

    return stamp


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What was given by `extra=`."""
    return {name: value for name, value in vars(record).items() if name not in _BUILT_IN}


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, instance: str) -> None:
        super().__init__()
        self._instance = instance

    def format(self, record: logging.LogRecord) -> str:
        """The entry as JSON."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "instance": self._instance,
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


class TextFormatter(logging.Formatter):
    """`12:30:05.123 info gateway: text (field=value)`."""

    def __init__(self, instance: str) -> None:
        super().__init__()
        self._instance = instance

    def format(self, record: logging.LogRecord) -> str:
        """The entry as one line, an exception below it."""
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{name}={_one_line(value)}" for name, value in fields_of(record).items())
        text = f"{at} {record.levelname.lower():7} {self._instance} {record.getMessage()}"
        if fields:
            text += f" ({fields})"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def _one_line(value: object) -> str:
    """A value that cannot forge another entry."""
    text = str(value)
    return repr(text) if any(not c.isprintable() for c in text) else text
