"""The format of a drawn pseudonym: docs/spec/pseudonym-drawn.md, section 2."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from keys.errors import KeysUsageError

from .checks import CHECKS, Check, check, refusal, symbols

MAX_TOTAL_LENGTH: Final = 64
MIN_ALPHABET: Final = 2

# In the order in which gPAS numbers them: the check characters depend on it.
ALPHABETS: Final[Mapping[str, str]] = {
    "hex": "0123456789ABCDEF",
    "numbers": "0123456789",
    "numbers-without-zero": "123456789",
    "numbers-x": "0123456789X",
    "symbol31": "ACDEFGHJKLMNPQRTUWXYZ0123456789",
    "symbol32": "ACDEFGHJKLMNPQRTUVWXYZ0123456789",
}
_GPAS_NAMES: Final = {
    "Hex": "hex",
    "Numbers": "numbers",
    "NumbersWithoutZero": "numbers-without-zero",
    "NumbersX": "numbers-x",
    "Symbol31": "symbol31",
    "Symbol32": "symbol32",
}
_NAMES_FOLDED: Final = {name.replace("-", "").lower() for name in ALPHABETS}
_FIELDS: Final = ("prefix", "alphabet", "length", "check")

# What neither clients, file systems, URLs, CSV files nor spreadsheets rewrite.
_PREFIX: Final = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*)?")
_LITERAL: Final = re.compile(r"[A-Za-z0-9]+")
_LOOK_ALIKE: Final = ("0Oo", "1Il")


class InvalidFormatError(KeysUsageError):
    """A format of drawn pseudonyms that cannot be; `where` names the field of the format."""

    code = "invalid_pseudonym_format"


@dataclass(frozen=True, slots=True)
class Format:
    """How the drawn pseudonyms of a domain look; every instance is a usable format.

    Attributes:
        prefix: characters before the drawn ones, the same for all; may be empty.
        alphabet: a name of `ALPHABETS` (gPAS's spelling is taken and replaced), or the characters themselves.
        length: number of drawn characters, prefix and check characters not counted.
        check: "none", "damm", "verhoeff", "hamming" or "reed-solomon".
        characters: the characters of the alphabet in order; the value of one is its position.

    Raises:
        InvalidFormatError: a field cannot be, or they do not fit together.
    """

    prefix: str
    alphabet: str
    length: int
    check: str
    characters: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.prefix, str) or not _PREFIX.fullmatch(self.prefix):
            raise InvalidFormatError(
                "the prefix has letters, digits, dot, hyphen and underscore only, and starts with a letter or digit",
                hint="clients and file systems rewrite other characters",
                where="prefix",
            )
        if not isinstance(self.alphabet, str):
            raise InvalidFormatError("the alphabet is a text", where="alphabet")
        object.__setattr__(self, "alphabet", _GPAS_NAMES.get(self.alphabet, self.alphabet))
        object.__setattr__(self, "characters", _characters(self.alphabet))
        if type(self.length) is not int or not 1 <= self.length <= MAX_TOTAL_LENGTH:
            raise InvalidFormatError("the length is a whole number from 1 to 64", where="length")
        if not isinstance(self.check, str) or self.check not in CHECKS:
            raise InvalidFormatError("the check is one of " + ", ".join(CHECKS), where="check")
        refused = refusal(self.check, len(self.characters), self.length)
        if refused is not None:
            message, hint = refused
            raise InvalidFormatError(message, hint=hint, where="check")
        if self.total_length > MAX_TOTAL_LENGTH:
            raise InvalidFormatError(
                "prefix, drawn characters and check characters are more than 64 together",
                hint="64 characters are what FHIR identifiers of resources may have",
                where="length",
            )

    @classmethod
    def parse(cls, document: object) -> Format:
        """Read a JSON object with `alphabet` and `length`, and perhaps `prefix` (else "") and `check` (else "none").

        Raises:
            InvalidFormatError: it is no such object, a field is unknown or missing, or see `Format`.
        """
        if not isinstance(document, Mapping):
            raise InvalidFormatError("a format is a JSON object", where="format")
        if not set(document) <= set(_FIELDS):
            raise InvalidFormatError("a format has the fields " + ", ".join(_FIELDS) + " and no others", where="format")
        for name in ("alphabet", "length"):
            if name not in document:
                raise InvalidFormatError("a format needs an alphabet and a length", where=name)
        return cls(
            prefix=document.get("prefix", ""),
            alphabet=document["alphabet"],
            length=document["length"],
            check=document.get("check", "none"),
        )

    def to_json(self) -> dict[str, str | int]:
        """The JSON object of this format, all four fields; `parse` gives an equal format back."""
        return {"prefix": self.prefix, "alphabet": self.alphabet, "length": self.length, "check": self.check}

    @property
    def checker(self) -> Check:
        """What computes the check characters."""
        return check(self.check, len(self.characters), self.length)

    @property
    def total_length(self) -> int:
        """Characters of a whole pseudonym."""
        return len(self.prefix) + self.length + symbols(self.check, len(self.characters), self.length)


def _characters(alphabet: str) -> str:
    named = ALPHABETS.get(alphabet)
    if named is not None:
        return named
    if re.sub("[-_ ]", "", alphabet).lower() in _NAMES_FOLDED:
        raise InvalidFormatError(
            "the alphabet is spelled like a name but is none",
            hint="names are " + ", ".join(ALPHABETS),
            where="alphabet",
        )
    if not _LITERAL.fullmatch(alphabet):
        raise InvalidFormatError(
            "the alphabet has letters and digits only (not of other scripts)",
            hint="clients and file systems rewrite other characters; names are " + ", ".join(ALPHABETS),
            where="alphabet",
        )
    if len(alphabet) < MIN_ALPHABET:
        raise InvalidFormatError("the alphabet has at least two characters", where="alphabet")
    if len(set(alphabet)) != len(alphabet):
        raise InvalidFormatError("a character is in the alphabet twice", where="alphabet")
    if max(Counter(alphabet.lower()).values()) > 1:
        raise InvalidFormatError(
            "a letter is in the alphabet both large and small",
            hint="databases and spreadsheets take them for the same",
            where="alphabet",
        )
    if any(len(set(alphabet) & set(alike)) > 1 for alike in _LOOK_ALIKE):
        raise InvalidFormatError(
            "the alphabet has characters that people take for one another",
            hint="leave out the letter O beside zero, and the letters I and l beside one",
            where="alphabet",
        )
    return alphabet
