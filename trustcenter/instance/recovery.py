"""Getting in again when no operator's token works: a local command on the stopped instance."""

from __future__ import annotations

from dataclasses import dataclass

from trustcenter.audit import Event
from trustcenter.auth import IssuedToken, Owner
from trustcenter.config import Config
from trustcenter.errors import PolicyError
from trustcenter.store import Connection

from .opening import open_instance


@dataclass(frozen=True)
class Recovered:
    """A fresh token of an operator, and how many others of theirs were revoked."""

    issued: IssuedToken
    revoked: int


async def operator_token(
    config: Config, passphrase: bytes, name: str, *, days: int = 365, revoke_others: bool = False
) -> Recovered:
    """Issue a token for an operator, with everything checked that a start checks, and log it.

    Args:
        config: of the instance, whose service does not run.
        passphrase: of its key stores.
        name: of the operator.
        days: life of the token.
        revoke_others: make every other token of the operator worthless.

    Raises:
        AlreadyRunningError: the service runs.
        NotFoundError: no such person. PolicyError: the person is no operator.
        KeysError, VerificationError: see `open_instance`.
    """
    async with open_instance(config, passphrase) as instance:
        gate = instance.gate
        owner = Owner("staff", name)

        def effect(conn: Connection) -> Recovered:
            gate.directory.require(conn, owner)
            role = conn.execute("SELECT role FROM staff WHERE name = ?", (name,)).fetchone()[0]
            if role != "operator":
                raise PolicyError(
                    "only operators recover their token here",
                    code="not_an_operator",
                    hint="an operator issues tokens of others: trustcenter staff token",
                )
            valid = [row[0] for row in gate.directory.tokens(conn, owner) if row[3] is None]
            revoked = valid if revoke_others else []
            for token_id in revoked:
                gate.directory.revoke_token(conn, owner, token_id)
            issued = gate.directory.issue_token(conn, staff=name, days=days)
            gate.audit(
                conn, Event.TOKEN_RECOVER, "service", "", staff=name, token=issued.token_id, revoked=len(revoked)
            )
            return Recovered(issued, len(revoked))

        return await gate.db.write(effect)
