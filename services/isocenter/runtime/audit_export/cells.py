"""A record in the words of a report: what stands in its five columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from isocenter.core.audit import AuditFilter, Entry
from isocenter.core.events import AuditEvent
from isocenter.runtime.audit_records import time_text
from isocenter.runtime.audit_texts import text

HEADS = ("when", "who", "what", "concerning", "how")

_OF_SOURCE = ("user", "ae_title", "host", "protocol", "called_ae_title", "tls_subject", "purpose")
_LISTS = ("patient_ids", "studies", "series", "instances")
_FILTER = ("who", "patient_id", "study", "instance", "place", "text")


def cells_of(entry: Entry, language: str) -> Sequence[Sequence[str]]:
    """The lines of each column; the place of the record is in the first."""
    event, place = entry.event, entry.place
    return (
        [time_words(time_text(event.at), zone=""), f"{place.chain} {place.sequence}"],
        _who(event, language),
        [
            text(f"action.{event.action.value}", language),
            text(f"outcome.{event.outcome.value}", language),
        ],
        _concerning(event, language),
        _how(event, language),
    )


def asked(which: AuditFilter, language: str) -> Sequence[tuple[str, str]]:
    """A filter in words: labels and values."""
    found: dict[str, str] = {}
    for name, moment in (("since", which.since), ("until", which.until)):
        if moment:
            found[name] = time_words(time_text(moment))
    if which.actions:
        names = [text(f"action.{one.value}", language) for one in which.actions]
        found["actions"] = ", ".join(names)
    if which.outcomes:
        names = [text(f"outcome.{one.value}", language) for one in which.outcomes]
        found["outcomes"] = ", ".join(names)
    found |= {name: value for name in _FILTER if (value := getattr(which, name))}
    return [(text(name, language), value) for name, value in found.items()]


def time_words(iso: str, zone: str = " UTC") -> str:
    """ISO 8601 in UTC for people."""
    return iso.replace("T", " ").replace("+00:00", zone)


def _who(event: AuditEvent, language: str) -> list[str]:
    source = event.source
    first = source.who or source.protocol
    told = [first]
    for name in _OF_SOURCE:
        value = getattr(source, name)
        if value and value != first:
            told.append(f"{text(name, language)} {value}")
    if not source.known:
        told.append(text("unknown", language))
    return told


def _concerning(event: AuditEvent, language: str) -> list[str]:
    told = [f"{text(name, language)} {value}" for name in _LISTS for value in getattr(event, name)]
    if event.instance_count > len(event.instances):
        told.append(f"{text('instance_count', language)} {event.instance_count}")
    return told


def _how(event: AuditEvent, language: str) -> list[str]:
    told = [event.detail] if event.detail else []
    told += _named(event, ("destination", "error", "query"), language)
    told += [f"{text('digests', language)} {digest}" for digest in event.digests]
    origin = _named(event, ("partition", "site", "process", "trace", "id"), language)
    return [*told, "; ".join(origin)]


def _named(event: AuditEvent, names: Iterable[str], language: str) -> list[str]:
    fields: Mapping[str, str] = {name: getattr(event, name) for name in names}
    return [f"{text(name, language)} {value}" for name, value in fields.items() if value]
