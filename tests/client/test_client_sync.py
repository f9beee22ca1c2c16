"""The client as a library, against the real service: blocking calls, streams, batches."""

from __future__ import annotations

from typing import Any

import pytest

from keys import computed
from trustcenter.client import Connection, RemoteError, SyncTrustCenter
from trustcenter.client.settings import Settings
from trustcenter.messages import api as m


@pytest.fixture(scope="module")
def north(live: Any) -> Connection:
    operator = Connection.load(live.operator)
    with SyncTrustCenter(operator) as center:
        center.create_site(m.SiteCreate(name="north", kind=m.SiteKind.HOSPITAL, title="North"))
        center.create_domain("north", "north")
        token = center.create_token("north", 7)
    return Connection(url=operator.url, ca=operator.ca, token=token.token, site="north")


def test_batches_keep_their_order_and_name_what_fails(north: Connection) -> None:
    with SyncTrustCenter(north) as center:
        answer = center.pseudonymize("north", ["a", "", "b", "a", "x" * 300, "bad\x00"])
        again = center.pseudonymize("north", ["b", "a"])
    assert [error.index for error in answer.errors] == [1, 4, 5]
    assert [answer.pseudonyms[i] for i in (1, 4, 5)] == [None] * 3
    assert answer.pseudonyms[0] == answer.pseudonyms[3] == again.pseudonyms[1]
    assert answer.pseudonyms[2] == again.pseudonyms[0]
    assert again.created == 0
    computed.check(again.pseudonyms[0])


def test_streams_are_lists_and_errors_are_errors(north: Connection) -> None:
    with SyncTrustCenter(north, Settings(retry_for=1.0)) as center:
        assert [d.name for d in center.domains()] == ["north"]
        with pytest.raises(RemoteError) as caught:
            center.results("no-such-study")
    assert caught.value.kind == "not_found"


def test_a_job_of_several_calls_runs_in_one_loop(north: Connection) -> None:
    async def job(center: Any) -> tuple[str, int]:
        version = await center.version()
        domain = await center.domain("north")
        return version.product, domain.key_version

    with SyncTrustCenter(north) as center:
        assert center.run(job) == ("trustcenter", 1)


def test_it_is_of_no_use_outside_its_block(north: Connection) -> None:
    with pytest.raises(RuntimeError):
        SyncTrustCenter(north).domains()
    with pytest.raises(AttributeError):
        SyncTrustCenter(north).no_such_call()
