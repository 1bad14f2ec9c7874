"""Another archive over DIMSE: C-FIND, and C-GET or C-MOVE, as SCU (PS3.4 C.4)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress

from isocenter.core import reader
from isocenter.core.errors import IsocenterError, OutOfResources, Unavailable, Unsupported
from isocenter.core.matching import JsonAttributes, Key, Level
from isocenter.core.remote import (
    INSTANCE_UID,
    SERIES_UID,
    STUDY_UID,
    Arrival,
    KeeperFailed,
    Listed,
    Receiver,
    by_series,
)
from isocenter.core.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    TRANSFER_SYNTAXES,
)
from isocenter.dimse.association import Association, Handler
from isocenter.dimse.contexts import PresentationContext, ProposedContext
from isocenter.dimse.messages import SUCCESS, CommandField, Request, Response
from isocenter.dimse.negotiation import MAX_CONTEXTS
from isocenter.dimse.reasons import told
from isocenter.dimse.sop_classes import COMMON_STORAGE_SOP_CLASSES
from isocenter.dimse.target import Target
from isocenter.gateway import identifiers, statuses
from isocenter.gateway.answers import refuse
from isocenter.gateway.contexts import (
    MESSAGE_TRANSFER_SYNTAXES,
    PATIENT_ROOT,
    STUDY_ROOT,
    InformationModel,
)

_UIDS_AT_ONCE = 500  # in one identifier: within the 16-bit length of a UI
_SYNTAXES_AT_ONCE = 40  # in one presentation context: dcmtk rejects all with more than 50
_IN_USE = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.5",
)
# All, those that are found most often first.
_SYNTAXES = tuple(dict.fromkeys((*_IN_USE, *TRANSFER_SYNTAXES)))
_CANCELLED = 0xFE00
_SOME_FAILED = 0xB000
_NUMERIC = frozenset({"US", "SS", "UL", "SL", "SV", "UV"})


class DimseArchive:
    """See `core.remote.RemoteArchive`. Associations are kept open as long as they suit."""

    def __init__(self, target: Target, *, move_to: str = "") -> None:
        """`move_to`: retrieve by C-MOVE to this AE title instead of C-GET; what comes there is not
        given to any receiver."""
        self._target = target
        self._move_to = move_to
        self._finding: Association | None = None
        self._retrieving: Association | None = None
        self._classes: frozenset[str] = frozenset()  # that `_retrieving` was made for
        self._stores = _Stores()

    async def find(
        self, level: Level, keys: Sequence[Key], limit: int = 0
    ) -> AsyncGenerator[JsonAttributes, None]:
        """C-FIND; after `limit` answers the rest is cancelled."""
        if self._finding is None or self._finding.closed.is_set():
            self._finding = await self._target.associate(
                [
                    ProposedContext(model.find, MESSAGE_TRANSFER_SYNTAXES)
                    for model in (STUDY_ROOT, PATIENT_ROOT)
                ]
            )
        models = (PATIENT_ROOT,) if level is Level.PATIENT else (STUDY_ROOT, PATIENT_ROOT)
        context = self._context(self._finding, [model.find for model in models], "C-FIND")
        identifier = _identifier(level, keys, context)
        count = 0
        operation = self._finding.c_find(context, context.abstract_syntax, identifier)
        async with aclosing(operation) as responses:
            async for response in responses:
                if not response.pending:
                    self._end(response, "C-FIND")
                elif response.data_set is not None:
                    yield reader.to_json(response.data_set, context.transfer_syntax)
                    count += 1
                    if count == limit:
                        return

    async def retrieve(
        self, study: str, wanted: Sequence[Listed], receiver: Receiver, *, whole: bool
    ) -> str:
        """C-GET or C-MOVE, of the whole study or of lists of its instances."""
        association = await self._association(frozenset(one.sop_class for one in wanted))
        self._stores.begin(receiver)
        problem = ""
        for level, keys in _requests(study, wanted, whole=whole):
            problem = await self._retrieve(association, level, keys) or problem
            if self._stores.failed is not None:
                raise self._stores.failed
        return problem

    async def close(self) -> None:
        """Release the associations."""
        for association in (self._finding, self._retrieving):
            if association is not None:
                await association.release()

    async def _association(self, classes: frozenset[str]) -> Association:
        """The present one if it does, or another one."""
        current = self._retrieving
        if current is not None and not current.closed.is_set() and classes <= self._classes:
            return current
        if current is not None:
            await current.release()
        contexts = [ProposedContext(uid, MESSAGE_TRANSFER_SYNTAXES) for uid in self._models()]
        if not self._move_to:
            contexts += _storage_contexts(classes, MAX_CONTEXTS - len(contexts))
        handlers: dict[int, Handler] = {CommandField.C_STORE: self._stores}
        self._retrieving = await self._target.associate(contexts, handlers)
        self._classes = classes
        return self._retrieving

    def _models(self) -> list[str]:
        models: tuple[InformationModel, ...] = (STUDY_ROOT, PATIENT_ROOT)
        return [model.move if self._move_to else model.get for model in models]

    async def _retrieve(self, association: Association, level: Level, keys: Sequence[Key]) -> str:
        service = "C-MOVE" if self._move_to else "C-GET"
        context = self._context(association, self._models(), service)
        sop_class, identifier = context.abstract_syntax, _identifier(level, keys, context)
        operation = (
            association.c_move(context, sop_class, self._move_to, identifier)
            if self._move_to
            else association.c_get(context, sop_class, identifier)
        )
        problem = ""
        async with aclosing(operation) as responses:
            async for response in responses:
                if response.status == _SOME_FAILED:
                    problem = f"{self._target.ae_title} answers {service} with {_told(response)}"
                elif not response.pending:
                    self._end(response, service)
        return problem

    def _context(
        self, association: Association, sop_classes: Sequence[str], service: str
    ) -> PresentationContext:
        accepted = {one.abstract_syntax: one for one in association.contexts.values()}
        for sop_class in sop_classes:
            if sop_class in accepted:
                return accepted[sop_class]
        fix = "check what the peer supports"
        if service == "C-GET":
            fix = "retrieve by C-MOVE (`isocenter fetch --move`)"
        raise Unsupported(f"{self._target.ae_title} offers no {service}", fix=fix)

    def _end(self, response: Response, service: str) -> None:
        """Raises for what is no success."""
        status = response.status
        if status in (SUCCESS, _CANCELLED):
            return
        kind = Unsupported if status >> 8 in (0x01, 0x02, 0xA8, 0xA9) else Unavailable
        raise kind(f"{self._target.ae_title} answers {service} with {_told(response)}")


def _told(response: Response) -> str:
    counts = f" ({response.failed} failed)" if response.failed else ""
    comment = f": {response.error_comment}" if response.error_comment else ""
    return f"{told(response.status, query=True)}{counts}{comment}"


class _Stores:
    """The C-STORE sub-operations of a C-GET."""

    def __init__(self) -> None:
        self._receiver: Receiver | None = None
        self.failed: KeeperFailed | None = None

    def begin(self, receiver: Receiver) -> None:
        """To whom what comes now goes."""
        self._receiver, self.failed = receiver, None

    async def __call__(self, request: Request) -> None:
        """C-STORE: success is answered when it is durable."""
        command = request.command
        arrival = Arrival(
            command.affected_sop_class,
            command.affected_sop_instance,
            request.context.transfer_syntax,
        )
        try:
            if self._receiver is None or self.failed is not None:
                raise OutOfResources("nothing more is taken")
            await self._receiver.take(arrival, request.data)
        except IsocenterError as error:
            if isinstance(error, KeeperFailed):
                self.failed = error
            await refuse(request, statuses.Service.STORE, error)
            if self.failed is not None:
                with suppress(Unavailable):  # it is over anyway
                    await request.association.cancel()
        else:
            await request.respond(SUCCESS)


def _requests(
    study: str, wanted: Sequence[Listed], *, whole: bool
) -> Iterator[tuple[Level, Sequence[Key]]]:
    """Levels and unique keys, one request each (PS3.4 C.4.2.2.1, C.4.3.2.1)."""
    of_study = Key(STUDY_UID, "UI", (study,))
    if whole:
        yield Level.STUDY, (of_study,)
        return
    for series, instances in by_series(wanted).items():
        of_series = Key(SERIES_UID, "UI", (series,))
        uids = [one.instance for one in instances]
        for start in range(0, len(uids), _UIDS_AT_ONCE):
            some = Key(INSTANCE_UID, "UI", tuple(uids[start : start + _UIDS_AT_ONCE]))
            yield Level.INSTANCE, (of_study, of_series, some)


def _storage_contexts(classes: frozenset[str], room: int) -> list[ProposedContext]:
    """One for each SOP class and transfer syntax as far as there is room, so that objects come as
    they are stored; where there is none, a context has several, of which the peer chooses one."""
    known = sorted(classes)[:room]
    if not all(known):  # the archive does not tell them
        known = list(COMMON_STORAGE_SOP_CLASSES)[:room]
    share = min(room // len(known), len(_SYNTAXES))
    groups: list[tuple[str, ...]] = [(one,) for one in _SYNTAXES[: share - 1]]
    groups.append(_SYNTAXES[share - 1 : share - 1 + _SYNTAXES_AT_ONCE])
    return [
        ProposedContext(sop_class, group, scu=False, scp=True)
        for sop_class in known
        for group in groups
    ]


def _identifier(level: Level, keys: Sequence[Key], context: PresentationContext) -> bytes:
    attributes: JsonAttributes = {key.tag: _element(key) for key in keys}
    attributes[identifiers.LEVEL] = {"vr": "CS", "Value": [level.value]}
    return identifiers.write(attributes, context.transfer_syntax)


def _element(key: Key) -> dict[str, object]:
    if key.vr == "SQ":
        return {"vr": "SQ", "Value": [{item.tag: _element(item) for item in key.items}]}
    values = [int(value) for value in key.values] if key.vr in _NUMERIC else list(key.values)
    return {"vr": key.vr, "Value": values}
