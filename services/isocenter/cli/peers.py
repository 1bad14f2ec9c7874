"""Peers on the command line: their addresses, and the files of TLS with which they are called."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from isocenter.core.errors import Invalid
from isocenter.core.identity import is_ae_title
from isocenter.core.remote import RemoteArchive
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.target import Target
from isocenter.dimse.tls import RequestorContexts
from isocenter.runtime import listen
from isocenter.runtime.tls_files import CallerTls

# Archives may have to look for a while, on slower media too, before they answer.
_TIMEOUTS = Timeouts(network=300, dimse=300)


@dataclass(frozen=True, slots=True)
class WebPeer:
    """A DICOMweb root, without a slash at its end."""

    root: str
    tls: Callable[[], ssl.SSLContext] | None = None  # None: as the system trusts
    shown: Mapping[str, str] = field(default_factory=dict, repr=False)  # fields that say who asks


def parse_peer(
    text: str, calling: str, tls: CallerTls | None = None, token_file: Path | None = None
) -> Target | WebPeer:
    """A peer to be called as the AE title `calling`, over TLS if there are files of it, or with the
    token of a file. Raises `Invalid`."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise Invalid(f"{text}: {error}", fix="ports are 1 to 65535") from None
    contexts = RequestorContexts(tls) if tls is not None else None
    if url.scheme in ("http", "https") and url.netloc:
        return WebPeer(text.rstrip("/"), contexts, shown_by(token_file))
    if token_file is not None:
        raise Invalid("--token-file is for peers of http", fix="AEs are known by their titles")
    if url.scheme == "dicom" and url.hostname and url.username and is_ae_title(url.username):
        if not is_ae_title(calling):
            raise Invalid(
                f"--calling {calling}: not an AE title", fix="1 to 16 characters, without backslash"
            )
        default = listen.DICOM_PORT if tls is None else listen.DICOM_TLS_PORT
        address = url.hostname, port or default
        return Target(url.username, *address, calling, tls=contexts, timeouts=_TIMEOUTS)
    raise Invalid(
        f"{text}: not a peer",
        fix="write dicom://AE_TITLE@host:port or http://host:port/dicomweb",
    )


def archive_of(peer: Target | WebPeer, move_to: str = "") -> RemoteArchive:
    """A way into the archive that a peer is; `move_to`: see `gateway.remote`. Raises `Invalid`."""
    if isinstance(peer, Target):
        from isocenter.gateway.remote import DimseArchive

        return DimseArchive(peer, move_to=move_to)
    from isocenter.web.remote import WebArchive

    if move_to:
        raise Invalid("--move: DICOMweb has no C-MOVE", fix="leave it out")
    tls = peer.tls() if peer.tls is not None else None
    return WebArchive(peer.root, tls=tls, shown=peer.shown)


def shown_by(token_file: Path | None) -> Mapping[str, str]:
    """The header fields that say who asks (RFC 6750 2.1). Raises `Invalid`."""
    if token_file is None:
        return {}
    try:
        return {"Authorization": f"Bearer {token_file.read_text(encoding='utf-8').strip()}"}
    except OSError as error:
        raise Invalid(
            f"{token_file} cannot be read: {error.strerror}",
            fix="`isocenter token create NAME` prints a token for it",
        ) from error


def caller_tls(
    tls: bool, ca_file: Path | None, certificate_file: Path | None, key_file: Path | None
) -> CallerTls | None:
    """The files of the options, if there is to be TLS. Raises `Invalid`."""
    if (certificate_file is None) != (key_file is None):
        raise Invalid("--certificate-file and --key-file are given together")
    if not tls and (ca_file or certificate_file):
        raise Invalid("--ca-file, --certificate-file and --key-file are those of --tls")
    return CallerTls(ca_file, certificate_file, key_file, _option) if tls else None


def _option(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"
