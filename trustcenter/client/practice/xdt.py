"""xDT files (BDT, GDT) as bytes: lines, records and the declared charset. Specification: docs/spec/practice-files.md.

The length of a line counts bytes, so nothing is decoded before lines are found. No message holds content.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from trustcenter.client.errors import LocalFileError

CHARSETS: Final = ("ascii", "din66003", "cp437", "cp850", "latin-1", "iso8859-15", "cp1252", "utf-8")
_DECLARED: Final = {
    "9206": {"1": "ascii", "2": "cp437", "3": "latin-1"},
    "9106": {"1": "ascii", "2": "cp437", "3": "latin-1", "4": "iso8859-15"},
}
_DIN_66003: Final = str.maketrans("@[\\]{|}~", "§ÄÖÜäöüß")
_NATIONAL: Final = re.compile(r"[@\[\\\]{|}~]")
_NO_TEXT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LINE: Final = re.compile(rb"([0-9]{3})([0-9]{4})(.*)", re.DOTALL)
_AROUND: Final = 9  # three digits of length, four of field, CR LF


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        number: in the file, from 1.
        field: four digits.
        content: bytes in the charset of the file.
        fits: whether the declared length is the true one.
    """

    number: int
    field: str
    content: bytes
    fits: bool

    def __repr__(self) -> str:
        return f"Line({self.number}, {self.field}, {len(self.content)} bytes)"


@dataclass
class Record:
    """Lines from one field 8000 to the next.

    Attributes:
        kind: content of field 8000, four digits.
        number: of its first line.
        lines: all but that.
    """

    kind: str
    number: int
    lines: list[Line] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Record({self.kind}, line {self.number}, {len(self.lines)} lines)"


def is_xdt(start: bytes) -> bool:
    """Whether a file that begins so is xDT: with a line of field 8000, whatever its length says."""
    return re.match(rb"[0-9]{3}8000", start.removeprefix(b"\xef\xbb\xbf")) is not None


def read_lines(data: bytes) -> Iterator[Line]:
    """The lines of a file; an end-of-file character of DOS and empty lines at the end are left out.

    Raises:
        LocalFileError: a line is none of xDT.
    """
    bare = b"\r\n" not in data
    pieces = data.rstrip(b"\x1a\r\n\0").split(b"\n")
    for number, piece in enumerate(pieces, start=1):
        found = _LINE.fullmatch(piece.removesuffix(b"\r"))
        if found is None:
            raise LocalFileError(
                "the line does not begin with a length and a field number",
                code="xdt_line",
                hint="is it an unchanged xDT export? it must not be opened and saved in an editor",
                where=f"line {number}",
            )
        declared, true = int(found[1]), len(found[3]) + _AROUND
        # A copy with bare line feeds may count its line ends as one byte, or still as the two of the original.
        fits = declared == true or (bare and declared == true - 1)
        yield Line(number, found[2].decode(), found[3], fits)


def read_records(data: bytes) -> list[Record]:
    """The records of a file.

    Raises:
        LocalFileError: a line is none of xDT, or the file does not begin with field 8000.
    """
    records: list[Record] = []
    for line in read_lines(data):
        if line.field == "8000":
            require_fit(line)
            records.append(Record(line.content.decode("ascii", "replace").strip(), line.number))
        elif records:
            records[-1].lines.append(line)
        else:
            raise LocalFileError("the file does not begin with field 8000", code="xdt_line", where="line 1")
    return records


def require_fit(line: Line) -> None:
    """Refuse a line whose length is not the declared one: it was cut, or the file was converted.

    Raises:
        LocalFileError: so it is.
    """
    if not line.fits:
        raise LocalFileError(
            "the length of the line is not the declared one",
            code="xdt_length",
            hint="the file was cut or converted to another charset; export it again and leave it as it is",
            where=f"line {line.number}",
        )


def charset(records: list[Record], chosen: str | None, warnings: Counter[str]) -> str:
    """The charset of a file: what the person says, else what the file declares; never a guess.

    Raises:
        LocalFileError: neither, an unknown code, or two declarations that differ.
    """
    if chosen is not None and chosen not in CHARSETS:
        raise LocalFileError("this charset is not known", code="bad_encoding", hint="one of: " + ", ".join(CHARSETS))
    found: dict[str, Line] = {}
    for line in (line for record in records for line in record.lines if line.field in _DECLARED):
        require_fit(line)
        name = _DECLARED[line.field].get(line.content.decode("ascii", "replace").strip())
        if name is None and chosen is None:
            raise LocalFileError(
                "the declared charset is not a known one",
                code="xdt_charset",
                hint="ask the maker of the practice software, then say --charset",
                where=f"line {line.number}",
            )
        if name is not None:
            found.setdefault(name, line)
    if chosen is not None:
        warnings["file:charset_overridden"] += bool(set(found) - {chosen})
        return chosen
    if not found:
        raise LocalFileError(
            "the file does not declare its charset (field 9206 or 9106)",
            code="xdt_charset",
            hint="a guess would silently cost matches: find out, then say --charset cp437, latin-1 or another",
        )
    if len(found) > 1:
        raise LocalFileError(
            "the file declares two charsets",
            code="xdt_charset",
            hint="say --charset",
            where=f"line {list(found.values())[1].number}",
        )
    return next(iter(found))


def text(line: Line, name: str, *, chosen: bool) -> str:
    """Content of a line as text.

    Args:
        line: whose length was checked.
        name: one of `CHARSETS`.
        chosen: whether a person said so: then 7-bit characters that may be umlauts are taken as they stand.

    Raises:
        LocalFileError: it is not text of that charset, or may be of another.
    """
    try:
        found = line.content.decode("ascii" if name == "din66003" else name)
    except UnicodeDecodeError:
        found = "\0"
    if _NO_TEXT.search(found):
        raise LocalFileError(
            "the line is not text in the declared charset",
            code="xdt_charset",
            hint="the file declares a wrong charset; find out the right one, then say --charset",
            where=f"line {line.number}",
        )
    if name == "din66003":
        return found.translate(_DIN_66003)
    if name == "ascii" and not chosen and _NATIONAL.search(found):
        raise LocalFileError(
            "the line has a character that stands for an umlaut in the German 7-bit code",
            code="xdt_charset",
            hint="say --charset din66003 if so, else --charset ascii",
            where=f"line {line.number}",
        )
    return found
