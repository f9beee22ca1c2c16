"""The MII code system of consent policies: what a person can permit, and for how long (docs/spec/consent.md).

Shipped as package data and loaded strictly. A policy is named by its OID, by its number (the last arc of the OID), or
by its name, which is the published text with everything between words as an underscore.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import msgspec

from trustcenter.errors import InternalError, UsageError

SYSTEM: Final = "urn:oid:2.16.840.1.113883.3.1937.777.24.5.3"
_ROOT: Final = SYSTEM.removeprefix("urn:oid:") + "."
_PERIOD: Final = re.compile("P([1-9][0-9]?)Y")
_NUMBER: Final = re.compile("[1-9][0-9]{0,4}")
_DOCUMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_/-]{0,99}")


class CodeSystemError(InternalError):
    """The shipped code system of consent policies is not usable."""

    code = "consent_code_system"


class ConsentItemError(UsageError):
    """One consent document cannot be taken."""

    code = "invalid_consent"


@dataclass(frozen=True)
class Policy:
    """One policy of the code system.

    Attributes:
        number: last arc of its OID.
        name: short name.
        display: published text.
        parent: number of the group it belongs to, or None.
        years: how long a permission holds, or None: as long as it says itself.
    """

    number: int
    name: str
    display: str
    parent: int | None
    years: int | None

    @property
    def code(self) -> str:
        """The OID."""
        return f"{_ROOT}{self.number}"


class _Item(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename="camel"):
    code: str
    display: str
    parent: str | None
    period_of_validity: str | None


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    source: str
    system: str
    policies: list[_Item]


@dataclass(frozen=True)
class CodeSystem:
    """All policies by number, their numbers by name in lower case, and each with the groups above it."""

    source: str
    policies: dict[int, Policy]
    names: dict[str, int]
    chains: dict[int, tuple[int, ...]]

    def find(self, text: str) -> Policy | None:
        """The policy of an OID, a number or a name; None for anything else."""
        tail = text.removeprefix("urn:oid:").removeprefix(_ROOT)
        if _NUMBER.fullmatch(tail):
            return self.policies.get(int(tail))
        number = self.names.get(text.casefold())
        return None if number is None else self.policies[number]

    def within(self, number: int) -> tuple[int, ...]:
        """A policy and the groups above it."""
        return self.chains[number]


def parse(content: bytes) -> CodeSystem:
    """Read the code system.

    Raises:
        CodeSystemError: anything that is not as published: unknown fields, codes of another system, a code twice, a
            missing or circular parent, a period that is not of whole years.
    """
    try:
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CodeSystemError("the code system of consent policies cannot be read") from None
    if file.system != SYSTEM:
        raise CodeSystemError("this is another code system")
    plain = Counter(_name(item.display) for item in file.policies)
    policies: dict[int, Policy] = {}
    for position, item in enumerate(file.policies):
        where = f"policy {position + 1}"
        number = _number(item.code, where)
        period = None if item.period_of_validity is None else _PERIOD.fullmatch(item.period_of_validity)
        if number in policies or not item.display or (item.period_of_validity is not None and period is None):
            raise CodeSystemError("a policy occurs twice, has no text, or an unreadable period", where=where)
        name = _name(item.display)
        policies[number] = Policy(
            number,
            name if plain[name] == 1 else f"{name}_{number}",
            item.display,
            None if item.parent is None else _number(item.parent, where),
            None if period is None else int(period.group(1)),
        )
    names = {policy.name.casefold(): policy.number for policy in policies.values()}
    return CodeSystem(file.source, policies, names, {number: _chain(policies, number) for number in policies})


def _number(code: str, where: str) -> int:
    tail = code.removeprefix(_ROOT)
    if not code.startswith(_ROOT) or not _NUMBER.fullmatch(tail) or int(tail) > 65_535:
        raise CodeSystemError("a policy has a code of another system", where=where)
    return int(tail)


def _chain(policies: dict[int, Policy], number: int) -> tuple[int, ...]:
    found: list[int] = []
    at: int | None = number
    while at is not None:
        if at in found or at not in policies:
            raise CodeSystemError("a policy has a parent that is missing or below itself")
        found.append(at)
        at = policies[at].parent
    return tuple(found)


def _name(display: str) -> str:
    return re.sub(r"\W+", "_", display).strip("_")


@cache
def code_system() -> CodeSystem:
    """The shipped code system."""
    file = resources.files("trustcenter") / "data" / "mii-consent" / "policies.json"
    return parse(file.read_bytes())


def keepable(document: str) -> bool:
    """Whether a text has the form of a document's version."""
    return _DOCUMENT.fullmatch(document) is not None


def codes(numbers: Iterable[int]) -> list[str]:
    """OIDs of policies."""
    return [code_system().policies[number].code for number in numbers]
