"""`isocenter send --commit`: Storage Commitment as SCU (PS3.4 J.3), on one association."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydicom.uid import generate_uid

from isocenter.cli.progress import Tally
from isocenter.core import reader
from isocenter.core.errors import DeadlineExceeded, Unsupported
from isocenter.core.events import SopReference
from isocenter.core.matching import JsonAttributes
from isocenter.dimse.association import Association
from isocenter.dimse.contexts import PresentationContext, ProposedContext
from isocenter.dimse.messages import SUCCESS, CommandField, Request
from isocenter.dimse.reasons import told
from isocenter.dimse.target import Target
from isocenter.gateway import identifiers
from isocenter.gateway.commitment_items import (
    FAILED_SOPS,
    FAILURE_REASON,
    REFERENCED_SOPS,
    REQUEST_STORAGE_COMMITMENT,
    SOP_INSTANCE,
    TRANSACTION_UID,
    WELL_KNOWN_INSTANCE,
    items_of,
    reference,
    sequence,
)
from isocenter.gateway.contexts import MESSAGE_TRANSFER_SYNTAXES, STORAGE_COMMITMENT

_AT_ONCE = 2000  # instances of one transaction
_MAX_RESULT = 4 * 1024 * 1024  # bytes


class _Results:
    """What the peer reports, by transaction."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[JsonAttributes]] = {}

    def expect(self, transaction: str) -> asyncio.Future[JsonAttributes]:
        """The result of a transaction, to come."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[transaction] = future
        return future

    async def __call__(self, request: Request) -> None:
        """N-EVENT-REPORT."""
        data = await request.read_data(_MAX_RESULT)
        result = reader.to_json(data, request.context.transfer_syntax)
        await request.respond(SUCCESS)
        transaction = "".join(result.get(TRANSACTION_UID, {}).get("Value", ()))
        waiting = self._waiting.pop(transaction, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(result)


async def commit(
    target: Target,
    references: Sequence[SopReference],
    tally: Tally,
    seconds: float,
) -> None:
    """Ask a peer to commit to instances. What it does not commit to is refused. Raises
    `Unsupported` if it cannot be asked, `DeadlineExceeded` if no result comes within so many
    seconds."""
    results = _Results()
    association = await target.associate(
        [ProposedContext(STORAGE_COMMITMENT, MESSAGE_TRANSFER_SYNTAXES)],
        {CommandField.N_EVENT_REPORT: results},
    )
    try:
        contexts = list(association.contexts.values())
        if not contexts:
            raise Unsupported(
                f"{target.ae_title} offers no Storage Commitment", fix="send without --commit"
            )
        for start in range(0, len(references), _AT_ONCE):
            some = references[start : start + _AT_ONCE]
            result = await _result(association, contexts[0], some, results, seconds)
            _count(some, result, tally)
    finally:
        await association.release()


async def _result(
    association: Association,
    context: PresentationContext,
    references: Sequence[SopReference],
    results: _Results,
    seconds: float,
) -> JsonAttributes:
    transaction = str(generate_uid())
    asked: JsonAttributes = {
        TRANSACTION_UID: {"vr": "UI", "Value": [transaction]},
        REFERENCED_SOPS: sequence([reference(one) for one in references]),
    }
    waiting = results.expect(transaction)
    response = await association.n_action(
        context,
        STORAGE_COMMITMENT,
        WELL_KNOWN_INSTANCE,
        REQUEST_STORAGE_COMMITMENT,
        identifiers.write(asked, context.transfer_syntax),
    )
    if response.status != SUCCESS:
        raise Unsupported(
            f"{association.called_ae_title} refuses Storage Commitment: {told(response.status)}"
        )
    try:
        async with asyncio.timeout(seconds):
            return await waiting
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"{association.called_ae_title} took the request of commitment and told no result"
            f" within {seconds:g} s",
            fix="it may tell later, to our AE title; give a larger --commit-seconds",
        ) from error


def _count(references: Sequence[SopReference], result: JsonAttributes, tally: Tally) -> None:
    failed = {
        item[SOP_INSTANCE]["Value"][0]: item.get(FAILURE_REASON, {}).get("Value", [0])[0]
        for item in items_of(result, FAILED_SOPS)
    }
    committed = {item[SOP_INSTANCE]["Value"][0] for item in items_of(result, REFERENCED_SOPS)}
    for one in references:
        if one.instance in failed:
            tally.refuse(one.instance, f"failure reason {told(failed[one.instance])}")
        elif one.instance in committed:
            tally.add()
        else:
            tally.refuse(one.instance, "the result does not name it")
