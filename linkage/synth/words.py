"""Word lists: the Leipzig frequencies with their umlauts restored, and what is invented beside them.

What is measured, restored and invented is told in linkage/data/leipzig/README.md.
"""

from __future__ import annotations

import csv
import json
import re
from functools import cache
from importlib import resources
from typing import Any

_WORD = re.compile(r"[^\W\d_]+")
# Not after a, e, o, q: Bauer, Neuer, Quentin. "ae" and "oe" before e are Dutch or Low German and stay.
_UMLAUT = re.compile(r"(?<![aeoq])ue|ae(?!e)|oe")
_UMLAUT_OF = {"ae": "ä", "oe": "ö", "ue": "ü"}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SMALL = frozenset(("am", "an", "der", "in", "im", "bei", "von", "auf", "ob"))

_WOMEN = _words(
    """
    elisabeth karin ingrid hildegard birgit irmgard kerstin doris ruth margit margot astrid iris edith sigrid
    waltraud gudrun bärbel dagmar helen ines kathrin katrin christel carmen ellen judith kirsten kirstin mandy marlies
    annelies agnes hedwig gertrud gertraud edeltraud hiltrud mechthild mechtild ingeborg heidrun irmtraud margret
    margrit annegret annett anett elsbeth isabell isabel rosel ursel christin kristin karen maren evelyn evelin
    carolin susan susann jasmin miriam mirjam sarah hannah harriet esther edeltraut waltraut marlis grit birgitt dorit
    liesel solveig reinhild brunhild almuth almut gerlind gunhild sigrun ortrud wiltrud luitgard adelheid irmengard
    edeltrud edelgard hildekard berit beatrix nelly nancy peggy jenny conny henny wally betty lilly inken kathleen
    lisbeth liesbeth doreen ingeburg siegrid felicitas marlen jennifer kreszenz elizabeth traudel heidi gabi gaby
    steffi rosi hanni hedi evi emmi elli elfi uschi leni loni lilli lilo gerti resi toni hatice anni marion henni
    gretel christl iwona dietlind elly emmy romy kati walli anny nelli antonie eleni
    """
)
_MEN = _words(
    """
    mustafa luca sascha uwe helge ole arne sönke hauke malte rene andre mike eike giuseppe guiseppe salvatore jose
    rudi willi ali valeri vitali harri uli giovanni luigi henri danny harry willy henry mohamed nikolai nikola ivo
    timo george carmine dante eugene fred
    """
)


@cache
def words() -> dict[str, Any]:
    """The invented lists; a list is written as one text with | between the words."""
    data = (resources.files("linkage") / "data" / "synth" / "words.json").read_text(encoding="utf-8")

    def unpack(node: Any) -> Any:
        if isinstance(node, str):
            return node.split("|") if "|" in node else node
        return {k: unpack(v) for k, v in node.items()} if isinstance(node, dict) else node

    unpacked = unpack(json.loads(data))
    assert isinstance(unpacked, dict)
    unpacked["restore"]["drop"] = json.loads(data)["restore"]["drop"]
    return unpacked


@cache
def frequencies(kind: str) -> tuple[list[str], list[float]]:
    """A Leipzig list as written there, and the absolute frequencies.

    Args:
        kind: "FIRSTNAME", "LASTNAME", "CITY" or "PLZ".
    """
    data = (resources.files("linkage") / "data" / "leipzig" / f"freq_{kind}.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(data.splitlines()))[1:]
    drop = re.compile(words()["restore"]["drop"])
    kept = [(r[0], float(r[1])) for r in rows if not drop.search(r[0])]
    return [w for w, _ in kept], [f for _, f in kept]


@cache
def restored(kind: str) -> tuple[list[str], list[float]]:
    """A Leipzig list with umlauts, ß and capitals, and the absolute frequencies."""
    names, counts = frequencies(kind)
    return [restore(n) for n in names], counts


def restore(word: str) -> str:
    """Umlauts and capitals: mueller → Müller, gross-gerau → Groß-Gerau.

    What never had an umlaut stays: Bauer, Michael, Soest.
    """
    rules = words()["restore"]
    whole = rules["parts"].get(word)
    if whole:
        return str(whole)
    if word in rules["keep"]:
        return _capitals(word)
    return _capitals(_WORD.sub(lambda m: _restore_part(m[0], rules), word))


def _restore_part(part: str, rules: dict[str, Any]) -> str:
    if part in rules["parts"]:
        return str(rules["parts"][part])
    if part in rules["keep"]:
        return part
    if part in rules["eszett"]:
        part = part.replace("ss", "ß")
    return _UMLAUT.sub(lambda m: _UMLAUT_OF[m[0]], part)


def _capitals(text: str) -> str:
    return _WORD.sub(lambda m: m[0] if m[0] in _SMALL else m[0][0].upper() + m[0][1:], text)


def is_woman(given: str) -> bool:
    """Whether a given name of the Leipzig list, restored, is a woman's: by list, else by its last letter."""
    first, _, second = given.lower().partition("-")
    if second in ("peter", "josef", "heinz", "dieter", "maria") and first not in ("anna", "eva"):
        return False
    name = first
    if name in _WOMEN:
        return True
    return name not in _MEN and name.endswith(("a", "e"))
