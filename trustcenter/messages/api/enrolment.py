"""Enrolment of practices by a sponsoring site with a one-time code."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from trustcenter.messages.common import Count, Hex16, Message, Name, Text

from .secret_relay import CardText

Code = Annotated[str, msgspec.Meta(pattern="^tce1-[a-z2-7]{26}$", max_length=40)]


class Sponsor(Message, frozen=True, kw_only=True):
    """A site of a study that may enrol as many practices; 0 takes that back."""

    site: Name
    practices: Annotated[int, msgspec.Meta(ge=0, le=100_000)]


class EnrolmentCreate(Message, frozen=True, kw_only=True):
    """A practice that shall take part; `site` is its name from then on.

    A name that the same sponsor enrolled before gets a new credential and loses the old ones.
    """

    site: Name
    title: Text
    kind: Literal["practice", "rescue", "care", "rehab", "insurer"] = "practice"
    deduplicated: bool = True
    days: Annotated[int, msgspec.Meta(ge=1, le=60)] = 14


class Enrolment(Message, frozen=True, kw_only=True):
    """An enrolment as its sponsor sees it: waiting, used, expired or revoked.

    `card` is the fingerprint of the card that the practice published; `sealed` says whether the study secret of the
    present version is sealed to it.
    """

    enrolment: Hex16
    study: Name
    sponsor: Name
    site: Name
    title: Text
    state: str
    created: str
    expires: str
    used: str | None
    card: str | None
    sealed: bool


class EnrolmentCode(Message, frozen=True, kw_only=True):
    """A fresh enrolment with its code, which is shown once."""

    enrolment: Hex16
    site: Name
    code: Code
    expires: str

    def __repr__(self) -> str:
        return f"EnrolmentCode(enrolment={self.enrolment!r}, code=…)"


class Enrolments(Message, frozen=True, kw_only=True):
    """Enrolments of a study, oldest first."""

    enrolments: list[Enrolment]
    allowed: Count


class EnrolmentRedeem(Message, frozen=True, kw_only=True):
    """A code, and the practice's card: to its key the study secret is to be sealed."""

    code: Code
    card: CardText

    def __repr__(self) -> str:
        return "EnrolmentRedeem(code=…)"


class Enrolled(Message, frozen=True, kw_only=True):
    """What a practice gets for its code: a name and a token, shown once."""

    enrolment: Hex16
    site: Name
    study: Name
    sponsor: Name
    token: str
    expires: str

    def __repr__(self) -> str:
        return f"Enrolled(site={self.site!r}, token=…)"


class RowsRedeem(Message, frozen=True, kw_only=True):
    """The comparator's own code, where it is apart. No card: the comparator learns no key of a practice."""

    code: Code

    def __repr__(self) -> str:
        return "RowsRedeem(code=…)"


class RowsEnrolled(Message, frozen=True, kw_only=True):
    """What a practice gets at the comparator: a token with which it sends rows, shown once."""

    site: Name
    token: str
    expires: str

    def __repr__(self) -> str:
        return f"RowsEnrolled(site={self.site!r}, token=…)"
