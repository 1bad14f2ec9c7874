"""A Query/Retrieve SCP of pynetdicom's, over the files below a folder: `FOLDER PORT`. Prints a line
when it listens. A process of its own, since the tests change how pynetdicom pauses."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

_UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


def main(folder: Path, port: int) -> None:
    """Serve until killed."""
    held = [dcmread(path) for path in sorted(folder.rglob("*.dcm"))]

    def matching(keys: Dataset) -> list[Dataset]:
        asked = {name: keys.get(name) for name in _UNIQUE.values() if keys.get(name)}
        lists = {name: [uids] if isinstance(uids, str) else uids for name, uids in asked.items()}
        return [one for one in held if all(one[name].value in lists[name] for name in lists)]

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        keys = event.identifier
        found = {one[_UNIQUE[keys.QueryRetrieveLevel]].value: one for one in matching(keys)}
        for one in found.values():
            answer = Dataset()
            for element in keys:
                answer[element.tag] = one.get(element.tag, element)
            yield 0xFF00, answer

    def get(event: evt.Event) -> Iterator[object]:
        found = matching(event.identifier)
        yield len(found)
        for one in found:
            yield 0xFF00, one

    ae = AE("QRSCP")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
    ae.add_supported_context(CTImageStorage, ALL_TRANSFER_SYNTAXES, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get)]
    ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    print("listening", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
