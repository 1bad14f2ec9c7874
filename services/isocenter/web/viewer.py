"""The viewer (OHIF) at /viewer: files of a folder, and the configuration that names us as its
DICOMweb server."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import re
import stat
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import orjson
from starlette.responses import FileResponse

from isocenter.web.conditions import Validators
from isocenter.web.exchange import DICOMWEB, Exchange
from isocenter.web.problems import Headers, Problem

ROOT = "/viewer"
CONFIG = "app-config.js"

_MEDIA_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
}
_ENCODINGS = (("br", ".br"), ("gzip", ".gz"))  # files that stand compressed beside the plain one
_HASHED = re.compile(r"(?:.*\.bundle\.)?[0-9a-f]{16,}\.(?:js|css|wasm|woff2|svg|png)")
_FOR_EVER = b"public, max-age=31536000, immutable"
_REVALIDATE = b"no-cache"

# React writes styles into elements; PDF documents are shown by an object of the browser's own.
_POLICY_WITH = (  # the scripts in the page
    b"default-src 'self'; script-src 'self' 'wasm-unsafe-eval'%b;"
    b" worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    b" font-src 'self' data:; connect-src 'self' blob: data:; object-src 'self' blob:;"
    b" frame-src 'self' blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
_POLICY = _POLICY_WITH % b""
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)

_CONFIGURATION: Mapping[str, object] = {
    "name": "isocenter",
    "routerBasename": ROOT,
    "extensions": [],
    "modes": [],
    "customizationService": {"ohif.tours": {"$set": []}},
    "showStudyList": True,
    "maxNumberOfWebWorkers": 3,
    "showWarningMessageForCrossOrigin": False,
    "showCPUFallbackMessage": False,
    "showLoadingIndicator": True,
    "strictZSpacingForVolumeViewport": True,
    "groupEnabledModesFirst": True,
    "investigationalUseDialog": {"option": "never"},
    "maxNumRequests": {"interaction": 100, "thumbnail": 10, "prefetch": 25},
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": {
                "friendlyName": "Isocenter",
                "name": "isocenter",
                "qidoRoot": DICOMWEB,
                "wadoRoot": DICOMWEB,
                "wadoUriRoot": DICOMWEB,
                "qidoSupportsIncludeField": True,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "dicomUploadEnabled": False,
                "omitQuotationForMultipartRequest": True,
                "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
                "singlepart": "bulkdata,video",
            },
        }
    ],
}

# Functions, which are no JSON: who is not known any more signs in and comes back, and the name
# above the images leads to the pages about oneself.
_FUNCTIONS = b"""
window.config.httpErrorHandler = error => {
  if (error.status === 401) {
    const here = location.pathname + location.search
    location.assign(`/sign-in?next=${encodeURIComponent(here)}`)
  }
}
window.config.whiteLabeling = {
  createLogoComponentFn: React => React.createElement(
    'a', {
      href: '/account',
      className: 'text-white text-lg px-2',
      onClick: event => event.stopPropagation(),
    }, 'Isocenter'),
}
"""

_MISSING = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Isocenter: no viewer yet</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 4em auto">
<h1>The viewer is not installed</h1>
<p>DICOMweb works without it, at <code>/dicomweb</code>. To get the viewer, run</p>
<pre>make viewer</pre>
<p>then start again with its folder in the settings: <code>[web] viewer = "..."</code>,
which <code>make up</code> does by itself.</p>
</body></html>
"""


@dataclass(frozen=True, slots=True)
class _File:
    """A file to be sent."""

    path: Path
    plain: Path  # the same, not compressed
    encoding: str
    status: os.stat_result

    @property
    def name(self) -> str:
        return self.plain.name

    @property
    def etag(self) -> bytes:
        return f'"{self.status.st_mtime_ns:x}-{self.status.st_size:x}"'.encode("ascii")

    @property
    def media_type(self) -> str:
        suffix = Path(self.name).suffix
        guessed = mimetypes.guess_type(self.name)[0]
        return _MEDIA_TYPES.get(suffix) or guessed or "application/octet-stream"


async def to_viewer(exchange: Exchange) -> None:
    """The root has nothing of its own."""
    await exchange.answer(307, [(b"location", f"{ROOT}/".encode("ascii"))])


class Viewer:
    """Serves the folder."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder.resolve() if folder else None
        self._policies: dict[Path, tuple[bytes, bytes]] = {}  # of pages, with their entity tags
        self._configuration = b"window.config = " + orjson.dumps(_CONFIGURATION) + b";" + _FUNCTIONS

    async def configuration(self, exchange: Exchange) -> None:
        """/viewer/app-config.js."""
        headers = [(b"content-type", b"text/javascript"), (b"cache-control", _REVALIDATE)]
        await exchange.answer(200, headers, self._configuration)

    async def file(self, exchange: Exchange) -> None:
        """A file, or the one page of the application for paths that it makes up."""
        name = exchange.path.get("file", "")
        encodings = exchange.header(b"accept-encoding")
        found = await asyncio.to_thread(self._find, name or "index.html", encodings)
        if found is None and "." in name.rpartition("/")[2]:
            raise Problem(404, "the viewer has no such file")
        if found is None:
            found = await asyncio.to_thread(self._find, "index.html", encodings)
        if found is None:
            headers = [
                (b"content-type", b"text/html; charset=utf-8"),
                (b"content-security-policy", _POLICY),
            ]
            await exchange.answer(503, headers, _MISSING)
            return
        await self._send(exchange, found)

    def _find(self, name: str, encodings: str) -> _File | None:
        """The file, compressed if it is there and accepted; never one outside the folder."""
        if self._folder is None or "\0" in name:
            return None
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder):
            return None
        for encoding, suffix in (*_ENCODINGS, ("", "")):
            if encoding and encoding not in encodings:
                continue
            variant = path.with_name(path.name + suffix)
            try:
                status = variant.stat()
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                return _File(variant, path, encoding, status)
        return None

    async def _policy(self, file: _File) -> bytes:
        """Of scripts in a page those run that its file has (CSP 3 2.3.1): whatever else gets into
        it, a browser does not."""
        if not file.name.endswith(".html"):
            return _POLICY
        known = self._policies.get(file.plain)
        if known is None or known[0] != file.etag:
            content = await asyncio.to_thread(file.plain.read_bytes)
            digests = (b64encode(sha256(one).digest()) for one in _INLINE.findall(content))
            policy = _POLICY_WITH % b"".join(b" 'sha256-%b'" % one for one in digests)
            known = self._policies[file.plain] = file.etag, policy
        return known[1]

    async def _send(self, exchange: Exchange, file: _File) -> None:
        cache = _FOR_EVER if _HASHED.fullmatch(file.name) else _REVALIDATE
        headers: list[tuple[bytes, bytes]] = [
            (b"etag", file.etag),
            (b"cache-control", cache),
            (b"vary", b"accept-encoding"),
            (b"content-security-policy", await self._policy(file)),
            (b"accept-ranges", b"none"),
        ]
        if Validators(file.etag).unchanged(exchange):
            await exchange.without_content(304, headers)
            return
        if file.encoding:
            headers.append((b"content-encoding", file.encoding.encode("ascii")))
        # Files are small, and come as a whole: several ranges would have to be put together, and
        # what is malformed would be answered in a form that is not ours.
        asked = exchange.scope["headers"]
        exchange.scope["headers"] = [one for one in asked if one[0] != b"range"]
        await exchange.hand_over(_response(file, headers))


def _response(file: _File, headers: Headers) -> FileResponse:
    return FileResponse(
        file.path,
        headers={name.decode("ascii"): value.decode("ascii") for name, value in headers},
        media_type=file.media_type,
        stat_result=file.status,
    )
