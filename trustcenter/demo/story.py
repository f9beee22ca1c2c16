"""The demo's steps: three sites, a study, linkage, release, rotation, logs."""

from __future__ import annotations

import csv
import json
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import Any

from . import outcome, program
from .agreeing import agree
from .party import Party
from .program import call, call_all
from .report import Story

STUDY = "herz-1"
RECIPIENT = "dms"
SCHEMA = "de-person/3"
Command = tuple[str | Path, ...]


def play(base: Path, *, records: int, seed: str, story: Story) -> dict[str, Any]:
    """Run every step; returns the figures."""
    started = time.monotonic()
    center, study_desk = base / "center", base / "recipient"
    study_desk.mkdir()
    parties = [
        Party("uk-nord", "diz", "Universitätsklinikum Nord, DIZ", base / "uk-nord"),
        Party("uk-sued", "diz", "Universitätsklinikum Süd, DIZ", base / "uk-sued"),
        Party("praxis-am-markt", "practice", "Praxis am Markt", base / "praxis-am-markt"),
    ]
    figures: dict[str, Any] = {"records": records * len(parties), "sites": len(parties)}

    story.chapter("Synthetic patients for two data integration centres and a practice")
    truth = _patients(base, parties, records, seed, story)

    story.chapter("An instance of the trust center, and its service as a process of its own")
    arguments: Command = ("init", center, "--development", "--port", "0")
    story.command("operator", *arguments)
    fingerprints = json.loads(call(*arguments, "--json"))["fingerprints"]
    for room, value in fingerprints.items():
        story.tell(f"fingerprint of the {room}'s log, to be written down: {value}")
    story.command("operator", "serve", center)
    with program.service(center, base / "service.log") as url:
        story.tell(f"listening on {url}, both rooms in this one process (separation: none)")
        operator = center / "operator.toml"

        story.chapter("Onboarding: three sites, two approvers, an auditor, a data recipient, a study")
        _onboard(base, center, operator, parties, study_desk, story)

        story.chapter("The sites agree on a study secret, which the centre carries and cannot open")
        agree(STUDY, parties, story)

        story.chapter("Pseudonyms over HTTPS: every site replaces its hospital ids in its own domain")
        figures["pseudonyms_per_second"] = _pseudonymize(parties, story)

        story.chapter("At the sites: fresh record numbers, study pseudonyms at once, encodings made locally")
        _register_and_upload(parties, story)

        story.chapter("At the centre: the comparator joins rows, the registrar decides")
        _link(operator, story, figures)

        story.chapter("Back at the sites: own record, own study pseudonym, and nothing about anybody else")
        _results(parties, story)

        story.chapter("The join map: two people sign, sealed to the data recipient")
        joined = _release(base, operator, study_desk, fingerprints["registrar"], story)

        story.chapter("At the data recipient: the joined table")
        figures["quality"], figures["persons_truth"] = outcome.join_and_judge(parties, joined, truth, study_desk, story)

        story.chapter("A key is rotated; old pseudonyms are translated and go on resolving")
        _rotate(operator, parties[0], story, figures)

        story.chapter("The auditor exports both logs")
        bundles = _export(base, story)
    story.tell("the service has stopped cleanly; what follows needs no service")

    story.chapter("The auditor verifies both logs offline, with the fingerprints from paper")
    for room, bundle in bundles.items():
        arguments = ("audit", "verify", bundle, "--key", fingerprints[room])
        story.command("auditor", *arguments)
        figures[f"audit_{room}"] = json.loads(call(*arguments, "--json"))
        story.tell(f"the {room}'s log is complete and unchanged")
    figures["seconds"] = round(time.monotonic() - started, 1)
    return figures


def _patients(base: Path, parties: list[Party], records: int, seed: str, story: Story) -> dict[tuple[str, str], str]:
    kinds = {"diz": "hospital", "practice": "practice"}
    sites = [part for p in parties for part in ("--site", f"{p.name}={records}:{kinds[p.kind]}")]
    arguments: Command = (
        *("linkage", "synth", base / "synthetic"),
        *sites,
        *("--overlap", "0.5", "--errors", "moderate", "--seed", seed),
    )
    story.command("nobody", *arguments)
    call(*arguments)
    for party in parties:
        party.home.mkdir(mode=0o700)
        (base / "synthetic" / f"{party.name}.csv").rename(party.patients)
    with (base / "synthetic" / "truth.csv").open(encoding="utf-8", newline="") as file:
        truth = {(row["site"], row["id"]): row["person"] for row in csv.DictReader(file)}
    shared = sum(count > 1 for count in Counter(truth.values()).values())
    story.tell(
        f"{records:,} patients each, with typing errors, moves, marriages, households and twins; "
        f"{shared:,} people are patients of more than one site"
    )
    return truth


def _onboard(base: Path, center: Path, operator: Path, parties: list[Party], study_desk: Path, story: Story) -> None:
    connect = ("--connect", operator)
    arguments: Command
    for commands in (
        [("site", "add", party.name, "--kind", party.kind, "--title", party.title) for party in parties],
        [("site", "token", party.name, "-o", party.connect) for party in parties],
        [("domain", "create", party.name, "--site", party.name) for party in parties],
    ):
        for arguments in commands:
            story.command("operator", *arguments)
        call_all([(*arguments, *connect) for arguments in commands])
    people = base / "people"
    people.mkdir(mode=0o700)
    names = ("anna", "bernd")
    making: list[Command] = [
        ("staff", "keygen", "-o", people / f"{name}.key", *_passphrase(people / f"{name}.passphrase")) for name in names
    ]
    making.append(("recipient", "keygen", "-o", study_desk / "dms.key", *_passphrase(study_desk / "dms.passphrase")))
    for who, arguments in zip((*names, "recipient"), making, strict=True):
        story.command(who, *arguments)
    *keys, recipient_key = (text.strip() for text in call_all(making))
    (study_desk / "dms.pub").write_text(recipient_key + "\n", encoding="utf-8")
    adding: list[Command] = []
    for name, key in zip(names, keys, strict=True):
        story.command("operator", "staff", "add", name, "--role", "approver", "--public-key", f"{key[:24]}…")
        adding.append(("staff", "add", name, "--role", "approver", "--public-key", key))
    story.command("operator", "staff", "add", "clara", "--role", "auditor")
    adding.append(("staff", "add", "clara", "--role", "auditor"))
    call_all([(*arguments, "-o", people / f"{arguments[2]}.toml", *connect) for arguments in adding])
    arguments = (
        *("study", "create", STUDY, "--purpose", "Herzinsuffizienz in Klinik und Praxis", "--permit", "EK 2026-17"),
        *("--schema", SCHEMA, *(part for party in parties for part in ("--site", party.name))),
        *("--recipient", f"{RECIPIENT}={study_desk / 'dms.pub'}"),
        *("--clearing", "none"),  # nobody plays the steward here
    )
    story.command("operator", *arguments)
    call(*arguments, *connect)


def _passphrase(path: Path) -> Command:
    """A passphrase that a person would think of and type; here it is drawn and kept in a file."""
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
    return "--passphrase-file", path


def _pseudonymize(parties: list[Party], story: Story) -> int:
    commands = []
    for party in parties:
        arguments: Command = (
            *("pseudonymize", party.patients, "--column", "id", "--domain", party.name),
            *("-o", party.home / "pseudonymous.csv"),
        )
        story.command(party.name, *arguments)
        commands.append((*arguments, "--connect", party.connect, "--json"))
    started = time.monotonic()
    done = [json.loads(text) for text in call_all(commands)]
    seconds = time.monotonic() - started
    total: int = sum(item["rows"] for item in done)
    with (parties[0].home / "pseudonymous.csv").open(encoding="utf-8", newline="") as file:
        example = next(csv.DictReader(file))["id"]
    story.tell(f"{total:,} pseudonyms issued, durable and logged; for example {example}")
    return round(total / seconds)


def _site_options(party: Party) -> tuple[str | Path, ...]:
    return ("--id-column", "id", "--site-key", party.site_key)


def _register_and_upload(parties: list[Party], story: Story) -> None:
    registering, uploading = [], []
    for party in parties:
        arguments: Command = ("study", "register", STUDY, party.patients, *_site_options(party))
        registering.append((*arguments, "-o", party.home / "registered.csv", "--connect", party.connect))
        story.command(party.name, *arguments)
    call_all(registering)
    for party in parties:
        arguments = ("study", "upload", STUDY, party.patients, *_site_options(party), "--study-secret", party.secret)
        uploading.append((*arguments, "--connect", party.connect, "--json"))
        story.command(party.name, *arguments)
    for party, text in zip(parties, call_all(uploading), strict=True):
        done = json.loads(text)
        story.tell(
            f"{party.name}: {done['records']:,} records became {done['rows']:,} rows; rows to the comparator, "
            f"the map to the registrar, names to neither"
        )


def _link(operator: Path, story: Story, figures: dict[str, Any]) -> None:
    arguments: Command = ("study", "link", STUDY)
    story.command("operator", *arguments)
    run = json.loads(call(*arguments, "--connect", operator, "--json"))
    counts = run["counts"]
    figures["run"] = counts
    story.rows(
        ("sites", "close rows", "matches", "possible"),
        [
            (" and ".join(pair["sites"]), f"{pair['edges']:,}", f"{pair['matches']:,}", f"{pair['possible']:,}")
            for pair in counts["pairs"]
        ],
    )
    story.tell(
        f"{counts['persons']:,} persons, {counts['linked_persons']:,} of them at more than one site; "
        f"nobody at the centre knows who they are."
    )


def _results(parties: list[Party], story: Story) -> None:
    commands = []
    for party in parties:
        arguments: Command = ("study", "result", STUDY, "--input", party.patients, *_site_options(party))
        story.command(party.name, *arguments)
        commands.append((*arguments, "-o", party.home / "study-pseudonyms.csv", "--connect", party.connect))
    call_all(commands)


def _release(base: Path, operator: Path, study_desk: Path, log_key: str, story: Story) -> Path:
    arguments: Command = ("study", "release", STUDY, "--recipient", RECIPIENT)
    story.command("operator", *arguments)
    release = json.loads(call(*arguments, "--connect", operator, "--json"))["release"]
    for name in ("anna", "bernd"):
        arguments = (
            *("study", "release", STUDY, "--approve", "--release", release),
            *("--personal-key", base / "people" / f"{name}.key", "--yes"),
            *("--passphrase-file", base / "people" / f"{name}.passphrase"),
        )
        story.command(name, *arguments)
        call(*arguments, "--connect", base / "people" / f"{name}.toml")
    arguments = ("study", "release", STUDY, "--fetch", "--release", release, "-o", study_desk / "joinmap.sealed")
    story.command("operator", *arguments)
    call(*arguments, "--connect", operator)
    arguments = (
        *("recipient", "open", study_desk / "joinmap.sealed", "--key", study_desk / "dms.key"),
        *("--study", STUDY, "--release", release, "--log-key", log_key, "-o", study_desk / "joinmap.csv"),
        *("--passphrase-file", study_desk / "dms.passphrase"),
    )
    story.command("recipient", *arguments)
    call(*arguments)
    return study_desk / "joinmap.csv"


def _rotate(operator: Path, party: Party, story: Story, figures: dict[str, Any]) -> None:
    arguments: Command = ("keys", "rotate", party.name)
    story.command("operator", *arguments, "--dry-run")
    plan = json.loads(call(*arguments, "--dry-run", "--connect", operator, "--json"))
    story.tell(
        f"plan: key {plan['from_version']} to {plan['to_version']}, {plan['pseudonyms']:,} pseudonyms stay resolvable"
    )
    story.command("operator", *arguments, "--yes")
    call(*arguments, "--yes", "--connect", operator)
    translated = party.home / "pseudonymous-new.csv"
    arguments = (
        *("translate", party.home / "pseudonymous.csv", "--column", "id", "--domain", party.name),
        *("-o", translated),
    )
    story.command(party.name, *arguments)
    call(*arguments, "--connect", party.connect)
    again = party.home / "pseudonymous-again.csv"
    call(
        "pseudonymize",
        party.patients,
        "--column",
        "id",
        "--domain",
        party.name,
        "-o",
        again,
        "--connect",
        party.connect,
    )
    figures["rotation_consistent"] = again.read_bytes() == translated.read_bytes()
    if not figures["rotation_consistent"]:
        raise program.StepFailedError("translated pseudonyms differ from freshly issued ones")
    story.tell("every translated pseudonym equals the one that the new key issues for the same patient")


def _export(base: Path, story: Story) -> dict[str, Path]:
    bundles = {}
    arguments: Command
    commands = []
    for room in ("registrar", "comparator"):
        bundles[room] = base / f"audit-{room}.ndjson"
        arguments = ("audit", "export", room, "-o", bundles[room])
        story.command("auditor", *arguments)
        commands.append((*arguments, "--connect", base / "people" / "clara.toml"))
    call_all(commands)
    return bundles
