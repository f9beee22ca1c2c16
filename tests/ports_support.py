"""Ports for the services of tests: each is one process's own, so that nothing else can take it between two starts."""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Below the ports that the kernel gives away by itself (32768 and up): no client of ours is ever given one of them.
_FIRST, _LAST, _EACH = 20_000, 32_400, 400


def own_port() -> int:
    """A port that no other process of tests uses while this one runs."""
    return next(_ports())


@functools.cache
def _ports() -> Iterator[int]:
    first = _block()
    return (port for port in itertools.cycle(range(first, first + _EACH)) if _is_free(port))


def _block() -> int:
    """The first port of a block whose lock this process holds until it ends."""
    folder = Path(tempfile.gettempdir()) / f"trustcenter-test-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for first in range(_FIRST, _LAST, _EACH):
        descriptor = os.open(folder / str(first), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return first
    raise RuntimeError("more processes of tests than there are ports for")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
