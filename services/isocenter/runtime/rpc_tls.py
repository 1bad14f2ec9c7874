"""Mutual TLS between processes, with certificates that are replaced while they run.

The server looks at the files at every connection, a channel at its calls every few seconds. New
connections are made with what the files hold then; the old ones end by themselves, because no
server of ours keeps a connection for longer than `rpc_server` says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

import grpc
import grpc.aio

from isocenter.runtime.tls_files import Tls, WatchedFiles

_LOOK_SECONDS = 5.0


def server_credentials(files: WatchedFiles) -> grpc.ServerCredentials:
    """If there is a CA, clients must have a certificate of it."""

    def configuration() -> grpc.ServerCertificateConfiguration:
        pem = files.pem
        return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], pem.ca)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        return configuration() if files.changed() else None

    return grpc.dynamic_ssl_server_credentials(
        configuration(),
        renewed,  # type: ignore[arg-type]  # None is "as before", which the stubs do not know
        require_client_authentication=files.pem.ca is not None,
    )


class RenewedChannel:
    """A channel that is opened again when the certificates have changed: as much of one as stubs
    need. A call that is under way goes on on the channel that it began on."""

    def __init__(
        self, tls: Tls, connect: Callable[[grpc.ChannelCredentials], grpc.aio.Channel]
    ) -> None:
        """Raises `Invalid`."""
        self._files = WatchedFiles(tls)
        self._connect = connect
        self._channel = self._open()
        self._callables: dict[str, Callable[..., Any]] = {}
        self._looked = monotonic()
        self.unary_unary = partial(self._callable, "unary_unary")
        self.unary_stream = partial(self._callable, "unary_stream")
        self.stream_unary = partial(self._callable, "stream_unary")
        self.stream_stream = partial(self._callable, "stream_stream")

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Of the channel that the next call is made on."""
        self._look()
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last: grpc.ChannelConnectivity) -> None:
        """Of the channel that is open now."""
        await self._channel.wait_for_state_change(last)

    async def close(self) -> None:
        """Close the channel that is open now."""
        await self._channel.close()

    def _open(self) -> grpc.aio.Channel:
        pem = self._files.pem
        return self._connect(grpc.ssl_channel_credentials(pem.ca, pem.key, pem.certificate))

    def _callable(
        self,
        kind: str,
        method: str,
        *serializers: Any,  # noqa: ANN401 (gRPC's signature)
        **options: Any,  # noqa: ANN401
    ) -> Callable[..., Any]:
        """What a stub calls for this method."""

        def call(*request: Any, **how: Any) -> Any:  # noqa: ANN401 (gRPC's signature)
            self._look()
            if method not in self._callables:
                make = getattr(self._channel, kind)
                self._callables[method] = make(method, *serializers, **options)
            return self._callables[method](*request, **how)

        return call

    def _look(self) -> None:
        now = monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            if self._files.changed():
                # Not closed, as that cancels calls: it goes when the last of them has ended.
                self._channel = self._open()
                self._callables = {}
