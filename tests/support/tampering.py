"""What somebody might do to an audit trail, and what a verifier has to say of it.

Each entry is independent of the verifier: it tampers with a trail that `support.trails.make` made,
and names what one of the findings must have in it: chain, numbers of records, other words.
"""

from __future__ import annotations

import gzip
import re
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from isocenter.audit.chain import digest_of, line_of, record_of
from isocenter.audit.seals import KEYS, Seal, key_key
from support.trails import Before, KeptTrail, Segment, Signer, expiry, records, segment

CHAIN = "audit-0"
OTHER = "instances-3"
KEY_FIELDS = ("number", "public", "since", "introduced_by")
EXPIRY_FIELDS = ("chain", "first", "last", "seal", "at", "reason", "key")
SEAL_FIELDS = (
    "chain", "first", "last", "previous", "head", "root", "since", "until", "sealed_at",
    "previous_seal", "records", "size", "key",
)  # fmt: skip

Lines = list[bytes]


@dataclass(frozen=True)
class Tampering:
    """Something done to a trail."""

    name: str
    do: Callable[[KeptTrail], None]
    words: tuple[str | int, ...]  # all of which one finding has
    needs_heads: bool = False  # only what was published shows it


def is_located(findings: Iterable[str], words: Sequence[str | int]) -> bool:
    """Whether one of the findings has all the words; a number stands by itself, whatever zeros are
    before it."""
    patterns = [
        rf"(?<![0-9a-zA-Z])0*{word}(?![0-9a-zA-Z])" if isinstance(word, int) else re.escape(word)
        for word in words
    ]
    return any(all(re.search(pattern, one) for pattern in patterns) for one in findings)


# --- Bytes


def flip(content: bytes, at: int) -> bytes:
    """Content with one bit of one byte flipped."""
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


def _flip_in(key: Callable[[KeptTrail], str], at: float, trail: KeptTrail) -> None:
    """`at`: an offset, or a part of the length."""
    content = trail.read(key(trail))
    offset = at if isinstance(at, int) else int(len(content) * at)
    trail.write(key(trail), flip(content, offset))


def _flip_field(key: Callable[[KeptTrail], str], field: str, trail: KeptTrail) -> None:
    """The last character of the value of a field of a signed file."""
    content = trail.read(key(trail))
    value = re.search(rb'"%b":("[^"]*|[0-9]+)' % field.encode(), content)
    assert value is not None
    trail.write(key(trail), flip(content, value.end() - 1))


def _seal_key(number: int, trail: KeptTrail) -> str:
    return f"{trail.seals(CHAIN)[number].folder}seal"


def _lines_key(number: int, trail: KeptTrail) -> str:
    return trail.seals(CHAIN)[number].lines_key


def _expired_key(trail: KeptTrail) -> str:
    return f"{trail.seals(CHAIN)[0].folder}expired"


def _key_key(number: int, trail: KeptTrail) -> str:
    del trail
    return key_key(number)


_OF_FOURTH = (CHAIN, 301, 400)
_SIGNED_FILES = (
    ("the seal of the fourth segment", partial(_seal_key, 3), SEAL_FIELDS, (CHAIN, 301)),
    ("the last seal", partial(_seal_key, 5), SEAL_FIELDS, (CHAIN, 402)),
    ("the first key", partial(_key_key, 1), KEY_FIELDS, ("key", 1)),
    ("the second key", partial(_key_key, 2), KEY_FIELDS, ("key", 2)),
    ("the last key", partial(_key_key, 3), KEY_FIELDS, ("key", 3)),
    ("what says that the first expired", _expired_key, EXPIRY_FIELDS, (CHAIN, 1, 100)),
)  # fmt: skip
_PARTS_OF_LINES = {
    "magic": 0, "method": 2, "flags": 3, "time": 5, "beginning": 12, "first quarter": 0.25,
    "middle": 0.5, "last quarter": 0.75, "checksum": -7, "size": -3, "last byte": -1,
}  # fmt: skip

FLIPS = (
    *(
        Tampering(f"flip {field} in {what}", partial(_flip_field, key, field), words)
        for what, key, fields, words in _SIGNED_FILES
        for field in fields
    ),
    *(
        Tampering(f"flip the signature at {at} of {what}", partial(_flip_in, key, at), words)
        for what, key, _, words in _SIGNED_FILES
        for at in (-89, -45, -4, -2)
    ),
    *(
        Tampering(
            f"flip {part} in lines", partial(_flip_in, partial(_lines_key, 3), at), _OF_FOURTH
        )
        for part, at in _PARTS_OF_LINES.items()
    ),
)


# --- Lines


def _edit(number: int, edit: Callable[[Lines], Lines], trail: KeptTrail) -> None:
    seal = trail.seals(CHAIN)[number]
    trail.put_lines(seal, edit(trail.lines(seal)))


def _changed(record: int) -> Callable[[Lines], Lines]:
    def edit(lines: Lines) -> Lines:
        at = _index(lines, record)
        return [*lines[:at], lines[at].replace(b"eva", b"eve"), *lines[at + 1 :]]

    return edit


def _relinked(lines: Lines) -> Lines:
    """Record 337 changed, and all behind it made to follow."""
    at = _index(lines, 337)
    made = [*lines[:at], lines[at].replace(b"eva", b"eve")]
    for sequence, line in enumerate(lines[at + 1 :], 338):
        made.append(line_of(digest_of(made[-1]).hex(), sequence, record_of(line)))
    return made


def _index(lines: Lines, record: int) -> int:
    return next(at for at, line in enumerate(lines) if b'"seq":%d,' % record in line)


def _added(lines: Lines) -> Lines:
    return [*lines, line_of(digest_of(lines[-1]).hex(), 401, record_of(lines[-1]))]


def _between(lines: Lines) -> Lines:
    """Another record 337, which follows 336 as well."""
    return [*lines[:37], lines[36].replace(b"eva", b"eve"), *lines[37:]]


def _garbled(old: bytes, new: bytes) -> Callable[[Lines], Lines]:
    return lambda lines: [*lines[:36], lines[36].replace(old, new, 1), *lines[37:]]


_EDITS: tuple[tuple[str, int, Callable[[Lines], Lines], tuple[int, ...]], ...] = (
    ("change a record", 3, _changed(337), (301, 400, 337)),
    ("change the first record of a segment", 3, _changed(301), (301, 400)),
    ("change the last record of a segment", 3, _changed(400), (301, 400)),
    ("change the only record of a segment", 4, _changed(401), (401,)),
    ("change the last record", 5, _changed(500), (402, 500)),
    ("change two records", 3, lambda n: _changed(337)(_changed(350)(n)), (301, 400, 337)),
    ("change a record and those behind it", 3, _relinked, (301, 400)),
    ("change what a record follows", 3, _garbled(b'"prev":"', b'"prev":"0'), (301, 400, 337)),
    ("change the number of a record", 3, _garbled(b'"seq":337', b'"seq":338'), (301, 400, 337)),
    ("make a record unreadable", 3, _garbled(b'{"prev"', b"\xff\x00{"), (301, 400, 337)),
    ("drop a record", 3, lambda n: n[:36] + n[37:], (301, 400, 337)),
    ("drop some records", 3, lambda n: n[:36] + n[40:], (301, 400, 337, 340)),
    ("drop the first record of a segment", 3, lambda n: n[1:], (301, 400)),
    ("drop the last record of a segment", 3, lambda n: n[:-1], (301, 400)),
    ("drop the last records of a segment", 3, lambda n: n[:-10], (301, 391, 400)),
    ("drop all records of a segment", 3, lambda _: [], (301, 400)),
    ("double a record", 3, lambda n: [*n[:37], n[36], *n[37:]], (301, 400, 337)),
    ("put another record in front of one", 3, _between, (301, 400, 337)),
    ("swap two records", 3, lambda n: [*n[:36], n[37], n[36], *n[38:]], (301, 400, 337, 338)),
    ("turn the order of all records", 3, lambda n: n[::-1], (301, 400)),
    ("add a record", 3, _added, (301, 400)),
    ("add an empty line", 3, lambda n: [*n, b""], (301, 400)),
)

EDITS = tuple(
    Tampering(name, partial(_edit, number, edit), (CHAIN, *words))
    for name, number, edit, words in _EDITS
)


def _pack_anew(trail: KeptTrail) -> None:
    seal = trail.seals(CHAIN)[3]
    content = gzip.decompress(trail.read(seal.lines_key))
    trail.write(seal.lines_key, gzip.compress(content, 9, mtime=0))


def _cut_file(trail: KeptTrail) -> None:
    key = _lines_key(3, trail)
    trail.write(key, trail.read(key)[:-20])


def _lengthen_file(trail: KeptTrail) -> None:
    key = _lines_key(3, trail)
    trail.write(key, trail.read(key) + gzip.compress(b"more\n"))


def _empty_file(trail: KeptTrail) -> None:
    trail.write(_lines_key(3, trail), b"")


def _swap_lines(trail: KeptTrail) -> None:
    second, fourth = _lines_key(1, trail), _lines_key(3, trail)
    held = trail.read(second)
    trail.write(second, trail.read(fourth))
    trail.write(fourth, held)


def _drop_lines(trail: KeptTrail) -> None:
    trail.remove(_lines_key(3, trail))


def _respell_signature(trail: KeptTrail) -> None:
    """The same 64 bytes in Base64 that nobody writes: bits that stand for nothing are set."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits
    content = trail.read(_seal_key(5, trail)).decode()
    last = alphabet.index(content[-4])
    trail.write(_seal_key(5, trail), f"{content[:-4]}{alphabet[last + 1]}{content[-3:]}".encode())


def _lengthen_seal(trail: KeptTrail) -> None:
    trail.write(_seal_key(5, trail), trail.read(_seal_key(5, trail)) + b"x")


FILES = (
    Tampering("write a signature in another way", _respell_signature, (CHAIN, 402)),
    Tampering("lengthen the last seal", _lengthen_seal, (CHAIN, 402)),
    Tampering("pack the lines anew", _pack_anew, _OF_FOURTH),
    Tampering("cut the file of lines", _cut_file, _OF_FOURTH),
    Tampering("lengthen the file of lines", _lengthen_file, _OF_FOURTH),
    Tampering("empty the file of lines", _empty_file, _OF_FOURTH),
    Tampering("swap the lines of two segments", _swap_lines, _OF_FOURTH),
    Tampering("remove the lines of a segment", _drop_lines, _OF_FOURTH),
)


# --- Segments


def _drop(chain: str, numbers: Sequence[int], trail: KeptTrail) -> None:
    seals = trail.seals(chain)
    for number in numbers:
        trail.remove(*trail.keys(seals[number].folder))


def _drop_seal(trail: KeptTrail) -> None:
    trail.remove(_seal_key(3, trail))


def _files(trail: KeptTrail, seal: Seal) -> dict[str, bytes]:
    return {key.removeprefix(seal.folder): trail.read(key) for key in trail.keys(seal.folder)}


def _swap(trail: KeptTrail, *, seals_only: bool) -> None:
    """The second and the fourth segment."""
    second, fourth = (trail.seals(CHAIN)[number] for number in (1, 3))
    held = _files(trail, second), _files(trail, fourth)
    for seal, files in zip((fourth, second), held, strict=True):
        if not seals_only:
            trail.remove(*trail.keys(seal.folder))
        for name, content in files.items():
            if name == "seal" or not seals_only:
                trail.write(seal.folder + name, content)


def _from_other_chain(trail: KeptTrail) -> None:
    """The first segment of one chain as the first of another."""
    ours, theirs = trail.seals(CHAIN)[0], trail.seals(OTHER)[0]
    files = _files(trail, theirs)
    trail.remove(*trail.keys(ours.folder))
    for name, content in files.items():
        trail.write(ours.folder + name, content)


SEGMENTS = (
    Tampering("drop a segment", partial(_drop, CHAIN, [3]), _OF_FOURTH),
    Tampering("drop the first segment", partial(_drop, CHAIN, [0]), (CHAIN, 1, 100)),
    Tampering("drop two segments", partial(_drop, CHAIN, [2, 3]), (CHAIN, 201, 400)),
    Tampering("drop the segment of another chain", partial(_drop, OTHER, [1]), (OTHER, 65, 71)),
    Tampering("drop a seal", _drop_seal, _OF_FOURTH),
    Tampering("swap two segments", partial(_swap, seals_only=False), (CHAIN, 101)),
    Tampering("swap two seals", partial(_swap, seals_only=True), (CHAIN, 101)),
    Tampering("take a segment from another chain", _from_other_chain, (CHAIN, 1)),
)


# --- Those who can sign


def _end(trail: KeptTrail, number: int) -> Before:
    """The end of a segment."""
    seal = trail.seals(CHAIN)[number]
    return Before(seal.last, seal.head, trail.signed(CHAIN)[number].digest)


def _rewritten(trail: KeptTrail, number: int, before: Before, by: Signer) -> Segment:
    """Other records in the place of those of a segment, of the same number and time."""
    seal = trail.seals(CHAIN)[number]
    at = datetime.fromisoformat(seal.since).astimezone(UTC)
    others = records(CHAIN, seal.first, seal.count, at, who="mallory")
    return segment(CHAIN, before, others, by, at)


def _rewrite(numbers: Sequence[int], trail: KeptTrail, *, by: Signer, number: int = 0) -> None:
    """`number`: of the file of the key, if there is one; nobody introduced it."""
    if number:
        trail.write(key_key(number), by.key(number).file)
    before = _end(trail, numbers[0] - 1)
    for one in numbers:
        made = _rewritten(trail, one, before, by)
        trail.put(made)
        before = made.end


def _rewrite_as_insider(numbers: Sequence[int], trail: KeptTrail) -> None:
    _rewrite(numbers, trail, by=trail.signers[min(numbers[0] // 2, 2)])


def _with_new_key(numbers: Sequence[int], number: int = 0) -> Callable[[KeptTrail], None]:
    return lambda trail: _rewrite(numbers, trail, by=Signer(), number=number)


def _with_introduced_key(trail: KeptTrail) -> None:
    """A new key, and another one that it introduces."""
    first, second = Signer(), Signer()
    trail.write(key_key(4), first.key(4).file)
    trail.write(key_key(5), second.key(5, first).file)
    _rewrite([5], trail, by=second)


def _plant_key(trail: KeptTrail) -> None:
    trail.write(key_key(4), Signer().key(4).file)


def _replace_key(number: int, trail: KeptTrail) -> None:
    trail.write(key_key(number), Signer().key(number).file)


def _claim_introduction(trail: KeptTrail) -> None:
    """A new key that says another one introduced it, and is signed by itself."""
    mallory, last = Signer(), trail.signers[-1]
    said = mallory.key(4).body.replace(mallory.id.encode(), last.id.encode())
    signed = replace(mallory.key(4), body=said, signature=mallory.private.sign(said))
    trail.write(key_key(4), signed.file)


def _drop_key(number: int, trail: KeptTrail) -> None:
    trail.remove(key_key(number))


def _drop_keys(trail: KeptTrail) -> None:
    trail.remove(*trail.keys(KEYS))


SIGNED = (
    Tampering("rewrite a segment", _with_new_key([3]), _OF_FOURTH),
    Tampering("rewrite a segment, and leave the key", _with_new_key([3], 4), _OF_FOURTH),
    Tampering("rewrite a segment with a new key: the key", _with_new_key([3], 4), ("key", 4)),
    Tampering("rewrite all from a segment on", _with_new_key([3, 4, 5]), (CHAIN, 301)),
    Tampering("rewrite all, and leave the key", _with_new_key([3, 4, 5], 4), (CHAIN, 301)),
    Tampering("rewrite a segment with its key", partial(_rewrite_as_insider, [3]), (CHAIN, 401)),
    Tampering("rewrite the last segment", _with_new_key([5], 4), (CHAIN, 402, 500)),
    Tampering("rewrite with a key that a new one introduced", _with_introduced_key, (CHAIN, 402)),
    Tampering("add a key", _plant_key, ("key", 4)),
    Tampering("add a key that claims to be introduced", _claim_introduction, ("key", 4)),
    Tampering("replace the first key", partial(_replace_key, 1), ("key", 2)),
    Tampering("replace the second key", partial(_replace_key, 2), ("key", 2)),
    Tampering("replace the second key: its seals", partial(_replace_key, 2), (CHAIN, 201)),
    Tampering("drop the first key", partial(_drop_key, 1), ("key", 2)),
    Tampering("drop the second key", partial(_drop_key, 2), ("key", 3)),
    Tampering("drop the second key: its seals", partial(_drop_key, 2), (CHAIN, 201)),
    Tampering("drop the last key: its seals", partial(_drop_key, 3), (CHAIN, 401)),
    Tampering("drop all keys", _drop_keys, (CHAIN, 401)),
)  # fmt: skip


# --- What says that records expired


def _forge_expiry(trail: KeptTrail) -> None:
    seal, signed = trail.seals(CHAIN)[3], trail.signed(CHAIN)[3]
    trail.write(f"{seal.folder}expired", expiry(seal, signed, Signer()).file)
    trail.remove(seal.lines_key)


def _forge_expiry_with_key(trail: KeptTrail) -> None:
    mallory, seal, signed = Signer(), trail.seals(CHAIN)[3], trail.signed(CHAIN)[3]
    trail.write(key_key(4), mallory.key(4).file)
    trail.write(f"{seal.folder}expired", expiry(seal, signed, mallory).file)
    trail.remove(seal.lines_key)


def _reuse_expiry(trail: KeptTrail) -> None:
    """That of the first segment, for the fourth."""
    seal = trail.seals(CHAIN)[3]
    trail.write(f"{seal.folder}expired", trail.read(_expired_key(trail)))
    trail.remove(seal.lines_key)


def _drop_expiry(trail: KeptTrail) -> None:
    trail.remove(_expired_key(trail))


EXPIRIES = (
    Tampering("forge an expiry", _forge_expiry, _OF_FOURTH),
    Tampering("forge an expiry, and leave the key", _forge_expiry_with_key, _OF_FOURTH),
    Tampering("use an expiry for another segment", _reuse_expiry, _OF_FOURTH),
    Tampering("drop an expiry", _drop_expiry, (CHAIN, 1, 100)),
)


# --- The end

ENDS = (
    Tampering("cut off the last segment", partial(_drop, CHAIN, [5]), (CHAIN, 500), True),
    Tampering("cut off three segments", partial(_drop, CHAIN, [3, 4, 5]), (CHAIN, 500), True),
    Tampering("cut off all of a chain", partial(_drop, OTHER, [0, 1, 2]), (OTHER, 135), True),
    Tampering(
        "rewrite the end with its own key", partial(_rewrite_as_insider, [5]), (CHAIN, 500), True
    ),
)

TAMPERINGS = (*FLIPS, *EDITS, *FILES, *SEGMENTS, *SIGNED, *EXPIRIES, *ENDS)
