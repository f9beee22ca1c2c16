"""How a CSV file is written: charset, byte order mark, separator, line ends; and fields as bytes in that manner.

Charsets: UTF-8 and UTF-16 are found by their byte order mark, without one it is UTF-8; Latin-1 and Windows-1252
have to be said.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from trustcenter.client.errors import LocalFileError

ENCODINGS: Final = ("auto", "utf-8", "utf-16", "latin-1", "cp1252")
_MARKS: Final = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Attributes:
        encoding: a codec of Python without a byte order mark of its own.
        mark: the byte order mark, or nothing.
        delimiter: one ASCII character.
        line_end: LF or CRLF, as after the header.
    """

    encoding: str
    mark: bytes
    delimiter: str
    line_end: str

    @cached_property
    def wide(self) -> bool:
        """Whether characters are not single bytes: such files are read and written by way of UTF-8."""
        return self.encoding.startswith("utf-16")

    @cached_property
    def inner(self) -> str:
        """The charset of fields as they are handed out."""
        return "utf-8" if self.wide else self.encoding

    def outer(self, data: bytes) -> bytes:
        """What stands in the file for bytes that were handed out."""
        return data.decode("utf-8").encode(self.encoding) if self.wide else data

    def text(self, raw: bytes) -> str | None:
        """The text of a field as it stands in a record; None if it is not of the charset."""
        if raw[:1] == b'"':
            raw = raw[1:-1].replace(b'""', b'"')
        try:
            return raw.decode(self.inner)
        except UnicodeDecodeError:
            return None

    def texts(self, raws: Sequence[bytes]) -> list[str | None]:
        """As `text`, for many at once."""
        joined = b"\n".join(raws)
        if b'"' not in joined:  # and so without line ends inside
            with suppress(UnicodeDecodeError):
                return list(joined.decode(self.inner).split("\n")) if raws else []
        return [self.text(raw) for raw in raws]

    def fields(self, texts: Sequence[str], like: Sequence[bytes]) -> list[bytes]:
        """As `field`, for many at once, quoted where the fields are that they replace."""
        joined = "\n".join(texts)
        special = any(c in joined for c in (self.delimiter, '"', "\r")) or joined.count("\n") >= len(texts)
        if not special and b'"' not in b"".join(like):
            with suppress(UnicodeEncodeError):
                return joined.encode(self.inner).split(b"\n")
        return [self.field(text, quoted=raw[:1] == b'"') for text, raw in zip(texts, like, strict=True)]

    def field(self, text: str, *, quoted: bool = False) -> bytes:
        """A text as a field of a record, in quotes where it needs them or is asked to have them.

        Raises:
            LocalFileError: the charset has no such character.
        """
        if quoted or any(c in text for c in (self.delimiter, '"', "\n", "\r")):
            text = '"' + text.replace('"', '""') + '"'
        try:
            return text.encode(self.inner)
        except UnicodeEncodeError:
            raise LocalFileError(
                "the output cannot be written in the charset of the input", code="bad_encoding"
            ) from None


def charset(start: bytes, encoding: str) -> tuple[str, bytes]:
    """Codec and byte order mark of a file that begins with `start`.

    Raises:
        LocalFileError: the charset is not known, or the file is not in it.
    """
    if encoding not in ENCODINGS:
        raise LocalFileError("this charset is not known", code="bad_encoding", hint="one of: " + ", ".join(ENCODINGS))
    marks = [mark for mark in _MARKS if start.startswith(mark)]
    found = _MARKS[marks[0]] if marks else None
    if found is not None and encoding != "auto" and not found.startswith(encoding):
        raise LocalFileError(
            f"the input begins with the byte order mark of {found[:6].upper().rstrip('-')}",
            code="bad_encoding",
            hint="leave --encoding out",
        )
    if found is not None:
        return found, marks[0]
    if encoding == "utf-16":
        # Without a mark: ASCII characters, which a header has, show where the zero bytes are.
        return ("utf-16-be" if start[:1] == b"\0" else "utf-16-le"), b""
    if b"\0" in start[:64]:
        raise LocalFileError(
            "the input is not text in UTF-8", code="not_utf8", hint="is it UTF-16? then say --encoding utf-16"
        )
    return ("utf-8" if encoding == "auto" else encoding), b""
