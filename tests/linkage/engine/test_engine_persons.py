"""Persons as properties: any order, any increment, verdicts, and who is who afterwards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.cluster import EventKind, Verdicts, agglomerate, components, recluster, succession
from linkage.decide import Class, Decision, Pairs
from linkage.errors import VerdictError
from linkage.evaluate import conflicts


def decision(rows, refused=()):
    """Rows (a, b, edges, posterior) → Decision; above 0.8 is a match."""
    rows = sorted(rows)
    a, b, c = (np.array([r[k] for r in rows], np.int32) for k in range(3))
    p = np.array([r[3] for r in rows], np.float64)
    cls = np.where(p > 0.8, Class.MATCH, Class.NON_MATCH).astype(np.uint8)
    none = np.zeros(len(rows), np.bool_)
    return Decision(Pairs(a, b, c, 2 * c), p, ~none, cls, none, (), refused)


def tie_keys(n):
    """(n, 16) bytes, each once, in no order."""
    return np.array([[(i * 83) % 251, i, *([0] * 14)] for i in range(n)], np.uint8).reshape(n, 16)


def groups(labels):
    return frozenset(frozenset(np.flatnonzero(labels == x).tolist()) for x in set(labels.tolist()))


@st.composite
def worlds(draw):
    """(sources of the records, rows of pairs, verdicts): few values, so that ties and conflicts abound."""
    n = draw(st.integers(2, 9))
    sources = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    possible = [(i, j) for i in range(n) for j in range(i + 1, n) if sources[i] != sources[j]]
    chosen = draw(st.lists(st.sampled_from(possible), unique=True)) if possible else []
    rows = [
        (i, j, draw(st.integers(1, 2)), draw(st.sampled_from([0.02, 0.3, 0.6, 0.81, 0.9, 0.99, 0.999])))
        for i, j in chosen
    ]
    said = draw(st.lists(st.sampled_from(possible), unique=True, max_size=3)) if possible else []
    return sources, rows, [(i, j, draw(st.booleans())) for i, j in said]


def run(sources, rows, said, keys, trusted=(True, True, True, False)):
    return agglomerate(decision(rows), np.array(sources, np.int32), trusted, keys, Verdicts.of(said))


@given(worlds(), st.randoms(use_true_random=False))
def test_any_order_of_records_gives_the_same_persons(world, random):
    sources, rows, said = world
    n = len(sources)
    order = list(range(n))
    random.shuffle(order)  # new place → old record
    place = {old: new for new, old in enumerate(order)}

    def moved(pair):
        return tuple(sorted((place[pair[0]], place[pair[1]])))

    keys = tie_keys(n)
    one = run(sources, rows, said, keys)
    other = run(
        [sources[i] for i in order],
        [(*moved(r), *r[2:]) for r in rows],
        [(*moved(s), s[2]) for s in said],
        keys[order],
    )
    assert groups(one.labels) == frozenset(frozenset(order[i] for i in g) for g in groups(other.labels))
    assert {moved(pair) for pair in one.unmet} == set(other.unmet)
    ours = {moved(sorted(rows)[k]) for k in one.refused.tolist()}
    theirs = sorted((*moved(r), *r[2:]) for r in rows)
    assert ours == {theirs[k][:2] for k in other.refused.tolist()}


@given(worlds())
def test_what_holds_in_every_world(world):
    sources, rows, said = world
    found = run(sources, rows, said, tie_keys(len(sources)))
    labels = found.labels
    trusted = [i for i, s in enumerate(sources) if s < 3]
    assert conflicts(labels[trusted], [sources[i] for i in trusted]) == 0
    for a, b, same in said:
        if not same:
            assert labels[a] != labels[b]
        elif labels[a] != labels[b]:
            assert (a, b) in found.unmet
    joined = {(a, b) for a, b, _, p in rows if p > 0.8 and labels[a] == labels[b]}
    joined |= {(a, b) for a, b, same in said if same and labels[a] == labels[b]}
    ends = np.array(sorted(joined), np.int64).reshape(-1, 2)
    assert groups(components(len(sources), ends[:, 0], ends[:, 1])) == groups(labels), "matched pairs hold it together"
    firsts = [labels.tolist().index(x) for x in range(int(labels.max()) + 1)]
    assert firsts == sorted(firsts), "numbered by first record"


@given(worlds(), worlds())
def test_again_where_something_changed_is_the_same_as_everything_again(old, new):
    """Any change of pairs and verdicts; records stay, or are new at the end."""
    sources = [*new[0], *old[0]]
    shift = len(new[0])
    fixed = [(a + shift, b + shift, c, p) for a, b, c, p in old[1]]
    fixed_said = [(a + shift, b + shift, same) for a, b, same in old[2]]
    n = len(sources)
    keys = tie_keys(n)
    # Before: the pairs of one world only. After: those of the other, too, and what people said anew.
    before = run(sources, fixed, fixed_said, keys)
    after_rows = [*fixed[1:], *new[1]]
    after_said = [*fixed_said[1:], *new[2]]
    changed = np.zeros(n, np.bool_)
    for pair in (*fixed[:1], *fixed_said[:1], *new[1], *new[2]):
        changed[list(pair[:2])] = True
    whole = run(sources, after_rows, after_said, keys)
    part = recluster(
        before.labels,
        changed,
        decision(after_rows),
        np.array(sources, np.int32),
        (True, True, True, False),
        keys,
        Verdicts.of(after_said),
    )
    assert part.labels.tolist() == whole.labels.tolist()
    assert set(part.refused.tolist()) <= set(whole.refused.tolist())
    assert set(part.unmet) <= set(whole.unmet)


def test_only_what_changed_is_looked_at():
    """A component without a change keeps what it had, even a label that the rules would not give it."""
    sources = np.arange(4, dtype=np.int32)
    made = recluster(
        np.array([0, 1, 2, 2], np.int32),
        np.array([True, False, False, False]),
        decision([(0, 1, 3, 0.9), (2, 3, 3, 0.1)]),
        sources,
        [True] * 4,
        tie_keys(4),
    )
    assert made.labels.tolist() == [0, 0, 1, 1]


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=40))
def test_components(n, ends):
    ends = [(a % n, b % n) for a, b in ends]
    a, b = (np.array([e[k] for e in ends], np.int64) for k in (0, 1))
    naive = list(range(n))
    for _ in range(n):
        for x, y in ends:
            naive[x] = naive[y] = min(naive[x], naive[y])
    assert components(n, a, b).tolist() == naive


def test_people_split_what_the_rule_joined_and_join_what_it_did_not():
    sources = np.arange(3, dtype=np.int32)
    rows = [(0, 1, 5, 0.99), (1, 2, 5, 0.99), (0, 2, 5, 0.99)]
    split = agglomerate(decision(rows), sources, [True] * 3, tie_keys(3), Verdicts.of([(2, 0, False)]))
    assert groups(split.labels) in ({frozenset({0, 1}), frozenset({2})}, {frozenset({0}), frozenset({1, 2})})
    joined = agglomerate(decision([]), sources, [True] * 3, tie_keys(3), Verdicts.of([(0, 1, True), (1, 2, True)]))
    assert groups(joined.labels) == {frozenset({0, 1, 2})}


def test_people_do_not_join_two_records_of_one_deduplicated_source():
    sources = np.array([0, 1, 0], np.int32)
    said = Verdicts.of([(0, 1, True), (1, 2, True)])
    made = agglomerate(decision([]), sources, [True] * 2, tie_keys(3), said)
    assert len(made.unmet) == 1
    assert conflicts(made.labels, sources) == 0


@pytest.mark.parametrize("said", [[(0, 1, True), (1, 0, False)], [(2, 2, True)]])
def test_verdicts_that_contradict_each_other_are_refused(said):
    with pytest.raises(VerdictError):
        Verdicts.of(said)


# --- succession --------------------------------------------------------------------------------------

K = EventKind
CASES = {
    "nothing changed": ("A:1,2 B:3", "1,2 3", "A B", []),
    "a first partition": ("", "1,3 2", "n1 n2", [(K.CREATED, "n1", "n1", 2), (K.CREATED, "n2", "n2", 1)]),
    "a merge: the senior person survives": ("A:1 B:2,3", "1,2,3", "A", [(K.MERGED, "B", "A", 2)]),
    "a merge: seniority counts, not size": ("A:2,3,4 B:1", "1,2,3,4", "B", [(K.MERGED, "A", "B", 3)]),
    "a split: the senior side keeps the person": (
        *("A:1,2,3", "2,3 1", "n2 A"),
        [(K.SPLIT, "A", "A n2", 2), (K.CREATED, "n2", "n2", 2)],
    ),
    "a record came": ("A:1", "1,2", "A", [(K.GROWN, "A", "A", 1)]),
    "a record left": ("A:1,2", "2", "A", [(K.SHRUNK, "A", "A", 1)]),
    "all left": ("A:1,2 B:3", "3", "B", [(K.ENDED, "A", "", 2)]),
    "a record goes over to another person": ("A:1,2 B:3", "1 2,3", "A B", [(K.SPLIT, "A", "A B", 1)]),
    "split and merged at once": (
        *("A:1,4 B:2 C:3", "1 2,3,4", "A B"),
        [(K.SPLIT, "A", "A B", 1), (K.MERGED, "C", "B", 1)],
    ),
    "torn between two": ("A:3,4 B:1 C:2", "1,3 2,4", "B C", [(K.SPLIT, "A", "B C", 2)]),
    "half left, the rest merged": ("A:1 B:2,3", "1,3", "A", [(K.SHRUNK, "B", "A", 1), (K.MERGED, "B", "A", 1)]),
    "a senior record without a person comes": ("A:2", "1,2", "A", [(K.GROWN, "A", "A", 1)]),
}


def parse_before(text):
    out = {}
    for part in text.split():
        person, records = part.split(":")
        out.update(dict.fromkeys(map(int, records.split(",")), person))
    return out


@pytest.mark.parametrize("case", CASES)
def test_succession(case):
    before, clusters, persons, events = CASES[case]
    parsed = [{int(r) for r in c.split(",")} for c in clusters.split()]
    made = succession(parse_before(before), parsed, lambda r: r, lambda r: f"n{r}")
    assert made.persons == tuple(persons.split())
    assert [(e.kind, e.person, " ".join(e.into), e.records) for e in made.events] == events


@st.composite
def two_partitions(draw):
    """Old persons of some records and a partition of some others."""
    old = draw(st.dictionaries(st.integers(0, 12), st.sampled_from("ABCD"), max_size=10))
    new = draw(st.dictionaries(st.integers(0, 12), st.integers(0, 4), max_size=10))
    return old, [frozenset(r for r, g in new.items() if g == k) for k in sorted(set(new.values()))]


@given(two_partitions(), st.randoms(use_true_random=False))
def test_what_holds_of_every_succession(world, random):
    before, clusters = world
    made = succession(before, clusters, lambda r: r, lambda r: f"n{r}")
    assert len(set(made.persons)) == len(clusters), "no two clusters are one person"
    shuffled = list(clusters)
    random.shuffle(shuffled)
    other = succession(before, shuffled, lambda r: r, lambda r: f"n{r}")
    assert dict(zip(clusters, made.persons, strict=True)) == dict(zip(shuffled, other.persons, strict=True))
    assert made.events == other.events
    now = {r: person for person, c in zip(made.persons, clusters, strict=True) for r in c}
    ended = {e.person for e in made.events if e.kind in (K.ENDED, K.MERGED)}
    gone = {e.person for e in made.events if e.kind == K.SPLIT and e.person not in e.into}
    assert ended | gone == set(before.values()) - set(made.persons)
    if made.events == ():
        assert now == before
    came = sum(e.records for e in made.events if e.kind == K.GROWN)
    created = {e.person for e in made.events if e.kind == K.CREATED}
    assert came == sum(r not in before for r, person in now.items() if person not in created)
    again = succession(now, clusters, lambda r: r, lambda r: f"n{r}")
    assert (again.persons, again.events) == (made.persons, ())


@given(st.permutations(range(8)), st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=8))
def test_where_persons_only_merge_windows_do_not_matter(order, joins):
    """Records 0..7, joined pair by pair in any order, or all at once: the same persons survive."""

    def parts(pairs):
        a, b = (np.array([p[k] for p in pairs], np.int64) for k in (0, 1))
        return [set(g) for g in groups(components(8, a, b))]

    held = {r: f"n{r}" for r in order}
    for k in range(len(joins)):
        clusters = parts(joins[: k + 1])
        made = succession(held, clusters, lambda r: r, lambda r: f"x{r}")
        held = {r: person for person, c in zip(made.persons, clusters, strict=True) for r in c}
    clusters = parts(joins)
    bulk = succession({r: f"n{r}" for r in order}, clusters, lambda r: r, lambda r: f"x{r}")
    assert held == {r: person for person, c in zip(bulk.persons, clusters, strict=True) for r in c}
