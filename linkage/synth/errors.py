"""Ways to write a value wrongly. Every function takes a value and three numbers in [0, 1), and returns a value."""

from __future__ import annotations

_NEIGHBOURS = {
    "q": "wa", "w": "qes", "e": "wrd", "r": "etf", "t": "rzg", "z": "tuh", "u": "ziü", "i": "uok", "o": "ipl",
    "p": "oüö", "ü": "pä", "a": "qsy", "s": "adwx", "d": "sfec", "f": "dgrv", "g": "fhtb", "h": "gjzn", "j": "hkum",
    "k": "jli", "l": "köo", "ö": "läp", "ä": "öü", "y": "xa", "x": "ycs", "c": "xvd", "v": "cbf", "b": "vng",
    "n": "bmh", "m": "nk", "ß": "p0",
    "0": "9", "1": "2", "2": "13", "3": "24", "4": "35", "5": "46", "6": "57", "7": "68", "8": "79", "9": "80",
}  # fmt: skip
_LETTERS = "enisratdhulcgmobwfkzpvjyxq"
_PHONETIC = (
    ("ph", "f"), ("f", "v"), ("th", "t"), ("dt", "t"), ("tz", "z"), ("ck", "k"), ("ei", "ai"), ("ai", "ei"),
    ("ey", "ei"), ("ay", "ai"), ("ie", "i"), ("ss", "s"), ("ß", "ss"), ("mm", "m"), ("nn", "n"), ("ll", "l"),
    ("ff", "f"), ("tt", "t"), ("rr", "r"), ("v", "f"), ("c", "k"), ("k", "c"), ("y", "i"), ("ä", "e"), ("eu", "oi"),
    ("äu", "eu"), ("chs", "x"), ("h", ""), ("d", "t"), ("t", "d"), ("b", "p"), ("g", "k"), ("s", "z"), ("z", "s"),
)  # fmt: skip
_OCR = (
    ("rn", "m"), ("m", "rn"), ("cl", "d"), ("d", "cl"), ("li", "h"), ("h", "b"), ("e", "c"), ("c", "e"), ("i", "l"),
    ("l", "i"), ("u", "ii"), ("ü", "u"), ("ö", "o"), ("ä", "a"), ("nn", "m"), ("vv", "w"), ("f", "t"), ("ß", "B"),
    ("0", "8"), ("1", "7"), ("5", "6"), ("3", "8"),
)  # fmt: skip
_SPELLED_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})


def _at(u: float, n: int) -> int:
    return int(u * n)


def typing(value: str, u: float, v: float, w: float) -> str:
    """A slip on a German keyboard: a neighbouring key, two letters in the wrong order, one left out or one too many."""
    if len(value) < 2:
        return value
    i = _at(v, len(value))
    if u < 0.4:
        near = _NEIGHBOURS.get(value[i].lower())
        if near is None:
            return value
        other = near[_at(w, len(near))]
        return value[:i] + (other.upper() if value[i].isupper() else other) + value[i + 1 :]
    if u < 0.65:
        i = min(i, len(value) - 2)
        a, b = value[i], value[i + 1]
        if i == 0 and a.isupper():
            a, b = a.lower(), b.upper()
        return value[:i] + b + a + value[i + 2 :]
    if u < 0.85:
        return value[:i] + value[i + 1 :]
    letter = _LETTERS[_at(w * w, len(_LETTERS))]
    return value[: i + 1] + letter + value[i + 1 :]


def _replaced(value: str, rules: tuple[tuple[str, str], ...], u: float) -> str:
    lower = value.lower()
    usable = [(old, new) for old, new in rules if old in lower[1:]]
    if not usable or len(lower) != len(value):
        return value
    old, new = usable[_at(u, len(usable))]
    i = lower.index(old, 1)
    return value[:i] + new + value[i + len(old) :]


def phonetic(value: str, u: float, v: float, w: float) -> str:
    """As heard: Schmidt → Schmitt's like, Meyer → Meier."""
    return _replaced(value, _PHONETIC, u)


def ocr(value: str, u: float, v: float, w: float) -> str:
    """As read by a machine: rn → m."""
    return _replaced(value, _OCR, u)


def umlaut(value: str, u: float, v: float, w: float) -> str:
    """ä → ae mostly, else a; ß → ss."""
    spelled = value.translate(_SPELLED_OUT)
    if u < 0.12:
        for letter in "äöüÄÖÜ":
            value = value.replace(letter, {"ä": "a", "ö": "o", "ü": "u", "Ä": "A", "Ö": "O", "Ü": "U"}[letter])
        return value.replace("ß", "ss")
    return spelled


def double_name(value: str, u: float, v: float, w: float) -> str:
    """A double name in the other order, with a blank, or only one part of it."""
    a, _, b = value.partition("-")
    if not b or len(a) < 3:  # no double name; Al-Hassan is none either
        return value
    if u < 0.3:
        return f"{b}-{a}"
    if u < 0.55:
        return f"{a} {b}"
    return a if v < 0.5 else b


def joined_given_name(value: str, u: float, v: float, w: float) -> str:
    """Karl-Heinz as Karl Heinz, Karlheinz or Karl."""
    a, _, b = value.partition("-")
    if not b:
        return value
    if u < 0.4:
        return f"{a} {b}"
    return a + b.lower() if u < 0.75 else a


def one_digit(value: str, u: float, v: float, w: float) -> str:
    """Another digit at one place, or two digits in the wrong order."""
    if len(value) < 2 or not value.isdigit():
        return value
    i = _at(v, len(value))
    if u < 0.35 and i + 1 < len(value):
        return value[:i] + value[i + 1] + value[i] + value[i + 2 :]
    return value[:i] + str((int(value[i]) + 1 + _at(w, 9)) % 10) + value[i + 1 :]


def house_number(value: str, u: float, v: float, w: float) -> str:
    """The letter lost or added, or another number nearby."""
    digits = value.rstrip("abcdefgh")
    if digits != value and u < 0.7:
        return digits
    if u < 0.4:
        return digits + "abc"[_at(v, 3)]
    if not digits.isdigit():
        return value
    return str(max(1, int(digits) + (2 if v < 0.5 else -2) * (1 + _at(w, 4))))


def short_street(value: str, u: float, v: float, w: float) -> str:
    """Straße as Str., str. or Strasse."""
    if u < 0.8:
        return value.replace("straße", "str.").replace("Straße", "Str.")
    return value.replace("straße", "strasse").replace("Straße", "Strasse")
