"""A centre that lies: it stands before the live service and changes answers, as whoever runs the service could."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from trustcenter.client.connection import Connection

Lie = Callable[[Any], Any]


class LyingCentre:
    """Forwards every request to the service; `lies` says by the end of the path what becomes of an answer."""

    def __init__(self, operator: Connection) -> None:
        parts = urlsplit(operator.url)
        tls = ssl.create_default_context(cadata=operator.ca)
        self.lies: dict[str, Lie] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                conn = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=tls, timeout=60)
                try:
                    kept = {k: self.headers[k] for k in ("Authorization", "Content-Type") if k in self.headers}
                    conn.request(self.command, self.path, body or None, kept)
                    answer = conn.getresponse()
                    data = answer.read()
                    lie = outer.lies.get(self.path.rsplit("/", 1)[-1])
                    if lie is not None and self.command == "GET" and answer.status == 200:
                        data = json.dumps(lie(json.loads(data))).encode()
                    self.send_response(answer.status)
                    for name, value in answer.getheaders():
                        if name.lower() in ("content-type", "x-request-id"):
                            self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                finally:
                    conn.close()

            do_GET = do_PUT = do_POST = _forward  # noqa: N815 - names of the standard library

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Nothing: paths of a test are nobody's business."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> LyingCentre:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def connection(self, site: str, token: str) -> Connection:
        """A caller that believes this to be the service."""
        return Connection(url=f"http://127.0.0.1:{self._server.server_port}", ca="", site=site, token=token)
