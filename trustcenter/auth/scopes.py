"""What a credential may be used for: operations on domains, all of its owner's or only some. Denied by default."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from trustcenter.errors import ForbiddenError, NotFoundError
from trustcenter.messages.api import Operation
from trustcenter.store import Connection, Migration

MIGRATIONS = (
    Migration(
        number=112,
        name="tokens that serve for a part only",
        sql="ALTER TABLE token ADD COLUMN scope TEXT;",
    ),
)


@dataclass(frozen=True)
class Scope:
    """The part that a token serves for; None stands for all."""

    domains: frozenset[str] | None = None
    operations: frozenset[Operation] | None = None

    def require(self, operation: Operation, domain: str | None = None) -> None:
        """Refuse what lies outside.

        Raises:
            NotFoundError: a domain of which this token knows nothing.
            ForbiddenError: an operation that it does not serve for.
        """
        if self.domains is not None and domain is not None and domain not in self.domains:
            raise unknown_domain()
        if self.operations is not None and operation not in self.operations:
            raise not_granted()

    def to_text(self) -> str | None:
        """As it is stored."""
        if self == Scope():
            return None
        return json.dumps([None if part is None else sorted(part) for part in (self.domains, self.operations)])

    @classmethod
    def from_text(cls, text: str | None) -> Scope:
        """The inverse of `to_text`."""
        if text is None:
            return cls()
        domains, operations = json.loads(text)
        return cls(
            None if domains is None else frozenset(domains),
            None if operations is None else frozenset(map(Operation, operations)),
        )

    @classmethod
    def of(cls, domains: Sequence[str] | None, operations: Sequence[Operation] | None) -> Scope:
        """A scope from lists."""
        return cls(
            None if domains is None else frozenset(domains), None if operations is None else frozenset(operations)
        )


ALL = Scope()


def not_granted() -> ForbiddenError:
    """The domain is visible, the operation not granted."""
    return ForbiddenError(
        "this operation was not granted to you",
        code="not_granted",
        hint="an operator grants it: trustcenter domain grant, or issues a token for it",
    )


def unknown_domain() -> NotFoundError:
    """Foreign or missing: one answer."""
    return NotFoundError(
        "there is no such domain, or it is not yours",
        code="unknown_domain",
        hint="trustcenter domain list shows the domains that you may use",
    )


def held(conn: Connection, domain: int, site: str) -> frozenset[Operation]:
    """What a site was granted on a domain that is not its own."""
    rows = conn.execute("SELECT operation FROM domain_grant WHERE domain = ? AND site = ?", (domain, site)).fetchall()
    return frozenset(Operation(row[0]) for row in rows)
