"""The paper's tables as data."""

import pytest

from benchmark import paper, paper_lines, paper_tables
from benchmark.paper_tables import TABLES
from mnv3_tf.measuring import published
from mnv3_tf.measuring.latency import HostSettings
from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.named import resolve


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_told_apart_and_have_a_cell_for_every_column(name):
    table = TABLES[name]
    rows = list(table.rows())
    described = [paper.describe(row) for row in rows]
    assert len({row.name for row in rows}) == len(rows)
    assert len({(found["name"], found["quantize"]) for found in described}) == len(rows)
    firsts = [row.quantize for row in rows if row.label == table.first]
    assert sorted(firsts) == ["int8", "none"]
    timed = {"full_pace_us": 1.0, "ci_us": [1.0, 1.0], "ratio": 1.0, "top1": None}
    for found in described:
        for wide in (False, True):
            cells = paper_lines.line(found | timed | {"top1_origin": None}, table.task, wide)
            assert len(cells) == len(paper_lines.columns(table.task, wide))


def test_large_itself_has_h_swish_from_80():
    specs = {row.label: row.spec for row in paper_tables.hard_swish()}
    assert specs.keys() == paper_tables.PLACEMENTS.keys()
    assert specs["h-swish from 80"].hash == resolve("large").hash


def test_placements_have_h_swish_where_they_say():
    for row in paper_tables.hard_swish():
        with_it = [b.filters for b in row.spec.blocks if b.activation == "hard_swish"]
        least = {"relu only": None, "h-swish from 112": 112, "h-swish from 80": 80}
        assert min(with_it, default=None) == least.get(row.label, 16)
        outer = {row.spec.stem.activation, row.spec.last_activation}
        assert outer == {"relu" if row.label == "relu only" else "hard_swish"}


def test_each_placement_is_lowered_in_each_way():
    ways = [(row.label, row.quantize, row.hard_swish) for row in paper_tables.hard_swish()]
    assert len(ways) == 2 * (1 + 3 * 3)
    assert {way for label, _, way in ways if label == "relu only"} == {None}


def test_every_row_of_table_9_is_found():
    rows = {}
    for row in paper_tables.multipliers():
        assert (row.label, row.quantize) not in rows
        rows[row.label, row.quantize] = row
    assert len(rows) == 2 * 2 * (5 + 5)
    for expected in published.MULTIPLIER_ROWS:
        at = f"at {expected.resolution}" if expected.resolution != 224 else f"{expected.width:g}"
        row = rows[f"{expected.network} {at}", "none"]
        assert row.spec.resolution == expected.resolution
        scaled = resolve(expected.network, expected.width, expected.resolution)
        assert row.spec.hash == scaled.hash
        # Tables 3 and 4 say some of it again, and round otherwise.
        assert row.published["top1"] == pytest.approx(expected.top1, abs=0.11)
        assert row.published["pixel_ms"][0] == pytest.approx(expected.pixel_ms[0], abs=1)
    told = {
        label for (label, quantize), row in rows.items() if quantize == "none" and row.published
    }
    assert {label for label, _ in rows} - told == {"small at 192"}


def test_each_redesign_undoes_one_change():
    rows = {row.label: cost(row.spec) for row in paper_tables.redesigns()}
    large = rows.pop("large")
    more = {label: found.madds - large.madds for label, found in rows.items()}
    # As section 5 says: 30 and 10 million.
    assert more["old last stage"] / 1e6 == pytest.approx(30, abs=5)
    assert more["stem of 32, relu"] / 1e6 == pytest.approx(10, abs=1)
    assert rows["no squeeze-excite"].params < 0.75 * large.params


def test_detectors_cost_what_table_6_says():
    """MobileNetV2's figures at full width are with 80 classes; the others' lack BatchNorm's."""
    rows = {row.label: row for row in paper_tables.detection() if row.quantize == "none"}
    assert len(rows) == len(published.DETECTORS)
    for row in rows.values():
        found, told = paper.describe(row), row.published
        assert found["resolution"] == 320
        assert found["params"] / 1e6 == pytest.approx(told["params_m"], rel=0.05)
        assert found["madds"] / 1e9 == pytest.approx(told["madds_b"], rel=0.05)
    golden = {"large": (5_006_735, 613_143_104), "small half": (1_785_743, 162_303_424)}
    for label, expected in golden.items():
        total = cost(rows[label].spec)
        assert (total.params, total.madds) == expected


def test_segmentation_costs_what_tables_7_and_8_say():
    """The paper counts every operator, of pictures of 1025x2049."""
    for rows, size in (
        (paper_tables.segmentation(), [512, 1024]),
        (TABLES["segmentation_full"].rows(), [1024, 2048]),
    ):
        for row in rows:
            found, told = paper.describe(row), row.published
            assert found["resolution"] == size
            assert found["full_madds"] / 1e9 == pytest.approx(told["madds_b"], rel=0.07)
            assert found["madds"] == pytest.approx(
                found["full_madds"] * size[0] ** 2 / 1024**2, rel=0.01
            )
            if told["params_m"]:
                assert found["params"] / 1e6 == pytest.approx(told["params_m"], abs=0.015)
            assert ("miou" in told) == (row.quantize == "none")


def test_slow_tables_have_fewer_rounds():
    rounds = {
        name: table.settings(HostSettings(rounds=40)).rounds for name, table in TABLES.items()
    }
    assert rounds == {
        **dict.fromkeys(("networks", "hard_swish", "multipliers", "redesigns"), 40),
        **{"detection": 20, "segmentation": 6, "segmentation_full": 5},
    }
    assert [name for name, table in TABLES.items() if not table.by_default] == ["segmentation_full"]
    assert TABLES["segmentation"].settings(HostSettings(rounds=5)).rounds == 5
