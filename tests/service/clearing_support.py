"""A linked study whose doubtful pairs are to be decided, and what a steward asks of it."""

from __future__ import annotations

import csv
import io
from typing import Any

from sources_support import Source
from studies_support import bring, link, make_study, release

from trustcenter.registrar.release.releases import seal_info

SITES = (("north", 1, 0), ("south", 2, 30))


def study(world, recipient_key, name: str, clearing: str) -> dict[str, dict[str, str]]:
    """A linked study of two sites that share 30 persons; study pseudonyms by site and the site's own number."""
    assert make_study(world, recipient_key, name, settings={"clearing": clearing}).status == 201
    found = {}
    for site, number, start in SITES:
        source = Source(name, number, start, 60)
        pseudonyms = bring(world, name, site, source)
        numbers = [bytes(row).hex() for row in source.encoded.record_numbers]
        found[site] = {one.split("-")[1]: pseudonyms[n] for one, n in zip(source.ids, numbers, strict=True)}
    link(world, name)
    return found


def ask(caller: Any, name: str, north: str, south: str):
    body = {"sites": ["north", "south"], "pseudonyms": [north, south]}
    return caller("POST", f"/v1/studies/{name}/clearing", body)


def answer(caller: Any, name: str, task: str, body: dict[str, str]):
    return caller("POST", f"/v1/studies/{name}/clearing/{task}/answers", body)


def waiting(caller: Any, name: str) -> list[str]:
    found = caller("GET", f"/v1/studies/{name}/clearing")
    assert found.status == 200, found.body
    return [task["task"] for task in found.json["tasks"]]


def persons(world, recipient_key, name: str) -> dict[str, str]:
    """Person by study pseudonym, as the recipient sees it."""
    made = release(world, name)
    sealed = world["operator"]("GET", f"/v1/studies/{name}/releases/{made['release']}/join-map").body.partition(b"\n")[
        2
    ]
    text = recipient_key.open(sealed, seal_info(name, made["release"])).decode()
    return {row["study_pseudonym"]: row["person"] for row in csv.DictReader(io.StringIO(text))}
