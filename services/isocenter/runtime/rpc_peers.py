"""How the settings name other processes, and the files that prove who is who. Imports no gRPC."""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from isocenter.core.errors import Invalid

_SCHEMES = ("dns", "ipv4", "ipv6")
_HOST_AND_PORT = re.compile(r"(?:\[(?P<ipv6>[^\]/]+)\]|(?P<host>[^\[\]:/,\s]+)):(?P<port>\d{1,5})")


def target_of(address: str) -> str:
    """An address of the settings in gRPC's name syntax. Raises `ValueError`, for validation.

    `host:port`, several copies as `address:port,address:port`, or already in that syntax: `dns:///`
    and a name that stands for all copies, `ipv4:` or `ipv6:` and their addresses.
    """
    scheme, _, rest = address.partition(":")
    if scheme in _SCHEMES:
        if not re.fullmatch(r".+:\d{1,5}", rest):
            raise ValueError(f"{address!r} has no port, as in `dns:///storage:50051`")
        return address
    parts = [_parsed(part.strip()) for part in address.split(",")]
    kinds = {kind for kind, _ in parts}
    joined = ",".join(text for _, text in parts)
    if kinds == {"dns"} and len(parts) == 1:
        return f"dns:///{joined}"
    if "dns" in kinds or len(kinds) > 1:
        raise ValueError(
            "several copies are named by their IPv4 or their IPv6 addresses, or together by one "
            "DNS name as in `dns:///storage:50051`"
        )
    return f"{kinds.pop()}:{joined}"


def _parsed(part: str) -> tuple[str, str]:
    """One copy as gRPC wants it, and of what kind its name is."""
    found = _HOST_AND_PORT.fullmatch(part)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise ValueError(f"{part!r} is not `host:port`, as in `10.0.0.7:50051`")
    try:
        number = ipaddress.ip_address(found["ipv6"] or found["host"])
    except ValueError:
        if found["ipv6"]:
            raise ValueError(f"{part!r} holds no IPv6 address") from None
        return "dns", part
    if number.version == 4:
        return "ipv4", part
    return "ipv6", f"%5B{number}%5D:{found['port']}"


def listening_on(host: str, port: int) -> str:
    """The address of a listener."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Pem:
    """What the files held."""

    ca: bytes
    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of mutual TLS: whom to trust, and who this process is."""

    ca: Path
    certificate: Path
    key: Path

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Changes when one of the files does. Raises `OSError`."""
        found = [path.stat() for path in (self.ca, self.certificate, self.key)]
        return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in found)

    def read(self) -> Pem:
        """The files, once they fit together. Raises `Invalid`, naming the setting."""
        pem = Pem(
            _content("rpc.ca_file", self.ca),
            _content("rpc.certificate_file", self.certificate),
            _content("rpc.key_file", self.key),
        )
        try:
            ssl.create_default_context(cadata=pem.ca.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise Invalid(
                f"rpc.ca_file: {self.ca} holds no certificates", fix="name a file in PEM format"
            ) from error
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:
            raise Invalid(
                f"rpc.certificate_file {self.certificate} and rpc.key_file {self.key} are not a "
                f"certificate and its key: {error}",
                fix="name two files in PEM format that belong together, the key without password",
            ) from error
        return pem


def _no_password() -> str:
    """Instead of asking for one on the terminal."""
    raise ValueError("the key is encrypted")


def _content(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(
            f"{setting}: {path} cannot be read: {error.strerror}",
            fix="name a file that this user can read",
        ) from error
