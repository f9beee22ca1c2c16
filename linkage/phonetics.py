"""Phonetic codes behind the components G and S.

Cologne phonetics: Hans Joachim Postel, "Die Kölner Phonetik", IBM-Nachrichten 19 (1969), 925-931. Soundex comes
from jellyfish.
"""

from __future__ import annotations

import jellyfish

from linkage.letters import latin

_CODE = {
    **dict.fromkeys("aeijouy", "0"),
    **dict.fromkeys("fvw", "3"),
    **dict.fromkeys("gkq", "4"),
    **dict.fromkeys("mn", "6"),
    **dict.fromkeys("sz", "8"),
    "b": "1",
    "l": "5",
    "r": "7",
}


def cologne(text: str) -> str:
    """Cologne phonetics of a text: digits, "" when it holds no letter that has a code.

    Any Latin letters are taken: they are transliterated first, so that Müller, Mueller and Muller are one.
    Everything else (hyphens, blanks, digits) is passed over, as if the text were one word.
    """
    return cologne_letters("".join(c for c in latin(text) if "a" <= c <= "z"))


def cologne_letters(word: str) -> str:
    """Cologne phonetics of a word that holds a-z only."""
    out = ""
    last = ""  # the code before, to collapse runs; h is silent and does not interrupt one
    end = len(word) - 1
    for i, c in enumerate(word):
        code = _CODE.get(c, "")
        if not code:
            if c == "h":
                continue
            code = _contextual(c, word[i - 1] if i else "", word[i + 1] if i < end else "")
        if code == last:
            continue
        if code == "48":
            out += "8" if last == "4" else code
            last = "8"
            continue
        last = code
        # A vowel counts at the start only, but it always separates two equal codes.
        if code != "0" or not out:
            out += code
    return out


def _contextual(c: str, before: str, after: str) -> str:
    """Code of the letters that depend on their neighbours: c, d, p, t, x."""
    if c == "p":
        return "3" if after == "h" else "1"
    if c in "dt":
        return "8" if after and after in "csz" else "2"
    if c == "x":
        return "8" if before and before in "ckq" else "48"
    if not before:
        return "4" if after and after in "ahkloqrux" else "8"
    if before in "sz":
        return "8"
    return "4" if after and after in "ahkoqux" else "8"


def soundex(word: str) -> str:
    """American Soundex of a word that holds letters; "" of ""."""
    return jellyfish.soundex(word) if word else ""
