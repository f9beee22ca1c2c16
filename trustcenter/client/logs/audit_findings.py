"""What verified logs say about a study and a period: the facts of a report, nothing of its wording."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trustcenter.client.errors import LocalFileError

from .bundles import statements, verify_files

if TYPE_CHECKING:
    from trustcenter.audit import Report, Witnesses
    from trustcenter.audit.entries import Entry


@dataclass
class Reidentification:
    """One request, and what became of it."""

    time: str
    site: str
    domain: str
    count: int
    statement: str  # SHA-256 of what was signed, hexadecimal
    reason: str = ""  # "" unless a statement with this hash was given
    deleted: int = 0  # years of the rule by which the statement was deleted; 0: it was not
    approved_by: list[str] = field(default_factory=list)
    denied_by: str = ""
    originals: int = 0


@dataclass
class Disclosure:
    """Decisions of a run that an auditor asked for."""

    time: str
    who: str
    run: str
    statement: str
    reason: str = ""
    approved_by: str = ""
    read: int = 0


@dataclass
class Findings:
    """What was found in the entries of one study (or of all) in a period.

    Attributes:
        study: "" for everything.
        since, until: moments as in entries, "" for open ends.
        logs: the verified bundles.
        created: of the study: time, who and the data of its entry.
        issued: new pseudonyms per site. registered: record numbers per site.
        runs: time and data of each applied run.
        windows: data of each delivered window, from the comparator.
        releases: (time, event, who, recipient).
        reidentifications, disclosures: by their id.
        refusals: (event, who, code) → how often.
        keys: (time, event, who, domain, purpose, version).
        removals: event → how many pseudonyms.
        events: event → how many entries.
        separations: (room, time, separation) of each start that declared another than the one before, whatever the
            period; the comparator's have no time.
        rules: (time, event, years, who, approved by) of each rule of retention, whatever the period.
    """

    study: str = ""
    since: str = ""
    until: str = ""
    logs: list[Report] = field(default_factory=list)
    created: dict[str, Any] = field(default_factory=dict)
    issued: Counter[str] = field(default_factory=Counter)
    registered: Counter[str] = field(default_factory=Counter)
    runs: list[dict[str, Any]] = field(default_factory=list)
    windows: list[dict[str, Any]] = field(default_factory=list)
    releases: list[tuple[str, str, str, str]] = field(default_factory=list)
    reidentifications: dict[str, Reidentification] = field(default_factory=dict)
    disclosures: dict[str, Disclosure] = field(default_factory=dict)
    refusals: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    keys: list[tuple[str, str, str, str, str, str]] = field(default_factory=list)
    removals: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    separations: list[tuple[str, str, str]] = field(default_factory=list)
    rules: list[tuple[str, str, int, str, str]] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Take one entry, if it belongs here."""
        data = entry.data
        if entry.event == "instance:service:start":
            self._started(entry)
        elif entry.event == "operator:retention:set":
            told = (str(data.get("detail_of")), int(data.get("years", 0)), entry.who, str(data.get("approved_by", "")))
            self.rules.append((str(entry.time), *told))
        if isinstance(entry.time, str) and (entry.time < self.since or (self.until and entry.time >= self.until)):
            return
        ident = str(data.get("reidentification", ""))
        if self.study and not (
            data.get("study") == self.study
            or str(data.get("domain", "")).startswith(f"{self.study}.")
            or (ident and ident in self.reidentifications)
        ):
            return
        self.events[entry.event] += 1
        time = entry.time if isinstance(entry.time, str) else ""
        count = data.get("count", 1) if isinstance(data.get("count", 1), int) else 1
        name = str(data.get("domain", ""))
        match entry.event.split(":"):
            case [_, _, "refused"]:
                self._refused(entry, count)
            case ["operator", "study", "create"]:
                self.created = {"time": time, "who": entry.who, **data}
            case ["site", "pseudonym", "issue"]:
                self.issued[entry.who] += count
            case ["site", "record", "register"]:
                self.registered[entry.who] += int(data.get("created", 0))
            case ["registrar", "run", "apply"]:
                self.runs.append({"time": time, **data})
            case ["comparator", "window", "deliver"]:
                self.windows.append({"window": entry.window, **data})
            case [_, "release", _]:
                self.releases.append((time, entry.event, entry.who, str(data.get("recipient", ""))))
            case [_, "key", _] | [_, "domain", "close" | "destroy"]:
                version = data.get("version", data.get("to_version", ""))
                self.keys.append((time, entry.event, entry.who, name, str(data.get("purpose", "")), str(version)))
            case [_, "pseudonym", "anonymise" | "delete" | "expire"]:
                self.removals[entry.event] += count
            case ["site", "reidentification", "request"]:
                statement = str(data.get("statement", ""))
                self.reidentifications[ident] = Reidentification(time, entry.who, name, count, statement)
            case [_, "linkage", action]:
                self._disclosed(entry, action)
            case _:
                self._decided(entry, ident)

    def _refused(self, entry: Entry, count: int) -> None:
        """Single requests carry a code; those of one client in a minute a reason; items without consent one by kind."""
        data = entry.data
        if isinstance(data.get("consent"), dict):
            for kind, number in data["consent"].items():
                self.refusals[entry.event, entry.who, f"consent_{kind}"] += int(number)
        else:
            self.refusals[entry.event, entry.who, str(data.get("code") or data.get("reason", ""))] += count

    def _started(self, entry: Entry) -> None:
        room, time = ("registrar", entry.time) if isinstance(entry.time, str) else ("comparator", "")
        told = str(entry.data.get("separation", ""))
        before = [word for where, _, word in self.separations if where == room]
        if told and before[-1:] != [told]:
            self.separations.append((room, time, told))

    def _decided(self, entry: Entry, ident: str) -> None:
        known = self.reidentifications.get(ident)
        if known is None:
            return
        if entry.event == "approver:reidentification:approve":
            known.approved_by.append(entry.who)
        elif entry.event == "approver:reidentification:deny":
            known.denied_by = entry.who
        elif entry.event == "site:pseudonym:reidentify":
            known.originals += 1

    def _disclosed(self, entry: Entry, action: str) -> None:
        ident, data = str(entry.data.get("disclosure", "")), entry.data
        if action == "propose":
            run, statement = str(data.get("run", "")), str(data.get("statement", ""))
            self.disclosures[ident] = Disclosure(str(entry.time), entry.who, run, statement)
        elif ident in self.disclosures and action == "approve":
            self.disclosures[ident].approved_by = entry.who
        elif ident in self.disclosures:
            self.disclosures[ident].read += 1

    def give_reasons(self, statements: Sequence[Mapping[str, Any]]) -> int:
        """Take the reasons from statements whose hash the log holds; returns how many fitted.

        Args:
            statements: of an archive, or what `trustcenter reidentify list --json` prints. A statement that was changed
                does not fit.
        """
        asked: list[Reidentification | Disclosure] = [*self.reidentifications.values(), *self.disclosures.values()]
        by_hash = {one.statement: one for one in asked if one.statement}
        fitted = 0
        for item in statements:
            digest = hashlib.sha256(str(item.get("statement", "")).encode()).hexdigest()
            if digest in by_hash:
                lines = str(item["statement"]).split("\n")
                by_hash[digest].reason = next((line[8:] for line in lines if line.startswith("reason: ")), "")
                fitted += 1
        return fitted

    def totals(self) -> dict[str, Counter[str]]:
        """Matches, possible matches and records of the last run, by pair of sites or by site."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for run in self.runs[-1:]:
            for pair in run.get("pairs", []):
                names = " / ".join(map(str, pair["sites"]))
                found["matches"][names] += pair["matches"]
                found["possible"][names] += pair["possible"]
            for source in run.get("sources", []):
                found["records"][str(source["site"])] += source["records"]
        return found


def collect(
    bundles: Sequence[Path],
    fingerprints: Sequence[str] = (),
    checkpoints: Sequence[Path] = (),
    witnesses: Witnesses | None = None,
    *,
    study: str = "",
    since: str = "",
    until: str = "",
) -> Findings:
    """Verify bundles and take from them what a report says.

    Raises:
        BundleError: one is broken: there is no report of a broken log. LocalFileError: a file.
    """
    found = Findings(study=study, since=since, until=until)
    reports = verify_files(
        bundles, fingerprints, checkpoints, witnesses=witnesses, each=lambda entry, leaf, digest: found.add(entry)
    )
    found.logs = [report for _, report in reports]
    for path in bundles:
        found.give_reasons(statements(path))
    for deletion in (one for report in found.logs for one in report.deletions):
        if deletion.detail_of == "site:reidentification:request":
            for request in found.reidentifications.values():
                if request.time[:10] < deletion.before:
                    request.deleted = deletion.years
    return found


def read_reasons(path: Path) -> list[dict[str, Any]]:
    """Requests as `reidentify list --json` prints them.

    Raises:
        LocalFileError: it cannot be read, or is something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
    except (OSError, msgspec.DecodeError):
        raise LocalFileError("the file with the reasons cannot be read", code="no_input", where=path.name) from None
