"""What our pages say, in every language: catalogues that are data (`languages/*.toml`), and how
numbers and times are written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup, escape

from isocenter.runtime.audit_texts import LANGUAGES, number
from isocenter.web.audit_text import shown, visible
from isocenter.web.lists import elements

PARAMETER = "lang"

_PARTS = ("audit", "access")

_ONE, _OTHER = ".one", ".other"
_NONE_IS_ONE = frozenset({"fr"})  # "0 accès" is singular there
_AGES = (("days", 86_400), ("hours", 3600), ("minutes", 60))


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Key -> text."""
    folder = files("isocenter.web").joinpath("languages")
    texts = [folder.joinpath(f"{part}.{language}.toml").read_text("utf-8") for part in _PARTS]
    return dict(pair for text in texts for pair in _flat(tomllib.loads(text)))


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def chosen(given: str, accepted: str) -> str:
    """The language of a page: what is asked for, else what the browser accepts most, else
    English."""
    if given in LANGUAGES:
        return given
    wanted = sorted(map(_weighed, elements(accepted)), key=lambda one: -one[1])
    return next((one for one, weight in wanted if weight > 0 and one in LANGUAGES), LANGUAGES[0])


def _weighed(element: str) -> tuple[str, float]:
    """A range of Accept-Language (RFC 9110 12.5.4): its language, and how much it is wanted."""
    tag, _, parameter = element.partition(";")
    name, _, value = parameter.strip().partition("=")
    try:
        weight = float(value) if name == "q" else 1.0
    except ValueError:
        weight = 0.0
    return tag.strip().partition("-")[0].lower(), weight


class Words:
    """Says things in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._catalogue = catalogue(language)

    def __call__(self, key: str, /, **values: object) -> Markup:
        """A text as HTML. Of its values, texts are shown as those of records are."""
        told = {name: self._told(value) for name, value in values.items()}
        return Markup(escape(self._text(key, values))).format_map(told)  # noqa: S704 - escaped

    def plain(self, key: str, /, **values: object) -> str:
        """A text for an attribute."""
        told = {
            name: self.number(value) if isinstance(value, int) else visible(str(value))
            for name, value in values.items()
        }
        return self._text(key, values).format_map(told)

    def _text(self, key: str, values: Mapping[str, object]) -> str:
        if key + _OTHER not in self._catalogue:
            return self._catalogue[key]
        count = values["count"]
        one = count == 1 or (count == 0 and self.language in _NONE_IS_ONE)
        return self._catalogue[key + (_ONE if one else _OTHER)]

    def _told(self, value: object) -> object:
        if isinstance(value, int):
            return self.number(value)
        return value if isinstance(value, Markup) else shown(str(value))

    def number(self, value: int) -> str:
        """With its thousands apart."""
        return number(value, self.language)

    def percent(self, part: int, whole: int) -> str:
        """How much of the whole a part is, to a tenth."""
        share = f"{100 * part / whole:.1f}" if whole else "0.0"
        told = share if self.language == "en" else share.replace(".", ",")
        return f"{told}%" if self.language == "en" else f"{told}\u00a0%"

    def age(self, span: timedelta) -> Markup:
        """How long ago something was, roughly."""
        seconds = max(0, int(span.total_seconds()))
        for unit, length in _AGES:
            if seconds >= length:
                return self(f"age.{unit}", count=seconds // length)
        return self("age.now")


def time(moment: datetime) -> str:
    """A time in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def exact_time(moment: datetime) -> str:
    """A time in UTC, as it is."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"


def day(moment: datetime) -> str:
    """A day in UTC."""
    return moment.astimezone(UTC).date().isoformat()


def moment_of(text: str) -> datetime | None:
    """A time of the trail, which may be missing."""
    return datetime.fromisoformat(text) if text else None
