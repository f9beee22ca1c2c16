"""Bundles of version 2 for the vectors."""
# ruff: noqa: E501 - one case, one line

from __future__ import annotations

import json
from typing import Any

from vector_logs import NOT_OF_A_HEAD, RULES, Log, aged, rotated
from vector_parts import COMPARATOR, ONE, ORIGIN, OTHER, SITE, THREE, TWO, WITNESS, cosigned, mark, note, vkey


def bundles() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = []

    def case(name: str, lines: list[str], where: str = "", old: list[str] | None = None, **more: Any) -> None:
        header = json.loads(lines[0])
        told = {"fingerprint": mark(header["vkey"]), "old_checkpoints": old or [], "witnesses": [], "quorum": 0, **more}
        cases.append(
            {"name": name, **told, "lines": lines, "expect": "rejected" if where else "verified", "where": where}
        )

    one, two = rotated(TWO), rotated(TWO, THREE)
    case("one handover", one.bundle())
    case("two handovers", two.bundle())
    case("no handover, in the form of version 2", rotated().bundle())
    case("earlier heads by the key of their size", two.bundle(), old=[two.signed(2, ONE), two.signed(4, TWO)])
    late = [two.signed(4, ONE)]
    case("an earlier head by a key that had handed over", two.bundle(), "old checkpoint 1", late)
    case("an earlier head by a key before its turn", two.bundle(), "old checkpoint 1", [two.signed(2, TWO)])
    case("the checkpoint by the key before", two.bundle(checkpoint=two.signed(None, TWO)), "signature")
    case("the checkpoint by a stranger", two.bundle(checkpoint=two.signed(None, OTHER)), "signature")
    text = one.handovers[0].split("\n\n")[0] + "\n"
    for name, by in (("old", (ONE,)), ("new", (TWO,)), ("a stranger's", (OTHER, TWO))):
        case(
            f"a handover with the {name} signature only",
            one.bundle(header={"handovers": [note(text, *by)]}),
            "handover 1",
        )
    case("a handover that is none", one.bundle(header={"handovers": [one.signed(2, ONE)]}), "handover 1")
    case("the same handover twice", one.bundle(header={"handovers": one.handovers * 2}), "handover 2")
    case("handovers in another order", two.bundle(header={"handovers": two.handovers[::-1]}), "handover 1")
    case("a key that comes back", rotated(TWO, ONE).bundle(), "handover 2")
    foreign = text.replace(vkey(ORIGIN, TWO), vkey(COMPARATOR, TWO))
    case(
        "a handover to a key of another name", one.bundle(header={"handovers": [note(foreign, ONE, TWO)]}), "handover 1"
    )
    untold = rotated()
    untold.hand_over(TWO, told=False)
    case("a handover after the end", untold.bundle(), "handover 1")
    untold.add("operator:site:create", site="uk-sued")
    case("a handover that no entry tells of", untold.bundle(), "entry 2")
    case("an entry that tells of a handover that is not there", one.bundle(header={"handovers": []}), "entry 2")
    other = rotated()
    other.hand_over(TWO, to_fingerprint=mark(vkey(ORIGIN, THREE)))
    case("an entry that tells of another key", other.bundle(), "entry 2")

    chosen = {"events": ["site:pseudonym:issue"]}
    case("an extract", two.bundle({0: 1, 4: 0}, chosen))
    case("an extract of nothing, told by subtrees between handovers", two.bundle({0: 1, 2: 1, 4: 1}, chosen))
    seven = rotated()
    for n in range(5):
        seven.add("operator:site:create", site=f"s{n}")
    case("an extract over an earlier head", seven.bundle({0: 1, 2: 1, 5: 0}, chosen), old=[seven.signed(4)])
    case("an extract that jumps over an earlier head", seven.bundle({0: 2}, chosen), "entry 0", [seven.signed(3)])
    case("an extract that jumps over a handover", two.bundle({0: 2}, chosen), "entry 0")
    case("entries left out of a whole log", seven.bundle({0: 2}), "entry 0")
    for name, level in (("beyond the end", 3), ("out of place", 1)):
        at = 0 if level == 3 else 3
        lines = seven.bundle({at: 0}, chosen)
        lines[at + 1] = lines[at + 1].replace('"level":0', f'"level":{level}')
        case(f"a subtree {name}", lines, f"entry {at}")
    for name, text in (
        ("with a leading zero", '"level":00'),
        ("negative", '"level":-1'),
        ("with a space", '"level": 0'),
    ):
        lines = [part.replace('"level":0', text) for part in seven.bundle({3: 0}, chosen)]
        case(f"a level {name}", lines, "entry 3")
    for name, size in (("31", 62), ("33", 66), ("no", 0)):
        lines = seven.bundle({3: 0}, chosen)
        lines[4] = f'{{"level":0,"omitted":"{"a" * size}"}}'
        case(f"a subtree's hash of {name} bytes", lines, "entry 3")
    lines = seven.bundle({3: 0}, chosen)
    lines[4] = f'{{"level":0,"omitted":"{"ab" * 32}"}}'
    case("another hash of a subtree", lines, "entries 0 to 6")
    hidden = [*seven.bundle({}, chosen)]
    hidden[1:3] = seven.bundle({0: 1}, chosen)[1:2]
    case("entries left out after signing", hidden, "extract")
    case(
        "another choice than was signed",
        [seven.bundle({0: 1}, {"site": "s1"})[0], *seven.bundle({0: 1}, chosen)[1:]],
        "extract",
    )
    case("an extract signed by the key before", two.bundle({0: 1}, chosen, extractor=TWO), "extract")
    bare = seven.bundle({0: 1}, chosen)
    bare[-1] = json.dumps({"checkpoint": seven.signed()}, separators=(",", ":"), ensure_ascii=False)
    case("an extract without its note", bare, "checkpoint")
    for name, change in (
        ("an unknown word", {"selection": {"colour": "red"}}),
        ("a number as site", {"selection": {"site": 7}}),
        ("numbers as events", {"selection": {"events": [7]}}),
        ("a list as selection", {"selection": []}),
        ("text as handovers", {"handovers": "x"}),
        ("a negative size", {"size": -1}),
        ("text as size", {"size": "7"}),
        ("the format of version 1", {"format": "trustcenter/audit-bundle/1"}),
        ("an unknown format", {"format": "trustcenter/audit-bundle/3"}),
    ):
        case(f"a header with {name}", seven.bundle(header=change), "header")
    forked = rotated()
    forked.add("operator:site:create", site="elsewhere")
    pair = [seven.signed(3), forked.signed(3)]
    case("two signed heads of one size", seven.bundle(), "old checkpoint 2", pair)
    case("an earlier head of another history", seven.bundle(), "entries 0 to 2", pair[1:])

    for word in ("none", "process", "operator"):
        told = (f"separation {word}",)
        case(f"a head of separation {word}", seven.bundle(checkpoint=seven.signed(more=told)))
    case(
        "earlier heads without, of one and of another separation",
        seven.bundle(checkpoint=seven.signed(more=told)),
        old=[seven.signed(3), seven.signed(3, more=("separation none",)), seven.signed(4, more=("other", *told))],
    )
    case(
        "an extract under a head of separation operator",
        seven.bundle({0: 1}, chosen, checkpoint=seven.signed(more=told)),
    )
    for name, lines in NOT_OF_A_HEAD.items():
        case(f"a head with {name}", seven.bundle(checkpoint=seven.signed(more=lines)), "checkpoint")
    odd = [seven.signed(3, more=("separation full",))]
    case("an earlier head of an unknown separation", seven.bundle(), "old checkpoint 1", odd)
    both = one.handovers[0].split("\n\n")[0] + "\nseparation none\n"
    case("a handover with a separation", one.bundle(header={"handovers": [note(both, ONE, TWO)]}), "handover 1")

    case("details deleted by a rule", aged("2026-02-01", "2027-01-03").bundle())
    case("details deleted without a rule", aged("", "2027-01-03").bundle(), "entry 2")
    case("details deleted a day too early", aged("2026-02-01", "2027-01-02").bundle(), "entry 3")
    case("details deleted 29 days after the rule", aged("2026-12-05", "2027-01-03").bundle(), "entry 3")
    case("details deleted 30 days after the rule", aged("2026-12-04", "2027-01-03").bundle())
    for name, changes in (
        ("of other years", {"years": 2}), ("of more entries", {"entries": 2}), ("of an event without details", {"detail_of": "site:pseudonym:issue"}),
        ("of days that are none", {"before": "2026-01-0x"}), ("that leaves out days", {"since": "2026-01-01"}),
    ):  # fmt: skip
        case(f"a deletion {name}", aged("2026-02-01", "2027-01-03", **changes).bundle(), "entry 3")

    for name, steps, where in RULES:
        log = Log()
        for step, (event, who, years, ident) in enumerate(steps):
            told = {"proposal": ident} if ident else {}
            kind = "site:pseudonym:reidentify"
            log.add(event, f"2026-01-{step + 1:02d}", who, detail_of=kind, years=years, **told)
        case(f"a rule of retention, {name}", log.bundle(), where)

    rooms = Log(COMPARATOR)
    rooms.add("comparator:window:freeze", who="service", study="s", _window=1)
    case("a comparator's log, in the form of version 2", rooms.bundle())
    for word in ("time", "request", "domain", "serials", "commitment"):
        wrong = Log(COMPARATOR)
        wrong.add("comparator:window:freeze", who="service", study="s", _window=1, **{word: "x"})
        case(f"a comparator's entry with {word}", wrong.bundle(), "entry 0")

    seen = seven.signed(3) + cosigned(seven.head(3))
    wanted = {"witnesses": [vkey(SITE, WITNESS, 4)], "quorum": 1}
    case("a witness that has cosigned", seven.bundle(), old=[seen], **wanted)
    case("a witness that has not", seven.bundle(), "witnesses", [seven.signed(3)], **wanted)
    case(
        "a wrong cosignature", seven.bundle(), "old checkpoint 1", [seven.signed(3) + cosigned(seven.head(2))], **wanted
    )
    case(
        "a witness of another history",
        seven.bundle(),
        "entries 0 to 2",
        [forked.signed(3) + cosigned(forked.head(3))],
        **wanted,
    )
    case(
        "a witness that saw nothing", seven.bundle(), "witnesses", [seven.signed(0) + cosigned(seven.head(0))], **wanted
    )
    return cases
