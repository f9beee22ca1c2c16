"""Every long command says how far it is and how long it will take, and one that is stopped leaves nothing half made."""

import pytest

from linkage import Secrets, load_schema, rows
from trustcenter.cli import progress
from trustcenter.client.linking import offline_pairs
from trustcenter.client.linking.offline import encode_source, match_directories

FIELDS = ("--schema", "de-person/1", "--id-column", "id")


@pytest.fixture
def often(monkeypatch):
    """Where there is no terminal, every step is told instead of one in ten seconds."""
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    monkeypatch.setattr(offline_pairs, "_EVERY", 10)


def told(outcome, *words, code=0):
    """Each word stands in a line with a share and a time left."""
    assert outcome.code == code, outcome.err
    lines = [line for line in outcome.err.splitlines() if line.endswith(" s left")]
    for word in words:
        assert any(line.startswith(f"{word}: ") and " %, about " in line for line in lines), (word, outcome.err)


def test_commands_at_a_site(cli, joined, often):
    north = joined / "data" / "north.csv"
    secrets = ("--study-secret", joined / "study.secret", "--site-key", joined / "north.key")
    told(cli("linkage", "check", north, *FIELDS), "reading", "counting")
    told(cli("linkage", "dedupe", north, *FIELDS, "--list", joined / "pairs.csv"), "reading", "comparing")
    told(cli("linkage", "encode", north, *FIELDS, *secrets, "-o", joined / "again"), "reading", "encoding")
    counts = joined / "counts.json"
    few = cli("linkage", "calibrate", north, *FIELDS, "-o", counts)
    told(few, "reading", "encoding", "comparing", code=1)
    assert "[bad_densities]" in few.err


def test_commands_that_compare(cli, joined, often):
    sources, work = (joined / "north", joined / "south"), joined / "work"
    files = [source / "rows.tcrows" for source in sources]
    words = ("comparing", "reading maps", "resolving edges", "deciding", "forming persons", "writing")
    told(cli("linkage", "match", *sources, "-o", joined / "once"), *words)
    told(cli("linkage", "evaluate", joined / "once"), "reading")
    told(cli("linkage", "cluster", joined / "once", "-o", joined / "persons"), "reading")
    assert cli("linkage", "plan", *files, "--schema", "de-person/1", "--work", work).code == 0
    told(cli("linkage", "chunk", work, "cut"), "cutting")
    told(cli("linkage", "chunk", work, "join"), "comparing")
    told(cli("linkage", "index", "build", joined / "known", files[0], "--schema", "de-person/1"), "building")
    told(cli("linkage", "index", "look-up", joined / "known", files[1], "-o", joined / "e"), "looking up")


@pytest.mark.parametrize("stage", ["read", "encode"])
def test_an_encoding_that_is_stopped_leaves_nothing(joined, stage):
    def stop(now, done, total):
        assert 0 < done <= total
        if now == stage:
            raise KeyboardInterrupt

    secrets = Secrets(bytes(range(32)), bytes(range(1, 33)), "demo", 1)
    before = sorted(joined.iterdir())
    with pytest.raises(KeyboardInterrupt):
        encode_source(
            joined / "data" / "north.csv",
            joined / "stopped",
            name="north",
            schema=load_schema("de-person/1"),
            secrets=secrets,
            id_column="id",
            progress=stop,
        )
    assert sorted(joined.iterdir()) == before


def test_an_encoding_that_is_stopped_goes_on_in_its_working_directory(cli, joined, monkeypatch):
    data, work = joined / "data" / "north.csv", joined / "work"
    secrets = ("--study-secret", joined / "study.secret", "--site-key", joined / "north.key")
    command = ("linkage", "encode", data, *FIELDS, *secrets, "--work", work)
    assert cli("linkage", "encode", data, *FIELDS, *secrets, "-o", joined / "once").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(rows, "write_file", interrupted)  # when all rows are made, and are to be written
        given_up = cli(*command, "-o", joined / "again")
    assert given_up.code == 130
    assert "what was encoded is kept (--work)" in given_up.err
    assert [path.name for path in sorted(work.iterdir())] == ["encoding.json", "lock", "piece-000000"]
    assert not (joined / "again").exists()

    refused = cli(*command, "--source", "another", "-o", joined / "again")
    assert refused.code == 1
    assert "begun with another name of the source [other_encoding]" in refused.err
    text = data.read_text()
    data.write_text(text.replace(text.splitlines()[1] + "\n", ""))
    refused = cli(*command, "-o", joined / "again")
    assert "changed since the working directory was begun [other_encoding]" in refused.err
    data.write_text(text)

    assert cli(*command, "-o", joined / "again").code == 0
    assert not work.exists()
    for name in ("rows.tcrows", "map.tcmap", "ids.csv"):
        assert (joined / "again" / name).read_bytes() == (joined / "once" / name).read_bytes()


def test_working_directory_and_output_lie_beside_each_other(cli, joined):
    """An output `encode` is begun as `.encode-…`, which is what goes from a working directory."""
    secrets = ("--study-secret", joined / "study.secret", "--site-key", joined / "north.key")
    command = ("linkage", "encode", joined / "data" / "north.csv", *FIELDS, *secrets)
    before = sorted(joined.iterdir())
    for work, output in (("w", "w"), ("", "encode"), ("w/spool", "w")):
        refused = cli(*command, "--work", joined / work, "-o", joined / output)
        assert refused.code == 1, refused.err
        assert "lies in the other" in refused.err
    assert sorted(joined.iterdir()) == before


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("stage", ["map", "edges", "decide", "cluster", "write"])
def test_a_match_that_is_stopped_leaves_what_was_there(joined, stage):
    def stop(now, done, total):
        if now == stage:
            raise KeyboardInterrupt

    there = joined / f"there-{stage}"
    there.mkdir()
    (there / "pairs.csv").write_text("of an earlier match")
    before = sorted(joined.iterdir())
    for target, force in ((joined / "stopped", False), (there, True)):
        with pytest.raises(KeyboardInterrupt):
            match_directories([joined / "north", joined / "south"], target, force=force, progress=stop)
    assert sorted(joined.iterdir()) == before
    assert [file.read_text() for file in there.iterdir()] == ["of an earlier match"]


def test_a_match_in_the_place_of_another_leaves_nothing_of_it(cli, joined):
    there = joined / "again"
    there.mkdir()
    for name in ("pairs.csv", "explained.csv", "events.csv"):
        (there / name).write_text("of an earlier match")
    sources = (joined / "north", joined / "south")
    assert cli("linkage", "match", *sources, "-o", there).code != 0
    assert cli("linkage", "match", *sources, "-o", there, "--force").code == 0
    assert {file.name for file in there.iterdir()} == {"pairs.csv", "persons.csv", "run.json", "parameters.json"}
