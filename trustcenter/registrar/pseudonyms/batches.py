"""What every batch operation begins with: the caller's domain, checked originals and their tags, errors per item."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from trustcenter.auth import Operation, Principal
from trustcenter.errors import PolicyError, UsageError
from trustcenter.messages import api
from trustcenter.registrar import domains, policy
from trustcenter.registrar.context import Context
from trustcenter.registrar.domains import DomainRow
from trustcenter.registrar.limits import require_batch
from trustcenter.store import Connection

from . import issue, layout, lookup, tagging
from .resolving import Found

_PARENT_LABEL = b"\0parent\0"  # an original is printable: none begins like this


def unknown_original(index: int) -> api.ItemError:
    """An original without a pseudonym."""
    return api.ItemError(index=index, code="unknown_original", hint="it has no pseudonym in this domain")


def unknown_pseudonym(index: int) -> api.ItemError:
    """Forged, foreign, deleted, expired, or never issued."""
    return api.ItemError(index=index, code="unknown_pseudonym", hint="not a live pseudonym of this domain")


def wrong_check(index: int) -> api.ItemError:
    """Mistyped."""
    return api.ItemError(index=index, code="wrong_check_characters", hint="probably mistyped: compare with the source")


def ambiguous(index: int) -> api.ItemError:
    """Two rows stand behind it, so none is answered."""
    return api.ItemError(index=index, code="ambiguous", hint="it names two entries: tell the operator, use neither")


def unresolved(index: int, question: lookup.Question, found: Found) -> api.ItemError:
    """Why a pseudonym has no row: mistyped, ambiguous, or one answer for everything else."""
    if question.status[index] == 2:
        return wrong_check(index)
    return ambiguous(index) if index in found.ambiguous else unknown_pseudonym(index)


@dataclass(frozen=True)
class Batch:
    """Originals that can be served: their places in the request, bytes and tags; and errors for the others."""

    good: list[int]
    values: list[bytes]
    tags: list[bytes]
    errors: list[api.ItemError]

    def settled(self, context: Context, conn: Connection, domain: DomainRow) -> Batch:
        """The same with the tags by which this writing transaction finds and makes rows; see `tagging.settle`."""
        return replace(self, tags=tagging.settle(context, conn, domain, self.values, self.tags))

    def found_by(self, context: Context, conn: Connection, domain: DomainRow) -> Batch:
        """The same with the tags that the originals have in a snapshot; see `tagging.found_by`."""
        return replace(self, tags=tagging.found_by(context, conn, domain, self.values, self.tags))


async def own_domain(
    context: Context, caller: Principal, name: str, items: int, operation: Operation, *, studies: bool = False
) -> DomainRow:
    """The caller's domain, for a batch of so many items.

    Raises:
        NotFoundError: no such domain, or not the caller's.
        LimitError: too many items.
        PolicyError: the domain belongs to a study.
        ConflictError: the domain is destroyed, or due to be.
    """
    require_batch(items, context.limits.batch_items)
    return await context.db.read(lambda conn: find_own(context, conn, caller, name, operation, studies=studies))


def find_own(
    context: Context,
    conn: Connection,
    caller: Principal,
    name: str,
    operation: Operation,
    *,
    studies: bool = False,
) -> DomainRow:
    """As `own_domain`, inside a transaction or snapshot, without a bound on items."""
    domain = domains.find(conn, name, caller, operation)
    policy.require_keys(conn, domain.id, context.clock())
    if domain.kind != "site" and not studies:
        raise PolicyError(
            "pseudonyms of a study are made by registering record numbers",
            code="study_domain",
            hint="trustcenter study register; hospital ids never enter a study's domain",
        )
    return domain


async def prepare(context: Context, domain: DomainRow, originals: Sequence[str]) -> Batch:
    """Check originals and compute their tags. In a domain with a parent they must be the parent's pseudonyms."""
    good, errors = issue.check_originals(originals, context.limits.original_chars)
    values = [originals[index].encode() for index in good]
    keyed = values
    if domain.policy.parent is not None:
        good, values, keyed, more = await _parents(context, domain.policy.parent, originals, good)
        errors = sorted([*errors, *more], key=lambda error: error.index)
    tags = await asyncio.to_thread(tagging.tags, context, domain, keyed)
    return Batch(good, values, tags, errors)


async def _parents(
    context: Context, parent_id: int, originals: Sequence[str], good: Sequence[int]
) -> tuple[list[int], list[bytes], list[bytes], list[api.ItemError]]:
    """What stands for the parent's pseudonyms is their row: a rotation of the parent changes nothing here."""
    texts = [originals[index] for index in good]
    parent = await context.db.read(lambda conn: domains.by_id(conn, parent_id))
    question = await asyncio.to_thread(lookup.read, context, parent, texts)

    def query(conn: Connection) -> Found:
        now = context.clock()
        policy.require_keys(conn, parent.id, now)
        return lookup.find(context, conn, parent, question, now)

    found = await context.db.read(query)
    if found.above:
        await context.db.write(lambda conn: lookup.alarm(context, conn, parent, found, "service", ""))
    head = _PARENT_LABEL + bytes.fromhex(parent.uuid)
    kept, values, keyed, errors = [], [], [], []
    for place, text, row in zip(good, texts, found.rows, strict=True):
        if row is None:
            errors.append(
                api.ItemError(
                    index=place,
                    code="unknown_parent_pseudonym",
                    hint="an original of this domain is a live pseudonym of its parent domain",
                )
            )
        else:
            kept.append(place)
            values.append(text.encode())
            keyed.append(head + layout.row_id(*row))
    return kept, values, keyed, errors


def serials_of(
    context: Context, conn: Connection, domain: DomainRow, tags: Sequence[bytes], what: str, place: Callable[[int], str]
) -> list[int]:
    """Serials of registered records.

    Args:
        context: the registrar.
        conn: transaction or snapshot.
        domain: of the study and site.
        tags: of their record numbers.
        what: names them, for the message.
        place: says of a position where it stands.

    Raises:
        UsageError: one was never registered.
    """
    known = context.tags.serials(conn, domain.id, tags)
    for position, tag in enumerate(tags):
        if tag not in known:
            raise UsageError(
                f"{what} names a record that was never registered",
                code="unregistered_record",
                hint="register the record numbers first: trustcenter study register",
                where=place(position),
            )
    return [known[tag] for tag in tags]
