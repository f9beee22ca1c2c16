"""Rules of retention at a registrar whose clock the test moves: what goes, what stays, what the log proves of it."""

from __future__ import annotations

import io
import sqlite3
from datetime import UTC, datetime

import pytest
from test_service_reidentify_clock import ANNA, OPERATOR, SITE, House, directory, house  # noqa: F401

from keys.errors import SignatureError
from keys.personal import PersonalKey
from trustcenter.audit import entries, verify_bundle, verify_log
from trustcenter.auth import Principal
from trustcenter.errors import ConflictError, NotFoundError, PolicyError
from trustcenter.messages import api
from trustcenter.messages.api.audit import RETENTION_CONTEXT
from trustcenter.registrar import retention, retention_proposals, subject

pytestmark = pytest.mark.files

SUBJECT, REQUEST, RUN = "site:pseudonym:reidentify", "site:reidentification:request", "registrar:run:apply"


async def want(house: House, event: str, years: int) -> api.RetentionRule:  # noqa: F811
    """Set or propose a rule; what holds for the event then."""
    found = await retention.set_rule(house.context, OPERATOR, "r", api.RetentionSet(event=event, years=years))
    return next(rule for rule in found.rules if rule.event == event)


async def proposal(house: House, event: str) -> api.RetentionProposal:  # noqa: F811
    return (await house.context.db.read(retention_proposals.waiting))[event]


async def sign(house: House, event: str, who: Principal = ANNA, key: PersonalKey | None = None) -> None:  # noqa: F811
    found = await proposal(house, event)
    signature = (key or house.key).sign(RETENTION_CONTEXT, found.statement.encode())
    await retention.approve(house.context, who, "r", found.proposal, api.Approval(signature=signature))


async def keep(house: House, event: str, years: int) -> None:  # noqa: F811
    """Set a rule, by two people if it takes two."""
    if (await want(house, event, years)).proposed:
        await sign(house, event)


async def delete(house: House) -> dict[str, str]:  # noqa: F811
    """Delete what is due; the day before which details of each event are gone."""
    done = await retention.delete_due(house.context, OPERATOR, "r")
    return {rule.event: rule.deleted_before for rule in done.rules}


async def reidentified(house: House, value: str) -> str:  # noqa: F811
    (pseudonym,) = await house.issue([value])
    made = await house.ask([pseudonym])
    await house.approve(made)
    await house.fetch(made, [pseudonym])
    return pseudonym


async def verified(house: House) -> list[tuple[str, str, int, int]]:  # noqa: F811
    """Both verifiers on the whole log; the deletions that they tell."""
    raw = await house.context.db.read(lambda conn: b"".join(house.context.log.export(conn)))
    report = verify_bundle(io.BytesIO(raw))
    assert len(verify_log.verify(io.BytesIO(raw))["details deleted"]) == len(report.deletions)
    return [(found.detail_of, found.before, found.entries, found.details) for found in report.deletions]


async def told(house: House, pseudonym: str) -> list[str]:  # noqa: F811
    answer = await subject.report(house.context, SITE, "r", "north", api.SubjectQuery(pseudonym=pseudonym))
    return [event.event for event in answer.events]


async def test_details_go_by_rule_and_the_log_proves_that_they_were_old(house: House) -> None:  # noqa: F811
    house.now[0] = datetime(2041, 11, 24, 22, tzinfo=UTC)  # after the making of the instance, which has another clock
    old = await reidentified(house, "old")
    await keep(house, SUBJECT, 1)
    await keep(house, REQUEST, 2)
    house.pass_time(days=29)
    young = await reidentified(house, "young")
    assert set((await delete(house)).values()) == {""}  # no rule is in force yet
    house.pass_time(days=336)  # a year and a day after the old one
    assert await told(house, old) == ["site:pseudonym:issue", SUBJECT]
    done = await delete(house)
    assert set(done.values()) == {""}  # no entry is old enough
    assert await told(house, old) == ["site:pseudonym:issue", SUBJECT]  # the day itself is kept
    house.pass_time(days=1)
    assert (await delete(house))[SUBJECT] == "2041-11-25"
    assert await told(house, old) == ["site:pseudonym:issue"]  # the entry is about nobody any more
    assert await told(house, young) == ["site:pseudonym:issue", SUBJECT]
    assert await verified(house) == [(SUBJECT, "2041-11-25", 1, 1)]
    before = len(await verified(house))
    await delete(house)  # nothing more is due today
    assert len(await verified(house)) == before
    reasons = "SELECT count(*) FROM reidentification WHERE reason = 'why'"
    assert await house.rows(reasons) == [(2,)]
    house.pass_time(days=366)
    await delete(house)
    assert await house.rows(reasons) == [(1,)]
    assert (await verified(house))[-2:] == [(SUBJECT, "2042-11-26", 1, 1), (REQUEST, "2041-11-26", 1, 1)]


async def test_what_has_no_details_has_no_rule(house: House) -> None:  # noqa: F811
    with pytest.raises(NotFoundError) as caught:
        await keep(house, "site:pseudonym:issue", 1)
    assert caught.value.code == "no_details"


async def test_a_shorter_rule_takes_two_people_and_a_longer_one_does_not(house: House) -> None:  # noqa: F811
    seen = await want(house, SUBJECT, 5)  # until now details were kept for ever
    assert (seen.years, seen.proposed) == (0, 5)
    first = await proposal(house, SUBJECT)
    assert "until now: for ever\n" in first.statement
    await want(house, SUBJECT, 5)  # the same again is the same
    assert first == await proposal(house, SUBJECT)
    with pytest.raises(PolicyError) as caught:
        await sign(house, SUBJECT, OPERATOR)
    assert caught.value.code == "approval_by_requester"
    with pytest.raises(SignatureError):
        await sign(house, SUBJECT, key=PersonalKey.generate())
    await sign(house, SUBJECT)
    seen = await want(house, SUBJECT, 8)
    assert (seen.years, seen.proposed) == (8, 0)  # at once
    assert (await want(house, SUBJECT, 7)).proposed == 7
    assert (await want(house, SUBJECT, 6)).proposed == 6  # instead of 7
    await want(house, SUBJECT, 9)  # the proposal was to shorten another rule: it is gone
    assert SUBJECT not in await house.context.db.read(retention_proposals.waiting)
    with pytest.raises(NotFoundError) as none:
        await retention.approve(house.context, ANNA, "r", first.proposal, api.Approval(signature="x"))
    assert none.value.code == "no_proposal"
    await keep(house, SUBJECT, 1)
    events = [
        entry.event
        for entry in await house.context.db.read(
            lambda conn: [
                entries.parse(leaf, "registrar")
                for (leaf,) in conn.execute("SELECT leaf FROM audit_entry ORDER BY seq")
            ]
        )
        if ":retention:" in entry.event
    ]
    propose, agree, set_ = "operator:retention:propose", "approver:retention:approve", "operator:retention:set"
    assert events == [propose, agree, set_, set_, propose, propose, set_, propose, agree, set_]
    assert await verified(house) == []


async def test_a_changed_rule_waits_again_and_the_verifier_would_notice(house: House) -> None:  # noqa: F811
    house.now[0] = datetime(2041, 11, 24, 22, tzinfo=UTC)
    await reidentified(house, "old")
    await keep(house, SUBJECT, 10)
    house.pass_time(days=800)
    await keep(house, SUBJECT, 1)
    assert (await delete(house))[SUBJECT] == ""
    await verified(house)

    def hurry(conn: sqlite3.Connection) -> None:  # an operator with the database sets the rule back
        conn.execute("UPDATE retention_rule SET since = '2026-01-01T00:00:00.000000Z'")

    await house.context.db.write(hurry)
    assert (await delete(house))[SUBJECT] != ""
    with pytest.raises(Exception, match="before the rule was in force"):
        await verified(house)


async def test_a_rule_that_is_set_again_while_details_go_stops_it(house: House) -> None:  # noqa: F811
    house.now[0] = datetime(2041, 11, 24, 22, tzinfo=UTC)
    pseudonym = await reidentified(house, "old")
    await keep(house, SUBJECT, 1)
    house.pass_time(days=800)
    seen = {rule.event: rule for rule in (await house.context.db.read(retention.rules)).rules}[SUBJECT]
    await keep(house, SUBJECT, 1)  # between reading the rule and deleting by it; the same years need no second person
    with pytest.raises(ConflictError) as caught:
        await retention._delete(house.context, OPERATOR, "r", seen, "2042-11-26")
    assert caught.value.code == "rule_changed"
    assert SUBJECT in await told(house, pseudonym), "nothing is gone"
    assert await verified(house) == []


async def test_decisions_go_only_where_nothing_builds_on_them(house: House) -> None:  # noqa: F811
    def runs(conn: sqlite3.Connection) -> None:
        for study, state in (("going", "open"), ("over", "closed")):
            conn.execute(
                "INSERT INTO study (name, version, purpose, permit, schema, fingerprint, passes, levels, minimum_batch,"
                " state, created) VALUES (?,1,'','','','',1,'[]',1,?,'2026-01-01')",
                (study, state),
            )
            for window in (1, 2):
                run = f"{study}-{window}"
                conn.execute(
                    "INSERT INTO run (id, study, window_number, state, created, finished)"
                    " VALUES (?,?,?,'applied','2026-11-24','2026-11-24')",
                    (run, study, window),
                )
                conn.execute("INSERT INTO link VALUES (?,1,1,2,2,3,0.9,0.99,'match')", (run,))
                conn.execute("INSERT INTO linkage_decision VALUES (?,0,?,?,1,1,2,2)", (run, bytes(32), bytes(16)))

    house.now[0] = datetime(2041, 11, 24, 22, tzinfo=UTC)
    await house.context.db.write(runs)
    await keep(house, RUN, 1)
    house.pass_time(days=400)
    await delete(house)
    kept = await house.rows("SELECT run FROM linkage_decision WHERE salt IS NOT NULL")
    assert kept == [("going-2",)]
    assert await house.rows("SELECT run FROM link") == kept
    assert await house.rows("SELECT count(*), min(length(leaf)) FROM linkage_decision") == [(4, 32)]
    assert (await verified(house))[-1] == (RUN, "2041-12-29", 0, 3)
