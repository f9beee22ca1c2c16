"""Every limit of the client, with its unit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How a client batches, waits and gives up."""

    batch: int = 10_000  # originals, pseudonyms or record numbers in one request
    concurrency: int = 4  # requests under way at a time
    coalesce_wait: float = 0.003  # seconds that a single call waits for others to share its request
    coalesce_hold: float = 0.025  # the same while a request is under way
    connect_timeout: float = 4.0  # seconds to resolve a name, connect and shake hands
    read_timeout: float = 120.0  # seconds without a byte of the answer
    first_contact: float = 4.5  # seconds after which a service that never answered counts as unreachable
    first_retries: float = 1.5  # seconds after which a service that never answered is not tried once more
    retry_for: float = 60.0  # seconds to go on trying once the service has answered before
    silent_for: float = 3.0  # seconds of that after which whoever waits is told
    backoff: float = 0.25  # seconds; doubles from try to try, with full jitter
    backoff_max: float = 10.0  # seconds between two tries
    answer_bytes: int = 256 * 2**20  # bytes of one JSON answer
    line_bytes: int = 64 * 2**10  # bytes of one line of a stream
    chunk_bytes: int = 4 * 2**20  # bytes of one chunk of rows, at most
    upload_records: int = 50_000  # records of one upload; more go in several, so that a map stays small in memory
    checkpoint_every: float = 5.0  # seconds between two checkpoints of a job that can be resumed
    poll_first: float = 0.2  # seconds between two questions for the state of a run, at first
    poll_max: float = 5.0  # and at most


DEFAULT = Settings()
