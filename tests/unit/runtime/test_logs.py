"""What a process writes to its log, and what of its libraries is left out."""

from __future__ import annotations

import asyncio
import io
import json
import logging

from pydicom import valuerep
from pydicom.config import WARN
from pydicom.uid import UID

from isocenter.runtime.logs import configure


def test_ours_is_heard_from_its_level_up_and_libraries_from_warnings_up():
    stream = io.StringIO()
    configure("debug", "text", "requests-1", stream)
    logging.getLogger("isocenter.web").debug("ours", extra={"role": "web"})
    logging.getLogger("isocenter").info("no module of ours")
    logging.getLogger("uvicorn.error").info("Shutting down")
    logging.getLogger("pydicom").debug("(0010,0010) PN Doe^John")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines == [
        "debug   requests-1 ours (role=web)",
        "warning requests-1 Invalid HTTP request received.",
    ]


def test_what_a_library_says_of_a_cancelled_request_is_no_news():
    stream = io.StringIO()
    configure("info", "text", "requests-1", stream)
    library = logging.getLogger("uvicorn.error")
    library.error("Exception in ASGI application", exc_info=asyncio.CancelledError())
    assert stream.getvalue() == ""
    library.error("Exception in ASGI application", exc_info=ValueError("broken"))
    assert "ValueError: broken" in stream.getvalue()


def test_entries_for_collectors_are_one_json_object_a_line():
    stream = io.StringIO()
    configure("info", "json", "host/requests-1", stream)
    logging.getLogger("isocenter.runtime").info("started", extra={"roles": "gateway web"})
    entry = json.loads(stream.getvalue())
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "info",
        "instance": "host/requests-1",
        "logger": "isocenter.runtime",
        "message": "started",
        "roles": "gateway web",
    }


def test_values_that_a_library_read_are_neither_told_nor_kept():
    stream = io.StringIO()
    configure("info", "text", "requests-1", stream)
    for number in range(3):
        UID(f"1.2.Doe^John.{number}", validation_mode=WARN)
    logging.getLogger("pynetdicom.pdu").error("Invalid 'Calling AE Title' value 'Doe^John'")
    assert stream.getvalue() == ""
    assert "Doe^John" not in str(vars(valuerep).get("__warningregistry__", {}))
