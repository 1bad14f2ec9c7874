"""Tables and connections of the SQLite index.

- `patients`, `studies`, `series`: one row each with the whole answer as JSON (`doc`), counts
  included, so that a search assembles nothing; `sort` and `number` are `core.matching`'s order,
  the columns of `order_column` those by which studies can be put in another one.
- `versions`: every kept version of an instance; `shown` marks the one that answers.
- `contexts`: the distinct patient, study and series attributes of the instances of a series,
  with the number of shown instances that have them. What a level answers is the merge of its
  contexts, so only a context's first or last instance costs more than counting.
- `terms`: the canonical terms of the attributes of every patient, study and series, for matching.
- `shares`: those of instances, by series, with the number of shown instances that have each.
- `totals`: one row, which triggers keep right, so that it is also when another version writes.
- `fill_state`: one row, once there are added attributes. The fields of their terms and shares are
  below zero (`added`).

A row whose level has no shown instance is hidden: its `sort` lies outside every partition.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

from isocenter.adapters.index.scoping import Scopes
from isocenter.core.attributes import ORDERS, SITES, TABLE, Attribute
from isocenter.core.errors import Corrupted, IsocenterError, OutOfResources, Unavailable
from isocenter.core.matching import JsonAttributes, Level
from isocenter.core.terms import fuzzy_terms, terms

APPLICATION_ID = 0x49534F43  # "ISOC"
VERSION = 3
BUSY_SECONDS = 15.0


def order_column(tag: str) -> str:
    """The column of studies with an attribute's order term (`core.attributes.order_term`)."""
    return f"by_{tag}"


ORDER_COLUMNS = tuple(map(order_column, ORDERS))

SCHEMA = f"""
CREATE TABLE partitions(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE patients(
  id INTEGER PRIMARY KEY, sort TEXT NOT NULL UNIQUE, partition INTEGER NOT NULL,
  studies INTEGER NOT NULL DEFAULT 0, series INTEGER NOT NULL DEFAULT 0,
  instances INTEGER NOT NULL DEFAULT 0, doc BLOB NOT NULL DEFAULT '{{}}');
CREATE TABLE studies(
  id INTEGER PRIMARY KEY, sort TEXT NOT NULL UNIQUE, partition INTEGER NOT NULL,
  uid TEXT NOT NULL, patient INTEGER, series INTEGER NOT NULL DEFAULT 0,
  instances INTEGER NOT NULL DEFAULT 0, doc BLOB NOT NULL DEFAULT '{{}}',
  {", ".join(f"{column} TEXT NOT NULL DEFAULT ''" for column in ORDER_COLUMNS)});
CREATE UNIQUE INDEX studies_by_uid ON studies(uid, partition);
CREATE INDEX studies_by_patient ON studies(patient);
CREATE TABLE series(
  id INTEGER PRIMARY KEY, study INTEGER NOT NULL, uid TEXT NOT NULL,
  number INTEGER NOT NULL DEFAULT 0, instances INTEGER NOT NULL DEFAULT 0,
  doc BLOB NOT NULL DEFAULT '{{}}');
CREATE UNIQUE INDEX series_by_uid ON series(uid, study);
CREATE INDEX series_in_order ON series(study, number, uid);
CREATE TABLE contexts(
  id INTEGER PRIMARY KEY, study INTEGER NOT NULL, series INTEGER NOT NULL,
  digest BLOB NOT NULL, used INTEGER NOT NULL DEFAULT 0, doc BLOB NOT NULL);
CREATE UNIQUE INDEX contexts_by_digest ON contexts(series, digest);
CREATE INDEX contexts_by_study ON contexts(study);
CREATE TABLE versions(
  id INTEGER PRIMARY KEY, series INTEGER NOT NULL, uid TEXT NOT NULL, digest TEXT NOT NULL,
  number INTEGER NOT NULL, current INTEGER NOT NULL, decision INTEGER NOT NULL,
  shown INTEGER NOT NULL, context INTEGER NOT NULL, size INTEGER NOT NULL, sop_class TEXT NOT NULL,
  transfer_syntax TEXT NOT NULL, key TEXT, doc BLOB NOT NULL);
CREATE UNIQUE INDEX versions_by_uid ON versions(uid, series, digest);
CREATE INDEX versions_in_order ON versions(series, shown, number, uid);
CREATE TABLE terms(
  field INTEGER NOT NULL, value TEXT NOT NULL, row INTEGER NOT NULL,
  PRIMARY KEY(field, value, row)) WITHOUT ROWID;
CREATE TABLE shares(
  field INTEGER NOT NULL, value TEXT NOT NULL, series INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(field, value, series)) WITHOUT ROWID;
""" + "".join(
    f"CREATE INDEX studies_{column} ON studies(partition, {column}, uid);\n"
    for column in ORDER_COLUMNS
)

# Not part of `SCHEMA`: an index from before they were there gets them when it is next written to.
_TOTALS: tuple[str, ...] = (
    """CREATE TABLE totals(
         studies INTEGER NOT NULL, instances INTEGER NOT NULL, bytes INTEGER NOT NULL)""",
    """INSERT INTO totals SELECT
         (SELECT count(*) FROM studies WHERE instances > 0),
         (SELECT coalesce(sum(instances), 0) FROM studies),
         (SELECT coalesce(sum(size), 0) FROM versions)""",
    """CREATE TRIGGER study_counted AFTER UPDATE OF instances ON studies
       WHEN new.instances <> old.instances BEGIN UPDATE totals SET
         studies = studies + (new.instances > 0) - (old.instances > 0),
         instances = instances + new.instances - old.instances; END""",
    """CREATE TRIGGER study_deleted AFTER DELETE ON studies WHEN old.instances > 0
       BEGIN UPDATE totals SET studies = studies - 1, instances = instances - old.instances; END""",
    """CREATE TRIGGER version_added AFTER INSERT ON versions
       BEGIN UPDATE totals SET bytes = bytes + new.size; END""",
    """CREATE TRIGGER version_resized AFTER UPDATE OF size ON versions WHEN new.size <> old.size
       BEGIN UPDATE totals SET bytes = bytes + new.size - old.size; END""",
    """CREATE TRIGGER version_deleted AFTER DELETE ON versions
       BEGIN UPDATE totals SET bytes = bytes - old.size; END""",
)

_LATER: Mapping[str, tuple[str, ...]] = {
    "totals": _TOTALS,
    "fill_state": (
        "CREATE TABLE fill_state(id INTEGER PRIMARY KEY CHECK(id = 1), doc TEXT NOT NULL)",
    ),
}

SEPARATOR = "\x1f"  # between the parts of `sort`; no partition's name holds it
TRACE = "trace"  # in a study's `doc`, beside its attributes: `Match.trace`
ADDED = "added"  # in a `doc`: the numbers of the added attributes that are among its terms
HIDDEN = "\x00"  # begins the `sort` of hidden rows

_FIELDS_PER_SCOPE = 4096
_ADDED_PER_SCOPE = 1 << 24
_NUMBER = {row.tag: number for number, row in enumerate(TABLE)} | {
    f"{row.tag}.{item}": len(TABLE) + number
    for number, (row, item) in enumerate((row, item) for row in TABLE for item in row.items)
}
_NUMBER[SITES.tag] = len(_NUMBER)
# These have an index of their own.
WITHOUT_TERMS = frozenset({"0020000D", "0020000E", "00080018", "00080020"})


def field(
    partition: int,
    level: Level,
    row: Attribute,
    number: int,
    *,
    words: bool = False,
    item: str = "",
) -> int:
    """The number under which `terms` keeps an attribute of patients (PATIENT level), or of studies
    and series, and `shares` one of instances; `number` is that of an added attribute, `item` the
    tag in the items of a sequence."""
    scope = partition * 2 + (level is Level.PATIENT)
    if row.added:
        return -(scope * _ADDED_PER_SCOPE + number * 2 + words)
    name = f"{row.tag}.{item}" if item else row.tag
    return scope * _FIELDS_PER_SCOPE + _NUMBER[name] * 2 + words


def number_of(field: int) -> int:
    """The number of the added attribute whose terms are under this field."""
    return -field % _ADDED_PER_SCOPE // 2


def fields(
    partition: int,
    level: Level,
    rows: Iterable[Attribute],
    doc: JsonAttributes,
    numbers: Mapping[str, int],
) -> set[tuple[int, str]]:
    """Field and term of all these attributes of a document; of added ones only if they have a
    number."""
    found: set[tuple[int, str]] = set()
    for row in rows:
        if row.tag not in doc or not row.matched or row.tag in WITHOUT_TERMS:
            continue
        if row.added and row.tag not in numbers:
            continue
        if row.vr == "SQ":
            items = [(tag, item[tag]) for item in doc[row.tag]["Value"] for tag in item]
            for tag, element in items:
                number = field(partition, level, row, 0, item=tag)
                found.update((number, term) for term in terms(element["vr"], element))
            continue
        given = numbers.get(row.tag, 0)
        number = field(partition, level, row, given)
        found.update((number, term) for term in terms(row.vr, doc[row.tag]))
        if row.vr == "PN":
            number = field(partition, level, row, given, words=True)
            found.update((number, term) for term in fuzzy_terms(doc[row.tag]))
    return found


class Connection(sqlite3.Connection):
    """One to a search index."""

    scopes: Scopes


def connect(path: Path, *, writer: bool = False, durable: bool = True) -> Connection:
    """Open an existing index. Raises `Corrupted` if it is none of this version."""
    with errors(path):
        if not path.is_file():
            raise Corrupted(
                f"the search index {path} is missing", fix="run `isocenter rebuild` to make it anew"
            )
        connection = sqlite3.connect(
            path,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            factory=Connection,
        )
        try:
            connection.scopes = Scopes(connection)
            _prepare(connection, path, writer=writer, durable=durable)
        except BaseException:
            connection.close()
            raise
        return connection


def is_of_another_version(path: Path) -> bool:
    """Whether this is a search index, but not of this version."""
    with errors(path):
        if not path.is_file():
            return False
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
        try:
            application, version = _kind(connection)
        finally:
            connection.close()
    return application == APPLICATION_ID and version != VERSION


def _kind(connection: sqlite3.Connection) -> tuple[int, int]:
    """Whose database it is, and the version of its tables."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def _prepare(connection: sqlite3.Connection, path: Path, *, writer: bool, durable: bool) -> None:
    application, version = _kind(connection)
    if application != APPLICATION_ID:
        raise Corrupted(f"{path} is no search index", fix="run `isocenter rebuild` to make it anew")
    if version != VERSION:
        raise Unavailable(
            f"the search index is of version {version}, this is version {VERSION}",
            fix="wait while `isocenter up` makes it anew, or run `isocenter rebuild`",
        )
    connection.execute("PRAGMA cache_size = -32768")
    connection.execute("PRAGMA mmap_size = 1073741824")
    if writer:
        # FULL: what `upsert` answered survives power loss, as the log's offset moves on then.
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        _complete(connection)
    else:
        connection.execute("PRAGMA query_only = ON")


def _complete(connection: sqlite3.Connection) -> None:
    known = "SELECT name FROM sqlite_master WHERE type = 'table'"
    if _LATER.keys() <= {name for (name,) in connection.execute(known)}:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        there = {name for (name,) in connection.execute(known)}  # somebody may have been faster
        for statement in [one for name in _LATER if name not in there for one in _LATER[name]]:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def create(path: Path) -> None:
    """Make an empty index."""
    with errors(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript("BEGIN;" + SCHEMA + "COMMIT;")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        finally:
            connection.close()


class errors:  # noqa: N801 - used as a function; a class costs less on the path of every search
    """Turns SQLite's errors into those of `core.errors`."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise _translated(error, self._path) from error
        if isinstance(error, OSError):
            raise unreachable(error, self._path) from error


def unreachable(error: OSError, path: Path) -> Unavailable:
    """The error of a file that cannot be opened."""
    return Unavailable(
        f"the search index {path} cannot be opened: {error.strerror}",
        fix="check the data directory and its permissions",
    )


def _translated(error: sqlite3.Error, path: Path) -> IsocenterError:
    text = str(error)
    if "full" in text:
        return OutOfResources(f"no room for the search index {path}", fix="free disk space")
    if isinstance(error, sqlite3.OperationalError) and "malformed" not in text:
        return Unavailable(f"the search index {path} does not answer: {text}", fix="try again")
    return Corrupted(
        f"the search index {path} cannot be read: {text}",
        fix="run `isocenter rebuild` to make it anew",
    )
