"""How a report says things in its language: words, numbers, times, events, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from .audit_event_words import named
from .audit_words import WORDS

SMALL: Final = 5  # counts of people from 1 up to below this are not told
_SECONDS: Final = 19  # characters of a time up to its seconds


class Markup(str):
    """A cell that is HTML already."""

    __slots__ = ()


class Wording:
    """One language."""

    def __init__(self, language: str) -> None:
        """Take "de" or "en"."""
        self.language = language
        self._words = WORDS[language]
        self.thousands = "." if language == "de" else ","

    def __getitem__(self, word: str) -> str:
        return self._words[word]

    def get(self, word: str, other: str) -> str:
        """A word, or what to say where there is none."""
        return self._words.get(word, other)

    def number(self, count: int) -> str:
        """With its thousands parted."""
        return f"{count:,}".replace(",", self.thousands)

    def people(self, count: int) -> str:
        """A count of people or pairs, small ones withheld."""
        return f"<{SMALL}" if 0 < count < SMALL else self.number(count)

    def moment(self, time: str) -> str:
        """A time of an entry, to the second; the page says that all of them are UTC."""
        return time[:_SECONDS].replace("T", " ") if time else "–"

    def event(self, event: str) -> Markup:
        """What happened in words, with the event's own name for whoever compares with the log."""
        return Markup(f"{escape(named(event, self.language))} <small>{escape(event)}</small>")

    def room(self, room: str) -> str:
        """The name of a room."""
        return self.get(room, room)

    def table(self, head: str, rows: Iterable[Sequence[object]]) -> str:
        """A table; the heads of its columns are parted by |. Without a head, the first cell of a row is its name."""
        text = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
        if not text:
            return f"<p>{escape(self['none'])}</p>"
        top = "".join(f"<th>{escape(name)}</th>" for name in head.split("|"))
        kind = "<table><thead><tr>" + top + "</tr></thead>" if head else '<table class="facts">'
        return f"{kind}<tbody>{text}</tbody></table>"

    def warning(self, word: str) -> str:
        """A paragraph that must not be overlooked."""
        return f'<p class="warn">{escape(self[word])}</p>'


def _cell(cell: object) -> str:
    return f"<td>{cell if isinstance(cell, Markup) else escape(str(cell))}</td>"
