"""Fresh databases of a real server, and a service's callers."""

from __future__ import annotations

import pytest
from postgres_support import PostgresServer, shared_server


@pytest.fixture(scope="session")
def server() -> PostgresServer:
    return shared_server()
