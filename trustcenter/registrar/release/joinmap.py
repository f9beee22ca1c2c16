"""The join map: which study pseudonyms of different sites are one person, as CSV, sealed to a data recipient."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
from collections import Counter
from dataclasses import dataclass

import numpy as np

from keys import hybrid
from keys.ids import Purpose
from trustcenter.registrar import domains
from trustcenter.registrar.consents import consent_study
from trustcenter.registrar.context import Context
from trustcenter.registrar.pseudonyms import issue, layout
from trustcenter.store import Connection

COLUMNS = ("site", "study_pseudonym", "person", "link_quality", "cluster_size")


Part = tuple[str, int, list[tuple[int, bytes, bytes, float | None]]]  # site, domain, (serial, nonce, person, quality)


@dataclass(frozen=True)
class Built:
    """A sealed map, the records that are in it, and how many withdrawals there had been in the study."""

    sealed: bytes
    sha256: str
    held: list[tuple[int, int, bytes]]  # (domain row id, serial, person) of every record in it
    withdrawals: int


async def build(context: Context, request: str, study: str, recipient: str, info: bytes) -> Built:
    """The join map of a study, sealed to the recipient. Persons get pseudonyms of the recipient's own domain.

    Records whose persons have not permitted today what the study requires are left out.
    """

    def read(conn: Connection) -> tuple[domains.DomainRow, str, list[Part], int]:
        domain, public_key = conn.execute(
            "SELECT domain, public_key FROM recipient WHERE study = ? AND name = ?",
            (study, recipient),
        ).fetchone()
        parts = []
        without = consent_study.left_out(context, conn, study)
        for site, row_id in conn.execute(
            "SELECT site, domain FROM participant WHERE study = ? ORDER BY site", (study,)
        ).fetchall():
            rows = conn.execute(
                "SELECT r.serial, e.nonce, r.person, r.quality FROM record r JOIN entry e"
                " ON e.domain = r.domain AND e.serial = r.serial"
                " WHERE r.domain = ? AND r.state = 'linked' AND r.decoy = 0 AND e.status = 0",
                (row_id,),
            ).fetchall()
            parts.append((site, row_id, [row for row in rows if (row_id, row[0]) not in without]))
        return domains.by_id(conn, domain), public_key, parts, consent_study.withdrawals(conn, study)

    domain, public_key, parts, withdrawals = await context.db.read(read)
    persons = sorted({row[2] for _, _, rows in parts for row in rows})
    tags = await asyncio.to_thread(context.keys.tags, domain.uuid, layout.LOOKUP_VERSION, persons)
    issued = await context.db.write(
        lambda conn: issue.create_or_get(context, conn, domain, persons, tags, "service", request)
    )

    def render(site_domains: dict[int, tuple[domains.DomainRow, int]]) -> bytes:
        names = dict(
            zip(
                persons,
                layout.format_rows(context, domain, issued.version, issued.serials, issued.nonces),
                strict=True,
            )
        )
        sizes = Counter(row[2] for _, _, rows in parts for row in rows)
        lines = []
        for site, row_id, rows in parts:
            site_domain, version = site_domains[row_id]
            strings = layout.format_rows(
                context,
                site_domain,
                version,
                np.fromiter((row[0] for row in rows), dtype=np.uint64, count=len(rows)),
                np.frombuffer(b"".join(row[1] for row in rows), dtype=np.uint8).reshape(len(rows), 5),
            )
            for (_, _, person, quality), string in zip(rows, strings, strict=True):
                lines.append((site, string, names[person], "" if quality is None else f"{quality:.4f}", sizes[person]))
        lines.sort(key=lambda line: (line[2], line[0], line[1]))  # by person: says nothing about order of issue
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(lines)
        return hybrid.seal(public_key, text.getvalue().encode(), info)

    def versions(conn: Connection) -> dict[int, tuple[domains.DomainRow, int]]:
        found = {}
        for _, row_id, _ in parts:
            site_domain = domains.by_id(conn, row_id)
            found[row_id] = (
                site_domain,
                context.ring.active(conn, site_domain.scope, Purpose.PSEUDONYM).version,
            )
        return found

    sealed = await asyncio.to_thread(render, await context.db.read(versions))
    held = [(row_id, row[0], bytes(row[2])) for _, row_id, rows in parts for row in rows]
    digest = await asyncio.to_thread(lambda: hashlib.sha256(sealed).hexdigest())
    return Built(sealed, digest, held, withdrawals)
