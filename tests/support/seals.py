"""Seals as they come out of a trail, without one."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from isocenter.audit.seals import NOTHING, Seal, Signed, key_id
from isocenter.audit.segments import Sealed

_KEY = Ed25519PrivateKey.generate()


def sealed(chain: str, first: int, last: int) -> Sealed:
    """The seal of a segment of these records, whatever they may be."""
    seal = Seal(
        chain=chain,
        first=first,
        last=last,
        previous=f"{first - 1:064x}",
        head=f"{last:064x}",
        root="0" * 64,
        since="2026-01-02T00:00:00.000000+00:00",
        until="2026-01-02T01:00:00.000000+00:00",
        sealed_at="2026-01-02T01:00:01.000000+00:00",
        previous_seal=NOTHING,
        records="1" * 64,
        size=1,
        key=key_id(_KEY.public_key().public_bytes_raw()),
    )
    return Sealed(seal, Signed.by(_KEY, seal))
