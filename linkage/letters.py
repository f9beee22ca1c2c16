"""From any Latin letters to a-z, in two strengths (docs/spec/normalisation.md, section 2)."""

from __future__ import annotations

import re
import unicodedata

# Letters that Unicode does not decompose into a base letter and a mark.
_UNDECOMPOSED = str.maketrans(
    {
        "ı": "i",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "ø": "o",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        "ħ": "h",
        "ŧ": "t",
        "ŋ": "n",
        "ĸ": "k",
        "ə": "e",
        "ɐ": "a",
        "’": "'",
        "‘": "'",
        "ʼ": "'",
        "`": "'",
        "´": "'",
        "–": "-",
        "—": "-",
        "‐": "-",
        "‑": "-",
    }
)
# An umlaut is never the last letter of a German name, and "ue" after a, e, o or q is no umlaut (Bauer, Neuer, Quast).
_DIGRAPH = re.compile(r"(?:[ao](?=e[a-z])|(?<![aeoq])u(?=e[a-z]))e")


def latin(text: str) -> str:
    """Lower case without diacritics: Łukasz → lukasz, İpek → ipek, Groß → gross, Müller → muller.

    NFC and NFD give the same. Letters of other scripts stay, in lower case.
    """
    while not text.isascii():
        # casefold turns ß into ss, and İ into i and a combining dot, which then goes with the other marks.
        before = text
        text = unicodedata.normalize("NFC", text).casefold().translate(_UNDECOMPOSED)
        text = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in text if not unicodedata.combining(c))
        if text == before:
            return text
        # Again: a compatibility letter (a letter in a circle, say) decomposes into one that has a case or a mark.
    return text.lower()


def fold(text: str) -> str:
    """`latin`, and ae, oe, ue written for ä, ö, ü become a, o, u: Müller, Mueller and Muller are one."""
    text = latin(text)
    if "e" in text:
        found = 1
        while found:  # once more, because what is left may read like an umlaut again
            text, found = _DIGRAPH.subn(_first, text)
    return text


def _first(found: re.Match[str]) -> str:
    return found[0][0]
