"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One check: `state` is ok, warn or fail."""

    name: str
    state: str
    text: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {"name": self.name, "state": self.state, "text": self.text, "hint": self.hint}


def counted(number: int, thing: str) -> str:
    """1 entry, 2,000 entries."""
    many = thing[:-1] + "ies" if thing.endswith("ry") else thing + "s"
    return f"{number:,} {thing if number == 1 else many}"
