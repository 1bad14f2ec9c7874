"""The web role: DICOMweb, health and the viewer on one HTTP port."""

from __future__ import annotations

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
    search = {level: {"GET": qido.search(level)} for level in Level}
    described = {"GET": capabilities, "OPTIONS": capabilities}
    store = {"POST": stow.store}
    of_a_level = {
        "": {"GET": wado.objects},
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
    changed = Route(CHANGES, {"GET": changes.read})
    uri = Route("/wado", {"GET": wado_uri.retrieve})
    return Application([*routes, changed, uri, *_pages(settings, readiness)], settings)


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
    return [Route(path, {"GET": handler, "HEAD": handler}) for path, handler in table.items()]


class WebRole(Role):
    """The HTTP listener of this process."""

    name = "web"

    def __init__(self, served: ASGIApp, settings: WebSettings, feed: ChangeFeed) -> None:
        self._server = HttpServer(served, settings)
        self._feed = feed

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._server.port

    async def start(self) -> None:
        """Raises `Unavailable` if the port is taken."""
        await self._server.start()

    async def drain(self) -> None:
        """Accept nothing new and let requests under way finish."""
        self._feed.stop()
        await self._server.drain()

    async def stop(self) -> None:
        """Close every connection."""
        await self._server.stop()

    def problems(self) -> Sequence[str]:
        """Not listening, or draining."""
        return () if self._server.listening else ("not listening for HTTP",)


async def build(env: Env) -> Role:
    """The role, from what the process hands out."""
    settings = env.section(WebSettings)
    feed = ChangeFeed(await env.bus(), env.telemetry)
    served = application(
        settings,
        ingest=await env.ingest(),
        storage=await env.storage(),
        query=await env.query(),
        transcoding=await env.transcoding(),
        audit_log=await env.audit_log(),
        feed=feed,
        readiness=env.readiness,
        attributes=env.attributes,
        telemetry=env.telemetry,
    )
    if env.telemetry.on:
        return WebRole(TracedApplication(served, env.telemetry), settings, feed)
    return WebRole(served, settings, feed)
