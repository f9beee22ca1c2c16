"""Charts: well-formed, inside their frame, every number where a reader without colours finds it."""

from importlib.util import find_spec
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.charts import bars, columns, curves, save
from linkage.charts.style import ticks
from linkage.errors import MissingExtraError

COUNTS = st.integers(0, 10**9)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=8)


@given(st.lists(st.tuples(TEXT, COUNTS, COUNTS, COUNTS), max_size=30), st.booleans())
def test_columns_stay_in_their_frame_and_say_their_numbers(rows, logarithmic):
    chart = columns(
        "a <title> & more",
        [label for label, *_ in rows],
        [values for _, *values in rows],
        ("one", "two", "three"),
        x_title="x",
        y_title="y",
        marks=[(0.5, "cut")],
        logarithmic=logarithmic,
    )
    root = ET.fromstring(chart)
    drawn = [r for r in root.iter("rect") if r.find("title") is not None]
    assert len(drawn) == sum(value > 0 for _, *values in rows for value in values)
    for rect in drawn:
        assert float(rect.get("y")) + 0.05 >= 34 - 1e-6
        assert float(rect.get("y")) + float(rect.get("height")) <= 34 + 250 + 0.2
    told = [r.find("title").text for r in drawn]
    wanted = [value for _, *values in rows for value in values if value]
    assert [int(t.rsplit(" ", 1)[1].replace(",", "")) for t in told] == wanted


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-1, 2)), max_size=20))
def test_curves_stay_in_their_frame(points):
    chart = curves("t", [("<p>", sorted(points)), ("q", [])], x_title="x", y_title="y", x_range=(0, 1))
    for path in ET.fromstring(chart).iter("polyline"):
        for point in path.get("points").split():
            x, y = map(float, point.split(","))
            assert 70 - 0.1 <= x <= 710.1
            assert 34 - 0.1 <= y <= 284.1


@given(st.lists(st.tuples(TEXT, st.lists(COUNTS, min_size=2, max_size=2)), max_size=20))
def test_bars_have_their_counts_beside_them(rows):
    words = [t.text for t in ET.fromstring(bars("t", rows, ("a", "b"))).iter("text")]
    for _, (a, b) in rows:
        assert f"{a:,} | {b:,}" in words


@given(st.floats(-1e6, 1e6), st.floats(0.001, 1e6))
def test_ticks_are_inside_and_evenly_apart(low, width):
    found = ticks(low, low + width)
    assert 1 <= len(found) <= 12
    slack = 1e-6 * (abs(low) + width)
    assert all(low - slack <= t <= low + width + slack for t in found)
    steps = {round(b - a, 9) for a, b in pairwise(found)}
    assert max(steps, default=0) - min(steps, default=0) <= slack


def test_a_file_names_its_name_space_and_png_is_drawn_or_explained():
    chart = bars("Dogs & cats", [("x", [1])], ("a",))
    assert "xmlns" not in chart, "a page names no address"
    alone = ET.fromstring(save(chart))
    space = "{http://www.w3.org/2000/svg}"
    assert alone.tag == f"{space}svg"
    assert alone.find(f"{space}text").text == "Dogs & cats", "what a page writes above it"
    assert float(alone.get("height")) > float(ET.fromstring(chart).get("height"))
    if find_spec("vl_convert"):
        assert save(chart, "png").startswith(b"\x89PNG\r\n\x1a\n")
        return
    with pytest.raises(MissingExtraError) as refused:
        save(chart, "png")
    assert "vl-convert-python" in refused.value.hint
