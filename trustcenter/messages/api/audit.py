"""Exports and proofs of the logs."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from trustcenter.messages.common import _END, Count, Hex32, Message, Text

RETENTION_CONTEXT: Final = "trustcenter/retention-rule/1"  # under which an approver signs a rule of retention
Moment = Annotated[
    str,
    msgspec.Meta(
        pattern=f"^([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}\\.[0-9]{{6}}Z)?{_END}",
        description="RFC 3339 in UTC with microseconds, as in entries; empty for none",
    ),
]
EventWord = Annotated[str, msgspec.Meta(pattern=f"^[a-z]+:[a-z]+:[a-z]+{_END}", max_length=60)]
NameOrNone = Annotated[str, msgspec.Meta(pattern=f"^([a-z0-9]+(-[a-z0-9]+)*)?{_END}", max_length=63)]
Place = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class LogExtract(Message, frozen=True, kw_only=True):
    """Which entries are wanted: those for which everything that is given holds."""

    since: Moment = ""
    until: Moment = ""
    site: NameOrNone = ""
    study: NameOrNone = ""
    events: Annotated[list[EventWord], msgspec.Meta(max_length=200)] = msgspec.field(default_factory=list)
    through: Annotated[list[Count], msgspec.Meta(max_length=1000)] = msgspec.field(default_factory=list)


class InclusionProof(Message, frozen=True, kw_only=True):
    """The proof of RFC 9162, 2.1.3, that an entry is at its place in the log of `size` entries.

    `vkey` is the first key of the log, `handovers` what made later ones of it (docs/spec/checkpoint.md, section 4).
    """

    index: Place
    size: Count
    leaf_hash: Hex32
    hashes: list[Hex32]
    vkey: str
    handovers: list[str]


class ConsistencyProof(Message, frozen=True, kw_only=True):
    """The proof of RFC 9162, 2.1.4, that the log of `new` entries extends that of `old`."""

    old: Count
    new: Count
    hashes: list[Hex32]
    vkey: str
    handovers: list[str]


class Cosignature(Message, frozen=True, kw_only=True):
    """A head of a room's log with the cosignature of the calling site (docs/spec/cosignature.md).

    `witness` is the verifier key of the cosignature.
    """

    note: Annotated[str, msgspec.Meta(max_length=8192)]
    witness: Annotated[str, msgspec.Meta(max_length=300)]


class CosignedHead(Message, frozen=True, kw_only=True):
    """A head of a room's log, the sites' cosignatures on it, and their verifier keys as the service knows them."""

    size: Count
    note: str
    witnesses: list[str]


class CosignedHeads(Message, frozen=True, kw_only=True):
    """The newest head that each site has cosigned, largest first."""

    heads: list[CosignedHead]


class RetentionSet(Message, frozen=True, kw_only=True):
    """For how many years the details of an event's entries are kept."""

    event: EventWord
    years: Annotated[int, msgspec.Meta(ge=1, le=100)]


class RetentionRule(Message, frozen=True, kw_only=True):
    """One event whose entries commit to details.

    `years` is 0 where nothing is ever deleted; `in_force` and `deleted_before` are days (UTC), empty for none: the
    first on which the rule may delete, and that before which it has deleted. `proposed` are the years of a rule that
    waits for an approver, 0 for none, and `proposal` is its id.
    """

    event: str
    details: str
    years: int
    in_force: str
    deleted_before: str
    proposed: int = 0
    proposal: str = ""


class RetentionProposal(Message, frozen=True, kw_only=True):
    """A rule by which details go sooner. An approver signs `statement`, under `trustcenter/retention-rule/1`."""

    event: str
    years: int
    proposal: str
    statement: str
    proposed_by: str
    created: str


class RetentionRules(Message, frozen=True, kw_only=True):
    """All events whose entries commit to details."""

    rules: list[RetentionRule]


class HeldStatement(Message, frozen=True, kw_only=True):
    """What was signed, still held: `event` and `ident` say for what, the log's entry of it has the SHA-256."""

    event: str
    ident: str
    statement: str


class LinkageDisclosurePropose(Message, frozen=True, kw_only=True):
    """Why an auditor needs the decisions of a run; an approver reads it."""

    reason: Text


class LinkageDisclosure(Message, frozen=True, kw_only=True):
    """A proposal to hand over decisions. `statement` is what an approver signs, under its first line."""

    disclosure: str
    study: str
    run: str
    statement: str
    proposed_by: str
    created: str
    approved_by: str | None


class LinkageDecision(Message, frozen=True, kw_only=True, omit_defaults=True):
    """One decision: `leaf` is HMAC-SHA-256 of `detail` under `salt`; of an erased one only `leaf` is left."""

    number: Count
    leaf: Hex32
    salt: str = ""
    detail: str = ""


class SubjectQuery(Message, frozen=True, kw_only=True):
    """One pseudonym of the caller's own domain."""

    pseudonym: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class SubjectEvent(Message, frozen=True, kw_only=True):
    """One thing that was done with a pseudonym, with its place in the registrar's log."""

    entry: Count
    time: str
    event: str
    who: str
    reidentification: str


class SubjectReport(Message, frozen=True, kw_only=True):
    """What the centre holds and did about one pseudonym.

    `original_held`: whether the way back to the original is stored, sealed. `rows`: of how many encoded rows of the
    record the registrar knows the ref. Whether it was joined with records of others is not told here.
    """

    domain: str
    site: str
    study: str
    suite: str
    original_held: bool
    expires: str
    registered: bool
    rows: Count
    events: list[SubjectEvent]
