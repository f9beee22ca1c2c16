"""Raw requests over TLS, with no client library in between."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

from access_support import Reply

from trustcenter.client.connection import Connection


class Raw:
    """One caller, with no client library in between."""

    def __init__(self, connection: Connection, token: str | None = "own") -> None:
        parts = urlsplit(connection.url)
        context = ssl.create_default_context(cadata=connection.ca)
        self._make = lambda: http.client.HTTPSConnection(parts.hostname, parts.port, context=context, timeout=60)
        self._token = connection.token if token == "own" else token

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Reply:
        sent = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        conn = self._make()
        try:
            conn.request(method, path, data, sent)
            response = conn.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            conn.close()
