"""The web role: DICOMweb, health and the viewer on one HTTP port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from isocenter.core.apis import Transcoding
from isocenter.core.matching import Level
from isocenter.runtime.ae_administration import administration
from isocenter.runtime.audit_notices import Notices
from isocenter.runtime.change_feed import ChangeFeed
from isocenter.runtime.fair_use import FairUse
from isocenter.runtime.limits import LimitSettings
from isocenter.runtime.role import Env, Role
from isocenter.runtime.study_patients import StudyPatients
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.web import health, viewer
from isocenter.web.access_routes import access_routes
from isocenter.web.admission import Admission
from isocenter.web.aes import ENTRY, AEDirectory
from isocenter.web.aes import ROUTE as AES
from isocenter.web.audit_routes import audit_routes
from isocenter.web.bulk_data import BulkData
from isocenter.web.capabilities import capabilities
from isocenter.web.changes import ROUTE as CHANGES
from isocenter.web.changes import Changes
from isocenter.web.deletions import RESTORE, Deletions
from isocenter.web.deletions import ROUTE as DELETIONS
from isocenter.web.exchange import ROUTE, ASGIApp, Exchange, Handler
from isocenter.web.frames import Frames
from isocenter.web.openapi import openapi
from isocenter.web.operations import OPENAPI_PATH, OPERATIONS
from isocenter.web.pictures import Pictures
from isocenter.web.problems import Problem
from isocenter.web.qido import Qido
from isocenter.web.rendered import Rendered
from isocenter.web.retrieving import Retrieving
from isocenter.web.routes import Application, Route, dicomweb
from isocenter.web.server import HttpServer
from isocenter.web.services import Services
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
    services: Services,
    readiness: Callable[[], Sequence[str]],
    notices: Notices | None = None,
) -> Application:
    """Everything that is served, as one table of routes. `notices` is told who is refused."""
    changes = Changes(feed=services.feed, audit_log=services.audit_log)
    deletions = Deletions(
        ingest=services.ingest, audit_log=services.audit_log, allowed=settings.deletion
    )
    aes = AEDirectory(directory=services.aes, allowed=settings.ae_directory)
    retrieving, transcoding = services.retrieving("DICOMweb"), services.transcoding
    pictures = Pictures(retrieving=retrieving, transcoding=transcoding)
    wado_uri = WadoUri(retrieving=retrieving, transcoding=transcoding, pictures=pictures)
    retrieved = _retrieved(retrieving, transcoding, pictures)
    for level in (_STUDY, _SERIES, _INSTANCE):
        retrieved[level] = {**retrieved[level], "DELETE": deletions.delete}
    described = {"GET": capabilities, "OPTIONS": capabilities}
    paths = {"": described, "/": described, **retrieved}
    for path, methods in _searched_and_stored(services).items():
        paths[path] = {**paths.get(path, {}), **methods}
    others = [
        Route(CHANGES, {"GET": changes.read}),
        Route("/wado", {"GET": wado_uri.retrieve}),
        Route(DELETIONS, {"GET": deletions.listed}),
        Route(RESTORE, {"POST": deletions.restore}),
        Route(AES, {"GET": aes.listed}),
        Route(ENTRY, {"GET": aes.entry, "PUT": aes.put, "DELETE": aes.remove}),
        *audit_routes(settings, services),
        *access_routes(services),
    ]
    routes = [*dicomweb(paths), *others, *_pages(settings, readiness)]
    admission = Admission(services.doors, services.guard, services.fair_use, OPERATIONS)
    told = [_refusals(notices)] if notices else []
    return Application(routes, settings, admission, *told)


def _refusals(notices: Notices) -> Callable[[Exchange, Problem], None]:
    def refused(exchange: Exchange, problem: Problem) -> None:
        asked = f"{exchange.scope['method']} {exchange.scope.get(ROUTE, '')}"
        notices.note(exchange.source, "request refused", f"{asked}: {problem.detail}")

    return refused


_Paths = dict[str, Mapping[str, Handler]]  # below the DICOMweb root


def _retrieved(retrieving: Retrieving, transcoding: Transcoding, pictures: Pictures) -> _Paths:
    wado = Wado(retrieving=retrieving, transcoding=transcoding)
    frames = Frames(retrieving=retrieving, transcoding=transcoding)
    bulk_data = BulkData(retrieving=retrieving, frames=frames)
    rendered = Rendered(retrieving=retrieving, pictures=pictures)
    of_a_level = {
        "": wado.objects,
        "/metadata": wado.metadata,
        "/rendered": rendered.rendered,
        "/thumbnail": rendered.thumbnail,
        "/bulkdata": bulk_data.all_values,
        "/pixeldata": bulk_data.all_pixels,
    }
    handlers = {
        level + path: handler
        for level in (_STUDY, _SERIES, _INSTANCE)
        for path, handler in of_a_level.items()
    } | {
        _FRAMES: frames.frames,
        _FRAMES + "/rendered": rendered.rendered,
        _FRAMES + "/thumbnail": rendered.thumbnail,
        _INSTANCE + "/bulkdata/{path...}": bulk_data.element,
    }
    return {path: {"GET": handler} for path, handler in handlers.items()}


def _searched_and_stored(services: Services) -> _Paths:
    qido = Qido(query=services.query, audit_log=services.audit_log, attributes=services.attributes)
    search = {level: {"GET": qido.search(level)} for level in Level}
    store = {"POST": Stow(ingest=services.ingest).store}
    return {
        "/studies": {**search[Level.STUDY], **store},
        "/series": search[Level.SERIES],
        "/instances": search[Level.INSTANCE],
        _STUDY: store,
        _STUDY + "/series": search[Level.SERIES],
        _STUDY + "/instances": search[Level.INSTANCE],
        _SERIES + "/instances": search[Level.INSTANCE],
    }


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
        notices: Notices | None = None,
        telemetry: Telemetry = OFF,
    ) -> None:
        """`api` makes the gRPC port, if there is to be one. `notices` are closed with the role."""
        self._server = HttpServer(served, settings, telemetry)
        self._feed = feed
        self._make_api = api
        self._notices = notices
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
        if self._notices is not None:
            await self._notices.stop()

    def problems(self) -> Sequence[str]:
        """Not listening, or draining."""
        http = () if self._server.listening else ("not listening for HTTP",)
        opening = self._make_api is not None and self._api is None
        return (*http, *(["not listening for gRPC yet"] if opening else []))


async def build(env: Env) -> Role:
    """The role, from what the process hands out."""
    settings = env.section(WebSettings)
    query = await env.query()
    services = Services(
        ingest=await env.ingest(),
        storage=await env.storage(),
        query=query,
        transcoding=await env.transcoding(),
        audit_log=await env.audit_log(),
        feed=ChangeFeed(await env.bus(), await env.guard(), env.telemetry),
        aes=await administration(env),
        audit_trail=await env.audit_trail(),
        patients=StudyPatients(query),
        doors=await env.doors(),
        guard=await env.guard(),
        site=env.site,
        attributes=env.attributes,
        telemetry=env.telemetry,
        fair_use=FairUse(env.section(LimitSettings), env.telemetry),
    )
    notices = Notices(services.audit_log)
    served: ASGIApp = application(settings, services, env.readiness, notices)
    if env.telemetry.on:
        served = TracedApplication(served, env.telemetry)

    def api() -> Role:
        from isocenter.web import archive_port  # noqa: PLC0415 - see there

        return archive_port.port(settings, services)

    opened = api if settings.grpc_port else None
    return WebRole(served, settings, services.feed, opened, notices, env.telemetry)
