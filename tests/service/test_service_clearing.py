"""Clearing at the live service: doubtful pairs, blind answers, disagreement, pairs by hand, splits."""

from __future__ import annotations

import asyncio
import csv
import json
from typing import Any

import msgspec
import pytest
from clearing_support import SITES, answer, ask, persons, study, waiting
from click.testing import CliRunner
from sources_support import Source
from studies_support import bring, link, make_study

from keys import hybrid
from trustcenter.cli import main
from trustcenter.client.api import TrustCenter
from trustcenter.client.connection import Connection
from trustcenter.client.errors import RemoteError
from trustcenter.client.study import clearing_file
from trustcenter.messages import api

SAME = {"answer": "same", "reason": "evidence-strong"}
DIFFERENT = {"answer": "different", "reason": "evidence-weak"}


@pytest.fixture(scope="module")
def recipient_key() -> hybrid.RecipientKey:
    return hybrid.RecipientKey.generate()


@pytest.fixture(scope="module")
def stewards(world) -> dict[str, Any]:
    """Three stewards; dora is there already."""
    found = {"dora": world["dora"]}
    for name in ("emil", "frieda"):
        added = world["operator"]("POST", "/v1/staff", {"name": name, "role": "steward"})
        assert added.status == 201, added.body
        found[name] = type(world["dora"])(Connection.load(world.live.operator), added.json["token"]["token"])
    return found


def test_a_pair_by_hand_is_joined_and_a_split_parts_it(world, recipient_key, stewards) -> None:
    of = study(world, recipient_key, "by-hand", "single")
    dora = stewards["dora"]
    before = set(waiting(dora, "by-hand"))
    assert ask(dora, "by-hand", of["north"]["0"], of["north"]["0"]).json["code"] == "unknown_record"
    same_site = {"sites": ["north", "north"], "pseudonyms": [of["north"]["0"], of["north"]["1"]]}
    assert dora("POST", "/v1/studies/by-hand/clearing", same_site).json["code"] == "same_site"
    paired = ask(dora, "by-hand", of["north"]["0"], of["south"]["80"]).json
    split = ask(dora, "by-hand", of["north"]["40"], of["south"]["40"]).json
    assert (paired["origin"], paired["edges"], paired["sites"]) == ("pair", 0, ["north", "south"])
    assert (paired["joined"], paired["records"], paired["rivals"]) == (False, 2, None)  # no run found it doubtful
    assert (split["origin"], split["joined"], split["records"]) == ("split", True, 2)
    assert split["edges"] > 0
    assert set(waiting(dora, "by-hand")) == before | {paired["task"], split["task"]}

    assert answer(dora, "by-hand", paired["task"], SAME).json["decided"] is True
    assert answer(dora, "by-hand", paired["task"], SAME).status == 200  # once more
    assert answer(dora, "by-hand", paired["task"], DIFFERENT).json["code"] == "answered"
    assert answer(stewards["emil"], "by-hand", paired["task"], SAME).json["code"] == "task_decided"
    assert answer(dora, "by-hand", split["task"], DIFFERENT).json["decided"] is True
    now = persons(world, recipient_key, "by-hand")
    assert now[of["north"]["40"]] == now[of["south"]["40"]]  # a verdict holds from the next run on
    link(world, "by-hand")
    now = persons(world, recipient_key, "by-hand")
    assert now[of["north"]["0"]] == now[of["south"]["80"]]
    assert now[of["north"]["40"]] != now[of["south"]["40"]]
    assert now[of["north"]["41"]] == now[of["south"]["41"]]


def test_two_stewards_are_blind_to_each_other_and_a_third_settles(world, recipient_key, stewards) -> None:
    of = study(world, recipient_key, "double", "double")
    dora, emil, frieda = (stewards[name] for name in ("dora", "emil", "frieda"))
    task = ask(dora, "double", of["north"]["3"], of["south"]["85"]).json["task"]
    before = emil("GET", "/v1/studies/double/clearing").json
    assert answer(dora, "double", task, SAME).json["decided"] is False
    after = emil("GET", "/v1/studies/double/clearing").json
    assert after == before  # the second sees nothing of the first
    assert task not in waiting(dora, "double")
    again = ask(emil, "double", of["north"]["3"], of["south"]["85"])  # neither loses an answer nor tells of one
    assert again.json["task"] == task
    assert task not in waiting(dora, "double")
    assert answer(emil, "double", task, DIFFERENT).json["decided"] is False
    listed = frieda("GET", "/v1/studies/double/clearing").json
    assert listed["disagreements"] == 1
    assert answer(frieda, "double", task, SAME).json["decided"] is True
    for caller in (dora, emil, frieda):
        assert task not in waiting(caller, "double")
    # Only numbers come out: no pseudonym, no record number, no steward.
    text = json.dumps(listed)
    for word in (of["north"]["3"], of["south"]["85"], "dora", "emil", "evidence"):
        assert word not in text


def test_an_answer_is_taken_back_by_whoever_gave_it(world, recipient_key, stewards) -> None:
    of = study(world, recipient_key, "taken-back", "double")
    dora, emil = stewards["dora"], stewards["emil"]
    task = ask(dora, "taken-back", of["north"]["40"], of["south"]["40"]).json["task"]
    own = f"/v1/studies/taken-back/clearing/{task}/answers"
    assert dora("DELETE", own).json["code"] == "not_answered"
    assert answer(dora, "taken-back", task, SAME).status == 200
    assert dora("DELETE", own).status == 200
    assert task in waiting(dora, "taken-back")
    assert answer(dora, "taken-back", task, DIFFERENT).json["decided"] is False
    assert answer(emil, "taken-back", task, DIFFERENT).json["decided"] is True
    link(world, "taken-back")
    now = persons(world, recipient_key, "taken-back")
    assert now[of["north"]["40"]] != now[of["south"]["40"]]
    # A decision that one of the two takes back holds no more from the next run on.
    assert stewards["frieda"]("DELETE", own).json["code"] == "not_answered"
    assert emil("DELETE", own).json["decided"] is False
    assert task in waiting(stewards["frieda"], "taken-back")
    assert task not in waiting(dora, "taken-back")
    link(world, "taken-back")
    now = persons(world, recipient_key, "taken-back")
    assert now[of["north"]["40"]] == now[of["south"]["40"]]


def test_nobody_finds_out_by_trying_what_the_other_steward_said(world, recipient_key, stewards) -> None:
    """Else one person would decide what takes two: an answer, back, and the other one."""
    of = study(world, recipient_key, "tried", "double")
    dora, emil, frieda = (stewards[name] for name in ("dora", "emil", "frieda"))
    task = ask(dora, "tried", of["north"]["40"], of["south"]["40"]).json["task"]
    own = f"/v1/studies/tried/clearing/{task}/answers"
    assert answer(dora, "tried", task, DIFFERENT).json["decided"] is False
    assert answer(emil, "tried", task, SAME).json["decided"] is False  # so dora said the other thing, or nothing
    assert emil("DELETE", own).status == 200
    for tried in (DIFFERENT, SAME):
        assert answer(emil, "tried", task, tried).json["code"] == "answer_taken_back"
    assert task not in waiting(emil, "tried")
    assert answer(frieda, "tried", task, DIFFERENT).json["decided"] is True
    assert ask(emil, "tried", of["north"]["40"], of["south"]["40"]).json["task"] == task  # anew, for everybody
    assert task in waiting(emil, "tried")
    assert answer(emil, "tried", task, SAME).json["decided"] is False


def test_postponing_and_refusals(world, recipient_key, stewards) -> None:
    of = study(world, recipient_key, "later", "single")
    dora = stewards["dora"]
    task = ask(dora, "later", of["north"]["3"], of["south"]["85"]).json["task"]
    path = f"/v1/studies/later/clearing/{task}"
    assert dora("POST", f"{path}/postpone", {"until": "2020-01-01"}).json["code"] == "usage_error"
    assert dora("POST", f"{path}/postpone", {"until": "2999-01-01"}).json["postponed"] == "2999-01-01"
    assert task not in waiting(dora, "later")
    assert task in [t["task"] for t in dora("GET", "/v1/studies/later/clearing").json["postponed"]]
    free = dora("POST", f"{path}/answers", {"answer": "same", "reason": "she told me her name"})
    assert (free.status, free.json["code"]) == (400, "invalid_body")
    assert answer(dora, "later", "0" * 32, SAME).json["code"] == "unknown_task"
    assert world["operator"]("GET", "/v1/studies/later/clearing").status == 403


def test_one_task_is_shown_alone_be_it_postponed(world, recipient_key, stewards, tmp_path) -> None:
    of = study(world, recipient_key, "alone", "single")
    dora = stewards["dora"]
    token = world["operator"]("POST", "/v1/staff/dora/tokens", {}).json["token"]
    msgspec.structs.replace(Connection.load(world.live.operator), token=token).save(tmp_path / "dora.toml")
    tasks = [ask(dora, "alone", of["north"][str(n)], of["south"][str(80 + n)]).json["task"] for n in range(2)]
    dora("POST", f"/v1/studies/alone/clearing/{tasks[1]}/postpone", {"until": "2999-01-01"})

    def show(task: str) -> Any:
        command = ["study", "clearing", "alone", "--task", task, "--json", "--connect", str(tmp_path / "dora.toml")]
        return CliRunner().invoke(main, command)

    for task, postponed in zip(tasks, (None, "2999-01-01"), strict=True):
        shown = json.loads(show(task).stdout)
        assert (shown["task"], shown["postponed"], shown["sites"]) == (task, postponed, ["north", "south"])
    assert answer(dora, "alone", tasks[0], DIFFERENT).json["decided"] is True
    for gone in (tasks[0], "0" * 32):
        refused = show(gone)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "[unknown_task]" in refused.stderr


def test_a_study_without_clearing_has_no_tasks(world, recipient_key, stewards) -> None:
    assert make_study(world, recipient_key, "uncleared", settings={"clearing": "none"}).status == 201
    refused = stewards["dora"]("GET", "/v1/studies/uncleared/clearing")
    assert (refused.status, refused.json["code"]) == (403, "no_clearing")


def test_doubtful_pairs_of_a_run_become_tasks(world, recipient_key, stewards) -> None:
    # With these bounds nearly every pair is doubtful: possible matches, and joined ones with a posterior below 1.
    settings = {"lower": 1e-9, "upper": 1 - 1e-12}
    assert make_study(world, recipient_key, "doubtful", settings=settings).status == 201
    for site, number, start in (("north", 1, 0), ("south", 2, 30)):
        bring(world, "doubtful", site, Source("doubtful", number, start, 60))
    counts = link(world, "doubtful")["counts"]
    possible, matches = (sum(pair[word] for pair in counts["pairs"]) for word in ("possible", "matches"))
    listed = stewards["dora"]("GET", "/v1/studies/doubtful/clearing").json
    assert 0 < possible < listed["total"] == len(listed["tasks"]) <= possible + matches
    assert all(task["edges"] > 0 and task["level"] is not None for task in listed["tasks"])
    joined = [task["joined"] for task in listed["tasks"]]
    assert sum(joined) == listed["total"] - possible  # what is only possible is not joined
    assert [task["records"] for task in listed["tasks"]] == sorted(
        (t["records"] for t in listed["tasks"]), reverse=True
    )
    link(world, "doubtful")  # the same run again makes no second task
    assert stewards["dora"]("GET", "/v1/studies/doubtful/clearing").json == listed
    moved = world["operator"]("POST", "/v1/studies/doubtful/state", {"state": "closed"})
    assert moved.json["purged"] is not None
    assert stewards["dora"]("GET", "/v1/studies/doubtful/clearing").json["code"] == "study_state"


def test_a_work_list_is_exported_filled_in_and_handed_in(world, recipient_key, stewards, tmp_path) -> None:
    of = study(world, recipient_key, "in-a-file", "single")
    dora, emil = stewards["dora"], stewards["emil"]
    token = world["operator"]("POST", "/v1/staff/dora/tokens", {}).json["token"]
    tasks = [ask(dora, "in-a-file", of["north"][str(n)], of["south"][str(80 + n)]).json["task"] for n in range(3)]
    listed = msgspec.json.decode(dora("GET", "/v1/studies/in-a-file/clearing").body, type=api.ClearingTasks)
    clearing_file.write(tmp_path / "list.csv", listed.tasks)
    with (tmp_path / "list.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["task"] for row in rows] == [task.task for task in listed.tasks]
    given = {tasks[0]: ("same", "reported-error"), tasks[1]: ("different", "no-rival"), tasks[2]: ("", "")}
    assert answer(emil, "in-a-file", tasks[1], SAME).json["decided"] is True  # meanwhile
    lines = ["task,answer,reason", *(f"{task},{said},{why}" for task, (said, why) in given.items())]
    (tmp_path / "filled.csv").write_text("\n".join(lines) + "\n")

    async def hand_in() -> clearing_file.HandedIn:
        connection = msgspec.structs.replace(Connection.load(world.live.operator), token=token)
        async with TrustCenter(connection) as center:
            return await clearing_file.hand_in(center, "in-a-file", clearing_file.read(tmp_path / "filled.csv"))

    assert asyncio.run(hand_in()) == clearing_file.HandedIn(answered=1, decided=1, over=1)
    assert asyncio.run(hand_in()) == clearing_file.HandedIn(answered=1, decided=1, over=1)  # again: harmless
    changed = (tmp_path / "filled.csv").read_text().replace(f"{tasks[0]},same", f"{tasks[0]},different")
    (tmp_path / "filled.csv").write_text(changed)
    with pytest.raises(RemoteError) as refused:
        asyncio.run(hand_in())
    assert (refused.value.code, refused.value.where) == ("answered", "row 1")
    left = waiting(dora, "in-a-file")
    assert tasks[2] in left
    assert not {tasks[0], tasks[1]} & set(left)


def test_sites_answer_about_their_own_records_among_control_questions(world, recipient_key, stewards) -> None:
    of = study(world, recipient_key, "asked", "single")
    dora, path = stewards["dora"], "/v1/studies/asked/questions"
    task = ask(dora, "asked", of["north"]["3"], of["south"]["85"]).json["task"]
    base = "/v1/studies/asked/clearing/questions"
    assert dora("POST", base, {"tasks": ["0" * 32]}).json["code"] == "unknown_task"
    assert dora("POST", base, {"tasks": [task]}).json == {"round": 1, "each": 12, "tasks": 1}
    assert dora("POST", base, {"tasks": [task]}).json["code"] == "sites_asked"
    asked = {site: world[site]("GET", path).json["record_numbers"] for site in ("north", "south")}
    number = {site: Source("asked", n, start, 60).encoded.record_numbers for site, n, start in SITES}
    mine = {"north": bytes(number["north"][3]).hex(), "south": bytes(number["south"][55]).hex()}
    # Each site has as many questions, one of them about the pair; which, its place does not say.
    for site in ("north", "south"):
        assert len(asked[site]) == 12
        assert mine[site] in asked[site] == sorted(asked[site])
    # The second pair shares a record with the first: that one is not asked about again.
    free = next(n for n in range(4, 30) if bytes(number["north"][n]).hex() not in asked["north"])
    other = ask(dora, "asked", of["north"][str(free)], of["south"]["85"]).json["task"]
    assert dora("POST", base, {"tasks": [other]}).json["round"] == 2
    again = {site: set(world[site]("GET", path).json["record_numbers"]) for site in ("north", "south")}
    assert {site: len(again[site]) for site in again} == {"north": 24, "south": 24}
    assert world["east"]("GET", path).status == 404

    def reply(site: str, numbers, word: str = "right"):
        return world[site]("POST", path, {"replies": [{"record_number": n, "answer": word} for n in numbers]})

    assert reply("north", ["0" * 32]).json["code"] == "not_asked"
    assert reply("north", [mine["north"]], "perhaps").json["code"] == "invalid_body"
    assert reply("north", asked["north"], "changed").json == {"answered": 12, "left": 12}
    shown = {t["task"]: t for t in dora("GET", "/v1/studies/asked/clearing").json["tasks"]}
    assert shown[task]["asked"] is True
    assert shown[task]["site_answers"] is None  # one of two would say whose it is
    assert reply("south", asked["south"]).json == {"answered": 12, "left": 12}
    assert reply("south", asked["south"]).json == {"answered": 0, "left": 12}
    assert reply("south", [mine["south"]], "mixed").json["code"] == "answered"
    shown = {t["task"]: t for t in dora("GET", "/v1/studies/asked/clearing").json["tasks"]}
    assert shown[task]["site_answers"] == ["changed", "right"]
    assert shown[other]["site_answers"] is None


def test_a_verdict_that_cannot_be_met_is_reported(world, recipient_key, stewards) -> None:
    of = study(world, recipient_key, "unmet", "single")
    dora = stewards["dora"]
    # Person 40 is joined with the southern 40; one with the southern 85 as well, it would hold two of one site.
    task = ask(dora, "unmet", of["north"]["40"], of["south"]["40"]).json["task"]
    assert answer(dora, "unmet", task, SAME).status == 200
    second = ask(dora, "unmet", of["north"]["40"], of["south"]["85"]).json["task"]
    assert answer(dora, "unmet", second, SAME).status == 200
    counts = link(world, "unmet")["counts"]
    assert counts["unmet"] == 1
    listed = dora("GET", "/v1/studies/unmet/clearing").json["unmet"]
    assert len(listed) == 1
    assert listed[0]["task"] in (task, second)
    again = ask(dora, "unmet", of["north"]["40"], of["south"]["85"]).json["task"]
    assert answer(dora, "unmet", again, DIFFERENT).status == 200
    assert link(world, "unmet")["counts"]["unmet"] == 0
    assert dora("GET", "/v1/studies/unmet/clearing").json["unmet"] == []
