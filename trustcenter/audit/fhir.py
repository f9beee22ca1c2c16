"""Entries as FHIR R4 AuditEvents, one resource a line (docs/spec/audit-formats.md, section 3).

Pseudonyms and re-identifications follow the IHE profile for de-identification at the source: type Export, a subtype
of the ISO 21089 life cycle, source and recipient. A re-identification is one subject, and is given as one patient; an
issue is a batch, of which the log knows counts and a commitment only: it has no patient and does not claim the profile.
"""

from __future__ import annotations

from typing import Any, Final

from . import canonical
from .entries import Entry
from .events import Event

PROFILE: Final = "https://profiles.ihe.net/ITI/DeIdHandbook/StructureDefinition/IHE.BasicAudit.DeIdentification.Source"
_DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_LIFECYCLE: Final = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
_ENTITY: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
_NETWORK_URI: Final = "5"
_OUTCOMES: Final = {"begun": "0", "done": "0", "refused": "4", "failed": "8"}
_ACTIONS: Final = {
    "create": "C", "issue": "C", "register": "C", "record": "C", "accept": "C", "import": "C", "add": "C",
    "delete": "D", "destroy": "D", "revoke": "D", "expire": "D", "purge": "D", "retire": "D", "anonymise": "D",
    "set": "U", "bind": "U", "rotate": "U", "activate": "U", "suspend": "U", "deactivate": "U", "compromise": "U",
    "reidentify": "R", "read": "R", "query": "R", "export": "R", "translate": "R", "cross": "R", "map": "R",
}  # fmt: skip
_SUBTYPES: Final = {
    Event.PSEUDONYM_ISSUE.value: ("pseudonymize", "Pseudonymize Record Lifecycle Event"),
    Event.PSEUDONYM_IMPORT.value: ("pseudonymize", "Pseudonymize Record Lifecycle Event"),
    Event.PSEUDONYM_CROSS.value: ("pseudonymize", "Pseudonymize Record Lifecycle Event"),
    Event.RECORD_REGISTER.value: ("pseudonymize", "Pseudonymize Record Lifecycle Event"),
    Event.PSEUDONYM_ANONYMISE.value: ("deidentify", "De-Identify (Anononymize) Record Lifecycle Event"),
    Event.PSEUDONYM_REIDENTIFY.value: ("reidentify", "Re-identify Record Lifecycle Event"),
}
_TYPES: Final = {
    "instance:service": ("110100", "Application Activity"),
    "auditor:log": ("110101", "Audit Log Used"),
    "registrar:release": ("110106", "Export"),
    "operator:release": ("110106", "Export"),
    "site:upload": ("110107", "Import"),
    "operator:token": ("110113", "Security Alert"),
    "operator:certificate": ("110113", "Security Alert"),
    "operator:key": ("110113", "Security Alert"),
}


def audit_event(entry: Entry, origin: str, digest: bytes) -> dict[str, Any]:
    """The resource of an entry, ready for JSON.

    Args:
        entry: as verified.
        origin: of its log.
        digest: its leaf hash; leaf index and hash let a reader find the entry in the log again.
    """
    subtype = _SUBTYPES.get(entry.event)
    reidentified = entry.event == Event.PSEUDONYM_REIDENTIFY.value
    action = "R" if reidentified else _ACTIONS.get(entry.event.rpartition(":")[2], "E")
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": f"{origin.rpartition('/')[2]}-{entry.seq}",
        "type": _coding(_DCM, *_type(entry.event)),
        "subtype": [
            *([_coding(_LIFECYCLE, *subtype)] if subtype else []),
            {"system": "urn:trustcenter:audit-event", "code": entry.event},
        ],
        "action": action,
    }
    if reidentified:
        resource["meta"] = {"profile": [PROFILE]}
    if isinstance(entry.time, str):
        resource["recorded"] = entry.time
    else:  # the comparator's entries carry a window instead
        absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
        resource["_recorded"] = {"extension": [absent]}
    resource["outcome"] = _OUTCOMES[entry.outcome]
    if isinstance(code := entry.data.get("code"), str):
        resource["outcomeDesc"] = code
    if isinstance(purpose := entry.data.get("purpose"), str):
        resource["purposeOfEvent"] = [{"text": purpose}]
    observer = {"identifier": {"system": "urn:trustcenter:log", "value": origin}}
    network = {"address": f"urn:{origin.replace('/', ':')}", "type": _NETWORK_URI}
    resource["agent"] = [
        {
            "type": {"coding": [_coding(_DCM, "110153", "Source Role ID")]},
            "who": observer,
            "requestor": False,
            "network": network,
        },
        {
            "type": {"coding": [_coding(_DCM, "110152", "Destination Role ID")]},
            "who": {"identifier": {"system": "urn:trustcenter:name", "value": entry.who}},
            "requestor": True,
            "network": {"address": f"urn:trustcenter:name:{entry.who}", "type": _NETWORK_URI},
        },
    ]
    resource["source"] = {"observer": observer, "site": origin}
    resource["entity"] = _entities(entry, digest)
    return resource


def _type(event: str) -> tuple[str, str]:
    if event in _SUBTYPES:
        return "110106", "Export"
    return _TYPES.get(event.rpartition(":")[0], ("110100", "Application Activity"))


def _entities(entry: Entry, digest: bytes) -> list[dict[str, Any]]:
    data = entry.data
    leaf: dict[str, Any] = {
        "what": {"identifier": {"system": "urn:trustcenter:leaf-hash", "value": digest.hex()}},
        "type": _coding(_ENTITY, "4", "Other"),
        "detail": [
            {"type": "leaf-index", "valueString": str(entry.seq)},
            *(
                {"type": word, "valueString": value if isinstance(value, str) else canonical.encode(value).decode()}
                for word, value in sorted(data.items())
                if value != ""
            ),
        ],
    }
    if isinstance(entry.window, int):
        leaf["detail"].append({"type": "window", "valueString": str(entry.window)})
    entities = [leaf]
    if isinstance(suite := data.get("suite"), str):
        entities.append(
            {
                "what": {"identifier": {"system": "urn:trustcenter:suite", "value": suite}},
                "type": {"system": "urn:trustcenter:entity-type", "code": "DeId-algorithm"},
            }
        )
    commitment = data.get("commitment")
    if entry.event == Event.PSEUDONYM_REIDENTIFY.value and isinstance(commitment, str):
        patient = {"type": "Patient", "identifier": {"system": "urn:trustcenter:commitment", "value": commitment}}
        entities.append(
            {"what": patient, "type": _coding(_ENTITY, "1", "Person"), "role": _coding(_ROLE, "1", "Patient")}
        )
    return entities


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": system, "code": code, "display": display}
