"""What the events of a report are called, in German and English: the object, and what was done."""

from __future__ import annotations

from typing import Final

_EN: Final = {
    "release": "join map",
    "key": "key",
    "domain": "domain",
    "pseudonym": "pseudonym",
    "request": "request",
    "record": "record number",
    "upload": "upload of rows",
    "map": "map of rows",
    "study": "study",
    "run": "run",
    "reidentification": "re-identification",
    "linkage": "decisions of a run",
}
_DE: Final = {
    "release": "Zuordnungsliste",
    "key": "Schlüssel",
    "domain": "Domäne",
    "pseudonym": "Pseudonym",
    "request": "Anfrage",
    "record": "Satznummer",
    "upload": "Lieferung von Zeilen",
    "map": "Zuordnung von Zeilen",
    "study": "Studie",
    "run": "Lauf",
    "reidentification": "Re-Identifizierung",
    "linkage": "Entscheidungen eines Laufs",
}
OBJECTS: Final[dict[str, dict[str, str]]] = {"en": _EN, "de": _DE}

_DONE_EN: Final = {
    "abort": "given up",
    "acknowledge": "receipt confirmed",
    "activate": "in use",
    "anonymise": "anonymised",
    "apply": "applied",
    "approve": "approved",
    "change": "changed afterwards",
    "close": "closed",
    "complete": "made and sealed",
    "compromise": "marked as compromised",
    "create": "made",
    "deactivate": "out of use",
    "delete": "deleted",
    "deliver": "map handed out",
    "destroy": "destroyed",
    "expire": "expired",
    "export": "handed out",
    "leak": "reported as leaked",
    "propose": "proposed",
    "refused": "refused",
    "reidentify": "re-identified",
    "request": "requested",
    "rewrite": "rows rewritten",
    "rollback": "back to the one before",
    "rotate": "replaced by the next",
    "schedule": "change scheduled",
    "suspend": "suspended",
    "verify": "change verified",
}
_DONE_DE: Final = {
    "abort": "aufgegeben",
    "acknowledge": "Empfang bestätigt",
    "activate": "in Gebrauch",
    "anonymise": "anonymisiert",
    "apply": "angewendet",
    "approve": "genehmigt",
    "change": "nachträglich geändert",
    "close": "geschlossen",
    "complete": "erstellt und versiegelt",
    "compromise": "als kompromittiert markiert",
    "create": "erzeugt",
    "deactivate": "außer Gebrauch",
    "delete": "gelöscht",
    "deliver": "Übersetzungsliste ausgegeben",
    "destroy": "vernichtet",
    "expire": "abgelaufen",
    "export": "ausgegeben",
    "leak": "als bekannt geworden gemeldet",
    "propose": "vorgeschlagen",
    "refused": "abgelehnt",
    "reidentify": "re-identifiziert",
    "request": "beantragt",
    "rewrite": "Zeilen umgeschrieben",
    "rollback": "zurück zum vorigen",
    "rotate": "durch den nächsten ersetzt",
    "schedule": "Wechsel geplant",
    "suspend": "ausgesetzt",
    "verify": "Wechsel geprüft",
}
ACTIONS: Final[dict[str, dict[str, str]]] = {"en": _DONE_EN, "de": _DONE_DE}


def named(event: str, language: str) -> str:
    """An event in words, such as "Schlüssel: vernichtet"; its own words where there are no others."""
    _, kind, action = event.split(":")
    return f"{OBJECTS[language].get(kind, kind)}: {ACTIONS[language].get(action, action)}"
