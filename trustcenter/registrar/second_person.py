"""The second of two people: never the first one, and with a signature of the own key over what was proposed."""

from __future__ import annotations

from keys import personal
from trustcenter.auth import Directory, Principal
from trustcenter.errors import PolicyError
from trustcenter.store import Connection


def require(
    directory: Directory,
    conn: Connection,
    caller: Principal,
    proposed_by: str,
    purpose: str,
    statement: str,
    signature: str,
    *,
    hint: str,
) -> None:
    """Let nobody pass but another person who signed the statement.

    Args:
        directory: of people, in any room that lets clients in.
        conn: of that room, a transaction or snapshot.
        caller: who approves.
        proposed_by: name of the person who proposed.
        purpose: signature context of this kind of statement (docs/spec/secret-files.md).
        statement: what was proposed, as it stands now.
        signature: of the caller over purpose and statement.
        hint: what another person does.

    Raises:
        PolicyError: the caller is the person who proposed.
        SignatureError: the signature is not the caller's over this statement.
    """
    if caller.name == proposed_by:
        raise PolicyError("whoever proposed this cannot approve it", code="approval_by_requester", hint=hint)
    personal.verify(directory.public_key(conn, caller.name), purpose, statement.encode(), signature)
