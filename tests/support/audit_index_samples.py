"""Records and filters for tests of audit indices: made at random, of texts that do harm."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from random import Random

from isocenter.core.audit import AuditFilter, AuditIndex, By, Entry, Place
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVERYTHING = AuditFilter()
CHAIN = "audit-0"

# Each could mean something to a tokenizer, a query, an encoding or a file name on the way.
HOSTILE = (
    "a\x00b", "\x01\x1b[31m", "tab\tnew\nline\r", " spaces ", "<b onload=x>&amp;", "'; DROP--",
    '"quoted" OR 1', "50%_*?", "back\\slash\\", "AND", "OR", "NOT x", "NEAR(a b)", "-minus",
    "+plus", "^first", "a:b", "=equals", "{a}", "a*", "🩻 scan", "Ünïcödé", "\uff26\uff35LL", "ﬁn",
    "ß", "İı", "℡", "ᴬᴮ", "日本語 患者", "\u202eright", "\u2028line", "e\u0301", "Ǆ", "..", "_",
    "//", "@@", "x" * 300, "1.2.840.10008.5.1", "user@hospital.example", "10.0.0.1", "::1",
)  # fmt: skip
_NAMES = ("alice", "Alice", "bob", "SCANNER", " SCANNER ", "SCAN", "10.0.0.1", "")
_WORDS = ("C-FIND", "STUDY", "PatientID", "wado-rs", "frames", "retrieve", "1.2.3", "ok", "okay")
_UIDS = ("1.2", "1.2.3", "1.2.3.4", "1.20")
_CHAINS = ("audit-0", "audit-1", "instances-0")
_TIMES = (
    *[timedelta(microseconds=n) for n in (0, 1, 2, 62_499, 62_500, 62_501, 999_999)],
    *[timedelta(seconds=n) for n in (1, 59, 60, 3599, 3600, 3601, 7200, 43_200, 86_400)],
    timedelta(hours=12, microseconds=-1),
)
_FAR = (
    datetime(1, 1, 1, tzinfo=UTC), datetime(1900, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1969, 12, 31, 23, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
)  # fmt: skip


def record(number: int, **fields: object) -> AuditEvent:
    values: dict[str, object] = {
        "action": AuditAction.QUERY,
        "outcome": AuditOutcome.SUCCESS,
        "source": Source("DIMSE", host="10.0.0.1", ae_title="SCANNER"),
        "at": START + timedelta(seconds=number),
        "id": f"r{number:04}",
    }
    return AuditEvent(**(values | fields))  # type: ignore[arg-type]


def entry(number: int, chain: str = CHAIN, **fields: object) -> Entry:
    """A record, in the place of its number."""
    return Entry(record(number, **fields), Place(chain, number))


def numbered(events: Sequence[AuditEvent], chain: str = CHAIN) -> list[Entry]:
    return [Entry(event, Place(chain, at)) for at, event in enumerate(events, 1)]


async def ids(index: AuditIndex, which: AuditFilter = EVERYTHING, limit: int = 100) -> list[str]:
    return [entry.event.id for entry in await index.search(which, limit)]


class Samples:
    """A source of records and filters that is the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._sequences = dict.fromkeys(_CHAINS, 0)
        self._made = 0

    def entries(self, count: int) -> list[Entry]:
        """Records in places behind all those before; some have been given before."""
        return [self._entry() for _ in range(count)]

    def filters(self, count: int) -> list[AuditFilter]:
        """What somebody may ask."""
        return [self._filter() for _ in range(count)]

    def by(self) -> list[By]:
        """What records may be counted by, in any order."""
        return self._random.sample(list(By), self._random.randrange(len(By) + 1))

    def number(self, most: int) -> int:
        """From 1."""
        return self._random.randint(1, most)

    def chain(self) -> str:
        """One of those that there are."""
        return self._random.choice(_CHAINS)

    def through(self, chain: str) -> int:
        """A number in a chain."""
        return self._random.randint(0, self._sequences[chain])

    def _entry(self) -> Entry:
        chain = self.chain()
        self._sequences[chain] += 1
        return Entry(self._event(), Place(chain, self._sequences[chain]))

    def _event(self) -> AuditEvent:
        pick = self._random.choice
        if self._made and self._random.random() < 0.1:
            number = self._random.randrange(self._made)
        else:
            number = self._made
            self._made += 1
        return AuditEvent(
            action=pick(list(AuditAction)[:5]),
            outcome=pick([AuditOutcome.SUCCESS, *AuditOutcome]),
            source=Source(
                pick(("DIMSE", "DICOMweb")),
                host=self._name(),
                ae_title=self._name(),
                user=self._name(),
                tls_subject=pick(("", "CN=a,O=b")),
                known=pick((True, False)),
            ),
            at=self._time(),
            id=f"{number % 7}-{number}" if number % 5 else f"{pick(HOSTILE[:1])}{number}",
            partition=pick(("", "main", "Main")),
            patient_ids=self._some(("P1", "P2", "p1", *HOSTILE)),
            studies=self._some(_UIDS),
            series=self._some(_UIDS),
            instances=self._some(_UIDS),
            instance_count=self._random.randrange(3),
            detail=self._text(),
            destination=pick(("", "STORE", "STORE ", "store")),
            error=self._text(),
            query=self._text(),
            digests=self._some(("a" * 64, "b" * 64)),
            process=pick(("", "gateway-1")),
            site=pick(("", "north", "main")),
            trace=pick(("", f"{self._random.getrandbits(128):032x}")),
        )

    def _name(self) -> str:
        return self._random.choice((*_NAMES, *_NAMES, self._random.choice(HOSTILE)))

    def _some(self, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self._random.sample(values, self._random.choice((0, 0, 1, 1, 2))))

    def _text(self) -> str:
        several = [self._random.choice((*_WORDS, *HOSTILE)) for _ in range(3)]
        return " ".join(several[: self._random.randrange(4)])

    def _time(self) -> datetime:
        if self._random.random() < 0.05:
            return self._random.choice(_FAR)
        days = timedelta(days=self._random.choice((0, 0, 0, 1, 400)))
        return START + days + self._random.choice(_TIMES) + self._random.choice(_TIMES)

    def _filter(self) -> AuditFilter:
        chance, pick = self._random.random, self._random.choice
        since = self._time() if chance() < 0.3 else None
        until = self._time() if chance() < 0.3 else None
        east = timezone(timedelta(hours=5, minutes=30))
        return AuditFilter(
            since=since.astimezone(east) if since and since.year == 2026 else since,
            until=until,
            actions=tuple(self._random.sample(list(AuditAction), 4)) if chance() < 0.3 else (),
            outcomes=tuple(self._random.sample(list(AuditOutcome), 2)) if chance() < 0.3 else (),
            who=self._name() if chance() < 0.3 else "",
            patient_id=pick(("P1", "P2", "p1", "none", *HOSTILE)) if chance() < 0.15 else "",
            study=pick((*_UIDS, "9.9")) if chance() < 0.1 else "",
            instance=pick((*_UIDS, "9.9")) if chance() < 0.1 else "",
            place=pick(("main", "north", "STORE", "none")) if chance() < 0.15 else "",
            text=self._beginnings() if chance() < 0.25 else "",
        )

    def _beginnings(self) -> str:
        texts = self._random.sample((*_WORDS, *HOSTILE), self.number(2))
        return " ".join(text[: self.number(len(text))] for text in texts)
