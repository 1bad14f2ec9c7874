"""`isocenter send`: C-STORE or STOW-RS of files to any peer."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import httpx

from isocenter.cli.commit import commit as ask_to_commit
from isocenter.cli.common import err
from isocenter.cli.peers import WebPeer, parse_peer
from isocenter.cli.progress import Tally
from isocenter.cli.sources import SourceFile, find_some
from isocenter.core import part10
from isocenter.core.deflate import inflate
from isocenter.core.errors import (
    Invalid,
    IsocenterError,
    Refused,
    Unavailable,
    Unprocessable,
    Unsupported,
)
from isocenter.core.events import SopReference
from isocenter.core.identity import is_uid
from isocenter.core.reader import Header, NeedMore, scan_header
from isocenter.core.transfer_syntax import lookup
from isocenter.dimse.association import Association, PresentationContext
from isocenter.dimse.contexts import ProposedContext
from isocenter.dimse.reasons import told
from isocenter.dimse.target import Target
from isocenter.runtime.tls_files import CallerTls

# PS3.8 9.3.2.2: presentation context IDs are the odd numbers from 1 to 255.
MAX_CONTEXTS = 128
HTTP_TIMEOUT = httpx.Timeout(30, read=300)
STOW_BATCH = 50  # instances in one request: few enough to report progress, enough to stream


@dataclass(frozen=True, slots=True)
class Item:
    """A file to send, and what its data set says it is."""

    file: SourceFile
    sop_class: str
    instance: str
    transfer_syntax: str


async def send(
    paths: Sequence[Path],
    to: str,
    *,
    calling: str,
    parallel: int,
    commit: float = 0,
    tls: CallerTls | None = None,
    token_file: Path | None = None,
) -> int:
    """Send everything found; 0 when the peer took it all, and commits to it, if it is to tell so
    within `commit` seconds. `token_file`: of a token for peers over DICOMweb."""
    peer = parse_peer(to, calling, tls, token_file)
    if commit and isinstance(peer, WebPeer):
        raise Invalid("--commit: DICOMweb has no Storage Commitment", fix="send to dicom://...")
    files = find_some(paths)
    sent: list[SopReference] = []
    with Tally(err, "sent", "instances", len(files)) as tally:
        queue = Queue(_batches(_items(files, tally)))
        if isinstance(peer, Target):
            workers = [_c_store(peer, queue, tally, sent) for _ in range(parallel)]
        else:
            workers = [_stow(peer, queue, tally) for _ in range(parallel)]
        await asyncio.gather(*workers)
    refused = tally.refused
    if commit and isinstance(peer, Target) and sent:
        with Tally(err, "committed", "instances", len(sent), otherwise="not committed") as tally:
            await ask_to_commit(peer, sent, tally, commit)
        refused += tally.refused
    return 1 if refused else 0


async def _items(files: Sequence[SourceFile], tally: Tally) -> AsyncIterator[Item]:
    for file in files:
        try:
            yield await _identify(file)
        except IsocenterError as error:
            tally.refuse(file.label, str(error))


async def _identify(file: SourceFile) -> Item:
    """Read as much of a file as names the instance. Raises `Unprocessable`."""
    if file.member:
        for _ in file.chunks():
            """Found damaged while it is sent, it would take others of its request along."""
    meta, data_set = await part10.split(_chunks(file))
    syntax = meta.transfer_syntax
    plain = inflate(data_set) if lookup(syntax).deflated else data_set
    start = bytearray()
    header: Header | NeedMore = NeedMore(1)
    async for chunk in plain:
        start += chunk
        header = scan_header(start, syntax, complete=False)
        if isinstance(header, Header):
            break
    if isinstance(header, NeedMore):
        header = scan_header(start, syntax, complete=True)
    assert isinstance(header, Header)
    if not is_uid(header.sop_class) or not is_uid(header.instance):
        raise Unprocessable("SOP Class UID (0008,0016) or SOP Instance UID (0008,0018) is missing")
    return Item(file, header.sop_class, header.instance, syntax)


async def _chunks(file: SourceFile) -> AsyncIterator[bytes]:
    for chunk in file.chunks():
        yield chunk


async def _batches(items: AsyncIterator[Item]) -> AsyncIterator[list[Item]]:
    """Runs of items that fit into one request or one association's presentation contexts."""
    batch: list[Item] = []
    contexts: set[tuple[str, str]] = set()
    async for item in items:
        context = (item.sop_class, item.transfer_syntax)
        full = len(contexts | {context}) > MAX_CONTEXTS
        if batch and (full or len(batch) >= STOW_BATCH):
            yield batch
            batch, contexts = [], set()
        batch.append(item)
        contexts.add(context)
    if batch:
        yield batch


class Queue:
    """Batches for several workers; files are read as they are asked for."""

    def __init__(self, batches: AsyncIterator[list[Item]]) -> None:
        self._batches = batches
        self._reading = asyncio.Lock()

    def __aiter__(self) -> AsyncIterator[list[Item]]:
        return self

    async def __anext__(self) -> list[Item]:
        async with self._reading:
            return await anext(self._batches)


# --- C-STORE -------------------------------------------------------------------------------------


async def _c_store(peer: Target, queue: Queue, tally: Tally, sent: list[SopReference]) -> None:
    """One association after another; kept open while the next batch needs no other contexts."""
    association: Association | None = None
    try:
        async for batch in queue:
            needed = {(item.sop_class, item.transfer_syntax) for item in batch}
            if association is None or not needed <= _accepted(association).keys():
                if association is not None:
                    await association.release()
                association = await _associate(peer, needed)
            for item in batch:
                await _c_store_one(association, item, tally, sent)
    finally:
        if association is not None:
            await association.release()


async def _associate(peer: Target, needed: set[tuple[str, str]]) -> Association:
    return await peer.associate(
        [ProposedContext(sop_class, (syntax,)) for sop_class, syntax in sorted(needed)]
    )


def _accepted(association: Association) -> dict[tuple[str, str], PresentationContext]:
    return {
        (context.abstract_syntax, context.transfer_syntax): context
        for context in association.contexts.values()
    }


async def _c_store_one(
    association: Association, item: Item, tally: Tally, sent: list[SopReference]
) -> None:
    context = _accepted(association).get((item.sop_class, item.transfer_syntax))
    if context is None:
        tally.refuse(
            item.file.label,
            f"the peer does not accept SOP class {item.sop_class} "
            f"in transfer syntax {item.transfer_syntax}",
        )
        return
    _, data_set = await part10.split(_chunks(item.file))
    counter = _Counter(data_set)
    response = await association.c_store(context, item.sop_class, item.instance, counter.chunks())
    if response.status == 0 or response.status & 0xF000 == 0xB000:
        tally.add(counter.bytes)
        sent.append(SopReference(item.sop_class, item.instance))
        return
    comment = f" ({response.error_comment})" if response.error_comment else ""
    tally.refuse(item.file.label, f"status {told(response.status)}{comment}")


class _Counter:
    """Counts the bytes of a stream."""

    def __init__(self, data: AsyncIterator[bytes | bytearray | memoryview]) -> None:
        self._data = data
        self.bytes = 0

    async def chunks(self) -> AsyncIterator[bytes | bytearray | memoryview]:
        async for chunk in self._data:
            self.bytes += len(chunk)
            yield chunk


# --- STOW-RS -------------------------------------------------------------------------------------


async def _stow(peer: WebPeer, queue: Queue, tally: Tally) -> None:
    verify = peer.tls() if peer.tls is not None else True
    async with httpx.AsyncClient(timeout=HTTP_TIMEOUT, verify=verify, headers=peer.shown) as client:
        async for batch in queue:
            await _stow_batch(client, peer.root, batch, tally)


async def _stow_batch(
    client: httpx.AsyncClient, root: str, batch: Sequence[Item], tally: Tally
) -> None:
    boundary = uuid.uuid4().hex
    sent: dict[str, list[tuple[Item, int]]] = {}  # by UID; files may hold the same instance

    async def body() -> AsyncIterator[bytes]:
        for item in batch:
            size = 0
            yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            for chunk in item.file.chunks():
                size += len(chunk)
                yield chunk
            sent.setdefault(item.instance, []).append((item, size))
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    try:
        response = await client.post(
            f"{root}/studies",
            content=body(),
            headers={
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
                "Accept": "application/dicom+json",
            },
        )
    except httpx.HTTPError as error:
        raise Unavailable(
            f"{root} does not answer: {str(error) or type(error).__name__}",
            fix="check the address and that the peer runs",
        ) from error
    if response.status_code in (401, 403):
        raise Refused(
            f"{root} answered {response.status_code} to STOW-RS: {response.text[:300]}",
            fix="name a --token-file of who may store there",
        )
    if response.status_code not in (200, 202, 409):
        raise Unsupported(
            f"{root} answered {response.status_code} to STOW-RS: {response.text[:300]}",
            fix="check that the address is a DICOMweb root that may be stored to",
        )
    for uid, reason in _failures(response):
        same = sent.get(uid)
        label = same.pop()[0].file.label if same else uid
        tally.refuse(label, f"failure reason {told(reason)}")
    for _, size in chain.from_iterable(sent.values()):
        tally.add(size)


def _failures(response: httpx.Response) -> list[tuple[str, int]]:
    """SOP Instance UIDs and Failure Reasons of the Failed SOP Sequence (PS3.18 10.5.3.2)."""
    try:
        failed = response.json().get("00081198", {}).get("Value", [])
    except (ValueError, AttributeError):
        raise Unsupported(
            f"{response.url} answered {response.status_code}, but not in DICOM JSON",
            fix="check that the address is a DICOMweb root",
        ) from None
    return [
        (item["00081155"]["Value"][0], item["00081197"]["Value"][0])
        for item in failed
        if "00081155" in item
    ]
