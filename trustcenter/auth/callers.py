"""Who calls, to whom a credential belongs, and a fresh credential."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from . import scopes


@dataclass(frozen=True)
class Principal:
    """An authenticated caller: a site, or a member of staff with a role."""

    name: str
    role: str  # "site", or a staff role
    token_id: str  # of the token; "" for a certificate
    valid_until: str = ""  # stamp; "" for callers who need no credential
    requests_per_second: float | None = None  # a site's own limit
    scope: scopes.Scope = scopes.ALL  # of a site's token

    @property
    def is_site(self) -> bool:
        """Whether the caller is a participating site."""
        return self.role == "site"


@dataclass(frozen=True)
class Owner:
    """To whom a token or certificate belongs; `kind` is also the name of table and column."""

    kind: Literal["site", "staff"]
    name: str


@dataclass(frozen=True)
class IssuedToken:
    """A fresh token, to be shown once."""

    token_id: str
    token: str
    expires: str

    def __repr__(self) -> str:
        return f"IssuedToken(token_id={self.token_id!r})"
