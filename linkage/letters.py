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
    if text.isascii():
        return text.lower()
    # casefold turns ß into ss, and İ into i and a combining dot, which then goes with the other marks.
    text = unicodedata.normalize("NFC", text).casefold().translate(_UNDECOMPOSED)
    text = unicodedata.normalize("NFKD", text)
    return text if text.isascii() else "".join(c for c in text if not unicodedata.combining(c))


def fold(text: str) -> str:
    """`latin`, and ae, oe, ue written for ä, ö, ü become a, o, u: Müller, Mueller and Muller are one."""
    text = latin(text)
    return _DIGRAPH.sub(lambda m: m[0][0], text) if "e" in text else text
