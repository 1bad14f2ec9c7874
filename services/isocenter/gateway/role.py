"""The gateway role: the DICOM ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from isocenter.dimse.association import Handler
from isocenter.dimse.contexts import Admission, AssociationOffer
from isocenter.dimse.messages import CommandField
from isocenter.dimse.server import Admit, Listener, Server, serve
from isocenter.dimse.tls import AcceptorContexts
from isocenter.gateway import tracing
from isocenter.gateway.admission import Admissions
from isocenter.gateway.c_echo import c_echo
from isocenter.gateway.c_find import CFind
from isocenter.gateway.c_get import CGet
from isocenter.gateway.c_move import CMove
from isocenter.gateway.c_store import CStore
from isocenter.gateway.callers import Callers
from isocenter.gateway.calls import Calls
from isocenter.gateway.commitment_check import Checker
from isocenter.gateway.commitments import Commitments
from isocenter.gateway.destinations import Destinations
from isocenter.gateway.frames import FrameExtractor
from isocenter.gateway.lanes import Lanes
from isocenter.gateway.limits import Limits
from isocenter.gateway.n_action import NAction
from isocenter.gateway.permissions import permitted
from isocenter.gateway.refusals import Refusals
from isocenter.gateway.retrieval import Retrieval
from isocenter.gateway.services import of_their_sop_classes
from isocenter.gateway.settings import GatewaySettings
from isocenter.gateway.suboperations import SubOperations
from isocenter.runtime.audit_notices import Notices
from isocenter.runtime.role import Env, Role
from isocenter.runtime.study_patients import StudyPatients
from isocenter.runtime.telemetry import Telemetry

# Who drains a role bounds it in time; this only ends what would never end.
_DRAIN_SECONDS = 3600.0


class GatewayRole(Role):
    """Listens for associations and answers what is asked on them."""

    name = "gateway"

    def __init__(
        self,
        settings: GatewaySettings,
        handlers: Mapping[int, Handler],
        admit: Admit,
        telemetry: Telemetry,
        commitments: Commitments,
        callers: Callers,
        refusals: Refusals,
    ) -> None:
        self._settings = settings
        self._handlers = handlers
        self._admit = admit
        self._telemetry = telemetry
        self._commitments = commitments
        self._callers = callers
        self._refusals = refusals
        self._server: Server | None = None

    @property
    def port(self) -> int:
        """The plain port that is listened on; 0 if none is."""
        return self._server.port if self._server is not None else self._settings.port

    async def start(self) -> None:
        """Open the ports, which other processes may share. Raises `Unavailable`, and `Invalid` if
        the files of TLS cannot be used."""
        settings = self._settings
        listener = Listener(
            settings.host,
            settings.plain_port,
            tls_port=settings.tls_port or None,
            tls=AcceptorContexts(settings.tls) if settings.tls is not None else None,
            balancers=settings.balancers,
            reuse_port=True,
            timeouts=settings.timeouts,
            max_pdu=settings.max_pdu,
            max_associations=settings.max_associations,
        )
        counted = tracing.answered(self._callers, self._telemetry)

        def answered(offer: AssociationOffer, admission: Admission) -> None:
            counted(offer, admission)
            self._refusals.answered(offer, admission)

        self._server = await serve(
            listener, self._handlers, self._admit, answered, self._refusals.turned_away
        )
        tracing.observe(self._server, self._telemetry)
        self._commitments.start()

    async def drain(self) -> None:
        """Take no new association; finish the requests under way, then release."""
        if self._server is not None:
            await self._server.drain(_DRAIN_SECONDS)

    async def stop(self) -> None:
        """Close every connection."""
        await self._commitments.stop()
        if self._server is not None:
            await self._server.close()
            self._server = None
        await self._refusals.stop()

    def problems(self) -> Sequence[str]:
        """Not ready before the port is open and the AE directory has been read."""
        port = () if self._server is not None else ("the DICOM port is not open",)
        directory = () if self._callers.complete else ("the AE directory has not been read",)
        return *port, *directory


async def build(env: Env) -> GatewayRole:
    """Put the verbs together with the services they call."""
    settings = env.section(GatewaySettings)
    callers = Callers(settings, await env.directory())
    calls, limits = Calls(settings), Limits(settings, callers)
    lanes, audit = Lanes(limits), await env.audit_log()
    commitments = await _commitments(env, settings, calls)
    handlers: Mapping[int, Handler] = {
        CommandField.C_ECHO: c_echo,
        CommandField.C_STORE: CStore(ingest=await env.ingest(), callers=callers, lanes=lanes),
        CommandField.C_FIND: CFind(
            query=await env.query(),
            audit=audit,
            callers=callers,
            lanes=lanes,
            ae_title=settings.ae_title,
            max_identifier=settings.max_identifier,
            attributes=env.attributes,
        ),
        **await _retrieves(env, settings, callers, lanes, calls),
        CommandField.N_ACTION: NAction(
            custody=commitments,
            audit=audit,
            callers=callers,
            max_identifier=settings.max_identifier,
        ),
    }
    refusals = Refusals(Notices(audit), callers)
    handlers = permitted(of_their_sop_classes(handlers), callers, refusals.request)
    return GatewayRole(
        settings,
        tracing.traced(handlers, env.telemetry),
        Admissions(settings=settings, callers=callers, limits=limits),
        env.telemetry,
        commitments,
        callers,
        refusals,
    )


async def _commitments(env: Env, settings: GatewaySettings, calls: Calls) -> Commitments:
    checker = Checker(
        query=await env.query(),
        storage=await env.storage(),
        guard=await env.guard(),
        proof=timedelta(seconds=settings.commitment_proof_seconds),
    )
    return Commitments(
        bus=await env.bus(),
        checker=checker,
        settings=settings,
        calls=calls,
        directory=await env.directory(),
        audit=await env.audit_log(),
    )


async def _retrieves(
    env: Env, settings: GatewaySettings, callers: Callers, lanes: Lanes, calls: Calls
) -> Mapping[int, Handler]:
    """C-GET and C-MOVE, which share the finding and the sending of instances."""
    storage, transcoding = await env.storage(), await env.transcoding()
    query = await env.query()
    retrieval = Retrieval(
        storage=storage,
        query=query,
        audit=await env.audit_log(),
        patients=StudyPatients(query),
        callers=callers,
        guard=await env.guard(),
        extractor=FrameExtractor(storage=storage, transcoding=transcoding),
        max_identifier=settings.max_identifier,
    )
    sub_operations = SubOperations(
        storage=storage, transcoding=transcoding, lanes=lanes, telemetry=env.telemetry
    )
    return {
        CommandField.C_GET: CGet(
            retrieval=retrieval, sub_operations=sub_operations, transcoding=transcoding
        ),
        CommandField.C_MOVE: CMove(
            retrieval=retrieval,
            sub_operations=sub_operations,
            transcoding=transcoding,
            calls=calls,
            directory=await env.directory(),
            destinations=Destinations(env.telemetry),
        ),
    }
