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
