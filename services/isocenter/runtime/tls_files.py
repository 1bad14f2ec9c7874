"""The files of TLS: read, checked against each other, and read again when they change.

Whoever listens or calls looks at the files when a connection is made, so that certificates are
replaced while the process runs. Files that do not fit together, as in the middle of a replacement,
leave everything as it was. Imports no gRPC.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from isocenter.core.errors import Invalid

logger = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Pem:
    """What the files held."""

    ca: bytes | None
    certificate: bytes
    key: bytes
    context: ssl.SSLContext = field(compare=False)
    """A server's, with certificate and key; it asks clients for nothing yet."""


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
        files = (self.ca, self.certificate, self.key)
        found = [path.stat() for path in files if path is not None]
        return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in found)

    def read(self) -> Pem:
        """The files, once they fit together. Raises `Invalid`, naming the setting."""
        ca = self._authorities(self.ca) if self.ca is not None else None
        certificate = self._content("certificate_file", self.certificate)
        key = self._content("key_file", self.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:
            raise Invalid(
                f"{self.setting('certificate_file')} {self.certificate} and "
                f"{self.setting('key_file')} {self.key} are not a certificate and its key: {error}",
                fix="name two files in PEM format that belong together, the key without password",
            ) from error
        return Pem(ca, certificate, key, context)

    def _authorities(self, path: Path) -> bytes:
        content = self._content("ca_file", path)
        try:
            ssl.create_default_context(cadata=content.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise Invalid(
                f"{self.setting('ca_file')}: {path} holds no certificates",
                fix="name a file in PEM format",
            ) from error
        return content

    def _content(self, setting: str, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise Invalid(
                f"{self.setting(setting)}: {path} cannot be read: {error.strerror}",
                fix="name a file that this user can read",
            ) from error


def _no_password() -> str:
    """Instead of asking for one on the terminal."""
    raise ValueError("the key is encrypted")


class WatchedFiles:
    """Tells when the files have changed."""

    def __init__(self, tls: Tls) -> None:
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
