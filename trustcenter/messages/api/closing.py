"""Closing a domain, proposed by one and signed by another."""

from __future__ import annotations

from trustcenter.messages.common import Message


class DomainClosing(Message, frozen=True, kw_only=True):
    """A proposal to close a domain. `statement` is what an approver signs, under `trustcenter/domain-close/1`."""

    domain: str
    days: int
    statement: str
    proposed_by: str
    created: str
    approved_by: str | None
