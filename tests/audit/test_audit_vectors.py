"""Vectors of bundles and of decisions; those of version 2 were put together without the program."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trustcenter.audit import AuditLog, Event, Report, Witnesses, verify_bundle, verify_log
from trustcenter.audit.cosign import parse_witness
from trustcenter.client.logs.audit_decisions import check
from trustcenter.errors import BundleError


def test_bundle_vectors_of_version_2(bundle2_case: dict[str, Any]) -> None:
    case = bundle2_case
    raw = "".join(line + "\n" for line in case["lines"]).encode()
    mark, old, quorum = case["fingerprint"], case["old_checkpoints"], case["quorum"]
    witnesses = Witnesses(tuple(parse_witness(text) for text in case["witnesses"]), quorum)
    single = [verify_log.read_key(text, 4) for text in case["witnesses"]]

    def ours() -> Report:
        return verify_bundle(io.BytesIO(raw), fingerprint=mark, old_checkpoints=old, witnesses=witnesses)

    if case["expect"] == "verified":
        told = json.loads(case["lines"][-1])["checkpoint"].split("\n")[3].removeprefix("separation ")
        assert ours().separation == told
        found = verify_log.verify(io.BytesIO(raw), mark, old, single, quorum)
        assert found["separation of the rooms"] == (told or "not told")
        return
    with pytest.raises(BundleError) as caught:
        ours()
    assert caught.value.where == case["where"]
    with pytest.raises(verify_log.Broken) as broken:
        verify_log.verify(io.BytesIO(raw), mark, old, single, quorum)
    where = broken.value.args[0]  # that the signature is wrong, or that no known key signed, is one thing to it
    assert where == case["where"] or {where, case["where"]} == {"signature", "checkpoint"}


def test_decision_vectors(decisions_case: dict[str, Any], tmp_path: Path) -> None:
    case = decisions_case
    bundle, decisions = tmp_path / "log.ndjson", tmp_path / "decisions.ndjson"
    bundle.write_text("".join(line + "\n" for line in case["lines"]))
    decisions.write_text("".join(json.dumps(one) + "\n" for one in case["decisions"]))
    if case["expect"] == "verified":
        found = check(decisions, [bundle], [case["fingerprint"]])
        assert found.decisions == len(case["decisions"])
        assert found.erased == sum("salt" not in one for one in case["decisions"])
        return
    with pytest.raises(BundleError) as caught:
        check(decisions, [bundle], [case["fingerprint"]])
    assert caught.value.where == case["where"]


def test_bundle_vectors(bundle_case: dict[str, Any]) -> None:
    raw = "".join(line + "\n" for line in bundle_case["lines"]).encode()
    options = {"fingerprint": bundle_case["fingerprint"] or None, "old_checkpoints": bundle_case["old_checkpoints"]}
    if bundle_case["expect"] == "verified":
        verify_bundle(io.BytesIO(raw), **options)
    else:
        with pytest.raises(BundleError) as caught:
            verify_bundle(io.BytesIO(raw), **options)
        assert caught.value.where == bundle_case["where"]


def test_this_program_writes_the_bundle_of_the_vectors(
    make_log: Callable[..., AuditLog], connection: sqlite3.Connection
) -> None:
    document = json.loads((Path(__file__).parents[1] / "vectors" / "audit" / "bundle.json").read_text())
    expected = next(case["lines"] for case in document["cases"] if case["name"] == "a registrar's log")
    log = make_log(separation="")
    log.append(connection, Event.INSTANCE_INITIALISE, {"who": "service", "instance": "0f" * 16})
    log.append(connection, Event.SITE_CREATE, {"who": "operator", "site": "klinikum-a", "title": "Klinikum „Ä“ \n"})
    log.append(connection, Event.PSEUDONYM_REFUSED, {"who": "klinikum-a", "code": "forbidden", "list": [{"n": -1}]})
    assert [line.decode()[:-1] for line in log.export(connection)] == expected
