"""Retention, the index of serials and what is held, on PostgreSQL: the same statements, the same log."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

from postgres_support import PostgresServer
from test_service_reidentify_clock import ANNA, OPERATOR, SITE, House
from tests_support import make_instance

from keys.personal import PersonalKey
from trustcenter import config
from trustcenter.audit import verify_bundle
from trustcenter.audit.retention import DETAILS
from trustcenter.instance.opening import open_instance
from trustcenter.messages import api
from trustcenter.messages.api.audit import RETENTION_CONTEXT
from trustcenter.registrar import domain_create, held, retention, retention_proposals, subject
from trustcenter.registrar.pseudonyms import issue_index
from trustcenter.store import Connection


async def test_details_go_by_rule_and_serials_are_found(server: PostgresServer, tmp_path: Path) -> None:
    options = ["--postgres-registrar", server.create(), "--postgres-comparator", server.create()]
    make_instance(tmp_path / "instance", options)
    loaded = config.load(tmp_path / "instance")
    passphrase = loaded.path(loaded.files.passphrase or "").read_bytes().removesuffix(b"\n")
    now = [datetime(2041, 11, 24, 22, tzinfo=UTC)]
    async with open_instance(loaded, passphrase, lambda: now[0]) as opened:
        context, key = opened.registrar, PersonalKey.generate()

        def people(conn: Connection) -> None:
            context.directory.add_site(conn, "north", "diz", "North")
            context.directory.add_staff(conn, "anna", "approver", key.public)

        await context.db.write(people)
        await domain_create.create(context, OPERATOR, "r", api.DomainCreate(name="north", site="north"))
        house = House(context, key, now)
        (pseudonym,) = await house.issue(["a"])
        made = await house.ask([pseudonym])
        await house.approve(made)
        await house.fetch(made, [pseudonym])
        assert await context.db.read(lambda conn: len(list(held.statements(conn)))) == 1

        async def events() -> list[str]:
            answer = await subject.report(context, SITE, "r", "north", api.SubjectQuery(pseudonym=pseudonym))
            return [event.event for event in answer.events]

        for kind in DETAILS:
            await retention.set_rule(context, OPERATOR, "r", api.RetentionSet(event=kind, years=1))
            found = (await context.db.read(retention_proposals.waiting))[kind]
            signature = key.sign(RETENTION_CONTEXT, found.statement.encode())
            await retention.approve(context, ANNA, "r", found.proposal, api.Approval(signature=signature))
        assert await events() == ["site:pseudonym:issue", "site:pseudonym:reidentify"]
        house.pass_time(days=400)
        done = await retention.delete_due(context, OPERATOR, "r")
        assert [rule.deleted_before for rule in done.rules].count("") == 2  # two events have no entry
        assert await events() == ["site:pseudonym:issue"]
        assert await context.db.read(lambda conn: len(list(held.statements(conn)))) == 0
        await issue_index.refresh(context.db)
        raw = await context.db.read(lambda conn: b"".join(context.log.export(conn)))
        assert len(verify_bundle(io.BytesIO(raw)).deletions) == 2
