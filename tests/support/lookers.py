"""Clients that search and look at images without pause while something is broken, and remember
what they were answered."""

from __future__ import annotations

import threading
from itertools import count

import httpx

from support.harness import Reached

PATIENCE = 10  # seconds a client waits for an answer
PAUSE = 0.05  # seconds before it asks again
FRAMES = {"Accept": "multipart/related; type=application/octet-stream; transfer-syntax=*"}


class Looker(threading.Thread):
    """Asks again and again until it is told to stop."""

    def __init__(self, isocenter: Reached) -> None:
        super().__init__(daemon=True)
        self.isocenter = isocenter
        self.asked = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        with httpx.Client(timeout=PATIENCE) as client:
            while not self.stopping.is_set():
                self.asked += 1
                try:
                    self.look(client)
                except (OSError, httpx.HTTPError):
                    self.stopping.wait(PAUSE)  # the server was killed: connect again

    def look(self, client: httpx.Client) -> None:
        """One request."""
        raise NotImplementedError

    def stop(self) -> None:
        """End after the request in hand."""
        self.stopping.set()
        self.join(60)
        assert not self.is_alive()


class Searcher(Looker):
    """Searches for a patient of its own each time."""

    def __init__(self, isocenter: Reached, numbers: count[int]) -> None:
        super().__init__(isocenter)
        self.numbers = numbers
        self.answered: set[str] = set()

    def look(self, client: httpx.Client) -> None:
        """A search that nobody else makes."""
        patient = f"KILL{next(self.numbers)}"
        answer = client.get(
            f"{self.isocenter.dicomweb}/studies?PatientID={patient}",
            headers={"Accept": "application/dicom+json"},
        )
        if answer.status_code in (200, 204):
            self.answered.add(patient)


class Viewer(Looker):
    """Looks at one frame, which is counted with others."""

    def __init__(self, isocenter: Reached, path: str) -> None:
        super().__init__(isocenter)
        self.path = path
        self.seen = 0

    def look(self, client: httpx.Client) -> None:
        """One frame."""
        answer = client.get(f"{self.isocenter.dicomweb}/{self.path}/frames/1", headers=FRAMES)
        if answer.status_code == 200:
            self.seen += 1
