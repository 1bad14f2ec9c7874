"""A client that reads without pause while something is broken, and believes no half answer."""

from __future__ import annotations

import json
import threading
import urllib.error
from collections import Counter
from collections.abc import Callable
from http.client import HTTPException

from support.files import Series, data_set_bytes, find_instances
from support.harness import Reached

_PAUSE = 0.5
WHOLE = "application/dicom; transfer-syntax=*"


class Reader(threading.Thread):
    """Searches and retrieves a study that is complete: an answer is whole, or it is an error."""

    def __init__(self, isocenter: Reached, series: Series, *, again: int = 0) -> None:
        """`again`: how often it asks again, after half a second, before a look has failed."""
        super().__init__(daemon=True)
        self._again = again
        self._isocenter = isocenter
        self._series = series
        self.stopping = threading.Event()
        self.good: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.mended: Counter[str] = Counter()  # failures that asking again may mend
        self.wrong: list[str] = []

    def run(self) -> None:
        looks = {"search": self._search, "metadata": self._metadata, "object": self._object}
        while not self.stopping.wait(0.05):
            for name, look in looks.items():
                self._look(name, look)

    def _look(self, name: str, look: Callable[[], str]) -> None:
        for attempt in range(self._again + 1):
            try:
                problem = look()
            except urllib.error.HTTPError as error:
                failure = f"{name} {error.code}"
                if error.code < 500:
                    self.wrong.append(f"{name} answered {error.code}")
            except (OSError, ValueError, HTTPException) as error:  # cut off: a client notices
                failure = f"{name} {type(error).__name__}"
            else:
                self.good[name] += 1
                if problem:
                    self.wrong.append(f"{name}: {problem}")
                return
            if attempt < self._again:
                self.mended[failure] += 1
                self.stopping.wait(_PAUSE)
        self.failed[failure] += 1

    def stop(self) -> None:
        """End, and fail if any answer was wrong."""
        self.stopping.set()
        self.join(60)
        assert not self.is_alive()
        assert not self.wrong, self.wrong[:10]

    def _search(self) -> str:
        found = find_instances(self._isocenter, self._series.study)
        return "" if sorted(found) == sorted(self._series.files) else f"{len(found)} found"

    def _metadata(self) -> str:
        body = self._isocenter.get(f"/studies/{self._series.study}/metadata")
        uids = [one["00080018"]["Value"][0] for one in json.loads(body)]
        return "" if sorted(uids) == sorted(self._series.files) else f"{len(uids)} described"

    def _object(self) -> str:
        uid, path = next(iter(self._series.files.items()))
        place = f"/studies/{self._series.study}/series/{self._series.series}/instances/{uid}"
        body = self._isocenter.get(place, accept=WHOLE)
        return "" if body.endswith(data_set_bytes(path)) else f"{len(body)} bytes"
