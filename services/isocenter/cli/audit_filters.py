"""The options by which verbs of `isocenter audit` choose records, and the filter that they make."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, Any

import typer

from isocenter.core.audit import AuditFilter
from isocenter.core.audit_values import consistent, exact, member
from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.core.identity import is_uid

FORMATS = [f"%Y-%m-%d{rest}" for rest in ("", "T%H:%M", "T%H:%M:%S", "T%H:%M:%S%z", " %H:%M:%S")]

# Option -> its type and help. They are those of `filter_of`.
_OPTIONS: Mapping[str, Any] = {
    "since": Annotated[
        datetime | None, typer.Option(help="Not before (UTC).", formats=FORMATS, metavar="TIME")
    ],
    "until": Annotated[
        datetime | None, typer.Option(help="Before (UTC).", formats=FORMATS, metavar="TIME")
    ],
    "action": Annotated[
        list[str] | None, typer.Option(help="store, query, retrieve, export, ... (repeat).")
    ],
    "outcome": Annotated[
        list[str] | None, typer.Option(help="success, minor-failure or failure (repeat).")
    ],
    "who": Annotated[
        str, typer.Option(help="User, AE title, address or certificate subject, exactly.")
    ],
    "study": Annotated[str, typer.Option(help="Study Instance UID.")],
    "instance": Annotated[str, typer.Option(help="SOP Instance UID.")],
    "patient": Annotated[str, typer.Option(help="Patient ID, exactly.")],
    "place": Annotated[str, typer.Option(help="Site, partition or destination, exactly.")],
    "text": Annotated[
        str, typer.Option(help="Words; each begins a word of the record, whatever its case.")
    ],
}


def filtered(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb with the options of a filter, in place of its parameter `which`."""

    @wraps(verb)
    def command(**given: Any) -> None:  # noqa: ANN401 (as typer parsed them)
        options = {name: given.pop(name) for name in _OPTIONS}
        verb(which=filter_of(**options), **given)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(verb, eval_str=True).parameters.values():
        if parameter.name != "which":
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        parameters += [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=kind,
                default="" if kind.__origin__ is str else None,
            )
            for name, kind in _OPTIONS.items()
        ]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    vars(command)["__signature__"] = inspect.Signature(parameters)
    return command


def filter_of(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    action: Sequence[str] | None = None,
    outcome: Sequence[str] | None = None,
    who: str = "",
    study: str = "",
    instance: str = "",
    patient: str = "",
    place: str = "",
    text: str = "",
) -> AuditFilter:
    """The filter of these options. Raises `Invalid`."""
    return consistent(
        AuditFilter(
            since=utc(since),
            until=utc(until),
            actions=tuple(member("action", AuditAction, name) for name in action or ()),
            outcomes=tuple(member("outcome", AuditOutcome, name) for name in outcome or ()),
            who=exact("--who", who, "--text"),
            study=_uid("study", study),
            instance=_uid("instance", instance),
            patient_id=exact("--patient", patient, "--text"),
            place=exact("--place", place, "--text"),
            text=text,
        )
    )


def utc(moment: datetime | None) -> datetime | None:
    """A time as an option gives it: UTC, unless it says another zone."""
    if moment is None:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _uid(option: str, text: str) -> str:
    if text and not is_uid(text):
        raise Invalid(f"--{option} {text}: not a UID", fix="give the whole UID")
    return text
