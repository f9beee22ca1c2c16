"""Twins at one address and changed surnames, on synthetic data: what the rule joins, and what a careful study does."""

import hashlib
from collections import Counter

import msgspec
import numpy as np
import pytest

from linkage import Secrets, Source, load_schema, prepare
from linkage.decide import Class, Decision, Pairs, hold_back, one_name_differs, other_names
from linkage.encode import encode
from linkage.evaluate import conflicts, pairwise
from linkage.match import match
from linkage.synth import SiteSpec, SynthConfig, generate

DE, KIN = load_schema("de-person/1"), load_schema("de-person/3")  # of one set of fields
PLANTED = 30
FEW = 2  # names so short that they are nearer than names that differ mostly are


class World:
    """Two sites with households, and pairs planted among them, of whom each site knows one."""

    def __init__(self):
        made = generate(SynthConfig("careful", (SiteSpec("north", 2000), SiteSpec("south", 1500)), overlap=0.4))
        known = {f.name for f in DE.fields}
        self.columns = {s: {k: list(v) for k, v in t.columns.items() if k in known} for s, t in made.sites.items()}
        self.ids = {s: list(t.ids) for s, t in made.sites.items()}
        numbers = {}
        self.persons = {s: [] for s in made.sites}
        for site, _, person in made.truth:
            self.persons[site].append(numbers.setdefault(person, len(numbers)))
        north = self.columns["north"]
        whole = [i for i in range(2000) if all(north[k][i] for k in north)]
        self.homes = [{k: north[k][i] for k in ("street", "house_number", "postcode", "town")} for i in whole]
        self.given, self.surnames = (
            sorted({v for v in north[k] if v.isalpha() and len(v) > 3}) for k in ("given_name", "surname")
        )
        self.planted = {"twins": [], "changed name": [], "changed name, moved": []}

    def plant(self):
        """Twins; one woman before and after her marriage at one address; and one who moved."""
        for k in range(PLANTED):
            first, second = self.given[7 * k], self.given[-1 - 5 * k]
            born = f"{1 + k % 28:02}.{1 + k % 12:02}.{1950 + k}"
            before, after = self.surnames[3 * k], self.surnames[-1 - 3 * k]
            home, other = self.homes[5 * k], self.homes[5 * k + 400]
            cases = {
                "twins": ((first, before, home), (second, before, home), False),
                "changed name": ((first, before, home), (first, after, home), True),
                "changed name, moved": ((first, before, home), (first, after, other), True),
            }
            for at, (name, (a, b, same)) in enumerate(cases.items()):
                day = born[:6] + str(1930 + k + 30 * at % 70)
                self.planted[name].append((self.add("north", day, *a), self.add("south", day, *b)))
                self.persons["north"].append(f"{name} {k}")
                self.persons["south"].append(f"{name} {k}" if same else f"{name} {k} too")
        return self

    def add(self, site, born, given_name, surname, home):
        row = {**home, "given_name": given_name, "surname": surname, "birth_date": born}
        for name, column in self.columns[site].items():
            column.append(row.get(name, ""))
        self.ids[site].append(f"{site} {len(self.ids[site])}")
        return len(self.ids[site]) - 1

    def sources(self, schema=DE):
        made = []
        for site, columns in self.columns.items():
            secrets = Secrets(b"\x07" * 32, hashlib.sha256(site.encode()).digest(), "study", 1)
            one = encode(schema, prepare(schema, columns), self.ids[site], secrets)
            made.append(Source(site, one.rows, one.record_numbers, one.refs))
        return made


@pytest.fixture(scope="module")
def world():
    made = World().plant()
    return made, made.sources()


def classes(world, result):
    """Planted kind → class → pairs."""
    n = len(world.ids["north"])
    cls = {(int(p["a"]), int(p["b"])): Class(int(p["class"])).name for p in result.pairs}
    return {name: Counter(cls.get((a, n + b), "NO EDGE") for a, b in pairs) for name, pairs in world.planted.items()}


def test_a_careful_study_leaves_them_to_people(world):
    made, sources = world
    result = match(sources, DE, careful=True)
    seen = classes(made, result)
    for name in ("twins", "changed name"):
        assert seen[name]["POSSIBLE"] >= PLANTED - FEW, name
    assert seen["changed name, moved"]["POSSIBLE"] >= PLANTED // 2
    n = len(made.ids["north"])
    for name in ("twins", "changed name"):
        joined = sum(result.labels[a] == result.labels[n + b] for a, b in made.planted[name])
        assert joined <= FEW, name
    assert conflicts(result.labels, result.sources) == 0


def test_also_where_somebody_who_moved_has_as_many_edges(world):
    """With the passes of `self15` far pairs of as many edges are people who moved: they stay joined."""
    assert other_names(KIN) == ((4, 6, 2.75, 2.0), (7, 9, 2.5, 2.0))
    made = world[0]
    sources = made.sources(KIN)
    seen, bold = (classes(made, match(sources, KIN, careful=careful)) for careful in (True, False))
    assert seen["twins"]["POSSIBLE"] >= PLANTED - FEW
    assert seen["changed name"]["POSSIBLE"] >= PLANTED * 2 // 3
    assert bold["changed name"] == {"MATCH": PLANTED}
    assert seen["changed name, moved"] == bold["changed name, moved"]


def test_matches_that_differ_in_one_name_are_marked(world):
    """Whoever links without stewards sees which pairs to look at: the same that a careful study leaves to people."""
    made, sources = world
    n = len(made.ids["north"])
    bold, careful = match(sources, DE), match(sources, DE, careful=True)
    marked = {(int(p["a"]), int(p["b"])) for p in bold.pairs[bold.pairs["other_name"]]}
    planted = {(a, n + b) for name in ("twins", "changed name") for a, b in made.planted[name]}
    assert len(planted - marked) <= 2 * FEW
    assert bold.counts["other_name"] == careful.counts["other_name"] == len(marked)
    assert (bold.pairs["other_name"] == careful.pairs["other_name"]).all()
    assert Class.MATCH in bold.pairs["class"][bold.pairs["other_name"]]
    assert set(careful.pairs["class"][careful.pairs["other_name"]].tolist()) == {Class.POSSIBLE}


def test_what_it_costs(world):
    """It holds back true pairs, too: precision rises, recall falls by some hundredths, nothing else changes."""
    made, sources = world
    persons = [*made.persons["north"], *made.persons["south"]]
    number = {p: i for i, p in enumerate(dict.fromkeys(persons))}
    whose = [number[p] for p in persons]
    bold, careful = match(sources, DE), match(sources, DE, careful=True)
    before, after = (pairwise(r.labels, whose, r.sources) for r in (bold, careful))
    assert after.precision > before.precision
    assert before.recall - 0.15 < after.recall < before.recall
    changed = bold.pairs[bold.pairs["class"] != careful.pairs["class"]]
    assert set(changed["class"].tolist()) == {Class.MATCH}
    assert (bold.pairs["posterior"] == careful.pairs["posterior"]).all()


def test_a_slip_in_a_name_is_no_other_name():
    """Typing errors keep their class."""
    made = World()
    for k in range(PLANTED):
        given, surname, home = made.given[7 * k], made.surnames[3 * k], made.homes[5 * k]
        born = f"{1 + k % 28:02}.{1 + k % 12:02}.{1950 + k}"
        slip = given[:2] + given[3] + given[2] + given[4:]
        pair = made.add("north", born, given, surname, home), made.add("south", born, slip, surname, home)
        made.planted["twins"].append(pair)
    result = match(made.sources(), DE, careful=True)
    assert classes(made, result)["twins"]["MATCH"] >= PLANTED - 2


def test_further_values_of_a_pass_make_further_edges():
    """With two values in a pass on the surname, twins have between one edge less and one more than passes."""
    passes = tuple(msgspec.structs.replace(p, values=2) if p.name == "S+pc" else p for p in DE.passes)
    schema = msgspec.structs.replace(DE, passes=passes, profile="mine")
    edges = np.arange(6, 14, dtype=np.int32)
    n = len(edges)
    yes, ends = np.ones(n, np.bool_), np.arange(n, dtype=np.int32)
    match_, posterior = np.full(n, Class.MATCH, np.uint8), np.full(n, 0.9)
    decision = Decision(Pairs(ends, ends + n, edges, 2 * edges), posterior, yes, match_, ~yes, (), ())
    held = edges[hold_back(decision, other_names(schema)).cls == Class.POSSIBLE].tolist()
    assert held == [7, 8, 9, 10]
    assert edges[hold_back(decision, other_names(DE)).cls == Class.POSSIBLE].tolist() == [7, 8, 9]


@pytest.mark.parametrize(("left", "held"), [((8, 9), [7, 8, 16]), ((8, 9, 2.5), [7, 8]), ((8, 9, 2.5, 2.0), [8])])
def test_what_was_frozen_with_fewer_bounds_means_what_it_meant(left, held):
    """Mean levels 1.5, 1.75, 2 and 4 of eight edges; told by half their sum."""
    sums = np.array([12, 14, 16, 32], np.int32)
    pairs = Pairs(np.arange(4, dtype=np.int32), np.arange(4, 8, dtype=np.int32), np.full(4, 8, np.int32), sums)
    assert (sums[one_name_differs(pairs, (left,))] // 2).tolist() == held
