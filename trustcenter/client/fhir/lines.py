"""Resources read line by line, and batches of them. Line numbers count from 1; empty lines are left out."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import IO, Final

import msgspec

from trustcenter.client.errors import LocalFileError
from trustcenter.client.jobs.outcome import FailedRow

from .model import FhirRefusedError, FhirRules, Transformed

LINE_BYTES: Final = 16 * 2**20
BATCH_BYTES: Final = 4 * 2**20  # bytes of the lines held per batch
# Decimals keep their digits: 1.10 is not 1.1 in FHIR.
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
ENCODER: Final = msgspec.json.Encoder(decimal_format="number")

Transform = Callable[[object, FhirRules], Transformed]


class Lines:
    """Lines with their numbers; feeds a digest with what is read."""

    def __init__(self, stream: IO[bytes], digest: hmac.HMAC) -> None:
        self.digest = digest
        self.read = self.row = 0
        self._stream = stream

    def skip(self, position: int, row: int) -> None:
        """Go to where a line begins, by reading up to there."""
        while self.read < position and (block := self._stream.read(min(2**20, position - self.read))):
            self._count(block)
        self.row = row

    def __iter__(self) -> Iterator[bytes]:
        while line := self._stream.readline(LINE_BYTES):
            self.row += 1
            self._count(line)
            if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                raise LocalFileError("the line is longer than 16 MB", code="bad_row", where=f"line {self.row}")
            if line.strip():
                yield line

    def _count(self, data: bytes) -> None:
        self.read += len(data)
        self.digest.update(data)


@dataclass
class Batch:
    """Consecutive lines, what became of them, and what is to be asked, by domain."""

    lines: list[tuple[int, bytes, Transformed | FhirRefusedError]] = field(default_factory=list)
    wanted: dict[str, dict[str, str | FailedRow]] = field(default_factory=dict)  # domain → original → answer
    bytes: int = 0
    read: int = 0
    row: int = 0
    digest: str = ""

    def close(self, lines: Lines) -> Batch:
        """Note where the batch ends."""
        self.read, self.row, self.digest = lines.read, lines.row, lines.digest.hexdigest()
        return self


def batches(lines: Lines, chosen: FhirRules, transform: Transform, size: int) -> Iterator[Batch]:
    """Lines transformed, with about `size` values to ask for in a batch."""
    batch = Batch()
    for line in lines:
        made = transformed(line, chosen, transform)
        batch.lines.append((lines.row, line, made))
        batch.bytes += len(line)
        if isinstance(made, Transformed):
            for place in made.places:
                batch.wanted.setdefault(place.domain, {}).setdefault(place.original, "")
        if batch.bytes >= BATCH_BYTES or max(map(len, batch.wanted.values()), default=0) >= size:
            yield batch.close(lines)
            batch = Batch()
    if batch.lines:
        yield batch.close(lines)


def transformed(line: bytes, chosen: FhirRules, transform: Transform) -> Transformed | FhirRefusedError:
    """One line transformed, or why it is refused."""
    try:
        return transform(_DECODER.decode(line), chosen)
    except FhirRefusedError as error:
        return error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return FhirRefusedError("the line is not JSON", code="fhir_not_json")
