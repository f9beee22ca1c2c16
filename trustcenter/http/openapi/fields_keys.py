"""What fields mean in messages of keys, rotations and the logs, where `words` does not say it."""

from __future__ import annotations

from typing import Final

FIELDS: Final[dict[str, dict[str, str]]] = {  # field -> messages -> text
    "acknowledged": {
        "RotationParty": "When it said that it has the map; null until then",
    },
    "created": {
        "KeyProposal LinkageDisclosure RetentionProposal SiteKey": "When it was made, UTC",
    },
    "days": {
        "RoomKeySchedule": "Days between rotations; 0: no schedule",
        "KeyDue": "Days between rotations",
        "KeySchedule": "Days between rotations; 0: no schedule",
    },
    "detail": {
        "LinkageDecision": "The decision as JSON text; empty once it was erased",
    },
    "details": {
        "RetentionRule": "What the details say",
    },
    "domain": {
        "CompromiseReport KeyDue Rotation RotationPlan SubjectReport": "Domain that it is about",
        "KeyProposal": "Domain that it is about; null: a room's own keys",
        "KeyPropose": "To destroy: domain of the key",
        "KeyVersion": "Domain of the key; null for keys of a room or of the instance",
    },
    "done": {
        "Rotation": "Pseudonyms that are through the stage",
    },
    "event": {
        "HeldStatement": "Event of the log's entry of it",
        "RetentionProposal": "Event whose details go sooner",
        "RetentionRule RetentionSet": "Event whose entries commit to details",
        "SubjectEvent": "What was done",
    },
    "events": {
        "LogExtract": "Events that are wanted; empty: all",
        "SubjectReport": "What was done with the pseudonym, oldest first",
    },
    "expires": {
        "SubjectReport": "When the pseudonym is deleted; empty: never",
    },
    "fingerprint": {
        "SiteKey": "Of the public key",
        "SiteKeySet": "Of the public key, as the site said it over another channel",
    },
    "from_versions": {
        "RoomRotationPlan": "Versions that are replaced, in the order of the keys",
    },
    "index": {
        "InclusionProof": "Place of the entry, from 0",
    },
    "keys": {
        "Keys": "All that the instance knows",
        "KeysDue": "All that are scheduled",
    },
    "kind": {
        "KeyProposal": "What is proposed: finalize, deliver or destroy",
        "KeyPropose": "What is proposed",
    },
    "new": {
        "ConsistencyProof": "Entries of the longer log",
    },
    "note": {
        "Cosignature": "The head with the cosignature, as a signed note",
        "CosignedHead": "The head with all cosignatures, as a signed note",
    },
    "number": {
        "LinkageDecision": "Place of the decision in the run, from 0",
    },
    "old": {
        "ConsistencyProof": "Entries of the shorter log",
    },
    "parties": {
        "Rotation": "Who has to get the map",
    },
    "party": {
        "KeyProposal": "Who is to get the map; null: it is not about one",
        "KeyPropose": "To deliver: site:NAME or recipient:STUDY/NAME",
        "MapAcknowledge": "Where an operator speaks for a recipient: recipient:STUDY/NAME",
        "RotationParty": "site:NAME or recipient:STUDY/NAME",
    },
    "proposals": {
        "KeyProposals": "Oldest first",
    },
    "pseudonym": {
        "SubjectQuery": "Of the caller's own domain",
    },
    "pseudonyms": {
        "RotationPlan": "How many get another one",
    },
    "public_key": {
        "SiteKey SiteKeySet": "Key to which maps for the site are sealed",
    },
    "purpose": {
        "RoomKeySchedule": "What is exchanged: the keys of the log and what goes with it, or the passphrase",
        "CompromiseReport KeyAct KeyCompromise KeyDue KeyProposal KeyPropose KeySchedule": "What the key does",
        "KeyVersion RotateRequest Rotation RotationPlan": "What the key does",
    },
    "purposes": {
        "RoomRotationPlan": "What the keys do, in order",
    },
    "reason": {
        "RoomKeyCompromise": "Why it is thought that others know the keys",
        "CompromiseReport KeyCompromise": "Why it is thought that others know the key",
        "LinkageDisclosurePropose": "Why the decisions are needed; an approver reads it",
    },
    "recipients": {
        "RotationPlan": "Recipients of studies that have to get the map",
    },
    "releases": {
        "CompromiseReport": "Releases with pseudonyms of that key",
    },
    "room": {
        "RoomRotationPlan": "Room whose own keys are rotated",
        "CompromiseReport KeyDue KeyProposal KeyVersion Rotation": "Room whose own key it is; null: a domain's",
        "KeyPropose": "To destroy: room whose own key it is, in the place of a domain",
    },
    "rows": {
        "SubjectReport": "Encoded rows of the record whose refs the registrar knows",
    },
    "run": {
        "LinkageDisclosure": "Id of the run",
    },
    "salt": {
        "LinkageDecision": "Under which `leaf` is made; empty once the decision was erased",
    },
    "sha256": {
        "MapAcknowledge": "Of the map that was received",
    },
    "since": {
        "RoomKeyCompromise": "Day from which others may know the keys; null: when they were made",
        "CompromiseReport": "Day from which others may know the key",
        "KeyCompromise": "Day from which others may know the key; null: when it was made",
        "KeyVersion": "When it came into this state",
        "LogExtract": "Entries from this time on; empty: from the first",
        "Rotation": "When it came into this stage",
    },
    "site": {
        "LogExtract": "Entries about this site; empty: all",
        "SiteKey": "Site whose key it is",
        "SubjectReport": "Site that owns the domain",
    },
    "sites": {
        "RotationPlan": "Sites that have to get the map",
    },
    "size": {
        "CosignedHead": "Entries that the head covers",
        "InclusionProof": "Entries of the log that the proof is for",
    },
    "stage": {
        "Rotation": "Where it is",
    },
    "state": {
        "RoomRotationPlan": "Planned or done",
        "KeyVersion": "State of the key",
        "RotationPlan": "Planned, prepared or done",
    },
    "study": {
        "LinkageDisclosure": "Name of the study",
        "LogExtract": "Entries about this study; empty: all",
        "SubjectReport": "Study that the domain is of; empty: none",
    },
    "to_versions": {
        "RoomRotationPlan": "Versions that replace them, in the order of the keys",
    },
    "total": {
        "Rotation": "Pseudonyms that the stage has to go through",
    },
    "until": {
        "LogExtract": "Entries before this time; empty: to the last",
    },
    "version": {
        "CompromiseReport KeyCompromise KeyDue KeyProposal KeyVersion": "Version of the key",
        "KeyAct": "Version of the key; null: the one that it can be about",
        "KeyPropose": "To destroy: version of the key",
    },
    "years": {
        "RetentionProposal RetentionSet": "Years after which the details go",
        "RetentionRule": "Years after which the details go; 0: never",
    },
}
