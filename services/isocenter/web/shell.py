"""What all our pages have in common: templates, language, links, header fields.

Pages work without scripts. Their policy allows none, and no style but that of our file: whatever
somebody wrote, a browser runs nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from isocenter import __version__
from isocenter.core.access import NOBODY, Caller
from isocenter.core.audit import AuditFilter
from isocenter.core.identity import is_uid
from isocenter.runtime.audit_ids import name_of
from isocenter.runtime.audit_texts import LANGUAGES
from isocenter.web import words
from isocenter.web.audit_common import Clock, base_url, now_utc
from isocenter.web.audit_filters import written
from isocenter.web.audit_subjects import of_group, record_parts, subjects_of
from isocenter.web.audit_text import SHORT, shown, uid_short, visible
from isocenter.web.conditions import Validators
from isocenter.web.exchange import Exchange
from isocenter.web.problems import Headers, Problem, Telling
from isocenter.web.words import PARAMETER, Words, chosen

STATIC = "/static/{file}"

POLICY = (
    b"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
    b" frame-ancestors 'none'"
)
_FIXED: Headers = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", POLICY),
    (b"referrer-policy", b"same-origin"),
    (b"vary", b"accept-language"),
)
_TYPES = {".css": b"text/css; charset=utf-8", ".svg": b"image/svg+xml"}


@cache
def environment() -> Environment:
    """The templates; everything that they print is escaped."""
    made = Environment(
        loader=PackageLoader("isocenter.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "shown": shown,
        "short": lambda text: shown(text, SHORT),
        "uid_short": uid_short,
        "visible": visible,
        "time": words.time,
        "exact_time": words.exact_time,
        "day": words.day,
        "moment": words.moment_of,
        "name": name_of,
    }
    made.tests["uid"] = is_uid
    made.globals |= {
        "filter_pairs": written,
        "of_group": of_group,
        "record_parts": record_parts,
        "subjects_of": subjects_of,
    }
    return made


@cache
def static_file(name: str) -> tuple[bytes, bytes] | None:
    """A file and its entity tag; None if there is none."""
    if "." + name.rpartition(".")[2] not in _TYPES or "/" in name:
        return None
    path = files("isocenter.web").joinpath("static", name)
    if not path.is_file():
        return None
    content = path.read_bytes()
    return content, b'"%s"' % sha256(content).hexdigest()[:32].encode("ascii")


@dataclass(frozen=True, slots=True)
class View:
    """A page for one request: its language, and the addresses that it links to."""

    words: Words
    given: str  # the language, where the address names it; links keep it
    root: str  # path below which we are reached
    path: str
    query: Sequence[tuple[str, str]]  # without the language

    @classmethod
    def of(cls, exchange: Exchange) -> View:
        """Raises `Invalid`."""
        given = dict(exchange.query).get(PARAMETER, "")
        given = given if given in LANGUAGES else ""
        language = chosen(given, exchange.header(b"accept-language"))
        query = [pair for pair in exchange.query if pair[0] != PARAMETER]
        root = urlsplit(base_url(exchange)).path
        return cls(Words(language), given, root, exchange.scope["path"], query)

    def link(self, path: str, pairs: Sequence[tuple[str, str]] = (), **more: str) -> str:
        """An address of ours."""
        kept = [(PARAMETER, self.given)] if self.given else []
        query = urlencode([*pairs, *more.items(), *kept], errors="replace")
        return self.plain(path) + (f"?{query}" if query else "")

    def plain(self, path: str) -> str:
        """An address of ours for which languages are nothing."""
        return f"{self.root}{quote(path)}"

    def within(self, path: str, which: AuditFilter, **more: str) -> str:
        """An address with a filter."""
        return self.link(path, written(which), **more)

    @property
    def languages(self) -> Sequence[tuple[str, str]]:
        """The same page in each language."""
        here = f"{self.root}{quote(self.path)}"
        return [(one, f"{here}?{urlencode([*self.query, (PARAMETER, one)])}") for one in LANGUAGES]

    def context(self) -> dict[str, Any]:
        """What every template has."""
        return {
            "t": self.words,
            "lang": self.words.language,
            "given": self.given,
            "link": self.link,
            "within": self.within,
            "plain": self.plain,
            "languages": self.languages,
            "weekdays": [self.words(f"weekday.{number}") for number in range(7)],
            "static": self.static,
            "version": __version__,
        }

    def static(self, name: str) -> str:
        """The address of a file; it changes with its content."""
        found = static_file(name)
        assert found is not None
        return f"{self.root}/static/{name}?v={found[1][1:13].decode('ascii')}"


class Shell:
    """Answers with pages."""

    def __init__(self, *, site: str, now: Clock = now_utc) -> None:
        self.site = site
        self.now = now

    def render(self, view: View, template: str, context: Mapping[str, Any]) -> bytes:
        """A page, or a part of one."""
        given = {"site": self.site, "now": self.now(), **context}
        text = environment().get_template(template).render({**view.context(), **given})
        return text.encode("utf-8", "replace")

    async def answer(
        self,
        exchange: Exchange,
        view: View,
        template: str,
        context: Mapping[str, Any],
        status: int = 200,
        headers: Headers = (),
    ) -> None:
        """A page."""
        fields = [*headers_of(view), *headers]
        await exchange.answer(status, fields, self.render(view, template, context))

    def telling(self, frame: str) -> Callable[[Exchange], Telling]:
        """The form of a route's errors: a page in this frame, which is a template."""

        def give(exchange: Exchange) -> Telling:
            view = View.of(exchange)

            def tell(problem: Problem, request_id: str) -> tuple[Headers, bytes]:
                context = {
                    "frame": frame,
                    "problem": problem,
                    "request_id": request_id,
                    "page": "",
                    "caller": caller_of(exchange),
                    "here": _came_from(exchange, view),
                }
                return headers_of(view), self.render(view, "error.html", context)

            return tell

        return give

    async def static(self, exchange: Exchange) -> None:
        """A file of ours."""
        name = exchange.path["file"]
        found = static_file(name)
        if found is None:
            raise Problem(404, "there is no such file")
        content, etag = found
        headers = [
            (b"content-type", _TYPES["." + name.rpartition(".")[2]]),
            (b"etag", etag),
            (b"cache-control", b"no-cache"),
            (b"content-security-policy", POLICY),
        ]
        if Validators(etag).unchanged(exchange):
            await exchange.without_content(304, headers)
            return
        await exchange.answer(200, headers, content)


def caller_of(exchange: Exchange) -> Caller | None:
    """Who has signed in."""
    return None if exchange.caller is NOBODY else exchange.caller


def _came_from(exchange: Exchange, view: View) -> str:
    """The page of ours that sent a form, which is a place to come back to."""
    page = urlsplit(exchange.header(b"referer"))
    path = page.path.removeprefix(view.root)
    return f"{path}?{page.query}" if page.query else path


def headers_of(view: View) -> Headers:
    """Of a page."""
    return [*_FIXED, (b"content-language", view.words.language.encode("ascii"))]
