"""How the demo's sites agree on a study secret: cards, two telephone calls, a share."""

from __future__ import annotations

import json
from pathlib import Path

from .party import Party
from .program import call, call_all
from .report import Story

Command = tuple[str | Path, ...]


def agree(study: str, parties: list[Party], story: Story) -> None:
    """The study secret goes through the centre, which cannot open it; only fingerprints are said by telephone."""
    lead, *others = parties
    making: list[Command] = [("recipient", "keygen", "-o", party.key, "--no-passphrase") for party in parties]
    making += [("linkage", "secret", "--site-key", "-o", party.site_key) for party in parties]
    for party, arguments in zip((*parties, *parties), making, strict=True):
        story.command(party.name, *arguments)
    call_all(making)
    publishing: list[Command] = [
        (*("study", "secret", "card", study, "--key", party.key), "--connect", party.connect, "--json")
        for party in parties
    ]
    said = {}
    for party, arguments in zip(parties, publishing, strict=True):
        story.command(party.name, *arguments[:-3])
    for party, text in zip(parties, call_all(publishing), strict=True):
        said[party.name] = json.loads(text)["fingerprint"]
        story.tell(f"{party.name} says over the telephone: {said[party.name]}")
    for other in others:
        comparing: list[Command] = []
        for one, its in ((lead, other), (other, lead)):
            pinning: Command = ("study", "secret", "pin", study, its.name, "--fingerprint", said[its.name])
            story.command(one.name, *pinning, "--key", one.key)
            comparing.append((*pinning, "--key", one.key, "--connect", one.connect))
        call_all(comparing)
    sharing: Command = ("study", "secret", "share", study, "--study-secret", lead.secret, "--key", lead.key)
    story.command(lead.name, *sharing)
    call(*sharing, "--connect", lead.connect)
    fetching: list[Command] = []
    for other in others:
        arguments = ("study", "secret", "fetch", study, "--lead", lead.name, "--key", other.key, "-o", other.secret)
        story.command(other.name, *arguments)
        fetching.append((*arguments, "--connect", other.connect))
    call_all(fetching)
    story.tell("the centre relayed the study secret sealed and signed, and could neither open nor exchange it")
