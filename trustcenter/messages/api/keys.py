"""Keys: states, rotations, maps, proposals, compromise."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from trustcenter.messages.common import Count, DomainName, Hex16, Hex32, Message, Name, Text

DomainPurpose = Literal["pseudonym", "lookup", "data"]
RoomPurpose = Literal["audit", "sealing"]  # of a room: of its log and what goes with it; of its key store
Room = Literal["registrar", "comparator"]
Version = Annotated[int, msgspec.Meta(ge=1, le=255)]
Party = Annotated[str, msgspec.Meta(max_length=200, pattern="^(site|recipient):[a-z0-9./-]+$")]


class KeyVersion(Message, frozen=True, kw_only=True):
    """State of one version of one key; never its material. Of a domain, or a room's own."""

    scope: str
    domain: DomainName | None
    purpose: str
    version: int
    state: str
    since: str
    kcv: str
    room: Room | None = None


class Keys(Message, frozen=True, kw_only=True):
    """Every key version that the instance knows."""

    keys: list[KeyVersion]


class RotateRequest(Message, frozen=True, kw_only=True):
    """Rotation of a key of a domain. `expected_version` guards against a plan gone stale.

    `dry_run` only plans, `prepare` stops before the cut-over. `deadline_days`: afterwards two people may finalize
    without every acknowledgement.
    """

    dry_run: bool = False
    prepare: bool = False
    expected_version: Version | None = None
    purpose: DomainPurpose = "pseudonym"
    deadline_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 90


class RotationPlan(Message, frozen=True, kw_only=True):
    """What a rotation will do ("planned"), waits to do ("prepared") or has done ("done")."""

    domain: DomainName
    from_version: int
    to_version: int
    pseudonyms: Count
    sites: list[Name]
    state: str
    high_water_mark: Count
    purpose: str = "pseudonym"
    recipients: list[str] = msgspec.field(default_factory=list)
    estimated_seconds: Count = 0
    rotation: Hex16 | None = None


class RotationParty(Message, frozen=True, kw_only=True):
    """Who must get the map of a rotation."""

    party: str
    deliveries: Count
    acknowledged: str | None
    acknowledged_by: str | None


class RoomRotateRequest(Message, frozen=True, kw_only=True):
    """Rotation of a room's own keys: of its log and what goes with it. `expected_version` guards a stale plan."""

    dry_run: bool = False
    expected_version: Version | None = None


class RoomRotationPlan(Message, frozen=True, kw_only=True):
    """What a rotation of a room's own keys will do ("planned") or has done ("done"); versions are in the order of keys.

    `checked`: key states, or handovers of the receipt key, that it is verified over.
    """

    room: Room
    purposes: list[str]
    from_versions: list[int]
    to_versions: list[int]
    checked: Count
    state: str
    rotation: Hex16 | None
    from_fingerprint: str
    to_fingerprint: str  # of the log's key, to be written down; empty in a plan


class Rotation(Message, frozen=True, kw_only=True):
    """A rotation and how far it is: of a domain's key, or of a room's own keys, which no party needs a map of."""

    rotation: Hex16
    domain: DomainName | None
    purpose: str
    from_version: int
    to_version: int
    stage: str
    total: Count
    done: Count
    high_water_mark: Count
    deadline: str
    started_by: str
    started: str
    since: str
    map_mac: str | None
    parties: list[RotationParty]
    old_key_needed: bool = False  # of a lookup key: rows without an original here are found by it
    checked: Count | None = None  # a verification is under way: rows that it has looked at
    room: Room | None = None
    approval_needed: bool = False  # its old key leaked: each map leaves with two people only


class Rotations(Message, frozen=True, kw_only=True):
    """Rotations, oldest first."""

    rotations: list[Rotation]


class MapAcknowledge(Message, frozen=True, kw_only=True):
    """SHA-256 of a map that was received; `party` only where an operator speaks for a recipient."""

    sha256: Hex32
    party: Party | None = None


class SiteKeySet(Message, frozen=True, kw_only=True):
    """A site's public key, with the fingerprint that the site said over another channel."""

    public_key: Annotated[str, msgspec.Meta(max_length=4000)]
    fingerprint: Annotated[str, msgspec.Meta(max_length=40)]


class SiteKey(Message, frozen=True, kw_only=True):
    """A site's registered public key."""

    site: Name
    public_key: str
    fingerprint: str
    created: str


class KeyPropose(Message, frozen=True, kw_only=True):
    """What two people shall agree on.

    finalize: a verified rotation without every acknowledgement; deliver: the map of a compromised key to a party;
    destroy: a key version of a domain, or of a room with what goes with it; of a domain's pseudonym key unless
    `purpose` says otherwise. `dry_run` only tries: the proposal of the answer does not exist.
    """

    kind: Literal["finalize", "deliver", "destroy"]
    rotation: Hex16 | None = None
    party: Party | None = None
    domain: DomainName | None = None
    room: Room | None = None
    purpose: DomainPurpose | None = None
    version: Version | None = None
    dry_run: bool = False


class KeyProposal(Message, frozen=True, kw_only=True):
    """A proposal with the statement that the approver signs."""

    proposal: Hex16
    kind: str
    domain: DomainName | None
    purpose: str
    version: int
    rotation: Hex16 | None
    party: str | None
    statement: str
    proposed_by: str
    created: str
    approved_by: str | None
    approved: str | None
    over: bool = False  # it waits, and can no longer be carried out
    room: Room | None = None  # of a room's own keys: the version of its log's key, and what goes with it


class KeyProposals(Message, frozen=True, kw_only=True):
    """Proposals, oldest first."""

    proposals: list[KeyProposal]


class KeyAct(Message, frozen=True, kw_only=True):
    """One version of a domain's key; without `version` the one that the action can be about. `dry_run` only tries."""

    purpose: DomainPurpose = "pseudonym"
    version: Version | None = None
    dry_run: bool = False


class KeyCompromise(Message, frozen=True, kw_only=True):
    """A key version of a domain that may be known to others, since when, and why that is thought.

    `dry_run` only reports: nothing is stopped and nothing opened.
    """

    version: Version
    reason: Text
    purpose: DomainPurpose = "pseudonym"
    since: Annotated[str, msgspec.Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None
    dry_run: bool = False


class RoomKeyCompromise(Message, frozen=True, kw_only=True):
    """A room's own keys may be known to others, since when, and why that is thought. `dry_run` only reports."""

    reason: Text
    since: Annotated[str, msgspec.Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None
    dry_run: bool = False


class CompromiseReport(Message, frozen=True, kw_only=True):
    """What was exposed, what follows, and what no rotation heals."""

    domain: DomainName | None
    purpose: str
    version: int
    reason: str
    since: str
    in_use_until: str
    replaced_by: int | None
    rotation: Hex16 | None
    exposed_pseudonyms: Count
    releases: list[str]
    must_translate: list[str]
    cannot_heal: list[str]
    next_steps: list[str]
    room: Room | None = None


class KeySchedule(Message, frozen=True, kw_only=True):
    """How often a key is to be rotated; nothing rotates by itself. 0: no schedule."""

    days: Annotated[int, msgspec.Meta(ge=0, le=3650)]
    purpose: DomainPurpose = "pseudonym"


class RoomKeySchedule(Message, frozen=True, kw_only=True):
    """How often a room's own keys, or the passphrase of its key store, are to be exchanged. 0: no schedule."""

    days: Annotated[int, msgspec.Meta(ge=0, le=3650)]
    purpose: RoomPurpose = "audit"


class KeyDue(Message, frozen=True, kw_only=True):
    """A scheduled key and when it is due: of a domain, or a room's own."""

    domain: DomainName | None
    purpose: str
    days: int
    version: int
    due: str
    overdue: bool
    room: Room | None = None


class KeysDue(Message, frozen=True, kw_only=True):
    """All scheduled keys."""

    keys: list[KeyDue]
