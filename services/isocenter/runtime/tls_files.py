"""The files of TLS: read, checked against each other, and read again when they change.

Whoever listens or calls looks at the files when a connection is made, so that certificates are
replaced while the process runs. Files that do not fit together, as in the middle of a replacement,
leave everything as it was. Imports no gRPC.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from isocenter.core.errors import Invalid

logger = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Pem:
    """What the files held."""

    ca: bytes | None
    certificate: bytes  # empty: none, which only who calls may be without
    key: bytes
    context: ssl.SSLContext = field(compare=False)
    """Of a server with certificate and key, which asks clients for nothing yet; or of who calls,
    which checks the server."""


class Files(Protocol):
    """Files that belong together."""

    def stamp(self) -> _Stamp:
        """Changes when one of the files does. Raises `OSError`."""
        ...

    def read(self) -> Pem:
        """The files, once they fit together. Raises `Invalid`, naming the setting."""
        ...


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of one section of the settings: whom to trust, and who this process is."""

    ca: Path | None
    certificate: Path
    key: Path
    section: str
    prefix: str = ""  # of the settings' names

    def setting(self, name: str) -> str:
        """The full name of the setting that names one of the files."""
        return f"{self.section}.{self.prefix}{name}"

    def stamp(self) -> _Stamp:
        """Changes when one of the files does. Raises `OSError`."""
        return _stamp((self.ca, self.certificate, self.key))

    def read(self) -> Pem:
        """The files, once they fit together. Raises `Invalid`, naming the setting."""
        ca = _authorities(self.setting, self.ca) if self.ca is not None else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate, key = _identity(self.setting, context, self.certificate, self.key)
        return Pem(ca, certificate, key, context)


@dataclass(frozen=True, slots=True)
class CallerTls:
    """The files of who calls: whom to trust (none: whom the system trusts), and, if servers ask,
    who calls. `setting` gives the name that a file has for people."""

    ca: Path | None
    certificate: Path | None
    key: Path | None
    setting: Callable[[str], str]

    def stamp(self) -> _Stamp:
        """Changes when one of the files does. Raises `OSError`."""
        return _stamp((self.ca, self.certificate, self.key))

    def read(self) -> Pem:
        """The files, once they fit together. Raises `Invalid`, naming the setting."""
        ca = _authorities(self.setting, self.ca) if self.ca is not None else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cadata=ca.decode("ascii"))
            # A certificate of a server itself may stand in the file too: it is trusted, its CA not.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        certificate = key = b""
        if self.certificate is not None and self.key is not None:
            certificate, key = _identity(self.setting, context, self.certificate, self.key)
        return Pem(ca, certificate, key, context)


def _stamp(files: Iterable[Path | None]) -> _Stamp:
    found = [path.stat() for path in files if path is not None]
    return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in found)


def _identity(
    setting: Callable[[str], str], context: ssl.SSLContext, certificate: Path, key: Path
) -> tuple[bytes, bytes]:
    """Load them into the context; their contents."""
    contents = (
        _content(setting("certificate_file"), certificate),
        _content(setting("key_file"), key),
    )
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise Invalid(
            f"{setting('certificate_file')} {certificate} and "
            f"{setting('key_file')} {key} are not a certificate and its key: {error}",
            fix="name two files in PEM format that belong together, the key without password",
        ) from error
    return contents


def _authorities(setting: Callable[[str], str], path: Path) -> bytes:
    content = _content(setting("ca_file"), path)
    try:
        ssl.create_default_context(cadata=content.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise Invalid(
            f"{setting('ca_file')}: {path} holds no certificates",
            fix="name a file in PEM format",
        ) from error
    return content


def _content(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(
            f"{setting}: {path} cannot be read: {error.strerror}",
            fix="name a file that this user can read",
        ) from error


def _no_password() -> str:
    """Instead of asking for one on the terminal."""
    raise ValueError("the key is encrypted")


class WatchedFiles:
    """Tells when the files have changed."""

    def __init__(self, tls: Files) -> None:
        """Raises `Invalid` if they are not as they should be."""
        self._tls = tls
        self._stamp: _Stamp = ()  # so that what changed meanwhile is seen at the first look
        self.pem = tls.read()

    def changed(self) -> bool:
        """Whether `pem` is another one than before."""
        try:
            stamp = self._tls.stamp()
            if stamp == self._stamp:
                return False
            self.pem, before = self._tls.read(), self.pem
            self._stamp = stamp
        except (Invalid, OSError) as error:
            logger.warning("new certificates are not usable yet", extra={"error": str(error)})
            return False
        if self.pem == before:
            return False
        logger.info("certificates replaced")
        return True
