"""The client: what a site's pipeline, the command line and the demo use to speak to a trust center.

* `Connection`: the file that says where the service is and who is asking.
* `TrustCenter`: asynchronous calls, one method per operation of the HTTP interface.
* `SyncTrustCenter`: the same calls for scripts without an event loop.
* `trustcenter.client.site`: whole jobs of a site (register, upload, result).
* `trustcenter.client.operator`: whole jobs of the centre's staff (link, rotate, release).
* `trustcenter.client.tables`: replace a column of a CSV file, streaming.

Names are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api import TrustCenter
    from .connection import Connection
    from .errors import BadAnswerError, RemoteError, UnreachableError
    from .sync import SyncTrustCenter

__all__ = [
    "BadAnswerError",
    "Connection",
    "RemoteError",
    "SyncTrustCenter",
    "TrustCenter",
    "UnreachableError",
]

_HOME = {
    "BadAnswerError": "errors",
    "Connection": "connection",
    "RemoteError": "errors",
    "SyncTrustCenter": "sync",
    "TrustCenter": "api",
    "UnreachableError": "errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
