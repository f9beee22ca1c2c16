"""Figures of the process and of what it runs, under the names that every dashboard of Prometheus knows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509

import trustcenter
from trustcenter.config import Config

_PROC: Final = Path("/proc/self")
_STARTED: Final = time.time()


def figures(config: Config) -> Iterator[tuple[str, str, str, dict[str, str], float]]:
    """Name, kind, meaning, labels and value of each; what this system does not tell is left out."""
    yield "trustcenter_info", "gauge", "Version that is running.", {"version": trustcenter.__version__}, 1
    if (end := _certificate_end(config)) is not None:
        text = "When the certificate in the configured file ends, in seconds since 1970."
        yield "trustcenter_certificate_end_timestamp_seconds", "gauge", text, {}, end
    yield "process_start_time_seconds", "gauge", "Start of the process, in seconds since 1970.", {}, round(_STARTED)
    yield "process_cpu_seconds_total", "counter", "Processor time used.", {}, round(time.process_time(), 3)
    try:
        pages = int((_PROC / "statm").read_text().split()[1])
        files = sum(1 for _ in (_PROC / "fd").iterdir())
    except (OSError, ValueError, IndexError):
        return  # not Linux
    resident = pages * os.sysconf("SC_PAGE_SIZE")
    yield "process_resident_memory_bytes", "gauge", "Memory in use, without worker processes.", {}, resident
    yield "process_open_fds", "gauge", "Open files and connections.", {}, files


def _certificate_end(config: Config) -> int | None:
    if config.server.certificate is None:
        return None
    try:
        own = x509.load_pem_x509_certificate(config.path(config.server.certificate).read_bytes())
    except (OSError, ValueError):
        return None  # half renewed; doctor says more
    return int(own.not_valid_after_utc.timestamp())
