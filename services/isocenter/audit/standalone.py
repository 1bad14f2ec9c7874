"""Verifies an audit trail of Isocenter, offline, with nothing but this file and Python >= 3.9.

    python3 verify_audit.py FOLDER [--trust FINGERPRINT] [--heads FILE] [--json]
    python3 verify_audit.py --proof FILE [--trust FINGERPRINT] [--json]

FOLDER holds `audit/`: a copy of the object store, or the embedded store itself, where the last two
parts of a key are one file name with `@` between. No code of Isocenter is used. What is where:

- `audit/chains/{chain}/{million}/{first}/{digest}.jsonl.gz`: the lines of a segment, each a record:
  `{"prev":"<digest of the line before>","seq":<number, from 1>,"record":{...}}`. The digest of a
  line is SHA-256 of a zero byte and the line, and a leaf of the Merkle tree of RFC 9162 2.1.
- `.../seal`: which records are in the segment, the digests of its last line (`head`) and of its
  file, the root of its tree, and what was before it: `previous` line and `previous_seal` file.
- `.../expired`: the lines were removed when their retention period was over; names the seal.
- `.../stamp.tsr`: a time stamp (RFC 3161); it is checked to be of the seal, not who made it.
- `audit/keys/{number}`: a public key, signed by an earlier one (`introduced_by`), the first by
  itself. The fingerprint of a key is SHA-256 of its 32 bytes.

Seals, keys and `expired` are two lines: JSON, and the Ed25519 signature of its bytes in Base64.
Each record vouches for the one before it, the seal for the last one, a seal for the seal before it,
and a key for each seal. What files cannot show by themselves: whose the first key is (compare its
fingerprint: `--trust`), and that nothing is missing behind the last seal (`--heads`: what was
published of it). Exit code: 0 nothing found, 1 findings, 2 nothing could be verified.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256, sha512
from itertools import groupby
from pathlib import Path
from typing import Any

Fields = dict[str, Any]
NOTHING = "0" * 64  # the digest of what is before the first record, and before the first seal
BEGINNING: Fields = {"last": 0, "head": NOTHING, "digest": NOTHING, "number": 0}  # like a seal
LINE = re.compile(rb'{"prev":"([0-9a-f]{64})","seq":([1-9]\d{0,15}),"record":{')
LONGEST_LINE, MOST_LINES = 1 << 22, 200_000
INFLATION = 1040  # bytes that Deflate makes of one at most


class Broken(Exception):
    """Something is not as it must be. The text goes on behind the name of the thing."""


def why(error: Exception) -> str:
    """The same of any error: what cannot be read as it is described above is broken, too."""
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return str(error) if isinstance(error, Broken) else "is not what it must be"


# --- Ed25519 (RFC 8032 5.1), on points (X, Y, Z, T): x = X/Z, y = Y/Z, xy = T/Z

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493  # the order of the base point
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int, int, int]


def plus(a: Point, b: Point) -> Point:
    """The sum of two points, or of one and itself (5.1.4)."""
    m, n = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    t, z = 2 * D * a[3] * b[3] % P, 2 * a[2] * b[2] % P
    e, f, g, h = n - m, z - t, z + t, n + m
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_of(encoded: bytes) -> Point:
    """The point that 32 bytes are (5.1.3). Raises `Broken` if they are none, or not as they must
    be for it."""
    number = int.from_bytes(encoded, "little")
    y, odd = number & (1 << 255) - 1, number >> 255
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * v**3 * pow(u * v**7, (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * pow(2, (P - 1) // 4, P) % P
    if len(encoded) != 32 or y >= P or v * x * x % P != u or (x == 0 and odd):
        raise Broken("is no point of the curve")
    x = x if x % 2 == odd else P - x
    return x, y, 1, x * y % P


BASE = point_of((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def is_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether [S]B = R + [k]A (5.1.7); R is compared as it is encoded (5.1.2)."""
    try:
        key, scalar = point_of(public), int.from_bytes(signature[32:], "little")
    except Broken:
        return False
    four = plus(plus(key, key), plus(key, key))
    if len(signature) != 64 or scalar >= L or plus(four, four)[0] == 0:
        return False  # the last: a key of small order, the signatures of which anybody can make
    k = int.from_bytes(sha512(signature[:32] + public + message).digest(), "little") % L
    minus, total = (P - key[0], key[1], 1, P - key[3]), (0, 1, 1, 0)
    added = (total, BASE, minus, plus(BASE, minus))
    for bit in reversed(range(L.bit_length())):  # [S]B - [k]A, both at once
        total = plus(total, total)
        if which := (scalar >> bit & 1) + 2 * (k >> bit & 1):
            total = plus(total, added[which])
    x, y = (value * pow(total[2], -1, P) % P for value in total[:2])
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


# --- Files


def signed_of(file: bytes) -> Fields:
    """What a file of two lines says, and under `body`, `signature` and `digest` what it is. The
    signature is not checked yet."""
    body, signature, rest = file.split(b"\n")
    binary, digest = base64.b64decode(signature), sha256(file).hexdigest()
    if rest or base64.b64encode(binary) != signature:
        raise Broken("is not one line and its signature: it was changed")
    return {**json.loads(body), "body": body, "signature": binary, "digest": digest}


def content_of(path: Path, limit: int = 1 << 18) -> bytes:
    """What is in a file that is not long."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise Broken("is longer than such a file can be")
    return content


def lines_of(path: Path, limit: int, step: int = 1 << 12) -> Iterator[bytes]:
    """The lines of a gzip file, of `limit` bytes at most. `step`: how much is unpacked at once; it
    is lost if there is something wrong in it."""
    unpacker, rest = zlib.decompressobj(wbits=31), bytearray()
    with path.open("rb") as file:
        while packed := file.read(step):
            text = unpacker.decompress(packed)
            begun, *lines = text.split(b"\n")
            rest += begun
            if lines:
                yield bytes(rest)
                yield from lines[:-1]
                rest = bytearray(lines[-1])
            limit -= len(text)
            if limit < 0 or len(rest) > LONGEST_LINE or unpacker.unused_data:
                raise Broken("goes on with something else than records")
    if rest or not unpacker.eof:
        raise Broken("is cut off")


# --- The records of a segment


def root_of(leaves: list[bytes]) -> bytes:
    """The root of the Merkle tree (RFC 9162 2.1.1) over leaves, of which there are some."""
    level = leaves
    while len(level) > 1:  # a node that has none beside it goes up as it is
        pairs = zip(level[::2], level[1::2])  # noqa: B905 (Python 3.9)
        alone = level[len(level) & -2 :]
        level = [sha256(b"\1" + left + right).digest() for left, right in pairs] + alone
    return level[0]


def is_as_sealed(lines: Iterable[bytes], seal: Fields) -> bool:
    """Whether the lines follow each other and are those of the seal."""
    head, leaves = seal["previous"].encode(), []
    for number, line in enumerate(lines, seal["first"]):
        if not line.startswith(b'{"prev":"%b","seq":%d,"record":{' % (head, number)):
            return False
        leaves.append(sha256(b"\0" + line).digest())
        head = leaves[-1].hex().encode()
    if len(leaves) != seal["last"] - seal["first"] + 1 or head.decode() != seal["head"]:
        return False
    return root_of(leaves).hex() == str(seal["root"])


def root_above(node: bytes, index: int, count: int, path: Iterable[str]) -> str:
    """The root that the siblings on the path lead to from a leaf; empty if it ends elsewhere (RFC
    9162 2.1.3.2)."""
    last = count - 1
    for sibling in path:
        if last == 0:
            return ""
        if index & 1 or index == last:
            node = sha256(b"\1" + bytes.fromhex(sibling) + node).digest()
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\1" + node + bytes.fromhex(sibling)).digest()
        index, last = index >> 1, last >> 1
    return "" if last else node.hex()


def span(first: int, last: int) -> str:
    """Some records, in words."""
    return f"record {first} is" if first == last else f"records {first}..{last} are"


Found = dict[int, list[tuple[str, str]]]  # by number: digest of a line, and of the one before it


def numbered(lines: Iterable[bytes], number: int) -> tuple[Found, list[int], list[str]]:
    """Lines by their numbers, these numbers in their order, and what ended it, if anything did.
    What has no number has the next one; `number` is the one before the first."""
    found: Found = {}
    order: list[int] = []
    try:
        for line in lines:
            match = LINE.match(line)
            number = int(match[2]) if match else number + 1
            before = match[1].decode() if match else ""
            found.setdefault(number, []).append((sha256(b"\0" + line).hexdigest(), before))
            order.append(number)
            if len(order) == MOST_LINES:
                raise Broken("goes on for too long")
    except Exception as error:  # noqa: BLE001 (whatever it is, it is told)
        return found, order, [f"it {why(error)} behind record {number}"]
    return found, order, []


def diagnosis(lines: Iterable[bytes], seal: Fields) -> Iterator[str]:
    """What is wrong with which records. It begins at the last, whose digest the seal has: a record
    that is as it was says what the one before it was."""
    first, last = seal["first"], seal["last"]
    found, order, ended = numbered(lines, first - 1)
    yield from ended
    if others := [number for number in found if not first <= number <= last]:
        yield f"{span(min(others), max(others))} not of this segment"
    behind, expected, doubt = last + 1, seal["head"], first
    for number in sorted(found.keys() - others, reverse=True):
        if number < behind - 1:
            yield f"{span(number + 1, behind - 1)} missing"
            expected, doubt = "", max(doubt, number + 1)  # nothing says what this one was
        if len(found[number]) > 1:
            yield f"record {number} is there {len(found[number])} times"
        here = dict(found[number])
        behind, before = number, here.get(expected, found[number][0][1])
        if expected and expected not in here:
            yield f"record {number} was changed"
            before, doubt = "", max(doubt, number)
        expected = before
    if behind > first:
        yield f"{span(first, behind - 1)} missing"
    elif expected not in ("", seal["previous"]):
        yield f"record {first} does not follow record {first - 1}"
    if moved := [a for a, b in zip(order, sorted(order)) if a != b]:  # noqa: B905 (Python 3.9)
        yield f"records {min(moved)}..{max(moved)} are not in their order"
    if doubt > first:
        yield f"so {span(first, doubt - 1)} not vouched for by the seal"


def check_lines(path: Path, seal: Fields) -> None:
    """Raises `Broken`, if these are not the lines of the segment."""
    count, digest = seal["last"] - seal["first"] + 1, sha256()
    limit = min(count * LONGEST_LINE, seal["size"] * INFLATION)
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 18), b""):
            digest.update(chunk)
        whole = (file.tell(), digest.hexdigest()) == (seal["size"], seal["records"])
    with suppress(Exception):  # what it is, and where, the diagnosis says
        if is_as_sealed(lines_of(path, limit), seal) and whole:
            return
    told = list(diagnosis(lines_of(path, limit, 1), seal))
    told = told or ["the tree of its records has another root" if whole else "its records are"]
    told[5:-1] = [f"and {len(told) - 6} more"] * (len(told) > 6)
    raise Broken(f"is not what was sealed: {'; '.join(told)}")


# --- The trail


class Trail:
    """What was verified, and what was found."""

    def __init__(self, trust: tuple[str, ...]) -> None:
        self.trust = trust
        self.published: dict[tuple[str, int, str, str], str] = {}  # chain, last, head, seal: when
        self.findings: list[Fields] = []
        self.notes: list[str] = []
        self.keys: dict[str, Fields] = {}  # by fingerprint
        self.ends: dict[str, Fields] = {}  # of each chain, the last seal
        self.counts: dict[str, Counter[str]] = {}  # of each chain
        self.unproven: dict[tuple[str, str], Fields] = {}  # of each chain and key, the seals as one
        self.since, self.until = "~", ""

    def found(self, what: str, file: str = "", place: Fields | None = None) -> None:
        """Add a finding. `place` is a seal, or what is known of one."""
        names = ("chain", "first", "last", "since", "until")
        where = {name: place[name] for name in names if name in place} if place else {}
        self.findings.append({**where, "file": file, "what": what})

    @contextmanager
    def finding(self, what: str, file: str, place: Fields | None = None) -> Iterator[None]:
        """Whatever is wrong in the block is a finding."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 (what cannot be verified was not verified)
            self.found(f"{what} {why(error)}", file, place)

    def files(self, folder: Path, above: str, chosen: str = "") -> Iterator[tuple[str, Path]]:
        """Keys and files, in the order of keys; links are not followed. `chosen`: what the rest of
        the key begins with."""
        entries = []
        with self.finding("the folder", above), os.scandir(folder) as found:
            entries = [(e.name + "/" * e.is_dir(follow_symlinks=False), e) for e in found]
        for key, entry in sorted((name.replace("@", "/"), entry) for name, entry in entries):
            if not re.match(chosen, key):
                continue
            if entry.is_dir(follow_symlinks=False) and above.count("/") < 6:
                yield from self.files(Path(entry.path), above + key)
            elif entry.is_file(follow_symlinks=False):
                yield above + key, Path(entry.path)
            else:
                self.notes.append(f"{above}{key} is a link, or nothing of a trail: it was not read")

    def verify(self, audit: Path) -> None:
        """All that is in the folder."""
        for name, path in self.files(audit, "audit/", "(?!chains/|searches/|holds/)"):
            if re.fullmatch(r"audit/keys/\d{6}", name):
                with self.finding("the key", name):
                    self.add_key(content_of(path), name)
            else:
                self.notes.append(f"{name} is nothing that this program knows")
        files = self.files(audit, "audit/", "chains/")
        for folder, group in groupby(files, lambda file: file[0].rpartition("/")[0]):
            there: dict[str, Path] = {}
            for name, path in group:
                if there.setdefault(name.rpartition("/")[2], path) != path:
                    self.found(f"it is there twice, also as {path}", name)
            if "seal" in there and re.fullmatch(r"audit/chains/[^/]+/\d{10}/\d{16}", folder):
                place = {"chain": folder.split("/")[2], "first": int(folder[-16:])}
                with self.finding("the seal", f"{folder}/seal", place):
                    self.add_segment(folder, there)
            self.notes += [f"{folder}/{name} belongs to no seal" for name in there]
        for (_, key), seals in self.unproven.items():
            self.found(f"it is sealed with {key}, a key that {seals['problem']}", "", seals)
        for chain, heads in groupby(sorted(self.published), lambda head: head[0]):
            missing = list(heads)
            for head in dict.fromkeys((missing[0], missing[-1])):
                what = f"records up to {head[1]} of chain {chain} were published at "
                what += f"{self.published[head]} but are not in the trail"
                self.found(what, "", {"chain": chain, "last": head[1]})

    def add_key(self, file: bytes, name: str) -> None:
        """A key, behind those before it."""
        key = signed_of(file)
        number, by, public = key["number"], key["introduced_by"], base64.b64decode(key["public"])
        fingerprint, other = sha256(public).hexdigest(), self.keys.get(by)
        itself, trusted = by == fingerprint, fingerprint.startswith(self.trust)
        signer = public if itself else other["bytes"] if other else b""
        problem = ""
        if signer and not is_signed(signer, key["signature"], key["body"]):
            problem = "was changed: it is not signed by the key that it names"
        elif name.startswith("audit/") and name != f"audit/keys/{number:06}":
            problem = "was moved"
        elif itself and (self.keys or number > 1) and not trusted:
            problem = "is not introduced by an earlier key (if you know it, --trust it)"
        elif itself and self.trust and not trusted:
            problem = "is not one that you trust"
        elif not (itself or trusted or (other and not other["problem"])):
            problem = f"is introduced by {by}, a key that is not there or counts for nothing"
        if problem:
            self.found(f"key {number} ({fingerprint}) {problem}", name)
        known = {"fingerprint": fingerprint, "bytes": public, "problem": "" if trusted else problem}
        self.keys.setdefault(fingerprint, {**key, **known})

    def problem_of(self, signed: Fields) -> str:
        """What is wrong with the key that a file names, empty if nothing is. Raises `Broken` if the
        file is not signed by it."""
        key = self.keys.get(signed["key"])
        if key and not is_signed(key["bytes"], signed["signature"], signed["body"]):
            raise Broken(f"was changed: it is not signed by key {key['number']}, which it names")
        return str(key["problem"]) if key else "is not there"

    def add_segment(self, folder: str, files: dict[str, Path]) -> None:
        """A segment, behind those before it in its chain."""
        name, seal = f"{folder}/seal", signed_of(content_of(files.pop("seal")))
        chain, first, last = seal["chain"], seal["first"], seal["last"]
        problem = self.problem_of(seal)
        if folder != f"audit/chains/{chain}/{first // 10**6:010}/{first:016}":
            raise Broken(f"is that of records {first}..{last} of chain {chain}: it was moved")
        if last < first:
            raise Broken("is of no records")
        before = self.ends.get(chain, BEGINNING)
        if first > before["last"] + 1:
            gap = {"chain": chain, "first": before["last"] + 1, "last": first - 1}
            what = "the segment {first}..{last} is missing, or its seal is".format(**gap)
            self.found(what, "", gap)
        elif first <= before["last"]:
            self.found(f"it overlaps with the one before, up to {before['last']}", name, seal)
        elif (seal["previous"], seal["previous_seal"]) != (before["head"], before["digest"]):
            what = f"the segment before it, up to {before['last']}, is not the one that it names"
            self.found(what, name, seal)
        number = 0 if problem else self.keys[seal["key"]]["number"]
        self.ends[chain] = {**seal, "number": number}
        self.published.pop((chain, last, seal["head"], seal["digest"]), None)
        self.since, self.until = min(self.since, seal["since"]), max(self.until, seal["until"])
        if problem:
            seals = self.unproven.setdefault((chain, seal["key"]), {**seal, "problem": problem})
            seals.update(last=last, until=seal["until"])
        elif before["number"] > number:
            self.notes.append(f"{name} is signed by an older key than the seal before it")
        self.counts.setdefault(chain, Counter())["segments"] += 1
        self.check_records(folder, files, seal, "unproven" if problem else "records")

    def check_records(self, folder: str, files: dict[str, Path], seal: Fields, kind: str) -> None:
        """The lines of a segment, or what says that they expired, and the time stamp."""
        name, counts = f"{seal['records']}.jsonl.gz", self.counts[seal["chain"]]
        lines, expired, stamp = (files.pop(one, None) for one in (name, "expired", "stamp.tsr"))
        if expired:
            with self.finding("what says that the records expired", f"{folder}/expired", seal):
                expiry = signed_of(content_of(expired))
                if problem := self.problem_of(expiry):
                    raise Broken(f"is signed by {expiry['key']}, a key that {problem}")
                if expiry["seal"] != seal["digest"]:
                    raise Broken("is about another segment")
                kind = kind if lines else "expired"
        with self.finding("the file of the records", f"{folder}/{name}", seal):
            if lines:
                check_lines(lines, seal)
            elif kind != "expired":
                raise Broken("is missing, and did not expire")
            counts[kind] += seal["last"] - seal["first"] + 1
        if stamp:
            with self.finding("the time stamp", f"{folder}/stamp.tsr", seal):
                if bytes.fromhex(seal["digest"]) not in content_of(stamp):
                    raise Broken("is not of this seal")
                counts["stamps"] += 1

    def publish(self, line: bytes) -> None:
        """What was published of heads, maybe behind the header of a syslog message."""
        published = json.loads(b"{" + line.partition(b"{")[2])
        for head in published["heads"]:
            place = str(head["chain"]), int(head["last"]), str(head["head"]), str(head["seal"])
            self.published.setdefault(place, str(published["at"]))

    def prove(self, proof: Fields) -> None:
        """The inclusion proof of a record."""
        for number, key in enumerate(proof["keys"], 1):
            self.add_key(key.encode(), f"key {number} of the proof")
        seal, index = signed_of(proof["seal"].encode()), proof["index"]
        if problem := self.problem_of(seal):
            raise Broken(f"has a seal by {seal['key']}, a key that {problem}")
        line = proof["line"].encode()
        match, count = LINE.match(line), seal["last"] - seal["first"] + 1
        if (proof["chain"], proof["count"]) != (seal["chain"], count) or not 0 <= index < count:
            raise Broken("is of another segment than its seal")
        if not match or not int(match[2]) == proof["sequence"] == seal["first"] + index:
            raise Broken("is of another record than it says")
        if root_above(sha256(b"\0" + line).digest(), index, count, proof["path"]) != seal["root"]:
            raise Broken("does not lead from the record to the root that was sealed")
        said = "record {sequence} of chain {chain} is proven, as sealed at ".format(**proof)
        self.notes.append(said + str(seal["sealed_at"]))
        self.counts[seal["chain"]] = Counter(records=1)
        self.since, self.until = seal["since"], seal["until"]

    def summary(self, seconds: float) -> Fields:
        """All of it, for machines."""
        total: Counter[str] = sum(self.counts.values(), Counter())
        counted = "records", "segments", "expired", "unproven", "stamps"
        shown = "number", "fingerprint", "since", "introduced_by", "problem"
        return {
            **{name: total[name] for name in counted},
            "records_per_second": round(total["records"] / seconds),
            "since": self.since.strip("~"),
            "until": self.until,
            "chains": self.counts,
            "keys": [{name: key[name] for name in shown} for key in self.keys.values()],
            "notes": self.notes,
            "findings": self.findings,
        }


# --- The program

TEXT = """\
{records} records verified in {segments} segments, of {since} to {until}
{expired} records expired: they were removed when their retention period was over
{unproven} records are as sealed, but by a key that counts for nothing
{stamps} time stamps are of their seals (who made them is not checked here)
{records_per_second} records a second"""


def text_of(summary: Fields, trust: list[str]) -> Iterator[str]:
    """The lines of a summary, for people."""
    yield from TEXT.format(**summary).splitlines()
    for chain, counts in summary["chains"].items():
        yield f"chain {chain}: " + ", ".join(f"{n} {name}" for name, n in counts.items())
    for key in summary["keys"]:
        yield "key {number}: {fingerprint}, since {since}, by {introduced_by}".format(**key)
        if not (trust or key["problem"]) and key["fingerprint"] == key["introduced_by"]:
            yield "All rests on this key: compare its fingerprint with what you know of it."
    yield from (f"NOTE: {note}" for note in summary["notes"])
    for finding in summary["findings"]:
        known = {"chain": "", "first": "", "last": "", "since": "", "until": "", **finding}
        where = (
            "chain {chain}, records {first}..{last}".format(**known) * bool(known["chain"]),
            "{since} to {until}".format(**known) * bool(known["since"]),
            finding["file"],
        )
        yield f"FINDING: {', '.join(filter(None, where))}: {finding['what']}"
    yield f"{len(summary['findings'])} findings" if summary["findings"] else "Nothing was found."


def fingerprint(text: str) -> str:
    """An argument: the fingerprint of a key, or how it begins."""
    plain = text.replace(":", "").lower()
    if not re.fullmatch("[0-9a-f]{16,64}", plain):
        raise argparse.ArgumentTypeError(f"{text!r} is not 16 to 64 hexadecimal digits")
    return plain


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever is wrong in the block is `Broken`, with the name of this."""
    try:
        yield
    except Exception as error:
        raise Broken(f"{path} {why(error)}") from error


def verified(options: argparse.Namespace) -> Trail:
    """What the arguments ask for. Raises `Broken` if that is not possible."""
    trail = Trail(tuple(options.trust))
    if options.proof:
        with reading(options.proof):
            proof: Fields = json.loads(content_of(options.proof, 1 << 26))
            if proof["format"] != "isocenter audit proof 1":
                raise Broken("is no proof that this program knows")
        with trail.finding("the proof", str(options.proof)):
            trail.prove(proof)
        return trail
    if options.heads:
        with reading(options.heads):
            for line in filter(bytes.strip, content_of(options.heads, 1 << 28).splitlines()):
                trail.publish(line)
            if not trail.published:
                raise Broken("says nothing of any chain")
    audit = Path(options.folder, "audit")
    if not os.path.isdir(audit):  # noqa: PTH112 (it never raises)
        raise Broken(f"{audit} is no folder that can be read: give the one that holds `audit`")
    trail.verify(audit)
    if not trail.counts and not trail.findings:
        raise Broken(f"{audit} holds no sealed segment")
    return trail


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="Verifies an audit trail of Isocenter, offline.")
    add = parser.add_argument
    add("folder", nargs="?", help="the folder that holds `audit`")
    add("--trust", type=fingerprint, action="append", default=[], help="a key that you know")
    add("--heads", type=Path, help="what was published of the trail")
    add("--proof", type=Path, help="the inclusion proof of a record, instead of a folder")
    add("--json", action="store_true", help="say it to machines")
    options = parser.parse_args()
    if bool(options.folder) == bool(options.proof):
        parser.error("give either the folder that holds `audit`, or --proof")
    started = time.perf_counter()
    try:
        trail = verified(options)
    except Broken as error:
        parser.exit(2, f"{printable(str(error))}\n")
    summary = trail.summary(time.perf_counter() - started)
    lines = [json.dumps(summary)] if options.json else text_of(summary, options.trust)
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))
    return 1 if trail.findings else 0


def printable(text: str) -> str:
    """Names of files may hold anything, even what moves the cursor."""
    return re.sub("[^ -~]", lambda match: ascii(match[0])[1:-1], text)


if __name__ == "__main__":
    sys.exit(main())
