"""`trustcenter reopen`: an older database serves again, under a new epoch; two people sign (docs/spec/outside-head.md).

A new epoch begins new serials, so whatever was issued after the lost moment is never issued again. The log begins a
new identity with an entry that tells what is missing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from keys.personal import PersonalKey, verify
from keys.store import KeyStore
from trustcenter.audit import Event, fingerprint
from trustcenter.client.files import replacing
from trustcenter.clock import Clock, stamp, utc_now
from trustcenter.config import Config
from trustcenter.errors import (
    ConflictError,
    LimitError,
    NotFoundError,
    PolicyError,
    StaleDatabaseError,
    UsageError,
    VerificationError,
)
from trustcenter.instance import places
from trustcenter.instance.opening import REGISTRAR_MIGRATIONS, require_complete
from trustcenter.instance.parts import head_path, keys_path
from trustcenter.instance.room_opening import log_origin, make_log
from trustcenter.instance.rotating import audit_key
from trustcenter.registrar.head import OutsideHead
from trustcenter.registrar.rotating.keyring import KeyRing
from trustcenter.store import Connection, Database

from . import fence

CONTEXT: Final = "trustcenter/reopen/1"
SIGNATURES: Final = 2
EPOCH_MAX: Final = 2**12 - 1
_FILE: Final = "reopen.json"


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be signed, and by whom it was; kept in the instance's directory until it is carried out.

    Attributes:
        epoch: the new one.
        nonce: 32 hex digits; so that a signature serves once.
        time: when it was proposed.
        statement: the text that is signed, under CONTEXT.
        signatures: by name.
    """

    epoch: int
    nonce: str
    time: str
    statement: str
    signatures: dict[str, str] = {}


@dataclass(frozen=True)
class Reopened:
    """What was done: the new epoch, and the fingerprint under which the log goes on."""

    epoch: int
    fingerprint: str


@dataclass(frozen=True)
class _State:
    """A stopped instance, as it is."""

    db: Database
    keys: KeyStore
    instance: str
    database: str
    epoch: int
    size: int
    root: str
    head: OutsideHead | None  # None: lost


def propose(config: Config, passphrase: bytes, epoch: int | None = None, *, clock: Clock = utc_now) -> Proposal:
    """Write down what two approvers have to sign; replaces an earlier proposal.

    Args:
        config: of a stopped instance.
        passphrase: of the key stores.
        epoch: the new epoch; needed when the head is lost, and then above any that was ever in use.
        clock: for the statement.

    Raises:
        AlreadyRunningError: the service runs.
        UsageError: the head is lost and no epoch was given, or one that is in use.
        VerificationError: the key store does not belong to the database.
    """
    with _stopped(config, passphrase, clock) as state:
        known = max(state.epoch, state.head.epoch if state.head else 0)
        if state.head is None and epoch is None:
            raise UsageError(
                "the outside head is lost, so the new epoch must be stated",
                code="epoch_needed",
                hint="give --epoch, above any in your notes and in the origins of checkpoints that sites hold",
            )
        chosen = known + 1 if epoch is None else epoch
        if chosen <= known:
            raise UsageError("this epoch was in use already", code="epoch_used", hint=f"at least {known + 1}")
        if chosen > EPOCH_MAX:
            raise LimitError("an epoch is at most 4095", code="epoch_exhausted")
        nonce, time = secrets.token_hex(16), stamp(clock())
        proposal = Proposal(chosen, nonce, time, _statement(state, chosen, nonce, time))
    _save(config, proposal)
    return proposal


def load(config: Config) -> Proposal:
    """The proposal that waits for signatures.

    Raises:
        NotFoundError: there is none.
        VerificationError: its file is damaged.
    """
    try:
        return msgspec.json.decode(_path(config).read_bytes(), type=Proposal)
    except FileNotFoundError:
        raise NotFoundError(
            "nothing was proposed", code="no_proposal", hint="trustcenter reopen DIR --propose"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise VerificationError("the proposal is damaged", code="proposal_damaged", hint="propose again") from None


def sign(
    config: Config, passphrase: bytes, name: str, key: PersonalKey, expected: str, *, clock: Clock = utc_now
) -> Proposal | Reopened:
    """Add one approver's signature; with the second, reopen.

    Args:
        config: of a stopped instance.
        passphrase: of the key stores.
        name: of the approver, as on file.
        key: the approver's own.
        expected: the statement that the approver was shown.
        clock: for the log.

    Returns:
        The proposal as long as a signature is missing.

    Raises:
        PolicyError: not an approver on file, not that approver's key, or the same person twice.
        ConflictError: the instance is no longer what was signed.
    """
    with _stopped(config, passphrase, clock) as state:
        proposal = load(config)
        if expected != proposal.statement:
            raise ConflictError("the proposal was replaced meanwhile", code="proposal_stale", hint="sign again")
        if proposal.statement != _statement(state, proposal.epoch, proposal.nonce, proposal.time):
            raise ConflictError(
                "the instance is no longer in the state that was proposed",
                code="proposal_stale",
                hint="propose again: trustcenter reopen DIR --propose",
            )
        on_file = state.db.read_sync(_approvers)
        if on_file.get(name) != key.public:
            raise PolicyError(
                "this is not an approver's name and key as they are on file",
                code="not_an_approver",
                hint="the database in place decides who is: an approver who was added later cannot sign",
            )
        if name in proposal.signatures:
            raise PolicyError("this approver has signed already", code="signed_already", hint="another one must")
        signature = key.sign(CONTEXT, proposal.statement.encode())
        proposal = msgspec.structs.replace(proposal, signatures={**proposal.signatures, name: signature})
        if len(proposal.signatures) < SIGNATURES:
            _save(config, proposal)
            return proposal
        for signer, text in proposal.signatures.items():
            if signer not in on_file:
                raise PolicyError("a signature is of nobody on file", code="not_an_approver", hint="propose again")
            verify(on_file[signer], CONTEXT, proposal.statement.encode(), text)
        done = _carry_out(config, state, proposal, clock)
    _path(config).unlink()
    return done


def _carry_out(config: Config, state: _State, proposal: Proposal, clock: Clock) -> Reopened:
    """Epoch and entry in one transaction, then the head. A crash in between leaves an instance that is refused."""
    signs = state.db.read_sync(lambda conn: audit_key.current(state.keys, conn))
    log = make_log(state.instance, "registrar", state.keys, proposal.epoch, signs)

    def effect(conn: Connection) -> tuple[int, str]:
        conn.execute("UPDATE instance SET epoch = ?", (proposal.epoch,))
        lost = state.head
        log.append(
            conn,
            Event.INSTANCE_REOPEN,
            {
                "who": "service",
                "request": "",
                "origin_before": log_origin(state.instance, "registrar", state.epoch),
                "from_epoch": state.epoch,
                "to_epoch": proposal.epoch,
                "kept_size": state.size,
                "kept_root": state.root,
                "head": "known" if lost else "lost",
                "head_size": lost.log_size if lost else 0,
                "head_root": lost.log_root if lost else "",
                "statement": proposal.statement,
                "approvals": [{"name": n, "signature": s} for n, s in sorted(proposal.signatures.items())],
            },
        )
        return log.head(conn)

    size, root = state.db.write_sync(effect)
    OutsideHead(head_path(config), state.keys, state.instance, state.database, proposal.epoch).remember(size, root)
    return Reopened(proposal.epoch, fingerprint(log.vkey))


def _approvers(conn: Connection) -> dict[str, str]:
    return dict(
        conn.execute("SELECT name, public_key FROM staff WHERE role = 'approver' AND public_key IS NOT NULL").fetchall()
    )


def _statement(state: _State, epoch: int, nonce: str, time: str) -> str:
    head = f"{state.head.log_size} entries, root {state.head.log_root or '-'}" if state.head else "lost"
    return (
        "Reopen the registrar of a pseudonymization trust center on this database.\n"
        f"instance: {state.instance}\n"
        f"database: {state.database}\n"
        f"log in the database: {state.size} entries, root {state.root}\n"
        f"log known outside: {head}\n"
        f"epoch: from {state.epoch} to {epoch}\n"
        f"proposed: {time}\n"
        f"nonce: {nonce}\n"
    )


@contextmanager
def _stopped(config: Config, passphrase: bytes, clock: Clock) -> Iterator[_State]:
    require_complete(config)
    keys = KeyStore.open(keys_path(config, "registrar"), passphrase)
    db = Database.open_sync(
        places.database(config, "registrar"), REGISTRAR_MIGRATIONS, application="registrar", exclusive=True
    )
    try:
        db.read_sync(fence.require_none)
        db.read_sync(KeyRing(keys, clock).check_material)
        instance, database, epoch = db.read_sync(
            lambda conn: conn.execute("SELECT instance, database, epoch FROM instance").fetchone()
        )
        try:
            head = OutsideHead.load(head_path(config), keys)
        except VerificationError:
            head = None
        if head is not None and (head.instance, head.database) != (instance, database):
            raise StaleDatabaseError(
                "this database belongs to another instance than the key store and its head",
                hint="check config.toml: each instance has its own database and key store",
            )
        size, root = db.read_sync(make_log(instance, "registrar", keys, epoch).head)
        yield _State(db, keys, instance, database, epoch, size, root, head)
    finally:
        db.close_sync()


def _path(config: Config) -> Path:
    return Path(config.base) / _FILE


def _save(config: Config, proposal: Proposal) -> None:
    with replacing(_path(config), force=True) as stream:
        stream.write(msgspec.json.encode(proposal) + b"\n")
