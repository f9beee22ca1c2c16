"""Reading what sites send of consent: one item becomes a statement, or an error that repeats nothing of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from trustcenter.messages import api
from trustcenter.messages.consent import CodeSystem, ConsentItemError, Policy, keepable

from . import consent_days as days
from .consent_decision import EVERYTHING, Provision

MAX_POLICIES: Final = 500  # provisions of one document


@dataclass(frozen=True)
class Reader:
    """How items are read: with which code system, on which day, at which second, and the numbers of documents."""

    system: CodeSystem
    today: date
    now: int
    documents: Mapping[str, int]

    def read(self, item: api.ConsentItem) -> list[Provision]:
        """The provisions of an item.

        Raises:
            ConsentItemError: it cannot be taken; message and hint are of ours only.
        """
        dated = days.read(item.date)
        if dated is None:
            raise _bad_date("the date of the document")
        if dated.day > self.today:
            raise ConsentItemError(
                "the document is of a day to come",
                code="consent_dated_ahead",
                hint="the date is the day of the document",
            )
        if item.document is not None and item.document not in self.documents:
            raise ConsentItemError(
                "the version of the document cannot be kept",
                code="invalid_document",
                hint="1 to 100 letters, digits and .:_/- as in urn:oid:1.2.3 or 1.6d",
            )
        number = 0 if item.document is None else self.documents[item.document]
        if item.withdraw:
            if item.policies:
                raise ConsentItemError("a withdrawal of everything names no policies")
            return [Provision(EVERYTHING, False, dated.last, recorded=self.now, document=number)]
        if not item.policies:
            raise ConsentItemError("the document says nothing of any policy", code="consent_without_policies")
        if len(item.policies) > MAX_POLICIES:
            raise ConsentItemError(f"a document has at most {MAX_POLICIES} provisions", code="too_many_policies")
        return [self._provision(dated, one, number) for one in item.policies]

    def _provision(self, dated: days.Span, one: api.ConsentProvision, document: int) -> Provision:
        policy = self.system.find(one.code)
        if policy is None:
            raise ConsentItemError(
                "a policy is not in the code system",
                code="unknown_policy",
                hint="trustcenter consent policies lists them",
            )
        first, last = _day(one.first, "the first day"), _day(one.last, "the last day")
        if first is not None and last is not None and first > last:
            raise _bad_date("the period, which ends before it begins: the last day")
        if not one.permit:
            if first is not None and first > self.today:
                raise ConsentItemError(
                    "a deny takes effect at once, and this one begins on a day to come",
                    code="consent_dated_ahead",
                    hint="send it on its day",
                )
            return Provision(policy.number, False, dated.last, recorded=self.now, document=document)
        begins = first or dated.day
        return Provision(
            policy.number, True, dated.first, begins, _end(policy, dated.day, begins, last), self.now, document
        )


def _end(policy: Policy, document: date, first: date, last: date | None) -> date | None:
    if policy.years is None:
        return last
    end = days.last_day(min(document, first), policy.years)
    return end if last is None else min(end, last)


def _day(text: str | None, what: str) -> date | None:
    if text is None:
        return None
    span = days.read(text)
    if span is None:
        raise _bad_date(what)
    return span.day


def _bad_date(what: str) -> ConsentItemError:
    return ConsentItemError(
        "a date cannot be read", code="invalid_date", hint=f"{what} is YYYY-MM-DD, or a time with seconds and offset"
    )


def documents(items: Iterable[api.ConsentItem]) -> set[str]:
    """The document versions that items name and that can be kept."""
    return {item.document for item in items if item.document is not None and keepable(item.document)}
