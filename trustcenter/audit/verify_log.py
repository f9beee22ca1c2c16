#!/usr/bin/env python3
# ruff: noqa: PTH123, RUF012, T201
# mypy: ignore-errors
"""Verify an audit bundle without the program that wrote it: one file, Python 3.11 and `cryptography`, nothing else.

    python verify_log.py BUNDLE --key FINGERPRINT [--checkpoint OLD]... [--witness KEY]... [--quorum N]

BUNDLE is a log (.ndjson), or an archive (.zip) with log.ndjson, and heads that sites cosigned, in it. Exit code 0:
intact; 3: broken, and the first broken part is named; 1: it cannot be read. Written apart from the service's own
verifier, from docs/spec/audit-log.md, audit-bundle.md, checkpoint.md and cosignature.md, so that one checks the other.
"""

import argparse
import base64
import datetime
import hashlib
import io
import json
import re
import sys
import zipfile

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    sys.exit("this needs the package cryptography: python3 -m pip install cryptography")

FORMATS = {"trustcenter/audit-bundle/1": False, "trustcenter/audit-bundle/2": True}
LINE_MAX = 65_535 + 84
EMPTY = hashlib.sha256(b"").digest()
ENTRY = re.compile(rb'\{"hash":"([0-9a-f]{64})","leaf":(.*)\}\n\Z')
OMITTED = re.compile(rb'\{"level":(0|[1-9][0-9]?),"omitted":"([0-9a-f]{64})"\}\n\Z')
NAME = re.compile(r"[^\s+\x00-\x1f]+\Z")
WORD = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
EVENT = re.compile(r"[a-z]+:[a-z]+:([a-z]+)\Z")
TIME = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z\Z"
)
WORDS = {"v", "seq", "event", "who", "outcome", "data"}  # of an entry, with those of its room
OWN = {"registrar": {"time"}, "comparator": {"window"}}
NEEDED = {room: WORDS | own for room, own in OWN.items()}
ALLOWED = {room: WORDS | own | {"clock_skew"} for room, own in OWN.items()}
UNKNOWN_TO_COMPARATOR = {"time", "request", "domain", "serials", "commitment"}
OUTCOMES = {"begun", "done", "failed", "refused"}
SPELL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
READ = json.JSONDecoder().decode
SEEN_MAX = 10_000
SEEN_WORDS = set()  # that matched WORD before: a log has few, and millions of entries
SEEN_EVENTS = {}  # the same for EVENT, with the action
SEPARATIONS = ("separation none", "separation process", "separation operator")
FROZEN = ("comparator:window:compare", "comparator:window:deliver")
ANEW = "registrar:study:announce"


class Broken(Exception):
    """Something is not what was signed: (where, why)."""


def fail(where, why):
    """Raise what is broken, and where."""
    raise Broken(where, why)


def canonical(raw):
    """The value of canonical JSON."""
    value = READ(raw.decode())
    limits([value], 7)
    if SPELL(value).encode() != raw:
        raise ValueError("not in canonical form")
    return value


def limits(value, depth):
    """Refuse what the subset of JSON does not have, in a list or an object."""
    if type(value) not in (dict, list) or depth == 0:
        raise ValueError("only strings, whole numbers, lists and objects, six deep")
    if type(value) is dict:
        for word in value.keys() - SEEN_WORDS:
            if not WORD.match(word):
                raise ValueError("a word is not one")
            if len(SEEN_WORDS) < SEEN_MAX:
                SEEN_WORDS.add(word)
        value = value.values()
    for item in value:
        kind = type(item)
        if kind is not str and not (kind is int and -(2**53) <= item <= 2**53):
            limits(item, depth - 1)


def unbase64(text):
    """The bytes of base64 in its one spelling."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("base64 with another spelling")
    return raw


def read_key(vkey, kind=1):
    """(name, id, public key) of a verifier key; kind 4 is that of a witness."""
    name, ident, text = vkey.split("+", 2)
    raw = unbase64(text)
    if not NAME.match(name) or len(raw) != 33 or raw[0] != kind:
        raise ValueError("not an Ed25519 verifier key")
    if hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() != ident:
        raise ValueError("the id does not belong to the key")
    return name, bytes.fromhex(ident), raw[1:]


def fingerprint(vkey):
    """What people compare: 32 digits in groups of four."""
    digits = hashlib.sha256(vkey.encode()).hexdigest()[:32]
    return "-".join(digits[at : at + 4] for at in range(0, 32, 4))


def split_note(note):
    """Text and signatures (name, id, signature) of a note."""
    if len(note) > 2**20 or not note.endswith("\n") or re.search("[\x00-\x09\x0b-\x1f\ud800-\udfff]", note):
        raise ValueError("not a signed note")
    text, gap, rest = note.rpartition("\n\n")
    if not gap or not text:
        raise ValueError("the note has no signature")
    signatures = []
    for line in rest[:-1].split("\n"):
        dash, name, raw = line.split(" ")
        value = unbase64(raw)
        if dash != "\u2014" or not NAME.match(name) or len(value) < 5:
            raise ValueError("a signature line is malformed")
        signatures.append((name, value[:4], value[4:]))
    if len(signatures) > 100:
        raise ValueError("too many signatures")
    return text + "\n", signatures


def verify_note(note, key):
    """The text of a note that `key` has signed."""
    text, signatures = split_note(note)
    mine = [signature for name, ident, signature in signatures if (name, ident) == key[:2]]
    if not mine:
        raise ValueError("not signed by the expected key")
    for signature in mine:
        Ed25519PublicKey.from_public_bytes(key[2]).verify(signature, text.encode())
    return text


def cosigned(note, key):
    """When a witness says that it saw this head, in seconds since 1970; None if it does not."""
    text, signatures = split_note(note)
    found = None
    for name, ident, raw in signatures:
        if (name, ident) != key[:2]:
            continue
        seconds = int.from_bytes(raw[:8], "big")
        if len(raw) != 72 or not 0 < seconds <= 2**53:
            raise ValueError("not a cosignature")
        signed = f"cosignature/v1\ntime {seconds}\n{text}".encode()
        Ed25519PublicKey.from_public_bytes(key[2]).verify(raw[8:], signed)
        found = max(seconds, found or 0)
    return found


def read_head(text):
    """(origin, size, root, extension lines) of a checkpoint's text."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() or not all(lines):
        raise ValueError("not a checkpoint")
    origin, size, root = lines[:3]
    if not re.fullmatch("0|[1-9][0-9]{0,15}", size) or int(size) > 2**53:
        raise ValueError("the size is not a number")
    found = unbase64(root)
    if len(found) != 32 or (size == "0") != (found == EMPTY):
        raise ValueError("the root is not possible")
    told = [line for line in lines[3:] if line.startswith("separation")]
    if len(told) > 1 or any(line not in SEPARATIONS for line in told):
        raise ValueError("the separation of the rooms is not one word of three")
    return origin, int(size), found, lines[3:]


class Keys:
    """The keys of a log, one after the other."""

    def __init__(self, first, notes):
        self.turns = [(-1, first, "", b"")]  # size of the handover, key, its text, root
        for number, note in enumerate(notes, 1):
            try:
                origin, size, root, more = read_head(split_note(note)[0])
                if origin != first[0] or len(more) != 1 or not more[0].startswith("next-key "):
                    raise ValueError("not a handover")
                vkey = more[0][len("next-key ") :]
                key = read_key(vkey)
                if key[0] != first[0] or any(key[2] == known[2] for _, known, *_ in self.turns):
                    raise ValueError("a key had its turn before")
                if size <= self.turns[-1][0]:
                    raise ValueError("handovers out of order")
                verify_note(note, self.turns[-1][1])
                verify_note(note, key)
            except (ValueError, InvalidSignature):
                fail(f"handover {number}", "a key was not handed over by the one before")
            self.turns.append((size, key, vkey, root))

    def at(self, size):
        """The key that signs heads of this size."""
        return [turn[1] for turn in self.turns if turn[0] < size or turn[0] == -1][-1]

    def open(self, note):
        """A checkpoint that the key of its size has signed."""
        head = read_head(split_note(note)[0])
        key = self.at(head[1])
        if head[0] != key[0]:
            raise ValueError("of another log")
        verify_note(note, key)
        return head


class Tree:
    """A Merkle tree of RFC 6962, as the roots of its complete subtrees."""

    def __init__(self):
        self.size, self.roots = 0, []

    def add(self, level, digest):
        """Take a subtree of 2^level leaves."""
        at = level
        while self.size >> at & 1:
            digest = hashlib.sha256(b"\x01" + self.roots.pop() + digest).digest()
            at += 1
        self.roots.append(digest)
        self.size += 1 << level

    def root(self):
        """The root over all leaves so far."""
        if not self.roots:
            return EMPTY
        digest = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            digest = hashlib.sha256(b"\x01" + left + digest).digest()
        return digest


class Order:
    """Time, or the windows of each study, never go back."""

    def __init__(self, room):
        self.room, self.time, self.windows = room, "", {}

    def see(self, entry):
        """Follow one entry; raises ValueError."""
        if self.room == "registrar":
            if entry["time"] < self.time:
                raise ValueError("time goes back")
            self.time = entry["time"]
            return
        study, window = str(entry["data"].get("study", "")), entry["window"]
        last = self.windows.get(study, 0)
        if entry["event"] in FROZEN:
            if window > last:
                raise ValueError("a window is compared before it is frozen")
        elif window < last and entry["event"] != ANEW:
            raise ValueError("a window goes back")
        else:
            self.windows[study] = window


class Rules:
    """Serials are used once; keys change state as they may; a map leaves with two approvals."""

    STEPS = {
        "activate": ({"pre-active", "suspended"}, "active"),
        "suspend": ({"active"}, "suspended"),
        "deactivate": ({"active", "suspended"}, "deactivated"),
        "compromise": ({"pre-active", "active", "suspended", "deactivated"}, "compromised"),
        "destroy": ({"pre-active", "active", "suspended", "deactivated", "compromised"}, "destroyed"),
        "abort": ({"pre-active"}, "destroyed"),
    }

    def __init__(self):
        self.ranges, self.keys, self.releases = {}, {}, {}

    def see(self, entry):
        """Follow one entry; raises ValueError."""
        event, data, who = entry["event"], entry["data"], entry["who"]
        if event == "site:pseudonym:issue":
            self.issue(data)
            return
        _, kind, action = event.split(":")
        if event == "operator:domain:create":
            self.forget(data.get("domain"))
            self.ranges = {key: value for key, value in self.ranges.items() if key[0] != data.get("domain")}
        elif event.startswith("operator:key:"):
            self.key(action, data)
        elif kind == "release":
            self.release(action, data.get("release"), who)
        elif event in ("instance:service:restore", "instance:service:reopen", "instance:service:move"):
            self.keys, self.releases = {}, {}

    def forget(self, domain):
        """The states of its keys are unknown from here on."""
        self.keys = {key: value for key, value in self.keys.items() if key[0] != domain}

    def issue(self, data):
        """A range of serials, and the key that it was issued under."""
        domain, epoch, first, count = data.get("domain"), data.get("epoch"), data.get("first"), data.get("count")
        if type(domain) is not str or {type(epoch), type(first), type(count)} != {int}:
            return
        if first < 1 or count < 1:
            raise ValueError("a range of serials is not possible")
        ranges, end = self.ranges.setdefault((domain, epoch), []), first + count
        if ranges and ranges[-1][1] == first:
            ranges[-1] = (ranges[-1][0], end)
        else:
            if any(start < end and first < stop for start, stop in ranges):
                raise ValueError("serials were issued a second time")
            ranges.append((first, end))
            ranges.sort()
        version = data.get("key_version")
        if type(version) is int and self.keys.get((domain, "pseudonym", version), "active") != "active":
            raise ValueError("issued under a key that was not active")

    def key(self, action, data):
        """One key went from one state to another."""
        domain, purpose = data.get("domain"), data.get("purpose")
        named = type(domain) is str and type(purpose) is str
        if action in ("rotate", "rollback"):
            old, new = data.get("from_version"), data.get("to_version")
            if not named or type(old) is not int or type(new) is not int:
                self.forget(domain)
                return
            before = self.keys.get((domain, purpose, old), "active")
            if before in ("pre-active", "destroyed"):
                raise ValueError("a key was rotated that was not in use")
            if self.keys.get((domain, purpose, new), "pre-active") not in ("pre-active", "suspended"):
                raise ValueError("a key became active that could not")
            self.keys[domain, purpose, old] = "suspended" if before == "active" else before
            self.keys[domain, purpose, new] = "active"
            return
        version = data.get("version")
        if not named or type(version) is not int:
            return
        key = domain, purpose, version
        if action == "create":
            if self.keys.setdefault(key, "pre-active") != "pre-active":
                raise ValueError("a key was made a second time")
        elif action in self.STEPS:
            before, after = self.STEPS[action]
            if key in self.keys and self.keys[key] not in before:
                raise ValueError("a key went to a state that it could not reach")
            self.keys[key] = after

    def release(self, action, release, who):
        """A join map was proposed, approved, or left."""
        if action == "propose" and type(release) is str:
            self.releases[release] = (who, set())
        elif action == "approve" and release in self.releases:
            if who == self.releases[release][0]:
                raise ValueError("a release was approved by whoever proposed it")
            self.releases[release][1].add(who)
        elif action == "complete" and len(self.releases.pop(release, ("", {1, 2}))[1]) < 2:
            raise ValueError("a join map was released without two approvals")


class Retention:
    """Details of entries are deleted by rules, and none before its time."""

    KINDS = (
        "registrar:run:apply",
        "site:pseudonym:reidentify",
        "site:reidentification:request",
        "auditor:linkage:propose",
    )

    STEPS = (
        "operator:retention:propose",
        "approver:retention:approve",
        "operator:retention:set",
        "operator:detail:delete",
    )

    def __init__(self, whole):
        self.whole, self.rules, self.days, self.before, self.told = whole, {}, {}, {}, []
        self.proposals, self.two_people = {}, False  # proposal: event, years, who, whether approved

    def see(self, entry):
        """Follow one entry; raises ValueError."""
        event, data = entry["event"], entry["data"]
        if event in self.KINDS:
            days = self.days.setdefault(event, {})
            days[entry["time"][:10]] = days.get(entry["time"][:10], 0) + 1
            return
        if event not in self.STEPS:
            return
        kind, years = data.get("detail_of"), data.get("years")
        if kind not in self.KINDS or type(years) is not int or not 1 <= years <= 100:
            raise ValueError("not a rule of retention")
        today = datetime.date.fromisoformat(entry["time"][:10])
        if event == "operator:detail:delete":
            self.delete(data, kind, years, today)
        else:
            self.agree(event, data.get("proposal"), kind, years, entry["who"])
        if event == "operator:retention:set":
            self.rules[kind] = years, today

    def agree(self, event, proposal, kind, years, who):
        """A rule that keeps something for a shorter time takes two people."""
        if event == "operator:retention:propose":
            self.proposals[str(proposal)], self.two_people = [kind, years, who, False], True
            return
        if event == "operator:retention:set" and proposal is None:
            before = self.rules.get(kind)
            if self.two_people and (years < before[0] if before else self.whole):
                raise ValueError("a rule was shortened by one person")
            return
        known = self.proposals.get(str(proposal))
        if known is None:
            if self.whole:
                raise ValueError("a rule was approved or set that nobody proposed")
        elif known[:2] != [kind, years]:
            raise ValueError("another rule was approved or set than was proposed")
        elif event == "approver:retention:approve":
            if who == known[2]:
                raise ValueError("a rule was approved by whoever proposed it")
            known[3] = True
        elif not known[3]:
            raise ValueError("a rule was set that nobody else approved")
        else:
            del self.proposals[str(proposal)]

    def delete(self, data, kind, years, today):
        """What went was old enough."""
        since, before, entries = data.get("since"), data.get("before"), data.get("entries")
        if type(entries) is not int or type(data.get("details")) is not int:
            raise ValueError("a deletion without numbers")
        if any(not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", day) for day in {since, before} - {""}) or not before:
            raise ValueError("a deletion without a period")
        for day in {since, before} - {""}:
            datetime.date.fromisoformat(day)
        rule = self.rules.get(kind)
        if rule is None and self.whole:
            raise ValueError("details were deleted without a rule")
        if rule and (rule[0] != years or rule[1] + datetime.timedelta(30) > today):
            raise ValueError("details were deleted by a rule that was not in force")
        try:
            limit = today.replace(year=today.year - years)
        except ValueError:
            limit = today.replace(year=today.year - years, day=28)
        if before > limit.isoformat():
            raise ValueError("details were deleted that had to be kept")
        known = self.before.get(kind, "" if self.whole else since)
        if since >= before or since != known:
            raise ValueError("the period of a deletion does not follow the one before")
        if self.whole and entries != sum(n for day, n in self.days.get(kind, {}).items() if since <= day < before):
            raise ValueError("a deletion tells another number of entries than there are")
        self.before[kind] = before
        self.told.append(f"{kind} before {before}, kept {years} years: {data['details']} of {entries} entries")


def read_entry(leaf, room):
    """An entry of a room, checked on its own."""
    entry = canonical(leaf)
    if type(entry) is not dict or not NEEDED[room] <= entry.keys() <= ALLOWED[room]:
        raise ValueError("other words than an entry has")
    action = action_of(entry["event"])
    if type(entry["v"]) is not int or entry["v"] != 1 or type(entry["seq"]) is not int:
        raise ValueError("version or place")
    if type(entry["who"]) is not str or not 0 < len(entry["who"]) <= 128 or type(entry["data"]) is not dict:
        raise ValueError("who or data")
    if entry["outcome"] not in OUTCOMES:
        raise ValueError("outcome")
    if (entry["outcome"] == "refused") != (action == "refused"):
        raise ValueError("the outcome does not fit the event")
    if room == "comparator":
        if "clock_skew" in entry or entry["data"].keys() & UNKNOWN_TO_COMPARATOR:
            raise ValueError("what the comparator must not know")
        if type(entry["window"]) is not int or entry["window"] < 0:
            raise ValueError("window")
    else:
        skew = entry.get("clock_skew", 1)
        if type(entry["time"]) is not str or not TIME.match(entry["time"]) or type(skew) is not int or skew < 1:
            raise ValueError("time")
    return entry


def action_of(event):
    """The last of the three words of an event."""
    action = SEEN_EVENTS.get(event)
    if action is None:
        match = EVENT.match(event)
        if match is None:
            raise ValueError("event")
        action = match[1]
        if len(SEEN_EVENTS) < SEEN_MAX:
            SEEN_EVENTS[event] = action
    return action


def verify(stream, expected=None, old_notes=(), witnesses=(), quorum=0):
    """Verify a bundle. Returns what was found; raises Broken."""
    header, keys, signed = read_header(stream, expected)
    selected = signed is not None
    origin, size = header["origin"], header["size"]
    marks, handed = {}, {}
    for number, turn in enumerate(keys.turns[1:], 1):
        if turn[0] >= size:
            fail(f"handover {number}", "a key was handed over after the end of the log")
        handed[turn[0]] = fingerprint(turn[2])
        marks.setdefault(turn[0], []).append(turn[3])
    seen = {}
    for number, note in enumerate(old_notes, 1):
        try:
            old = keys.open(note)
            for witness in witnesses:
                if cosigned(note, witness) and old[1]:
                    seen[witness[0]] = max(old[1], seen.get(witness[0], 0))
        except (ValueError, InvalidSignature):
            fail(f"old checkpoint {number}", "not signed by the key of this log")
        if old[1] > size:
            fail(
                f"old checkpoint {number}",
                "the log is shorter than it was, or this checkpoint is from after the export",
            )
        if old[2] not in marks.setdefault(old[1], [old[2]]):
            fail(f"old checkpoint {number}", "two signed heads of one size differ: two histories were signed")
    if len(seen) < quorum:
        fail("witnesses", f"{len(seen)} of them have cosigned a head of this log, and {quorum} must")
    tree, good = Tree(), 0
    room = origin.rpartition("/")[2]
    order, rules, retention, found, unclaimed = Order(room), Rules(), Retention(not selected), 0, -1
    while True:
        for root in marks.get(tree.size, ()):
            if tree.root() != root:
                fail(span(good, tree.size), "the entries are not those of an earlier head")
            good = tree.size
        if tree.size == size:
            break
        seq = tree.size
        line = stream.readline(LINE_MAX + 1)
        if selected:
            signed.update(line)
        match = ENTRY.match(line) if len(line) <= LINE_MAX else None
        if match is None:
            skip(tree, line, selected, size, marks)
            continue
        digest = hashlib.sha256(b"\0" + match[2]).digest()
        if digest.hex().encode() != match[1]:
            fail(f"entry {seq}", "an entry does not have its hash")
        try:
            entry = read_entry(match[2], room)
            if entry["seq"] != seq:
                raise ValueError("missing, repeated or out of order")
            rules.see(entry)
            retention.see(entry)
            unclaimed = audit_key(entry, handed, unclaimed, "/epoch-" in origin)
            order.see(entry)
        except (ValueError, TypeError, RecursionError) as error:
            fail(f"entry {seq}", f"an entry is not valid: {error if type(error) is ValueError else 'not JSON'}")
        tree.add(0, digest)
        found += 1
    if unclaimed >= 0:
        fail(f"entry {unclaimed}", "another audit key, and no key has signed for it")
    separation = read_footer(stream, keys, tree, good, signed)
    return {
        "origin": origin,
        "entries": f"{found} of {size}",
        "root": tree.root().hex(),
        "keys": [fingerprint(header["vkey"]), *handed.values()],
        "separation of the rooms": separation,
        "selection": header.get("selection") or "everything",
        "details deleted": retention.told,
        "witnesses": seen,
        "agreed": sorted(seen.values(), reverse=True)[quorum - 1] if quorum else 0,
    }


def read_header(stream, expected):
    """The header, its keys, and for an extract the hash that goes on over all its lines."""
    try:
        line = whole_line(stream, "header")
        header = canonical(line)
        second = FORMATS[header["format"]]
        if header.keys() != {"format", "origin", "size", "vkey"} | ({"handovers", "selection"} if second else set()):
            raise ValueError("other words than a header has")
        origin, size, vkey = header["origin"], header["size"], header["vkey"]
        notes = header["handovers"] if second else []
        if type(size) is not int or size < 0 or {type(origin), type(vkey), *map(type, notes)} != {str}:
            raise ValueError("not a header")
        if origin.rpartition("/")[2] not in ("registrar", "comparator") or type(notes) is not list:
            raise ValueError("no such room")
        chosen = header["selection"] if second else {}
        kinds = {"since": str, "until": str, "site": str, "study": str, "events": list}
        if type(chosen) is not dict or any(type(value) is not kinds.get(word) for word, value in chosen.items()):
            raise ValueError("not a selection")
        if any(type(event) is not str for event in chosen.get("events", ())):
            raise ValueError("not a selection")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        fail("header", "not a bundle of a version that this program knows")
    try:
        first = read_key(vkey)
    except ValueError:
        fail("public key", "not an Ed25519 verifier key")
    if expected is not None and re.sub(r"[\s:-]", "", expected.lower()) != fingerprint(vkey).replace("-", ""):
        fail("public key", "not the key of the given fingerprint")
    if first[0] != origin:
        fail("public key", "not the key of this log")
    return header, Keys(first, notes), hashlib.sha256(line + b"\n") if chosen else None


def read_footer(stream, keys, tree, good, signed):
    """The signed head, and the end; returns in which separation of the rooms it says it was signed."""
    try:
        footer = canonical(whole_line(stream, "checkpoint"))
        if footer.keys() != ({"checkpoint", "extract"} if signed else {"checkpoint"}):
            raise ValueError("other words than the last line has")
        head = keys.open(footer["checkpoint"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        fail("checkpoint", "no signed checkpoint of this log follows the last entry")
    except InvalidSignature:
        fail("signature", "the signature of the checkpoint is wrong")
    if head[1] != tree.size:
        fail("checkpoint", "the checkpoint is of another number of entries")
    if head[3] and (len(head[3]) > 1 or head[3][0] not in SEPARATIONS):
        fail("checkpoint", "the checkpoint says more than a head of a log does")
    if head[2] != tree.root():
        fail(span(good, tree.size), "the entries are not those that were signed")
    if signed:
        first = keys.turns[0][1][0]
        text = f"trustcenter/audit-extract/1\n{first}\n{base64.b64encode(signed.digest()).decode()}\n"
        try:
            if verify_note(footer["extract"], keys.turns[-1][1]) != text:
                raise ValueError("another extract")
        except (ValueError, TypeError, AttributeError, InvalidSignature):
            fail("extract", "the extract is not the one that was signed")
    if stream.read(1):
        fail("end", "something follows the end of the bundle")
    return head[3][0].removeprefix("separation ") if head[3] else "not told"


def skip(tree, line, selected, size, marks):
    """Entries that an extract leaves out, told by the root of their subtree."""
    match, seq = OMITTED.match(line) if selected else None, tree.size
    if match is None:
        fail(f"entry {seq}", "a line is not an entry, or the bundle ends too early")
    level, end = int(match[1]), seq + (1 << int(match[1]))
    if seq & ((1 << level) - 1) or end > size:
        fail(f"entry {seq}", "entries were left out that cannot be one subtree")
    if any(seq < at < end for at in marks):
        fail(f"entry {seq}", "an extract leaves out the place of an earlier head")
    tree.add(level, bytes.fromhex(match[2].decode()))


def audit_key(entry, handed, unclaimed, reopened):
    """Hold what an entry says of the audit key against the handovers."""
    data, told = entry["data"], None
    if entry["event"] == "operator:key:rotate" and data.get("purpose") == "audit":
        told = data.get("to_fingerprint")
    if told != handed.get(entry["seq"]):
        if entry["seq"] in handed or not reopened:
            raise ValueError("what it says of the audit key is not what the keys have signed")
        return entry["seq"]
    return -1 if entry["event"] in ("instance:service:reopen", "instance:service:move") else unclaimed


def whole_line(stream, where):
    """The next line without its end."""
    line = stream.readline(LINE_MAX + 1)
    if line[-1:] != b"\n":
        fail(where, "the bundle ends too early, or a line is too long")
    return line[:-1]


def span(start, end):
    """The entries between two heads, in words."""
    return f"entries {start} to {end - 1}" if end - start > 1 else f"entry {start}" if end > start else "checkpoint"


def opened(path):
    """The stream of a bundle, be it a log or an archive with one."""
    if zipfile.is_zipfile(path):
        return io.BufferedReader(zipfile.ZipFile(path).open("log.ndjson"), 1 << 20)
    return open(path, "rb")


def heads_inside(path):
    """Heads in an archive that sites have cosigned."""
    if not zipfile.is_zipfile(path):
        return []
    archive = zipfile.ZipFile(path)
    return [archive.read(name).decode("utf-8") for name in sorted(archive.namelist()) if name.startswith("cosigned/")]


def witness_keys(given):
    """The verifier keys of witnesses, each given as text or as a file."""
    keys = []
    for text in given:
        if "+" not in text:
            with open(text, encoding="utf-8") as file:
                text = file.read()
        keys.append(read_key(text.strip(), 4))
    return keys


def main():
    """Read the command line, verify, say what was found."""
    parser = argparse.ArgumentParser(description="Verify an audit bundle.")
    parser.add_argument("bundle")
    parser.add_argument("--key", help="fingerprint of the log's first key, from paper")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="FILE", help="an earlier checkpoint")
    parser.add_argument("--witness", action="append", default=[], metavar="KEY", help="a site that must have cosigned")
    parser.add_argument("--quorum", type=int, metavar="N", help="how many of the witnesses must have; default all")
    options = parser.parse_args()
    try:
        old = []
        for path in options.checkpoint:
            with open(path, encoding="utf-8", newline="") as file:
                old.append(file.read())
        witnesses = witness_keys(options.witness)
        quorum = len(witnesses) if options.quorum is None else options.quorum
        if not min(1, len(witnesses)) <= quorum <= len(witnesses):
            parser.error("the quorum is at least 1, and not above the number of witnesses")
        with opened(options.bundle) as stream:
            found = verify(stream, options.key, [*old, *heads_inside(options.bundle)], witnesses, quorum)
    except Broken as error:
        where, why = error.args
        print(f"BROKEN at {where}: {why}", file=sys.stderr)
        return 3
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        print("cannot be read", file=sys.stderr)
        return 1
    for word, value in found.items():
        print(f"{word}: {value if type(value) is str else json.dumps(value)}")
    print("intact" if options.key else "intact in itself; without --key anybody could have signed it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
