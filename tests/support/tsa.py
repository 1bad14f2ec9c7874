"""A time stamping authority (RFC 3161): `openssl ts` behind HTTP."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from support.authority import Authority

_CONFIGURATION = """
[ tsa ]
default_tsa = one
[ one ]
dir = {folder}
serial = $dir/serial
signer_cert = {certificate}
signer_key = {key}
certs = {ca}
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_alg = sha256
"""


class TimeStampingAuthority:
    """One that answers, or does not."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(folder / "ca")
        issued = self.authority.issue("tsa", "DNS:tsa", kind="rsa", use="timeStamping")
        self.ca = self.authority.certificate
        self.asked = 0
        self.is_down = False  # it answers with 503
        self.seconds = 0.0  # until it answers
        self.answer: bytes | None = None  # instead of its own
        self._folder = folder
        (folder / "serial").write_text("01\n")
        self._configuration = folder / "tsa.cnf"
        self._configuration.write_text(
            _CONFIGURATION.format(
                folder=folder, certificate=issued.certificate, key=issued.key, ca=self.ca
            )
        )
        self._lock = threading.Lock()  # of its serial numbers
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/stamp"

    def start(self) -> None:
        """Answer from now on."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """No more."""
        self._server.shutdown()
        self._server.server_close()

    def reply_to(self, query: bytes) -> bytes:
        """A time stamp, or why there is none, as the RFC has it."""
        with self._lock:
            request, reply = self._folder / "request.tsq", self._folder / "reply.tsr"
            request.write_bytes(query)
            subprocess.run(
                [
                    "openssl", "ts", "-reply", "-config", self._configuration,
                    "-queryfile", request, "-out", reply,
                ],
                check=False, capture_output=True,
            )  # fmt: skip
            return reply.read_bytes()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/timestamp-query"
                authority.asked += 1
                time.sleep(authority.seconds)
                content = authority.answer or authority.reply_to(query)
                self.send_response(503 if authority.is_down else 200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Nothing."""

        return Handler


@contextmanager
def stamping(folder: Path) -> Iterator[TimeStampingAuthority]:
    """An authority that answers."""
    authority = TimeStampingAuthority(folder)
    authority.start()
    try:
        yield authority
    finally:
        authority.stop()
