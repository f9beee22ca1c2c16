"""German addresses: street and house number, together or apart, postcode, town."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from linkage.letters import fold

_TOKEN = re.compile(r"[^\W_]+")
# The street ends in a letter, or in a digit that a comma or blank parts from the number: Q7, 24.
_STREET_AND_NUMBER = re.compile(
    r"(?P<street>.*?(?:[^\d\s,](?P<gap>[\s,]*)|\d[\s,]+))(?P<no>\d+ ?[a-z]?(?: ?[-/+] ?\d+ ?[a-z]?){0,2})"
)
_NO_WORD_AT_END = re.compile(r"[\W_]+\Z")
_NUMBER = re.compile(r"0*(\d+) ?([a-z]?)(?![a-z])")
_POSTCODE = re.compile(r"(?:d|de)?[ -]?(\d{4,5})")
_TOWN_TAIL = re.compile(r"(?<=[^\s])[\s]*[/(,;].*")
_TOWN_BY_RIVER = re.compile(
    r"(?<=\w\w\w) (?:(?:am|an|auf|bei|im|in|ob|unter|vor|vorm) |(?:[abiouv]\.)|(?:[abiouv]) ).*"
)

_NO_ADDRESS = frozenset(
    fold(
        "ohnefestenwohnsitz ofw unbekannt unbekanntverzogen unknown keineangabe ohne ohneangabe wohnungslos obdachlos "
        "postlagernd ka nn x str adresse keine nichtbekannt ohnewohnsitz"
    ).split()
)
# A hospital that has no address of a patient often writes its own; a P.O. box is no dwelling.
_NO_DWELLING = frozenset(
    fold("klinikum klinik krankenhaus uniklinik uniklinikum universitätsklinikum postfach").split()
)
_NO_STREET = _NO_ADDRESS | _NO_DWELLING
_NO_POSTCODE = frozenset(("00000", "99999", "12345", "11111", "0000", "9999"))
_LONGEST = 200  # characters; more is no address, and keeps the patterns linear in practice


class Street(NamedTuple):
    """A street: as a whole, and split where it ends in a house number.

    Attributes:
        whole: the street with everything in it, "" = missing.
        street: without the number at its end.
        number: the house number at its end, or "".
        warning: "" or what was noticed.
    """

    whole: str
    street: str
    number: str
    warning: str = ""


def street(raw: str) -> Street:
    """Read a street that may end in a house number."""
    text = fold(raw)[:_LONGEST].strip()
    whole = _street_name(text)
    if not whole:
        return Street("", "", "", "")
    if whole in _NO_STREET or _TOKEN.findall(text)[0] in _NO_DWELLING:
        return Street("", "", "", "placeholder")
    text = _NO_WORD_AT_END.sub("", text)
    if text[-1].isdigit() or (len(text) > 1 and text[-2:-1].isdigit()) or text[-3:-2].isdigit():
        m = _STREET_AND_NUMBER.fullmatch(text)
        # "Q7" is a name, "Hauptstr.12" is not: without a gap there must be more than two letters before.
        if m and (m["gap"] or len(m["street"]) > 2):
            name = _street_name(m["street"])
            return Street(whole, "" if name in _NO_STREET else name, house_number(m["no"]))
    return Street(whole, whole, "")


def address(found: Street, number: str) -> tuple[str, str]:
    """Street and house number of a record, from its street and its house number field.

    The number at the end of the street counts where the field is empty or says the same.
    """
    if not found.number or number not in ("", found.number):
        value = found.whole
    else:
        value, number = found.street, found.number
    while value and not value[-3:].isalpha():
        again = street(value)  # the same number twice (Q7 24 24), or what only joining makes read as one
        if not again.number or number not in ("", again.number):
            break
        value, number = again.street, again.number
    return value, number


def _street_name(text: str) -> str:
    """Letters and digits only; Straße, Strasse and Str. are one, joined or apart."""
    joined = _street_words(text)
    while (again := _street_words(fold(joined))) != joined:
        joined = again
    return joined


def _street_words(text: str) -> str:
    words = _TOKEN.findall(text)
    for i, word in enumerate(words):
        if word.endswith("strasse"):
            words[i] = word[:-4]
        elif word == "sankt":
            words[i] = "st"
    if len(words) > 1 and words[-1] == "pl":
        words[-1] = "platz"
    return "".join(words)


def house_number(raw: str) -> str:
    """A house number: "12", "12a" or "12-14a"; "" without a digit."""
    text = raw if raw.isdigit() and raw.isascii() and raw[0] != "0" else ""
    if text:
        return text
    return "-".join(digits + letter for digits, letter in _NUMBER.findall(fold(raw)[:_LONGEST])[:2])


def leading_number(number: str) -> str:
    """The component `no`: the digits before any letter or dash, because the suffix is what differs most."""
    return number if number.isdigit() else re.split(r"\D", number, maxsplit=1)[0]


def postcode(raw: str) -> tuple[str, str]:
    """A postcode and a warning: five digits, a lost leading zero restored; foreign ones as letters and digits."""
    return _settled(_postcode, raw)


def town(raw: str) -> tuple[str, str]:
    """A town and a warning: without what follows a slash, a bracket, or tells the river (am Main, a. d. Oder)."""
    return _settled(_town, raw)


def _settled(rule: Callable[[str], tuple[str, str]], raw: str) -> tuple[str, str]:
    """The rule, and again on its own value until that stays: joined words may read like another word."""
    value, warning = rule(raw)
    while value:
        again, noticed = rule(value)
        if again == value:
            break
        value, warning = again, warning or noticed
    return value, warning


def _postcode(raw: str) -> tuple[str, str]:
    text = raw.strip()
    if not (len(text) == 5 and text.isdigit() and text.isascii()):
        text = "".join(_TOKEN.findall(fold(text)[:_LONGEST]))
        if m := _POSTCODE.fullmatch(text):
            text = m[1]
    if not text:
        return "", ""
    if text in _NO_POSTCODE:
        return "", "placeholder"
    if len(text) == 4 and text.isdigit():
        return "0" + text, "padded"
    return text[:10], ""


def _town(raw: str) -> tuple[str, str]:
    text = fold(raw)[:_LONGEST].strip()
    if not text.isalpha():
        text = _TOWN_BY_RIVER.sub("", _TOWN_TAIL.sub("", text))
        text = "".join("st" if w == "sankt" else w for w in _TOKEN.findall(text))
    if text in _NO_ADDRESS:
        return "", "placeholder"
    return text, ""
