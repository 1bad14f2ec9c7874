"""`isocenter audit verify` finds and locates what the stand-alone verifier finds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from isocenter.adapters.blobs.files import FileBlobs
from isocenter.audit.heads import read_heads
from isocenter.audit.segments import Segments
from isocenter.audit.verifying import verify
from isocenter.core.audit_api import Head, Verification
from support.tampering import TAMPERINGS, Tampering, is_located
from support.trails import KeptTrail, make


async def proved(
    trail: KeptTrail, *, trust: Sequence[str] = (), heads: Sequence[Head] = ()
) -> Verification:
    blobs = FileBlobs.to_read(trail.folder)
    try:
        (*_, result) = [one async for one in verify(Segments(blobs), trust=trust, heads=heads)]
    finally:
        await blobs.close()
    return result


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> KeptTrail:
    """A trail that nobody has touched; tests do not, either."""
    return asyncio.run(make(tmp_path_factory.mktemp("trail")))


async def test_a_trail_that_nobody_touched_is_proved(whole: KeptTrail) -> None:
    result = await proved(whole, heads=read_heads(whole.heads().splitlines()))
    assert result.done
    assert result.findings == ()
    assert (result.records + result.expired, len(result.chains)) == (result.total, 2)
    assert result.expired > 0
    assert [key.number for key in result.keys] == list(range(1, len(whole.signers) + 1))


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=[one.name for one in TAMPERINGS])
async def test_tampering_is_found_and_located(
    whole: KeptTrail, tmp_path: Path, tampering: Tampering
) -> None:
    copy = whole.copy(tmp_path / "copy", embedded=True)
    tampering.do(copy)
    heads: Sequence[Head] = ()
    if tampering.needs_heads:
        assert (await proved(copy)).findings == (), "nothing in the store shows it"
        heads = read_heads(whole.heads().splitlines())
    found = [str(finding) for finding in (await proved(copy, heads=heads)).findings]
    assert is_located(found, tampering.words), found


async def test_what_rests_on_a_key_that_nobody_trusts_is_found(whole: KeptTrail) -> None:
    first, *_ = whole.signers
    assert (await proved(whole, trust=[first.id])).findings == ()
    assert (await proved(whole, trust=[first.id[:16].upper()])).findings == ()
    (one, *_) = (await proved(whole, trust=["0" * 64])).findings
    assert "key 1" in str(one)
