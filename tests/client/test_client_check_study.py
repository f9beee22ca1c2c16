"""What a site holds against its own schema before it encodes anything."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from linkage import schema as schemas
from trustcenter.client.site import check_study
from trustcenter.errors import ConflictError
from trustcenter.messages.api import Study

SCHEMA = schemas.load("de-person/1")


def shown(**other: Any) -> Study:
    """A study as the registrar shows it."""
    said = {
        "name": "heart", "version": 1, "purpose": "p", "permit": "q", "schema": SCHEMA.name,
        "fingerprint": SCHEMA.fingerprint, "passes": SCHEMA.P, "levels": list(SCHEMA.levels), "minimum_batch": 50,
        "participants": [], "recipients": [], "valid_until": None, "state": "open", "domains": {},
        "separation": "none", "created": "2026-01-01T00:00:00.000000Z",
    }  # fmt: skip
    return msgspec.convert({**said, **other}, type=Study)


def test_a_registrar_cannot_widen_what_the_comparator_tells_it() -> None:
    check_study(shown(), SCHEMA, secret_study="heart", secret_version=1, site="north")
    wide = [256] * len(SCHEMA.levels)
    for lie in ({"levels": wide}, {"passes": SCHEMA.P + 1}, {"fingerprint": "00" * 32}):
        with pytest.raises(ConflictError) as caught:
            check_study(shown(**lie), SCHEMA, secret_study="heart", secret_version=1, site="north")
        assert caught.value.code == "wrong_fingerprint"
