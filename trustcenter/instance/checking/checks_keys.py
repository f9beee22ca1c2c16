"""What `doctor` looks at of keys: what should have been rotated, and what was begun and not ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from keys.store import KeyStore
from linkage.wording import counted
from trustcenter.clock import stamp, utc_now
from trustcenter.comparator import receipt_keys
from trustcenter.config import Config
from trustcenter.instance.parts import room_snapshot
from trustcenter.instance.rotating import room_key_leaks, room_key_record, room_key_show
from trustcenter.messages import api
from trustcenter.registrar.rotating import key_compromise, keycare, rotation_record, rotation_show
from trustcenter.store import Connection

from .finding import Finding


def schedules(config: Config, stores: Mapping[str, KeyStore]) -> Iterator[Finding]:
    """Every key whose schedule says that it should have been rotated."""
    late: list[api.KeyDue] = []
    for room, keys in stores.items():
        with room_snapshot(config, room) as conn:
            if room == "registrar":
                late += [one for one in keycare.due(conn, utc_now()) if one.overdue]
            if not room_key_record.there(conn):
                continue
            late += [one for one in room_key_show.due(room, keys, conn, utc_now()) if one.overdue]
    if late:
        named = ", ".join(f"{one.domain or one.room} ({one.purpose}, {one.due[:10]})" for one in late)
        yield Finding("key schedule", "warn", f"overdue: {named}", "; ".join(dict.fromkeys(map(_command, late))))
    else:
        yield Finding("key schedule", "ok", "no key is overdue")


def receipts(config: Config, stores: Mapping[str, KeyStore]) -> Iterator[Finding]:
    """Whether the comparator's key store has the key that its receipts are signed with, by way of every handover."""
    if "comparator" in stores:
        with room_snapshot(config, "comparator") as conn:
            count = receipt_keys.verify(stores["comparator"], conn) if room_key_record.there(conn) else 0
        yield Finding("receipt keys", "ok", f"{counted(count, 'handover')} to the key in use")


def _command(one: api.KeyDue) -> str:
    if one.purpose == "sealing":
        return "trustcenter keys rekey DIR"
    if one.room is not None:
        return f"trustcenter keys rotate --room {one.room}"
    return f"trustcenter keys rotate {one.domain}" + ("" if one.purpose == "pseudonym" else f" --purpose {one.purpose}")


def rotations(config: Config, stores: Mapping[str, KeyStore]) -> Iterator[Finding]:
    """Rotations under way: those that a crash left, and those whose parties had their time."""
    waiting, running = [], 0
    for room in stores:
        with room_snapshot(config, room) as conn:
            if not room_key_record.there(conn):
                continue
            waiting += [f"{room} ({one.id}, {one.stage})" for one in room_key_record.listed(conn) if one.open]
            if room == "registrar":
                late, others = _of_domains(conn)
                waiting, running = waiting + late, others
    if waiting:
        hint = "trustcenter keys rotation list says what comes next of each"
        yield Finding("key rotations", "warn", f"not ended: {', '.join(waiting)}", hint)
    else:
        yield Finding("key rotations", "ok", f"{running} under way" if running else "none under way")


def leaks(config: Config, stores: Mapping[str, KeyStore]) -> Iterator[Finding]:
    """Leaks that were reported, and not carried out to their end because something died in between."""
    commands = []
    for room in stores:
        with room_snapshot(config, room) as conn:
            if room == "registrar":
                commands += [f"{name} --version {version}" for name, version in key_compromise.interrupted(conn)]
            if room_key_record.there(conn, room_key_leaks.MIGRATION) and room_key_leaks.pending(conn):
                commands.append(f"--room {room}")
    for command in commands:
        hint = f"go on with it: trustcenter keys compromise {command} --reason TEXT"
        yield Finding("key leaks", "warn", f"{command}: reported, and not carried out to its end", hint)
    if not commands:
        yield Finding("key leaks", "ok", "none waits to be carried out")


def _of_domains(conn: Connection) -> tuple[list[str], int]:
    late, others = [], 0
    for one in rotation_record.listed(conn):
        if not one.open:
            continue
        if one.stage == "prepared" or one.deadline < stamp(utc_now()):
            late.append(f"{rotation_show.by_scope(conn, one.scope).name} ({one.id}, {one.stage})")
        else:
            others += 1
    return late, others
