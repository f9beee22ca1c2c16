"""The parties of the demo, each with a directory of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Party:
    """One site of the demo and the directory that only it sees."""

    name: str
    kind: str
    title: str
    home: Path

    @property
    def connect(self) -> Path:
        """Its connection file."""
        return self.home / "connection.toml"

    @property
    def patients(self) -> Path:
        """Its patients, in plain text: they never leave its directory."""
        return self.home / "patients.csv"

    @property
    def site_key(self) -> Path:
        """Its site key."""
        return self.home / "site.key"

    @property
    def key(self) -> Path:
        """The key that others seal to, and whose card it publishes."""
        return self.home / "own.key"

    @property
    def secret(self) -> Path:
        """Its copy of the study secret."""
        return self.home / "study.secret"
