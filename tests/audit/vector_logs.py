"""Logs as the specification describes them, and what their entries and heads may not say, for the vectors."""

from __future__ import annotations

import hashlib
from typing import Any

from vector_parts import ONE, ORIGIN, TWO, Ed25519PrivateKey, b64, canonical, head, mark, note, root, vkey

# Lines that may not stand in the head that ends a bundle.
NOT_OF_A_HEAD = {
    "an unknown separation": ("separation full",),
    "a separation in capitals": ("separation None",),
    "a separation without its word": ("separation",),
    "a separation without the space": ("separation-none",),
    "a separation with a space behind": ("separation none ",),
    "a separation with two spaces": ("separation  none",),
    "two separations": ("separation none", "separation operator"),
    "the same separation twice": ("separation none", "separation none"),
    "another line": ("opaque",),
    "another line before the separation": ("opaque", "separation none"),
    "another line after the separation": ("separation none", "opaque"),
    "the next key": (f"next-key {vkey(ORIGIN, TWO)}",),
}


PROPOSE, AGREE, SET = "operator:retention:propose", "approver:retention:approve", "operator:retention:set"
# Name, (event, who, years, proposal)..., what is named.
RULES: list[tuple[str, list[tuple[str, str, int, str]], str]] = [
    ("proposed, approved and set", [(PROPOSE, "olga", 9, "a"), (AGREE, "anna", 9, "a"), (SET, "olga", 9, "a")], ""),
    (
        "lengthened by one person",
        [(PROPOSE, "olga", 9, "a"), (AGREE, "anna", 9, "a"), (SET, "olga", 9, "a"), (SET, "olga", 10, "")],
        "",
    ),
    ("set by one person in a log without proposals", [(SET, "olga", 9, ""), (SET, "olga", 8, "")], ""),
    ("proposed and not approved", [(PROPOSE, "olga", 9, "a")], ""),
    ("approved by whoever proposed it", [(PROPOSE, "olga", 9, "a"), (AGREE, "olga", 9, "a")], "entry 1"),
    ("approved and not proposed", [(AGREE, "anna", 9, "a")], "entry 0"),
    ("approved for other years", [(PROPOSE, "olga", 9, "a"), (AGREE, "anna", 8, "a")], "entry 1"),
    ("set and not approved", [(PROPOSE, "olga", 9, "a"), (SET, "olga", 9, "a")], "entry 1"),
    ("set by a proposal that is not there", [(SET, "olga", 9, "a")], "entry 0"),
    ("set for other years", [(PROPOSE, "olga", 9, "a"), (AGREE, "anna", 9, "a"), (SET, "olga", 8, "a")], "entry 2"),
    (
        "set twice by one proposal",
        [(PROPOSE, "olga", 9, "a"), (AGREE, "anna", 9, "a"), (SET, "olga", 9, "a"), (SET, "olga", 9, "a")],
        "entry 3",
    ),
    ("shortened by one person", [(SET, "olga", 9, ""), (PROPOSE, "olga", 8, "a"), (SET, "olga", 8, "")], "entry 2"),
    ("the first by one person after a proposal", [(PROPOSE, "olga", 9, "a"), (SET, "olga", 9, "")], "entry 1"),
]


class Log:
    """A log as the specification describes it, with one key after the other."""

    def __init__(self, origin: str = ORIGIN) -> None:
        self.origin, self.leaves, self.handovers = origin, list[bytes](), list[str]()
        self.first = self.key = ONE

    def add(self, event: str, day: str = "2026-11-24", who: str = "anna", **data: Any) -> None:
        seq = len(self.leaves)
        entry = {"v": 1, "seq": seq, "event": event, "who": who, "outcome": "done", "data": data}
        if self.origin.endswith("comparator"):
            entry["window"] = data.pop("_window", 0)
        else:
            entry["time"] = f"{day}T12:00:{seq // 60:02d}.{seq % 60:06d}Z"
        self.leaves.append(canonical(entry))

    def hashes(self, end: int | None = None) -> list[bytes]:
        return [hashlib.sha256(b"\0" + leaf).digest() for leaf in self.leaves[:end]]

    def head(self, size: int | None = None, *more: str) -> str:
        count = len(self.leaves) if size is None else size
        return head(count, root(self.hashes(count)), *more, origin=self.origin)

    def signed(self, size: int | None = None, *who: Ed25519PrivateKey, more: tuple[str, ...] = ()) -> str:
        return note(self.head(size, *more), *(who or (self.key,)), name=self.origin)

    def hand_over(self, new: Ed25519PrivateKey, told: bool = True, **data: Any) -> None:
        text = self.head()[:-1] + f"\nnext-key {vkey(self.origin, new)}\n"
        self.handovers.append(note(text, self.key, new, name=self.origin))
        if told:
            marks = {
                word: mark(vkey(self.origin, k))
                for word, k in (("from_fingerprint", self.key), ("to_fingerprint", new))
            }
            self.add("operator:key:rotate", purpose="audit", **{**marks, **data})
        self.key = new

    def bundle(
        self, omit: dict[int, int] | None = None, selection: dict[str, Any] | None = None, **other: Any
    ) -> list[str]:
        """Lines; `omit` says at which places subtrees of which level stand for entries."""
        chosen = selection or {}
        header = {
            "format": "trustcenter/audit-bundle/2", "handovers": self.handovers, "origin": self.origin,
            "selection": chosen, "size": len(self.leaves), "vkey": vkey(self.origin, self.first),
        }  # fmt: skip
        lines, hashes, at = [canonical({**header, **other.get("header", {})})], self.hashes(), 0
        while at < len(self.leaves):
            if omit and at in omit:
                step = 1 << omit[at]
                top = root(hashes[at : at + step]).hex()
                lines.append(f'{{"level":{omit[at]},"omitted":"{top}"}}'.encode())
            else:
                step = 1
                lines.append(b'{"hash":"%s","leaf":%s}' % (hashes[at].hex().encode(), self.leaves[at]))
            at += step
        footer: dict[str, Any] = {"checkpoint": other.get("checkpoint") or self.signed()}
        if chosen:
            digest = hashlib.sha256(b"".join(text + b"\n" for text in lines)).digest()
            text = f"trustcenter/audit-extract/1\n{self.origin}\n{b64(digest)}\n"
            footer["extract"] = note(text, other.get("extractor", self.key), name=self.origin)
        return [text.decode() for text in [*lines, canonical(footer)]]


def rotated(*keys: Ed25519PrivateKey) -> Log:
    log = Log()
    log.add("instance:service:initialise", who="service", instance="0f" * 16)
    log.add("operator:site:create", site="uk-nord")
    for number, new in enumerate(keys):
        log.hand_over(new)
        log.add("site:pseudonym:issue", who="uk-nord", domain="nord", epoch=0, first=number * 10 + 1, count=5)
    return log


def aged(rule: str, deleted: str, **changes: Any) -> Log:
    """A log in which details are deleted by a rule."""
    kind, log = "site:pseudonym:reidentify", Log()
    log.add(kind, "2026-01-01", "uk-nord", commitment="00")
    log.add(kind, "2026-01-04", "uk-nord", commitment="11")
    if rule:
        log.add("operator:retention:set", rule, detail_of=kind, years=1)
    told = {"detail_of": kind, "years": 1, "since": "", "before": "2026-01-03", "entries": 1, "details": 1, **changes}
    log.add("operator:detail:delete", deleted, **told)
    return log
