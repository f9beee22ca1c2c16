"""Studies and their versions."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from trustcenter.messages.common import Count, Day, DomainName, Hex32, Message, Name, Policies, Text

from .operators import SiteKind

VersionReason = Literal["member_removed", "secret_compromised", "scheduled"]
StateName = Literal["draft", "open", "frozen", "released", "closed", "deleted"]


class Participant(Message, frozen=True, kw_only=True):
    """A site in a study and whether it declares its source free of duplicates."""

    site: Name
    deduplicated: bool = True
    kind: SiteKind | None = None  # what sort of institution; told by the service, ignored in a request
    left_with: int | None = None  # the version with which it was removed; told by the service, ignored in a request


class Recipient(Message, frozen=True, kw_only=True):
    """A data recipient and the public key to which the join map is sealed."""

    name: Name
    public_key: Annotated[str, msgspec.Meta(max_length=4096)]


class StudySettings(Message, frozen=True, kw_only=True):
    """What a study settles for its version beside the encoding; frozen when it opens.

    `lower` and `upper` are the posteriors between which a pair is doubtful. With `clearing` "none" nobody is asked,
    and doubtful pairs stay as the run left them, joined above its cut; "double" asks two stewards, each blind to the
    other. With `careful` pairs that look like twins at one address, or like one person under another surname, are
    doubtful whatever their posterior; if it is not said they are so where somebody clears, and the service answers with
    what it settled. With `calibration` "sites" tables that sites counted on their own records are pooled with those
    that ship.
    `purge` says with which state rows, refs and edges go. `date_shift_days` is the greatest offset of a person's
    dates; 0: none are handed out.
    """

    valid_from: Day | None = None
    lower: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    upper: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.95
    clearing: Literal["none", "single", "double"] = "single"
    careful: bool | None = None
    calibration: Literal["shipped", "sites"] = "shipped"
    purge: Literal["released", "closed"] = "closed"
    approvals: Annotated[int, msgspec.Meta(ge=2, le=9)] = 2
    approvers: Annotated[list[Name], msgspec.Meta(max_length=50)] = msgspec.field(default_factory=list)  # empty: any
    date_shift_days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 0
    retain_until: Day | None = None  # not deleted before; without it ten years after it was closed


class StudyCreate(Message, frozen=True, kw_only=True):
    """A data-use project. As a draft it takes no data until an operator opens it."""

    name: Name
    purpose: Text
    permit: Text
    schema: str = "de-person/1"
    participants: Annotated[list[Participant], msgspec.Meta(min_length=2, max_length=500)]
    recipients: Annotated[list[Recipient], msgspec.Meta(min_length=1, max_length=20)]
    valid_until: Day | None = None
    minimum_batch: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 50
    consent: Policies = msgspec.field(default_factory=list)  # policies that every record needs: OID, number or name
    settings: StudySettings = msgspec.field(default_factory=StudySettings)
    draft: bool = False
    lead: Name | None = None  # the site that makes the study secret; None: the first participant


class StudyLead(Message, frozen=True, kw_only=True):
    """Another lead site."""

    site: Name


class StudyMove(Message, frozen=True, kw_only=True):
    """The state that a study is to have next."""

    state: StateName


class StudyRenew(Message, frozen=True, kw_only=True):
    """A new version of a study, under a new study secret.

    `version` is the one that the caller expects to get, so that a repeated request makes no second one. Rows of the
    version before stay linkable up to and including `linkable_until`; without a day they end at once. Without
    `settings` those of the version before go on.
    """

    version: Annotated[int, msgspec.Meta(ge=2, le=10_000)]
    reason: VersionReason
    remove: Annotated[list[Name], msgspec.Meta(max_length=500)] = msgspec.field(default_factory=list)
    linkable_until: Day | None = None
    settings: StudySettings | None = None


class VersionSource(Message, frozen=True, kw_only=True):
    """Records of one site by the version of their rows: of the one, of older ones only, of none that is linkable.

    `unmapped` were registered, and no rows have come for them.
    """

    site: Name
    current: Count
    older: Count
    dormant: Count
    unmapped: Count = 0


class StudyVersion(Message, frozen=True, kw_only=True):
    """A version of a study, what was frozen with it, and until when its rows are compared."""

    version: int
    created: str
    reason: str
    settings: StudySettings
    linkable_until: Day | None  # told when the next version was made
    ended: str | None  # when its rows were retired


class StudyVersions(Message, frozen=True, kw_only=True):
    """All versions of a study, newest first, and where the sites stand (a site sees itself only)."""

    versions: list[StudyVersion]
    sources: list[VersionSource]


class Study(Message, frozen=True, kw_only=True):
    """A data-use project with the parameters frozen for its version.

    `fingerprint` and `passes` are those of the schema; `domains` maps each of the caller's own sites (all of
    them for an operator) to its pseudonym domain in this study.
    """

    name: Name
    version: int
    purpose: str
    permit: str
    schema: str
    fingerprint: Hex32
    passes: int
    levels: list[int]
    minimum_batch: int
    participants: list[Participant]
    recipients: list[Recipient]
    valid_until: Day | None
    state: str
    domains: dict[Name, DomainName]
    separation: str
    created: str
    consent: list[str] = msgspec.field(default_factory=list)  # OIDs of the required policies
    settings: StudySettings = msgspec.field(default_factory=StudySettings)
    purged: str | None = None  # when the last row, ref and edge was gone
    lead: Name | None = None  # the site whose share of the study secret counts; None: nobody's until one is named


class Studies(Message, frozen=True, kw_only=True):
    """The studies that the caller takes part in (an operator sees all)."""

    studies: list[Study]
