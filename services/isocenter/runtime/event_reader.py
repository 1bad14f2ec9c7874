"""Reading the log while a newer version writes to it too.

Within a package of the protos (`isocenter.v1`), kinds of events are only ever added, and whoever
does not know one may pass over it: what must not be passed over gets another package. So such
an event is no dead letter; it is counted, and each kind is logged once.
"""

from __future__ import annotations

import logging

from isocenter.core.events import Event
from isocenter.core.ports import Delivery
from isocenter.runtime.event_codec import NewKind, decode
from isocenter.runtime.instruments import LOG_SKIPPED
from isocenter.runtime.telemetry import OFF, Telemetry

logger = logging.getLogger(__name__)

_KINDS = 100  # that are remembered: types come from the log, so their number has a bound


class EventReader:
    """Decodes what a group of consumers is given."""

    def __init__(self, group: str, telemetry: Telemetry = OFF) -> None:
        self._group = group
        self._telemetry = telemetry
        self._told: set[str] = set()

    def read(self, delivery: Delivery) -> Event | None:
        """The event, or None for one of a newer kind. Raises as `decode` does for what belongs on
        the dead-letter topic."""
        try:
            return decode(delivery)
        except NewKind as error:
            self._skip(delivery, error)
            return None

    def _skip(self, delivery: Delivery, error: NewKind) -> None:
        labels = {"group": self._group, "topic": delivery.topic}
        self._telemetry.count(LOG_SKIPPED, 1, labels)
        if delivery.type in self._told or len(self._told) >= _KINDS:
            return
        self._told.add(delivery.type)
        logger.warning(
            "events of a kind that this version does not know are passed over",
            extra={**labels, "offset": delivery.offset, "error": error.message},
        )
