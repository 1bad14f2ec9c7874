"""Errors of Elasticsearch and its client in the words of `core.errors`.

Reasons that the cluster gives quote documents, so only the names of errors are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elasticsearch import (
    ApiError,
    ConnectionTimeout,
    SerializationError,
    SSLError,
    TransportError,
    UnsupportedProductError,
)
from elasticsearch import ConnectionError as NoConnection

from isocenter.core.errors import IsocenterError, OutOfResources, Unavailable, Unprocessable


class IndexMissing(Unavailable):
    """An index of ours is not there, or no longer: another may have taken its place."""


class AlreadyThere(Unprocessable):
    """There is an index of this name."""


Told = tuple[type[IsocenterError], str, str]

_SIGN_IN = "correct [elasticsearch] username and password, or api_key"
_BUSY: Told = (
    Unavailable,
    "Elasticsearch at {host} cannot serve now ({name})",
    "look at its health and its load; try again later",
)
_MISSING: Told = (
    IndexMissing,
    "an index that was in use is gone from Elasticsearch at {host}",
    "try again; if it stays away, run `isocenter check`",
)
_REFUSED: Told = (
    Unavailable,
    "Elasticsearch at {host} does not allow this user to do this",
    "give the user of [elasticsearch] all privileges on the indices of the prefix in index",
)
_FULL: Told = (
    OutOfResources,
    "Elasticsearch at {host} takes no more documents: an index is read-only",
    "make room on its disks; it lifts the block by itself, or remove index.blocks",
)

_BY_NAME: Mapping[str, Told] = {
    "index_not_found_exception": _MISSING,
    "alias_not_found_exception": _MISSING,
    "resource_already_exists_exception": (AlreadyThere, "there is an index of this name", ""),
    "security_exception": _REFUSED,
    "search_context_missing_exception": (
        Unavailable,
        "the search was left alone for so long that it has been given up, or its index is gone",
        "search again",
    ),
    "circuit_breaking_exception": (
        Unavailable,
        "Elasticsearch at {host} is short of memory",
        "give it more memory; try again later",
    ),
}
_BY_STATUS: Mapping[int, Told] = {
    401: (Unavailable, "Elasticsearch at {host} does not know this user", _SIGN_IN),
    403: _REFUSED,
    413: (
        OutOfResources,
        "a request is too long for Elasticsearch at {host}",
        "raise its http.max_content_length",
    ),
    # The one status that tells of the request itself: the same again would end no better. All
    # others that are not named here may be a matter of the moment, as while a shard recovers.
    400: (
        Unprocessable,
        "Elasticsearch does not take this ({name})",
        "report it, with the log of Elasticsearch",
    ),
}
_BY_KIND: Mapping[type[Exception], Told] = {
    UnsupportedProductError: (
        Unavailable,
        "what answers at {host} is not Elasticsearch",
        "correct index",
    ),
    ConnectionTimeout: (
        Unavailable,
        "Elasticsearch at {host} does not answer in time",
        "look at its load and at the network",
    ),
    SSLError: (
        Unavailable,
        "no encrypted connection to Elasticsearch at {host}",
        "name the certificates to trust in [elasticsearch] ca_file, or set tls to what it serves",
    ),
    NoConnection: (
        Unavailable,
        "no connection to Elasticsearch at {host}",
        "start it, or correct index",
    ),
    SerializationError: (
        Unavailable,
        "what answers at {host} answers as Elasticsearch does not",
        "correct index",
    ),
    TransportError: _BUSY,
}


_PASSING = frozenset({429, 502, 503, 504})


def passes(error: ApiError | TransportError) -> bool:
    """Whether the same request may succeed in a moment."""
    if isinstance(error, ApiError):
        names = {cause.get("type") for cause in _causes(_error_of(error))}
        return error.meta.status in _PASSING and "cluster_block_exception" not in names
    return isinstance(error, NoConnection) and not isinstance(error, SSLError)


def translated(error: ApiError | TransportError, host: str) -> IsocenterError:
    """A library's error."""
    for kind, told in _BY_KIND.items():
        if isinstance(error, kind):
            return _error(told, host, type(error).__name__)
    assert isinstance(error, ApiError)
    return item_error(error.meta.status, _error_of(error), host)


def _error_of(error: ApiError) -> object:
    return error.body.get("error") if isinstance(error.body, dict) else None


def item_error(status: int, error: object, host: str) -> IsocenterError:
    """What the cluster says of a request, or of one part of it."""
    causes = list(_causes(error))
    names = [str(cause.get("type", "")) for cause in causes]
    if "cluster_block_exception" in names:
        # The one that the cluster sets itself when a disk is nearly full, or an operator sets.
        read_only = any("read-only" in str(cause.get("reason")) for cause in causes)
        return _error(_FULL if read_only else _BUSY, host, "cluster_block_exception")
    for name in names:
        if name in _BY_NAME:
            return _error(_BY_NAME[name], host, name)
    name = names[-1] if names else f"HTTP status {status}"
    return _error(_BY_STATUS.get(status, _BUSY), host, name)


def _causes(error: object) -> list[dict[str, Any]]:
    """An error and those that it names as its causes, the outermost first."""
    if not isinstance(error, dict):
        return []
    found = [error]
    for cause in (*(error.get("root_cause") or ()), error.get("caused_by")):
        found += _causes(cause) if cause is not error else []
    for shard in error.get("failed_shards") or ():
        found += _causes(shard.get("reason"))
    return found


def _error(told: Told, host: str, name: str) -> IsocenterError:
    kind, message, fix = told
    return kind(message.format(host=host, name=name), fix=fix)
