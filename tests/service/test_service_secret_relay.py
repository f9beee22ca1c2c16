"""A study secret through the centre: honest, and with a centre that really substitutes what it hands out."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from studies_support import make_study
from substituting_support import LyingCentre
from tests_support import stored

from keys.cards import make_card
from keys.hybrid import MAGIC, RecipientKey
from keys.secretfiles import StudySecret
from keys.shares import make_share, parse_share
from trustcenter.client import TrustCenter
from trustcenter.client.connection import Connection
from trustcenter.client.study import secret_relay as work
from trustcenter.client.study import secret_status
from trustcenter.client.study.secret_pins import Pins, beside
from trustcenter.errors import TrustCenterError

SITES = ("north", "south")


@dataclass
class Member:
    """A site with its key, what it remembers, and where it believes the centre to be."""

    site: str
    key: RecipientKey
    file: Path
    connection: Connection
    centre: LyingCentre

    @property
    def pins(self) -> Pins:
        return Pins.load(beside(self.file))

    def run(self, job: Any) -> Any:
        async def whole() -> Any:
            async with TrustCenter(self.connection) as center:
                return await job(center)

        return asyncio.run(whole())

    def publish(self, study: str) -> str:
        return str(self.run(lambda center: work.publish(center, study, self.key)).fingerprint)

    def pin(self, study: str, other: Member, *, said: str | None = None, replace: bool = False) -> None:
        spoken = said or make_card(other.site, other.key).fingerprint
        self.run(lambda center: work.pin(center, study, other.site, spoken, self.pins, replace=replace))

    def share(self, study: str, secret: StudySecret, **options: Any) -> Any:
        return self.run(lambda center: work.share(center, study, self.key, secret, self.pins, **options))

    def fetch(self, study: str, lead: str = "north") -> StudySecret:
        kept: list[StudySecret] = []
        self.run(lambda center: work.fetch(center, study, self.key, self.pins, kept.append, sender=lead))
        return kept[0]

    def refused(self, study: str, lead: str = "north") -> str:
        """The code with which a fetch ends; nothing may be kept, remembered or confirmed by it."""
        before, kept = self.pins, []
        said = self.run(lambda center: center.secret_state(study)).confirmations
        with pytest.raises(Exception) as caught:
            self.run(lambda center: work.fetch(center, study, self.key, self.pins, kept.append, sender=lead))
        assert caught.value.hint  # type: ignore[attr-defined]
        assert kept == []
        assert (self.pins.secrets, self.pins.issues) == (before.secrets, before.issues)
        assert self.run(lambda center: center.secret_state(study)).confirmations == said
        return str(caught.value.code)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def centre(world: Any) -> Any:
    with LyingCentre(Connection.load(world.live.operator)) as made:
        yield made


@pytest.fixture
def honest(centre: LyingCentre) -> Any:
    """The lying centre with its lies; afterwards it has none."""
    centre.lies.clear()
    yield centre
    centre.lies.clear()


@pytest.fixture
def members(world: Any, honest: LyingCentre, tmp_path: Path) -> dict[str, Member]:
    made = {}
    for site in (*SITES, "east"):
        connection = honest.connection(site, world[site]._token)
        made[site] = Member(site, RecipientKey.generate(), tmp_path / f"{site}.key", connection, honest)
    return made


def study_of(world: Any, name: str, sites: tuple[str, ...] = SITES) -> str:
    answer = make_study(world, RecipientKey.generate(), name, sites)
    assert answer.status == 201, answer.body
    return name


def acquainted(members: dict[str, Member], study: str, sites: tuple[str, ...] = SITES) -> tuple[Member, Member]:
    for site in sites:
        members[site].publish(study)
    north, south = members["north"], members["south"]
    north.pin(study, south)
    south.pin(study, north)
    return north, south


def test_the_secret_arrives_and_the_centre_holds_nothing_that_opens_it(world: Any, members: Any) -> None:
    study = study_of(world, "relay-whole")
    north, south = acquainted(members, study)
    secret = StudySecret.generate(study, 1)
    north.share(study, secret)
    status = north.run(lambda center: secret_status.status(center, study, north.pins, secret))
    assert {m.site: (m.compared, m.holds) for m in status.members} == {"north": ("own", "yes"), "south": ("yes", "no")}
    assert south.fetch(study).material == secret.material
    assert north.fetch(study).material == secret.material, "the lead can get it again too"
    status = north.run(lambda center: secret_status.status(center, study, north.pins, secret))
    assert [m.holds for m in status.members] == ["yes", "yes"]
    untested = north.run(lambda center: secret_status.status(center, study, north.pins, None))
    assert [m.holds for m in untested.members] == ["said", "said"]
    with stored(world.live.dir, "registrar") as conn:
        tables = ("member_card", "secret_share", "secret_envelope", "secret_confirmation", "audit_entry")
        kept = [value for table in tables for row in conn.execute(f"SELECT * FROM {table}") for value in row]
    assert any(isinstance(value, bytes) and value.startswith(MAGIC) for value in kept)
    for value in kept:
        raw = value if isinstance(value, bytes) else str(value).encode()
        assert secret.material not in raw
        assert secret.material.hex().encode() not in raw
        assert base64.urlsafe_b64encode(secret.material).rstrip(b"=") not in raw
    exported = world["clara"]("GET", "/v1/audit/registrar/export").body.decode()
    for event in ("site:card:publish", "site:secret:share", "site:secret:confirm"):
        assert event in exported


def test_who_may_what(world: Any, members: Any) -> None:
    study = study_of(world, "relay-rights")
    north, south = acquainted(members, study)
    for path in ("cards", "secret-shares", "secret-state"):
        assert world["east"]("GET", f"/v1/studies/{study}/{path}").json["code"] == "unknown_study"
    assert world["operator"]("GET", f"/v1/studies/{study}/secret-state").status == 200
    assert world["operator"]("GET", f"/v1/studies/{study}/secret-shares").status == 403
    foreign = make_card("south", north.key).text
    assert world["north"]("PUT", f"/v1/studies/{study}/card", {"card": foreign}).json["code"] == "bad_card"
    assert world["north"]("PUT", f"/v1/studies/{study}/card", {"card": "tc-card-1:x:y"}).json["code"] == "bad_card"
    secret = StudySecret.generate(study, 1)

    def put(who: str, key: RecipientKey = north.key, *, secret: StudySecret = secret, drop: bool = False,
            sender: str = "north", issue: int = 1, to: str = "south") -> str:  # fmt: skip
        made = make_share(secret, schema="00" * 32, issue=issue, sender=sender, key=key,
                          cards=[make_card(to, south.key)])  # fmt: skip
        sent = [{"member": m, "sealed": base64.b64encode(e).decode()} for m, e in made.envelopes.items()]
        body = {"statement": made.statement.decode(), "signature": made.signature, "envelopes": sent[drop:]}
        answer = world[who]("PUT", f"/v1/studies/{study}/secret-share", body)
        return str(answer.json.get("code", "kept"))

    assert put("south") == "bad_share", "in the name of another"
    assert put("east") == "bad_share"
    assert put("north", drop=True) == "bad_share"
    assert put("north", RecipientKey.generate()) == "bad_share", "not the published card"
    assert put("north", to="east") == "unknown_member"
    assert put("north", secret=StudySecret.generate(study, 2)) == "wrong_secret_version"
    assert put("north", secret=StudySecret.generate("other", 1)) == "bad_share"
    assert put("north", issue=3) == "kept"
    assert put("north", issue=3) == "share_exists"
    assert put("north", issue=4, secret=StudySecret.generate(study, 1)) == "another_secret"
    confirmation = {"version": 2, "confirmation": "00" * 32}
    answer = world["south"]("PUT", f"/v1/studies/{study}/secret-confirmation", confirmation)
    assert answer.json["code"] == "wrong_secret_version"


def test_only_the_lead_site_makes_the_secret_of_a_version(world: Any, members: Any) -> None:
    study = study_of(world, "relay-lead", (*SITES, "east"))
    north, south = acquainted(members, study)
    path = f"/v1/studies/{study}"
    assert world["south"]("GET", path).json["lead"] == "north"  # nobody was named: the first participant
    signed = world["south"]("GET", f"{path}/parameters/registrar").json
    assert signed["lead"] == "north"
    squatting = StudySecret.generate(study, 1)
    with pytest.raises(TrustCenterError) as caught:
        south.share(study, squatting, pinned_only=True)
    assert caught.value.code == "not_the_lead"
    assert "study lead" in caught.value.hint
    with pytest.raises(TrustCenterError) as caught:
        south.run(lambda center: work.fresh(center, study, south.pins))
    assert caught.value.code == "not_the_lead"
    assert north.run(lambda center: center.secret_state(study)).shares == []

    lead = path + "/lead"
    assert world["south"]("PUT", lead, {"site": "south"}).status == 403
    assert world["operator"]("PUT", lead, {"site": "west"}).json["code"] == "cannot_lead"
    for _ in range(2):
        assert world["operator"]("PUT", lead, {"site": "south"}).json["lead"] == "south"
    for room in ("registrar", "comparator"):
        assert world["south"]("GET", f"{path}/parameters/{room}").json["lead"] == "south"
    entries = [json.loads(line) for line in world["clara"]("GET", "/v1/audit/registrar/export").body.splitlines()]
    named = [e["leaf"]["data"] for e in entries if e.get("leaf", {}).get("event") == "operator:study:lead"]
    assert [(one["study"], one["before"], one["lead"]) for one in named] == [(study, "north", "south")]
    with pytest.raises(TrustCenterError) as caught:
        north.share(study, StudySecret.generate(study, 1), pinned_only=True)
    assert caught.value.code == "not_the_lead"
    made = south.run(lambda center: work.fresh(center, study, south.pins))
    south.share(study, made, pinned_only=True)
    assert north.fetch(study, "south").material == made.material
    # Who leads is not removed before another was named.
    body = {"version": 2, "reason": "member_removed", "remove": ["south"]}
    assert world["operator"]("POST", path + "/versions", body).json["code"] == "lead_removed"


def test_nothing_is_sealed_to_a_member_whose_card_was_not_compared(world: Any, members: Any) -> None:
    study = study_of(world, "relay-unpinned", (*SITES, "east"))
    north, _ = acquainted(members, study)
    secret = StudySecret.generate(study, 1)
    with pytest.raises(TrustCenterError) as caught:
        north.share(study, secret)
    assert (caught.value.code, caught.value.where) == ("member_not_pinned", "east")
    assert "study secret pin" in caught.value.hint
    assert north.share(study, secret, pinned_only=True).waiting == ["east"]
    assert members["east"].refused(study) == "secret_not_shared"
    # It comes later; the others need nothing new.
    members["east"].publish(study)
    north.pin(study, members["east"])
    members["east"].pin(study, north)
    assert north.share(study, secret).state.issue == 2
    assert members["east"].fetch(study).material == secret.material


def test_a_substituted_card_is_found_before_and_after_it_was_compared(world: Any, members: Any) -> None:
    study = study_of(world, "relay-cards")
    north, south = acquainted(members, study)
    centre, mallory = north.centre, RecipientKey.generate()

    def substitute(answer: Any) -> Any:
        for card in answer["cards"]:
            if card["site"] == "south":
                card["card"] = make_card("south", mallory).text
        return answer

    centre.lies["cards"] = substitute
    fresh = Member("north", north.key, north.file.with_name("again.key"), north.connection, centre)
    with pytest.raises(TrustCenterError) as caught:
        fresh.pin(study, south)  # south says its own fingerprint
    assert caught.value.code == "wrong_card"
    with pytest.raises(TrustCenterError) as caught:
        north.share(study, StudySecret.generate(study, 1))
    assert caught.value.code == "card_exchanged"
    status = north.run(lambda center: secret_status.status(center, study, north.pins, None))
    assert {m.site: m.compared for m in status.members}["south"] == "exchanged"
    centre.lies["cards"] = lambda answer: {**answer, "cards": [  # under another's name
        {**c, "card": make_card("north", mallory).text} for c in answer["cards"]]}  # fmt: skip
    with pytest.raises(TrustCenterError) as caught:
        fresh.pin(study, south)
    assert caught.value.code == "card_exchanged"
    assert north.run(lambda center: center.secret_state(study)).shares == []


def forged(study: str, south: Member, north: Member, *, key: RecipientKey, secret: StudySecret, **other: Any) -> Any:
    """What a centre that makes a share itself hands out to south."""
    cards = [make_card("south", south.key)]
    made = make_share(
        secret, sender="north", key=key, cards=cards, **{"schema": other.pop("schema"), "issue": 1, **other}
    )
    return {
        "sender": "north",
        "statement": made.statement.decode(),
        "signature": made.signature,
        "sealed": base64.b64encode(made.envelopes["south"]).decode(),
        "card": make_card("north", key).text,
    }


def test_a_centre_that_substitutes_the_share_is_found_with_a_code_for_each_way(world: Any, members: Any) -> None:
    study, another = study_of(world, "relay-forged"), study_of(world, "relay-other")
    north, south = acquainted(members, study)
    acquainted(members, another)
    centre, mallory = north.centre, RecipientKey.generate()
    secret, chosen = StudySecret.generate(study, 1), StudySecret.generate(study, 1)
    schema = world["north"]("GET", f"/v1/studies/{study}").json["fingerprint"]
    north.share(study, secret)
    north.share(another, StudySecret.generate(another, 1))
    real = south.run(lambda center: center.own_secret_shares(study)).shares[0]
    foreign = south.run(lambda center: center.own_secret_shares(another)).shares[0]
    to_north = north.run(lambda center: center.own_secret_shares(study)).shares[0]

    def found(changed: Any) -> str:
        centre.lies["secret-shares"] = lambda answer: {**answer, "shares": [{**answer["shares"][0], **changed}]}
        try:
            return south.refused(study)
        finally:
            centre.lies.clear()

    own = forged(study, south, north, key=mallory, secret=chosen, schema=schema)
    assert found(own) == "card_exchanged", "a share and a card of its own"
    assert found({**own, "card": real.card}) == "card_exchanged", "its own share under the real card"
    claimed = own["statement"].replace(make_card("north", mallory).fingerprint, south.pins.cards["north"])
    assert found({**own, "card": real.card, "statement": claimed}) == "share_not_from_sender"
    assert found({"sealed": own["sealed"]}) == "envelope_exchanged", "a sealed message of its own"
    assert found({"sealed": to_north.sealed}) == "envelope_exchanged", "that of another member"
    assert found({"statement": real.statement.replace("issue: 1", "issue: 2")}) == "share_not_from_sender"
    assert found({"signature": foreign.signature}) == "share_not_from_sender"
    assert found({"statement": foreign.statement, "signature": foreign.signature, "sealed": foreign.sealed}) == (
        "secret_of_another_study"
    )
    # It describes the other study where this one was asked for, whose secret it may know.
    other_study = world["south"]("GET", f"/v1/studies/{another}").json
    centre.lies[study] = lambda _: other_study
    centre.lies["secret-shares"] = lambda answer: {**answer, "shares": [msgspec.to_builtins(foreign)]}
    assert south.refused(study) == "secret_of_another_study"
    centre.lies.clear()
    assert found({"statement": "nonsense"}) == "secret_share_invalid"
    assert found({"card": None}) == "no_card"
    schemas = forged(study, south, north, key=north.key, secret=chosen, schema="ab" * 32)
    assert found(schemas) == "secret_for_another_schema"
    stranger = Member("south", south.key, south.file.with_name("stranger.key"), south.connection, centre)
    assert stranger.refused(study) == "sender_not_pinned"
    newer = Member("south", RecipientKey.generate(), south.file, south.connection, centre)
    assert newer.refused(study) == "sealed_to_another_card"
    assert south.fetch(study).material == secret.material, "without a lie it opens"
    # The lead's own key, stolen or lying: another secret for a version that this member has one of.
    assert found(forged(study, south, north, key=north.key, secret=chosen, schema=schema)) == "secret_exchanged"


def test_an_older_share_is_not_taken_for_the_present_one(world: Any, members: Any) -> None:
    study = study_of(world, "relay-replay")
    north, south = acquainted(members, study)
    secret = StudySecret.generate(study, 1)
    north.share(study, secret)
    old = world["south"]("GET", f"/v1/studies/{study}/secret-shares").json
    north.share(study, secret)
    south.fetch(study)
    south.centre.lies["secret-shares"] = lambda _: old
    assert south.refused(study) == "share_replayed"


def test_a_removed_member_means_a_new_version_and_a_new_secret(world: Any, members: Any) -> None:
    study = study_of(world, "relay-removal", (*SITES, "east"))
    north, south = acquainted(members, study, (*SITES, "east"))
    east, centre = members["east"], north.centre
    north.pin(study, east)
    east.pin(study, north)
    first = StudySecret.generate(study, 1)
    north.share(study, first)
    assert {site.fetch(study).fingerprint for site in (south, east)} == {first.fingerprint}
    path = f"/v1/studies/{study}"
    old, described = world["south"]("GET", path + "/secret-shares").json, world["south"]("GET", path).json
    body = {"version": 2, "reason": "member_removed", "remove": ["east"]}
    renewed = world["operator"]("POST", path + "/versions", body)
    assert renewed.json["version"] == 2, renewed.body
    # There is no secret until the lead makes one; the old one is refused, whoever hands it out.
    assert south.refused(study) == "secret_not_shared"
    centre.lies["secret-shares"] = lambda answer: {**answer, "shares": old["shares"]}
    assert south.refused(study) == "secret_of_another_version"
    centre.lies.clear()
    with pytest.raises(TrustCenterError) as caught:
        north.share(study, first)
    assert caught.value.code == "wrong_study_secret"
    second = StudySecret.generate(study, 2)
    assert north.share(study, second).state.members == ["north", "south"], "cards need not be compared again"
    assert south.fetch(study).material == second.material
    with pytest.raises(TrustCenterError) as caught:
        east.fetch(study)
    assert caught.value.code == "site_removed"
    for method, end, what in (
        ("PUT", "card", {"card": make_card("east", east.key).text}),
        ("GET", "secret-shares", None),
        ("GET", "secret-state", None),
        ("GET", "cards", None),
    ):
        assert world["east"](method, f"{path}/{end}", what).json["code"] == "site_removed"
    # The centre claims that the old version is the present one, say because it knows that secret.
    centre.lies = {study: lambda _: described, "secret-shares": lambda _: old}
    assert south.refused(study) == "secret_version_over"
    with stored(world.live.dir, "registrar") as conn:
        counts = [conn.execute(f"SELECT count(*) FROM {t} WHERE study = ? AND version = 1", (study,)).fetchone()[0]
                  for t in ("secret_share", "secret_envelope", "secret_confirmation")]  # fmt: skip
    assert counts == [0, 0, 0]


def test_a_practice_gets_new_versions_from_its_sponsor_without_a_new_invitation(
    world: Any, members: Any, tmp_path: Path
) -> None:
    study = study_of(world, "relay-practice")
    north, south = acquainted(members, study)
    path = f"/v1/studies/{study}"
    assert world["operator"]("POST", path + "/sponsors", {"site": "north", "practices": 1}).status == 200
    invited = world["north"]("POST", path + "/enrolments", {"site": "praxis", "title": "Praxis"}).json
    key = RecipientKey.generate()
    came = {"code": invited["code"], "card": make_card("praxis", key).text}
    token = world["nobody"]("POST", "/v1/enrolments", came).json["token"]
    practice = Member("praxis", key, tmp_path / "praxis.key", north.centre.connection("praxis", token), north.centre)
    practice.pin(study, north)  # in the invitation
    first = StudySecret.generate(study, 1)
    with pytest.raises(TrustCenterError) as caught:
        north.share(study, first)
    assert (caught.value.code, caught.value.where) == ("member_not_pinned", "praxis")
    north.pin(study, practice)
    north.share(study, first)
    assert practice.fetch(study).material == south.fetch(study).material == first.material
    assert south.share(study, first).state.members == ["north", "south"], (
        "the practice of another is none of its business"
    )
    body = {"version": 2, "reason": "secret_compromised"}
    assert world["operator"]("POST", path + "/versions", body).json["version"] == 2
    assert practice.refused(study) == "secret_not_shared"
    # It cannot be the first with a secret of its own, which would keep the others from agreeing on theirs.
    with pytest.raises(TrustCenterError) as caught:
        practice.share(study, StudySecret.generate(study, 2), pinned_only=True)
    assert caught.value.code == "practice_shares_none"
    second = StudySecret.generate(study, 2)
    assert north.share(study, second).state.members == ["north", "praxis", "south"]
    assert practice.fetch(study).material == second.material


def test_a_member_that_was_given_another_secret_shows(world: Any, members: Any) -> None:
    study = study_of(world, "relay-confirm")
    north, _ = acquainted(members, study)
    secret = StudySecret.generate(study, 1)
    north.share(study, secret)
    other = StudySecret.generate(study, 1)
    body = {"version": 1, "confirmation": other.confirmation("south")}
    assert world["south"]("PUT", f"/v1/studies/{study}/secret-confirmation", body).status == 204
    status = north.run(lambda center: secret_status.status(center, study, north.pins, secret))
    assert {m.site: m.holds for m in status.members} == {"north": "yes", "south": "another"}
    # A centre that repeats somebody else's confirmation is found as well.
    mine = secret.confirmation("north")
    north.centre.lies["secret-state"] = lambda answer: {**answer, "confirmations": [
        {**one, "confirmation": mine} for one in answer["confirmations"]]}  # fmt: skip
    status = north.run(lambda center: secret_status.status(center, study, north.pins, secret))
    assert {m.site: m.holds for m in status.members} == {"north": "yes", "south": "another"}


def test_what_is_remembered_is_read_back_and_nothing_else_is(tmp_path: Path, members: Any) -> None:
    pins = Pins(tmp_path / "a.key.pins", {"south": "4J2J-LU58-RLV8-7JVN-YHRA"})
    pins.hold("hearts", 2, "4J2J-LU58-RLV8-7JVN-YHRA", "north", 3)
    assert Pins.load(pins.path) == pins
    assert pins.path.stat().st_mode & 0o777 == 0o600
    text = pins.path.read_text()
    for changed in (text[:-1], text.replace("pins 1", "pins 2"), text + "\n", text.replace("card", "carte"), ""):
        pins.path.write_text(changed)
        with pytest.raises(TrustCenterError) as caught:
            Pins.load(pins.path)
        assert caught.value.code == "bad_pins"
    pins.path.write_text(text)
    pins.path.chmod(0o666)
    with pytest.raises(TrustCenterError) as caught:
        Pins.load(pins.path)
    assert caught.value.code == "bad_pins"


def test_a_share_says_to_every_member_to_whom_else_it_went(world: Any, members: Any) -> None:
    study = study_of(world, "relay-told")
    north, south = acquainted(members, study)
    north.share(study, StudySecret.generate(study, 1))
    own = south.run(lambda center: center.own_secret_shares(study)).shares[0]
    share = parse_share(own.statement.encode())
    assert [(p.name, p.card) for p in share.members] == [
        (m.site, make_card(m.site, m.key).fingerprint) for m in (north, south)
    ]
