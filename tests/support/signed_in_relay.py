"""Stands between a program that knows no sign-in and an installation: every request goes on with
the cookie of a session, which is begun anew when it is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

_OF_THE_CONNECTION = {"connection", "transfer-encoding", "host", "cookie", "content-length"}


class Session:
    """Somebody who is signed in, again and again."""

    def __init__(self, url: str, name: str, password: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60)
        self._form = {"name": name, "password": password}
        self._turn = threading.Lock()
        self.began = 0

    def send(self, method: str, target: str, fields: dict[str, str], body: bytes) -> httpx.Response:
        """The answer to a request."""
        with self._turn:
            answer = self._client.request(method, target, headers=fields, content=body)
            led = answer.headers.get("location", "").startswith("/sign-in")
            if led or answer.status_code == 401:
                self._client.cookies.clear()
                assert self._client.post("/sign-in", data=self._form).status_code == 303
                self.began += 1
                answer = self._client.request(method, target, headers=fields, content=body)
            return answer


@contextmanager
def relay(session: Session) -> Iterator[str]:
    """The address at which a session's requests are taken."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                self._relay()
            except ConnectionError:  # a scanner leaves when it likes
                self.close_connection = True

        def _relay(self) -> None:
            self.raw_requestline = self.rfile.readline(65_537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            kept = {k: v for k, v in self.headers.items() if k.lower() not in _OF_THE_CONNECTION}
            answer = session.send(self.command, self.path, kept, body)
            self.send_response_only(answer.status_code)
            for name, value in answer.headers.multi_items():
                if name not in _OF_THE_CONNECTION | {"content-encoding", "set-cookie"}:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
