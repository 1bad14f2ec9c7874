"""What is wrong at the doors of HTTP: of every route, asked by everybody."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from isocenter.core.access import Right
from support.files import Series
from support.harness import wait_until
from support.matrix_expected import ANYBODY, KNOWN, LISTS_LINKS, PERSON, UNASKED, Line
from support.matrix_world import FORGER, GUEST, NOBODY, Who, World, names_of
from support.walked_requests import FORM, JSON, Answer, Asked

ANSWERED, WHO, REFUSED, NOT_THERE = "answered", "asked who it is", "refused", "not there"
_NO_RIGHT = (ANYBODY, KNOWN, PERSON, UNASKED)
PAGES = ("/audit", "/access", "/account", "/share", "/emergency", "/sign-", "/invitation")


def verdict(answer: Answer) -> str:
    """What was answered, in a word."""
    if answer.status == 303 and answer.headers.get("location", "").startswith("/sign-in?"):
        return WHO
    if answer.status < 400:
        return ANSWERED
    return {401: WHO, 403: REFUSED, 404: NOT_THERE}.get(answer.status, str(answer.status))


def expected(who: Who, line: Line) -> frozenset[str]:
    """What may be answered, to somebody who asks for what they may see."""
    if line.needs == UNASKED:
        return frozenset({ANSWERED})
    if who.name == FORGER or (line.needs != ANYBODY and not who.known):
        return frozenset({WHO})
    allowed = (ANYBODY, KNOWN, *who.rights, *([] if who.name.startswith(GUEST) else [PERSON]))
    if line.needs not in allowed:
        return frozenset({REFUSED})
    match line.about:
        case "everywhere":
            return frozenset({ANSWERED} if who.everywhere else {REFUSED, NOT_THERE})
        case "own":
            return frozenset({ANSWERED, NOT_THERE, "400"})
        case "nothing":
            unanswered = [WHO, REFUSED] if line.needs == ANYBODY else []
            return frozenset({ANSWERED, NOT_THERE, "503", *unanswered})
        case _:
            return frozenset({ANSWERED})


def what_is_wrong_with_the_form(template: str, method: str, answer: Answer) -> str:
    """Of an error (RFC 9457, RFC 6750 3)."""
    if answer.status < 400:
        return ""
    if answer.status == 401 and "Bearer" not in answer.headers.get("www-authenticate", ""):
        return "no WWW-Authenticate"
    kind = "application/problem+json"
    if template.startswith(PAGES):
        kind = "text/html"
    elif template.startswith("/fhir"):
        kind = "application/fhir+json"
    if not answer.headers.get("content-type", "").startswith(kind):
        return f"it is {answer.headers.get('content-type')}"
    if method != "HEAD" and kind == "application/problem+json":
        return "" if json.loads(answer.body)["status"] == answer.status else "another status"
    return ""


@dataclass(frozen=True)
class Door:
    """A route and method, or a variant of it."""

    world: World
    method: str
    template: str
    line: Line

    @property
    def ways(self) -> Sequence[Series | None]:
        """How what is of another study is named: as such, or below the own one."""
        below = "{series}" in self.template or self.template == "/wado"
        return (None, self.world.own) if below else (None,)

    def prepared(self) -> Asked:
        """What it needs to succeed, on the own study."""
        if self.line.about in ("own", "study?") and self.method == "POST":
            asked = Asked(self.world.routes.values(self.world.own), media=FORM)
        else:
            asked = self.world.routes.asked(self.method, self.template)
        return self.narrowed(asked, self.world.own)

    def aimed(self, series: Series, within: Series | None = None) -> Asked:
        """The same on another study, or on what is of a series but said to be of another study."""
        values = self.world.routes.values(series)
        if within is not None:
            values["study"] = within.study
        asked = Asked(values, media=FORM if self.line.about == "study?" else "")
        if self.line.about == "study?":
            asked.body = f"study={series.study}&label=matrix&days=1".encode()
        if self.template == "/api/links":
            body = {"study": series.study, "label": "matrix"}
            asked.body, asked.media = json.dumps(body).encode(), JSON
        if self.line.about == "store":
            self.world.routes.store(asked, self.world.routes.files(series))
        return self.narrowed(asked, series)

    def narrowed(self, asked: Asked, series: Series) -> Asked:
        """The request, with the query and the media type of a variant."""
        if self.template == "/wado":
            asked.query = {
                "requestType": "WADO", "studyUID": asked.values["study"],
                "seriesUID": series.series, "objectUID": next(iter(series.files)),
            }  # fmt: skip
        if self.line.about in ("search", "change"):
            asked.query = (
                {} if self.line.about == "search" else {"since": "oldest", "limit": "1000"}
            )
        if self.line.accept != "*/*":
            asked.accept = self.line.accept
        names = {"study": series.study, "patient": series.patient_id}
        more = {name: value.format(**names) for name, value in self.line.query.items()}
        asked.query = {**asked.query, **more}
        return asked

    def ask(self, who: Who, asked: Asked) -> Answer:
        """Ask as somebody."""
        asked = replace(asked, cookie=who.cookie, token=who.token)
        return self.world.routes.send(self.method, self.template, asked, f"matrix {who.name}")

    # --- what is wrong ---------------------------------------------------------------------------

    def problems(self, who: Who, refused: Asked) -> Iterator[str]:
        """Of everything that somebody asks for here. `refused`: the request of who is refused."""
        right = expected(who, self.line)
        again = ANSWERED in right and self.method not in ("GET", "HEAD")
        asked = self.prepared() if again else refused
        answer = self.ask(who, asked)
        if self.line.about == "study?" and ANSWERED in right:
            right = frozenset({"400"})  # an empty form
        if verdict(answer) not in right:
            yield f"{verdict(answer)} {answer.status} instead of {' or '.join(right)}"
        yield from self._leaks(who, asked, answer)
        if wrong := what_is_wrong_with_the_form(self.template, self.method, answer):
            yield f"in a wrong form: {wrong}"
        if not right & {ANSWERED, "400"} or self.line.needs in _NO_RIGHT:
            return
        if self.line.about in ("search", "change"):
            yield from self._search_problems(who, asked, answer)
        if self.line.about in ("study", "study?", "store"):
            for series in who.hidden:
                yield from self._hidden_problems(who, series)
            if who.everywhere and self.method != "DELETE" and self.line.about != "store":
                seen = self.ask(who, self.aimed(self.world.other))
                if verdict(seen) != ANSWERED:
                    yield f"{seen.status} for the other study, which they may see"

    def _leaks(self, who: Who, asked: Asked, answer: Answer) -> Iterator[str]:
        """What is told of a study that they may not see, beyond what they said themselves."""
        if self.line.about == "trail" and self.line.needs in who.rights:
            return
        if self.template in LISTS_LINKS and Right.ACCESS.value in who.rights:
            return
        said = f"{asked.values} {asked.query} {asked.body!r}"
        told = answer.body + repr(answer.headers).encode()
        for series in who.hidden:
            for name in names_of(series):
                if name not in said and name.encode() in told:
                    yield f"{answer.status} tells {name}"

    def _search_problems(self, who: Who, asked: Asked, answer: Answer) -> Iterator[str]:
        mine, others = self.world.own.study.encode(), self.world.other.study.encode()
        if self.method == "GET" and mine not in answer.body:
            yield "their own study is not found"
        narrow = set(self.line.query) & {"StudyInstanceUID", "PatientID"}
        if self.method == "GET" and who.everywhere and not narrow and others not in answer.body:
            yield "the other study, which they may see, is not found"
        if self.line.about == "change" or self.line.accept != "*/*":
            return
        searching = Door(self.world, "GET", self.template, self.line)

        def counted() -> bool:
            total = self.ask(who, asked).headers["x-total-count"]
            return int(total) == len(json.loads(searching.ask(who, asked).body))

        # What another test has stored may be indexed between the two.
        wait_until(counted, what=f"{who.name}: as many found as are counted")
        for series in who.hidden if narrow else ():
            there = self.ask(who, self.narrowed(self.aimed(series), series))
            if there.headers["x-total-count"] != "0":
                yield "the other study is counted"

    def _hidden_problems(self, who: Who, series: Series) -> Iterator[str]:
        """What they may not see is as if it were not there, also as a part of what they may."""
        world, before = self.world, self.world.count(series)
        there = self.ask(who, asked := self.aimed(series))
        yield from self._leaks(who, asked, there)
        if self.line.about == "store":
            if there.status != 409:  # PS3.18 table 10.5.3-1: no instance was stored
                yield f"{there.status} for an object of a study that they may not see"
        else:
            for within in self.ways:
                there = self.ask(who, self.aimed(series, within))
                nowhere = self.ask(who, self.aimed(world.nowhere, within))
                names = {*names_of(series), *names_of(world.nowhere)}
                if (one := told(there, names)) != (other := told(nowhere, names)):
                    yield f"{one}, but of a study that is not there {other}"
        if world.count(series) != before:
            yield "the study is not what it was"


def told(answer: Answer, names: Collection[str]) -> tuple[int, bytes, Mapping[str, str]]:
    """All that an answer tells, but for names that may have been asked for, and its own."""
    body, headers = answer.body, {**answer.headers}
    for name in ("date", "content-length"):
        headers.pop(name, None)
    for name in names:
        body = body.replace(name.encode(), b"?")
    if headers.get("content-type") == "application/problem+json" and body:
        problem = {**json.loads(body), "instance": ""}
        body = json.dumps(problem).encode()
    return answer.status, body, headers


def problems_of(door: Door) -> Sequence[str]:
    """What is wrong, of everybody. Who signs in by an open door is nobody yet."""
    refused = door.prepared()
    callers = door.world.callers.values()
    if door.line.needs == ANYBODY and door.method == "POST":
        callers = [door.world.callers[NOBODY]]
    return [f"{who.name}: {problem}" for who in callers for problem in door.problems(who, refused)]


def changes_over_http(world: World, who: Who) -> Iterator[str]:
    """Data of server-sent events, from the oldest on."""
    shown = {"Cookie": who.cookie} if who.cookie else {"Authorization": f"Bearer {who.token}"}
    url = f"{world.isocenter.http_url}/changes?since=oldest"
    headers = {"Accept": "text/event-stream", **shown}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as lines:
        for line in lines:
            if line.startswith(b"data: "):
                yield line.decode()
