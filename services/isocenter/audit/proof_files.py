"""Inclusion proofs as files: read, and checked with nothing but what they hold."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from isocenter.audit.proofs import FORMAT, Proof
from isocenter.audit.seals import Key, Seal, Signed
from isocenter.audit.verifying import vouched
from isocenter.core.audit import Place
from isocenter.core.errors import Corrupted, Invalid

_FIX = "give a file of `isocenter audit prove`, as it was written"


def read(content: bytes) -> Proof:
    """The proof of a file. Raises `Invalid`."""
    try:
        fields = orjson.loads(content)
        if fields["format"] != FORMAT:
            raise ValueError("it has another format")
        proof = Proof(
            place=Place(_text(fields["chain"]), _number(fields["sequence"])),
            line=_text(fields["line"]).encode(),
            index=_number(fields["index"]),
            count=_number(fields["count"]),
            path=tuple(bytes.fromhex(node).hex() for node in fields["path"]),
            seal=_text(fields["seal"]).encode(),
            keys=tuple(_text(key).encode() for key in fields["keys"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid(f"this is no proof of a record: {error}", fix=_FIX) from error
    return proof


def check(proof: Proof, trust: Sequence[str] = ()) -> Key:
    """The key on which the proof rests: one that is trusted, or else the first one.

    Raises `Corrupted` unless its record is the one that was sealed.
    """
    seal_file = Signed.read("the seal", proof.seal)
    seal = seal_file.content("the seal", Seal)
    keys = []
    for file in proof.keys:
        signed = Signed.read("a key", file)
        keys.append((signed.content("a key", Key), signed))
    known, _ = vouched(keys, trust)
    if not known:
        raise Corrupted("none of the keys of the proof is one that is trusted", fix=_FIX)
    public = known.get(seal.key)
    if public is None or not seal_file.is_by(public):
        raise Corrupted(f"the seal is not signed by a key that counts ({seal.key[:16]})", fix=_FIX)
    place, number = proof.place, b'"seq":%d,"record":{' % proof.place.sequence
    is_there = (seal.chain, seal.first + proof.index) == (place.chain, place.sequence)
    if not is_there or proof.count != seal.count or number not in proof.line[:120]:
        raise Corrupted("the proof is of another record than it says", fix=_FIX)
    if not proof.holds():
        raise Corrupted("the record is not the one that was sealed", fix=_FIX)
    return next(key for key, _ in keys if key.id in known)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is none")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("a number is none")
    return value
