"""The web role: DICOMweb, health and the viewer on one HTTP port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from isocenter.core.apis import Ingest, Query, Storage, Transcoding
from isocenter.core.attributes import BUILT_IN, Attributes
from isocenter.core.matching import Level
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.change_feed import ChangeFeed
from isocenter.runtime.role import Env, Role
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.web import health, viewer
from isocenter.web.bulk_data import BulkData
from isocenter.web.capabilities import capabilities
from isocenter.web.changes import ROUTE as CHANGES
from isocenter.web.changes import Changes
from isocenter.web.deletions import RESTORE, Deletions
from isocenter.web.deletions import ROUTE as DELETIONS
from isocenter.web.exchange import ASGIApp
from isocenter.web.frames import Frames
from isocenter.web.openapi import openapi
from isocenter.web.operations import OPENAPI_PATH
from isocenter.web.pictures import Pictures
from isocenter.web.qido import Qido
from isocenter.web.rendered import Rendered
from isocenter.web.retrieving import Retrieving
from isocenter.web.routes import Application, Route, dicomweb
from isocenter.web.server import HttpServer
from isocenter.web.settings import WebSettings
from isocenter.web.stow import Stow
from isocenter.web.tracing import TracedApplication
from isocenter.web.viewer import Viewer
from isocenter.web.wado import Wado
from isocenter.web.wado_uri import WadoUri

_STUDY = "/studies/{study}"
_SERIES = _STUDY + "/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"
_FRAMES = _INSTANCE + "/frames/{frames}"


def application(
    settings: WebSettings,
    *,
    ingest: Ingest,
    storage: Storage,
    query: Query,
    transcoding: Transcoding,
    audit_log: AuditLog,
    feed: ChangeFeed,
    readiness: Callable[[], Sequence[str]],
    attributes: Attributes = BUILT_IN,
    telemetry: Telemetry = OFF,
) -> Application:
    """Everything that is served, as one table of routes."""
    changes = Changes(feed=feed, audit_log=audit_log)
    retrieving = Retrieving(storage=storage, audit_log=audit_log, telemetry=telemetry)
    stow = Stow(ingest=ingest)
    qido = Qido(query=query, audit_log=audit_log, attributes=attributes)
    wado = Wado(retrieving=retrieving, transcoding=transcoding)
    frames = Frames(retrieving=retrieving, transcoding=transcoding)
    bulk_data = BulkData(retrieving=retrieving, frames=frames)
    pictures = Pictures(retrieving=retrieving, transcoding=transcoding)
    rendered = Rendered(retrieving=retrieving, pictures=pictures)
    wado_uri = WadoUri(retrieving=retrieving, transcoding=transcoding, pictures=pictures)
    deletions = Deletions(ingest=ingest, audit_log=audit_log, allowed=settings.deletion)
    search = {level: {"GET": qido.search(level)} for level in Level}
    described = {"GET": capabilities, "OPTIONS": capabilities}
    store = {"POST": stow.store}
    of_a_level = {
        "": {"GET": wado.objects, "DELETE": deletions.delete},
        "/metadata": {"GET": wado.metadata},
        "/rendered": {"GET": rendered.rendered},
        "/thumbnail": {"GET": rendered.thumbnail},
        "/bulkdata": {"GET": bulk_data.all_values},
        "/pixeldata": {"GET": bulk_data.all_pixels},
    }
    levels = {
        level + path: methods
        for level in (_STUDY, _SERIES, _INSTANCE)
        for path, methods in of_a_level.items()
    }
    routes = dicomweb(
        {
            "": described,
            "/": described,
            "/studies": {**search[Level.STUDY], **store},
            "/series": search[Level.SERIES],
            "/instances": search[Level.INSTANCE],
            _FRAMES: {"GET": frames.frames},
            _FRAMES + "/rendered": {"GET": rendered.rendered},
            _FRAMES + "/thumbnail": {"GET": rendered.thumbnail},
            _INSTANCE + "/bulkdata/{path...}": {"GET": bulk_data.element},
            **levels,
            _STUDY: {**levels[_STUDY], **store},
            _STUDY + "/series": search[Level.SERIES],
            _STUDY + "/instances": search[Level.INSTANCE],
            _SERIES + "/instances": search[Level.INSTANCE],
        }
    )
    others = [
        Route(CHANGES, {"GET": changes.read}),
        Route("/wado", {"GET": wado_uri.retrieve}),
        Route(DELETIONS, {"GET": deletions.listed}),
        Route(RESTORE, {"POST": deletions.restore}),
    ]
    return Application([*routes, *others, *_pages(settings, readiness)], settings)


def _pages(settings: WebSettings, readiness: Callable[[], Sequence[str]]) -> Sequence[Route]:
    pages = Viewer(settings.viewer)
    readyz = health.readyz(readiness)
    table = {
        "/": viewer.to_viewer,
        viewer.ROOT: viewer.to_viewer,
        f"{viewer.ROOT}/{viewer.CONFIG}": pages.configuration,
        viewer.ROOT + "/{file...}": pages.file,
        "/livez": health.livez,
        "/readyz": readyz,
        OPENAPI_PATH: openapi,
    }
    return [Route(path, {"GET": handler}) for path, handler in table.items()]


class WebRole(Role):
    """The HTTP listener of this process."""

    name = "web"

    def __init__(
        self,
        served: ASGIApp,
        settings: WebSettings,
        feed: ChangeFeed,
        api: Callable[[], Role] | None = None,
    ) -> None:
        """`api` makes the gRPC port, if there is to be one."""
        self._server = HttpServer(served, settings)
        self._feed = feed
        self._make_api = api
        self._api: Role | None = None

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._server.port

    async def start(self) -> None:
        """Raises `Unavailable` if a port is taken."""
        await self._server.start()
        if self._make_api is not None:
            api = await asyncio.to_thread(self._make_api)
            await api.start()
            self._api = api

    async def drain(self) -> None:
        """Accept nothing new and let requests under way finish."""
        self._feed.stop()
        await asyncio.gather(self._server.drain(), *([self._api.drain()] if self._api else []))

    async def stop(self) -> None:
        """Close every connection."""
        await self._server.stop()
        if self._api is not None:
            await self._api.stop()

    def problems(self) -> Sequence[str]:
        """Not listening, or draining."""
        http = () if self._server.listening else ("not listening for HTTP",)
        opening = self._make_api is not None and self._api is None
        return (*http, *(["not listening for gRPC yet"] if opening else []))


async def build(env: Env) -> Role:
    """The role, from what the process hands out."""
    settings = env.section(WebSettings)
    feed = ChangeFeed(await env.bus(), env.telemetry)
    ingest, storage, query = await env.ingest(), await env.storage(), await env.query()
    transcoding, audit_log = await env.transcoding(), await env.audit_log()
    served: ASGIApp = application(
        settings,
        ingest=ingest,
        storage=storage,
        query=query,
        transcoding=transcoding,
        audit_log=audit_log,
        feed=feed,
        readiness=env.readiness,
        attributes=env.attributes,
        telemetry=env.telemetry,
    )
    if env.telemetry.on:
        served = TracedApplication(served, env.telemetry)

    def api() -> Role:
        from isocenter.web import archive_port  # noqa: PLC0415 - see there

        return archive_port.port(
            settings,
            ingest=ingest,
            storage=storage,
            query=query,
            transcoding=transcoding,
            audit_log=audit_log,
            feed=feed,
            attributes=env.attributes,
            telemetry=env.telemetry,
        )

    return WebRole(served, settings, feed, api if settings.grpc_port else None)
