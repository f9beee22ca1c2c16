"""The client as a library, against the real service: blocking calls, streams, batches."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from keys import computed
from trustcenter.client import Connection, RemoteError, SyncTrustCenter, TrustCenter
from trustcenter.client.parts.access import Access
from trustcenter.client.settings import Settings
from trustcenter.messages import api as m


@pytest.fixture(scope="module")
def north(live: Any) -> Connection:
    operator = Connection.load(live.operator)
    with SyncTrustCenter(operator) as center:
        center.create_site(m.SiteCreate(name="north", kind=m.SiteKind.HOSPITAL, title="North"))
        center.create_domain(m.DomainCreate(name="north", site="north"))
        token = center.run(lambda calls: Access(calls).create_token("site", "north", 7))
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


def test_streams_are_iterators_and_errors_are_errors(live: Any, north: Connection) -> None:
    with SyncTrustCenter(north, Settings(retry_for=1.0)) as center:
        assert [d.name for d in center.domains()] == ["north"]
        with pytest.raises(RemoteError) as caught:
            list(center.results("no-such-study"))
        assert caught.value.kind == "not_found"
        old = center.pseudonymize("north", [f"s-{i}" for i in range(2500)]).pseudonyms
    with SyncTrustCenter(Connection.load(live.operator)) as center:
        center.rotate_key("north", m.RotateRequest(dry_run=False, expected_version=1))
    with SyncTrustCenter(north) as center:
        found = {pair.old: pair.new for pair in center.translations("north", 1)}
        assert set(old) <= set(found)
        first = next(iter(center.translations("north", 1)))  # an iterator that is left before its end
        assert found[first.old] == first.new
        assert center.translate("north", [first.old]).pseudonyms == [first.new]


def test_a_job_of_several_calls_runs_in_one_loop(north: Connection) -> None:
    async def job(center: Any) -> tuple[str, int]:
        version = await center.version()
        domain = await center.domain("north")
        return version.product, domain.key_version

    with SyncTrustCenter(north) as center:
        assert center.run(job) == ("trustcenter", 2)


def test_it_is_of_no_use_outside_its_block(north: Connection) -> None:
    with pytest.raises(RuntimeError):
        SyncTrustCenter(north).domains()
    with pytest.raises(AttributeError):
        SyncTrustCenter(north).no_such_call()


def test_threads_share_requests(north: Connection) -> None:
    with SyncTrustCenter(north) as center, ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda i: center.pseudonym("north", f"t-{i % 200}"), range(400)))
        again = center.pseudonymize("north", [f"t-{i}" for i in range(200)])
    assert found == [*again.pseudonyms, *again.pseudonyms]
    assert again.created == 0


def test_it_has_every_call_of_the_asynchronous_client_with_the_same_arguments() -> None:
    names = {"run": "show_run"}  # `run` runs a job
    for name, method in inspect.getmembers(TrustCenter, inspect.isroutine):
        if name.startswith("_") or not (inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)):
            continue
        own = getattr(SyncTrustCenter, names.get(name, name), None)
        assert own is not None, f"client/sync.py lacks: {name} = _blocking(TrustCenter.{name})"
        assert inspect.signature(own) == inspect.signature(method)
        assert own.__doc__
