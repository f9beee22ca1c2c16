"""The client for scripts without an event loop of their own, and for programs of several threads.

The asynchronous client runs in a thread of its own. Methods block the thread that calls them, and may be called from
many at a time: their single calls then share requests as those of tasks do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from .api import TrustCenter
from .connection import Connection
from .settings import DEFAULT, Settings

P = ParamSpec("P")
T = TypeVar("T")

_AT_ONCE = 1000  # items of a stream handed over at a time


def _blocking(
    method: Callable[Concatenate[TrustCenter, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncTrustCenter, P], T]:
    def call(self: SyncTrustCenter, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(lambda center: method(center, *args, **kwargs))

    update_wrapper(call, method)
    return call


def _streaming(
    method: Callable[Concatenate[TrustCenter, P], AsyncIterator[T]],
) -> Callable[Concatenate[SyncTrustCenter, P], Iterator[T]]:
    def call(self: SyncTrustCenter, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        stream: AsyncIterator[T] | None = None

        async def more(center: TrustCenter) -> list[T]:
            nonlocal stream
            if stream is None:
                stream = method(center, *args, **kwargs)
            part: list[T] = []
            while len(part) < _AT_ONCE:
                try:
                    part.append(await anext(stream))
                except StopAsyncIteration:
                    break
            return part

        async def close(_: TrustCenter) -> None:
            if stream is not None and (end := getattr(stream, "aclose", None)) is not None:
                await end()

        try:
            while part := self.run(more):
                yield from part
                if len(part) < _AT_ONCE:
                    return
        finally:
            self.run(close)

    update_wrapper(call, method)
    return call


class SyncTrustCenter:
    """`TrustCenter` with methods that block: the same names, arguments and answers; streams are iterators.

    `run` takes any coroutine function that wants the asynchronous client, such as those of
    `trustcenter.client.tables`.

    Example:
        with SyncTrustCenter(Connection.load(path)) as center:
            answer = center.pseudonymize("uk-nord", ["4711", "4712"])
    """

    def __init__(self, connection: Connection, settings: Settings = DEFAULT, *, heads: Path | None = None) -> None:
        self._connection = connection
        self._settings = settings
        self._heads = heads
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._center: TrustCenter | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="trustcenter-client", daemon=True)
        self._thread.start()

        async def enter() -> TrustCenter:
            return await TrustCenter(self._connection, self._settings, heads=self._heads).__aenter__()

        try:
            self._center = self._wait(enter())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        center, self._center = self._center, None
        try:
            if center is not None:
                self._wait(center.__aexit__(kind, error, trace))
        finally:
            self._stop()

    def run(self, job: Callable[[TrustCenter], Coroutine[Any, Any, T]]) -> T:
        """Run a job with the asynchronous client and wait for its result."""
        if self._center is None:
            raise RuntimeError("use the client inside `with`")
        return self._wait(job(self._center))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # An interruption by the keyboard must not leave the work going on behind the caller's back.
            future.cancel()
            raise

    def _stop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    version = _blocking(TrustCenter.version)
    create_site = _blocking(TrustCenter.create_site)
    sites = _blocking(TrustCenter.sites)
    add_staff = _blocking(TrustCenter.add_staff)
    staff = _blocking(TrustCenter.staff)
    create_domain = _blocking(TrustCenter.create_domain)
    domains = _blocking(TrustCenter.domains)
    domain = _blocking(TrustCenter.domain)
    keys = _blocking(TrustCenter.keys)
    pseudonymize = _blocking(TrustCenter.pseudonymize)
    translate = _blocking(TrustCenter.translate)
    pseudonym = _blocking(TrustCenter.pseudonym)
    translate_one = _blocking(TrustCenter.translate_one)
    translations = _streaming(TrustCenter.translations)
    request_reidentification = _blocking(TrustCenter.request_reidentification)
    reidentifications = _blocking(TrustCenter.reidentifications)
    reidentification = _blocking(TrustCenter.reidentification)
    approve_reidentification = _blocking(TrustCenter.approve_reidentification)
    deny_reidentification = _blocking(TrustCenter.deny_reidentification)
    originals = _blocking(TrustCenter.originals)
    allow_sponsor = _blocking(TrustCenter.allow_sponsor)
    create_enrolment = _blocking(TrustCenter.create_enrolment)
    create_rows_enrolment = _blocking(TrustCenter.create_rows_enrolment)
    redeem_rows_enrolment = _blocking(TrustCenter.redeem_rows_enrolment)
    enrolments = _blocking(TrustCenter.enrolments)
    revoke_enrolment = _blocking(TrustCenter.revoke_enrolment)
    redeem_enrolment = _blocking(TrustCenter.redeem_enrolment)
    set_card = _blocking(TrustCenter.set_card)
    member_cards = _blocking(TrustCenter.member_cards)
    share_secret = _blocking(TrustCenter.share_secret)
    own_secret_shares = _blocking(TrustCenter.own_secret_shares)
    confirm_secret = _blocking(TrustCenter.confirm_secret)
    secret_state = _blocking(TrustCenter.secret_state)
    sealed_results = _streaming(TrustCenter.sealed_results)
    register = _blocking(TrustCenter.register)
    own_records = _streaming(TrustCenter.own_records)
    require_rooms = _blocking(TrustCenter.require_rooms)
    open_upload = _blocking(TrustCenter.open_upload)
    put_chunk = _blocking(TrustCenter.put_chunk)
    complete_upload = _blocking(TrustCenter.complete_upload)
    send_map = _blocking(TrustCenter.send_map)
    results = _streaming(TrustCenter.results)
    create_study = _blocking(TrustCenter.create_study)
    studies = _blocking(TrustCenter.studies)
    study = _blocking(TrustCenter.study)
    start_run = _blocking(TrustCenter.start_run)
    plan_run = _blocking(TrustCenter.plan_run)
    runs = _blocking(TrustCenter.runs)
    show_run = _blocking(TrustCenter.run)
    cancel_run = _blocking(TrustCenter.cancel_run)
    move_study = _blocking(TrustCenter.move_study)
    name_lead = _blocking(TrustCenter.name_lead)
    declare_duplicates = _blocking(TrustCenter.declare_duplicates)
    clearing = _blocking(TrustCenter.clearing)
    ask_clearing = _blocking(TrustCenter.ask_clearing)
    answer_clearing = _blocking(TrustCenter.answer_clearing)
    postpone_clearing = _blocking(TrustCenter.postpone_clearing)
    retract_clearing = _blocking(TrustCenter.retract_clearing)
    propose_release = _blocking(TrustCenter.propose_release)
    releases = _blocking(TrustCenter.releases)
    release = _blocking(TrustCenter.release)
    approve_release = _blocking(TrustCenter.approve_release)
    join_map = _streaming(TrustCenter.join_map)
    audit_export = _streaming(TrustCenter.audit_export)
    audit_extract = _streaming(TrustCenter.audit_extract)
    audit_checkpoint = _blocking(TrustCenter.audit_checkpoint)
    inclusion = _blocking(TrustCenter.inclusion)
    consistency = _blocking(TrustCenter.consistency)
    propose_decisions = _blocking(TrustCenter.propose_decisions)
    disclosure = _blocking(TrustCenter.disclosure)
    approve_disclosure = _blocking(TrustCenter.approve_disclosure)
    decisions = _streaming(TrustCenter.decisions)
    subject_report = _blocking(TrustCenter.subject_report)
    propose_closing = _blocking(TrustCenter.propose_closing)
    send_consents = _blocking(TrustCenter.send_consents)
    closing = _blocking(TrustCenter.closing)
    send_record_consents = _blocking(TrustCenter.send_record_consents)
    approve_closing = _blocking(TrustCenter.approve_closing)
    consents = _blocking(TrustCenter.consents)
    destroy_domain = _blocking(TrustCenter.destroy_domain)
    get_pseudonyms = _blocking(TrustCenter.get_pseudonyms)
    record_consents = _blocking(TrustCenter.record_consents)
    additional = _blocking(TrustCenter.additional)
    validate = _blocking(TrustCenter.validate)
    anonymise = _blocking(TrustCenter.anonymise)
    delete = _blocking(TrustCenter.delete)
    import_pairs = _blocking(TrustCenter.import_pairs)
    rotate_key = _blocking(TrustCenter.rotate_key)
    rotations = _blocking(TrustCenter.rotations)
    rotation = _blocking(TrustCenter.rotation)
    rotation_step = _blocking(TrustCenter.rotation_step)
    verify_rotation = _blocking(TrustCenter.verify_rotation)
    acknowledge_map = _blocking(TrustCenter.acknowledge_map)
    key_act = _blocking(TrustCenter.key_act)
    compromise_key = _blocking(TrustCenter.compromise_key)
    schedule_key = _blocking(TrustCenter.schedule_key)
    keys_due = _blocking(TrustCenter.keys_due)
    propose_for_key = _blocking(TrustCenter.propose_for_key)
    key_proposal = _blocking(TrustCenter.key_proposal)
    approve_for_key = _blocking(TrustCenter.approve_for_key)
    set_site_key = _blocking(TrustCenter.set_site_key)
    site_key = _blocking(TrustCenter.site_key)
    compromise_room_keys = _blocking(TrustCenter.compromise_room_keys)
    rotate_room_keys = _blocking(TrustCenter.rotate_room_keys)
    schedule_room_keys = _blocking(TrustCenter.schedule_room_keys)
    key_proposals = _blocking(TrustCenter.key_proposals)
    rotation_map = _streaming(TrustCenter.rotation_map)
    acknowledge_changes = _blocking(TrustCenter.acknowledge_changes)
    ask_sites = _blocking(TrustCenter.ask_sites)
    approve_retention = _blocking(TrustCenter.approve_retention)
    audit_cosign = _blocking(TrustCenter.audit_cosign)
    audit_cosigned = _blocking(TrustCenter.audit_cosigned)
    calibrations = _blocking(TrustCenter.calibrations)
    changes = _blocking(TrustCenter.changes)
    delete_details = _blocking(TrustCenter.delete_details)
    drop_calibration = _blocking(TrustCenter.drop_calibration)
    questions = _blocking(TrustCenter.questions)
    renew_study = _blocking(TrustCenter.renew_study)
    reply = _blocking(TrustCenter.reply)
    retention = _blocking(TrustCenter.retention)
    retention_proposal = _blocking(TrustCenter.retention_proposal)
    send_calibration = _blocking(TrustCenter.send_calibration)
    set_retention = _blocking(TrustCenter.set_retention)
    statements = _streaming(TrustCenter.statements)
    study_versions = _blocking(TrustCenter.study_versions)
