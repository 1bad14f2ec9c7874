"""Time stamps of seals: asked for as often as the settings say, kept only if they are what was
asked for, and told from others when they are looked at. `openssl` is the other opinion."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.audit import stamps as stamps_module
from isocenter.audit.segments import Sealed, Segments
from isocenter.audit.stamps import TimeStamps, check_stamp, check_stamps
from isocenter.core.errors import Invalid, Unavailable
from support.authority import Authority
from support.seals import sealed
from support.tsa import TimeStampingAuthority, stamping


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with stamping(tmp_path_factory.mktemp("tsa")) as made:
        yield made


@pytest.fixture(autouse=True)
def well(authority):
    """Whatever a test did to it."""
    yield
    authority.is_down, authority.answer, authority.seconds = False, None, 0.0


def time_stamps(authority: TimeStampingAuthority, segments: Segments, **more) -> TimeStamps:
    how = {"ca": authority.ca, "hours": 24, **more}
    return TimeStamps(url=authority.url, segments=segments, **how)


async def kept(segments: Segments, one: Sealed) -> bytes:
    await segments.put(f"{one.seal.folder}seal", one.signed.file)
    return await segments.blobs.get(f"{one.seal.folder}stamp.tsr")


async def stamped(segments: Segments) -> list[str]:
    keys = [info.key async for info in segments.blobs.list("audit/")]
    return [key for key in keys if key.endswith("/stamp.tsr")]


@pytest.mark.parametrize("with_ca", [True, False])
async def test_a_seal_is_stamped_and_openssl_says_so_too(authority, tmp_path, with_ca):
    segments, one = Segments(MemoryBlobs()), sealed("audit-0", 1, 10)
    more = {} if with_ca else {"ca": None}
    before = datetime.now(UTC).replace(microsecond=0)
    await time_stamps(authority, segments, **more).publish([one])
    token = await kept(segments, one)
    at = check_stamp(one.signed.file, token, authority.ca.read_bytes())
    assert isinstance(at, datetime)
    assert before <= at <= datetime.now(UTC)
    (tmp_path / "seal").write_bytes(one.signed.file)
    (tmp_path / "stamp.tsr").write_bytes(token)
    files = ["-data", tmp_path / "seal", "-in", tmp_path / "stamp.tsr"]
    done = subprocess.run(
        ["openssl", "ts", "-verify", *files, "-CAfile", authority.ca],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert "Verification: OK" in done.stdout + done.stderr
    assert [found async for found in check_stamps(segments, authority.ca.read_bytes())] == [
        stamps_module.Stamp("audit-0", 1, 10, at)
    ]


async def test_a_chain_is_stamped_so_often_at_most(authority):
    segments = Segments(MemoryBlobs())
    asked = authority.asked
    daily = time_stamps(authority, segments)
    await daily.publish([sealed("audit-0", 1, 10), sealed("instances-0", 1, 5)])
    await daily.publish([sealed("audit-0", 11, 20)])
    assert authority.asked == asked + 2, "each chain on its own"
    anew = time_stamps(authority, segments)
    await anew.publish([sealed("audit-0", 21, 30)])
    assert authority.asked == asked + 2, "a process that begins knows of the stamps of others"
    anew._last["audit-0"] -= timedelta(hours=25)
    await anew.publish([sealed("audit-0", 31, 40)])
    assert authority.asked == asked + 3
    await time_stamps(authority, segments, hours=0).publish([sealed("audit-0", 41, 50)])
    assert authority.asked == asked + 4
    assert len(await stamped(segments)) == 4


async def test_an_authority_that_is_down_leaves_nothing_and_the_next_seal_is_stamped(authority):
    segments = Segments(MemoryBlobs())
    made = time_stamps(authority, segments)
    authority.is_down = True
    with pytest.raises(Unavailable, match=r"it answers 503; see `audit.tsa_url`"):
        await made.publish([sealed("audit-0", 1, 10)])
    assert await stamped(segments) == []
    authority.is_down = False
    await made.publish([sealed("audit-0", 11, 20)])
    assert len(await stamped(segments)) == 1


async def test_an_authority_that_hangs_is_given_up(authority, monkeypatch):
    monkeypatch.setattr(stamps_module, "_SECONDS", 0.1)
    authority.seconds = 0.5
    with pytest.raises(Unavailable, match="time stamps from"):
        await time_stamps(authority, Segments(MemoryBlobs())).publish([sealed("audit-0", 1, 10)])


async def test_a_refusal_is_told_in_its_own_words(authority):
    authority.answer = authority.reply_to(b"no request")
    with pytest.raises(Unavailable, match=r"it gives no time stamp: .*Bad request format"):
        await time_stamps(authority, Segments(MemoryBlobs())).publish([sealed("audit-0", 1, 10)])


@pytest.mark.parametrize("answer", [b"<html/>", b"x" * 300_000])
async def test_what_is_no_time_stamp_is_not_kept(authority, answer):
    segments = Segments(MemoryBlobs())
    authority.answer = answer
    with pytest.raises(Unavailable, match=r"no time stamp|too long"):
        await time_stamps(authority, segments).publish([sealed("audit-0", 1, 10)])
    assert await stamped(segments) == []


@pytest.mark.parametrize("seal", [sealed("audit-0", 1, 10), sealed("audit-0", 1, 11)])
async def test_the_answer_to_another_request_is_not_kept(authority, seal):
    """Not even that of an earlier one for the same seal: its time is not now."""
    segments = Segments(MemoryBlobs())
    one = sealed("audit-0", 1, 10)
    await time_stamps(authority, segments).publish([one])
    authority.answer = await kept(segments, one)
    other = Segments(MemoryBlobs())
    with pytest.raises(Unavailable, match=r"another request|something else"):
        await time_stamps(authority, other).publish([seal])
    assert await stamped(other) == []


async def test_a_stamp_of_an_authority_that_is_not_trusted_is_not_kept(authority, tmp_path):
    segments = Segments(MemoryBlobs())
    ca = Authority(tmp_path).certificate
    with pytest.raises(Unavailable, match="no authority that is trusted"):
        await time_stamps(authority, segments, ca=ca).publish([sealed("audit-0", 1, 10)])
    assert await stamped(segments) == []


async def test_a_certificate_file_that_is_missing_is_named(authority, tmp_path):
    made = time_stamps(authority, Segments(MemoryBlobs()), ca=tmp_path / "no.pem")
    with pytest.raises(Invalid, match=r"audit\.tsa_ca_file: .*no\.pem cannot be read"):
        await made.publish([sealed("audit-0", 1, 10)])


async def test_what_is_wrong_with_a_stamp_is_found(authority, tmp_path):
    segments, one = Segments(MemoryBlobs()), sealed("audit-0", 1, 10)
    await time_stamps(authority, segments).publish([one])
    token, ca = await kept(segments, one), authority.ca.read_bytes()
    assert check_stamp(one.signed.file + b" ", token, ca) == "it is a time stamp of something else"
    assert check_stamp(one.signed.file, b"rubbish", ca) == "it is no time stamp"
    refusal = authority.reply_to(b"no request")
    assert check_stamp(one.signed.file, refusal, ca) == "it holds no time stamp"
    other = Authority(tmp_path).certificate.read_bytes()
    assert "no authority that is trusted" in str(check_stamp(one.signed.file, token, other))
    for at in range(len(token) - 40, len(token)):  # its signature ends it
        forged = bytearray(token)
        forged[at] ^= 1
        assert isinstance(check_stamp(one.signed.file, bytes(forged), ca), str)
    with pytest.raises(Invalid, match="holds no certificates"):
        check_stamp(one.signed.file, token, b"nothing")


async def test_stamps_are_looked_at_wherever_they_lie(authority):
    segments = Segments(MemoryBlobs())
    good, moved, alone = (sealed("audit-0", first, first + 9) for first in (1, 11, 21))
    await time_stamps(authority, segments).publish([good])
    token = await kept(segments, good)
    await segments.put(f"{moved.seal.folder}seal", moved.signed.file)
    for one in (moved, alone):
        await segments.put(f"{one.seal.folder}stamp.tsr", token)
    found = [one async for one in check_stamps(segments, authority.ca.read_bytes())]
    assert [(one.first, one.at is not None) for one in found] == [
        (1, True),
        (11, False),
        (21, False),
    ]
    assert found[1].problem == "it is a time stamp of something else"
    assert found[2].problem.startswith("its seal: ")
