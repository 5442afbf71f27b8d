"""Interpolation, the fitted correction, and the table's text. No latency is measured here."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from mnv3_tf.errors import UserError
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.named import resolve
from mnv3_tf.search import latency_model
from mnv3_tf.search.latency_model import FEATURES, PRIOR, Grid, LatencyTable
from mnv3_tf.search.space import Space
from mnv3_tf.tasks.specs import resolve_spec

SPEC = resolve("small", resolution=64)
COMMAND = "python -m benchmark latency_table"


def bilinear(channels) -> float:
    return 3.0 + 0.5 * channels[0] + 0.01 * math.prod(channels)


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    """Of a computer on which every operator takes as long as `bilinear` says."""
    made, space = LatencyTable({"device": "made up", "threads": 1}), Space(SPEC)
    plans = latency_model.plan_grids([SPEC, *space.corners()], plane=3, line=3)
    made.grids["none"] = {
        key: Grid(
            knots, np.vectorize(lambda *at: bilinear(at))(*np.meshgrid(*knots, indexing="ij"))
        )
        for key, (_, knots) in plans.items()
    }
    return made


def expected_us(spec) -> float:
    return sum(bilinear(latency_model.channels_of(op)) for op in operators(spec))


# -- grids -----------------------------------------------------------------------------------


def test_between_knots_a_bilinear_function_is_met_exactly():
    knots = ((8, 24, 80), (16, 40))
    grid = Grid(knots, np.array([[bilinear((a, b)) for b in knots[1]] for a in knots[0]]))
    for channels in ((8, 16), (80, 40), (24, 16), (9, 17), (53, 31), (79, 40)):
        assert grid.at(channels) == pytest.approx(bilinear(channels), rel=1e-12)


def test_knots_give_back_what_was_measured():
    values = np.random.default_rng(0).uniform(1, 100, (3, 2))
    grid = Grid(((8, 24, 80), (16, 40)), values)
    assert [[grid.at((a, b)) for b in (16, 40)] for a in (8, 24, 80)] == values.tolist()


def test_the_axes_are_not_confused():
    grid = Grid(((8, 16), (8, 16)), np.array([[1.0, 2.0], [5.0, 6.0]]))
    assert (grid.at((8, 16)), grid.at((16, 8))) == (2.0, 5.0)


def test_a_single_knot_is_a_grid_too():
    grid = Grid(((3,), (16, 32)), np.array([[10.0, 20.0]]))
    assert grid.at((3, 24)) == 15.0
    assert grid.at((4, 24)) is None


@pytest.mark.parametrize("channels", [(7, 20), (81, 20), (24, 15), (24, 41)])
def test_nothing_is_told_outside_a_grid(channels):
    assert Grid(((8, 24, 80), (16, 40)), np.ones((3, 2))).at(channels) is None


@pytest.mark.parametrize(
    ("low", "high", "count", "knots"),
    [
        (16, 16, 4, (16,)),
        (3, 5, 4, (3, 5)),
        (8, 16, 5, (8, 16)),
        (10, 1001, 2, (10, 1001)),
        (16, 1024, 4, (16, 64, 256, 1024)),
        (10, 1001, 3, (10, 104, 1001)),
    ],
)
def test_knots_are_multiples_of_8_between_both_ends(low, high, count, knots):
    assert latency_model.knots_between(low, high, count) == knots


def test_a_plan_has_a_plane_for_convolutions_and_a_line_for_the_rest():
    plans = latency_model.plan_grids([SPEC, SPEC.with_width(2)], plane=2, line=3)
    shapes = {(key.kind, len(knots)) for key, (_, knots) in plans.items()}
    assert shapes == {("conv", 2)} | {(k, 1) for k in ("depthwise", "mean", "multiply", "add")}
    assert max(len(axis) for key, (_, k) in plans.items() if key.kind == "conv" for axis in k) == 2
    assert max(len(knots[0]) for key, (_, knots) in plans.items() if key.kind != "conv") == 3


def test_an_operator_takes_other_channels():
    for op in operators(SPEC):
        twice = [2 * channels for channels in latency_model.channels_of(op)]
        other = latency_model.with_channels(op, twice)
        assert latency_model.channels_of(other) == tuple(twice)
        assert latency_model.key_of(other) == latency_model.key_of(op)
        assert other.output == (*op.output[:2], twice[-1])


# -- correction ------------------------------------------------------------------------------


def sums(rng: np.random.Generator, networks: int = 60) -> np.ndarray:
    """Features of made-up networks, in microseconds."""
    largest = (3000, 300, 1000, 100, 100, 100)
    parts = [rng.uniform(us / 10, us, networks) for us in largest]
    return np.column_stack([*parts, rng.integers(40, 90, networks), np.ones(networks)])


def test_the_correction_finds_the_weights_that_made_the_latencies():
    features = sums(np.random.default_rng(0))
    true = np.array([1.1, 1.4, 0.9, 1.2, 0.8, 1.0, 0.7, 25.0])
    found = latency_model.fit(features, features @ true)
    assert found == pytest.approx(true, rel=0.02)
    assert features @ found == pytest.approx(features @ true, rel=1e-3)


def test_plain_sums_are_not_corrected():
    features = sums(np.random.default_rng(1))
    assert latency_model.fit(features, features @ PRIOR) == pytest.approx(PRIOR, abs=1e-6)


def test_a_feature_that_no_network_has_keeps_its_weight():
    features = sums(np.random.default_rng(2))
    features[:, FEATURES.index("mean")] = 0
    found = latency_model.fit(features, 1.3 * features @ PRIOR)
    assert found[FEATURES.index("mean")] == 1.0
    assert found[FEATURES.index("conv")] == pytest.approx(1.3, abs=0.01)


def test_a_feature_that_hardly_varies_stays_near_a_plain_sum():
    rng, add = np.random.default_rng(3), FEATURES.index("add")
    features = sums(rng)
    features[:, add] = 50 * (1 + 1e-4 * rng.standard_normal(len(features)))
    measured = features @ PRIOR * (1 + 0.02 * rng.standard_normal(len(features)))
    scaled = features / measured[:, None]
    unheld = np.linalg.lstsq(scaled, np.ones(len(scaled)), rcond=None)[0]
    assert abs(unheld[add] - 1) > 10
    assert latency_model.fit(features, measured)[add] == pytest.approx(1, abs=1)


def test_features_count_dense_layers_by_themselves():
    listed = [(op, 1.0) for op in operators(SPEC)]
    found = dict(zip(FEATURES, latency_model.features_of(listed), strict=True))
    kinds = [op.kind for op, _ in listed]
    assert found["conv"] + found["dense"] == kinds.count("conv")
    assert found["dense"] == 2 * kinds.count("multiply") + 2  # squeeze-excites, hidden and logits
    assert found["depthwise"] == len(SPEC.blocks)
    assert (found["operators"], found["network"]) == (len(listed), 1)


# -- the table -------------------------------------------------------------------------------


def test_without_weights_a_network_is_the_sum_of_its_operators(table):
    for spec in (SPEC, Space(SPEC).sample_freely(np.random.default_rng(4))):
        assert table.network_us(spec, "none") == pytest.approx(expected_us(spec), rel=1e-12)
        assert table.sum_us(spec, "none") == table.network_us(spec, "none")


def test_weights_correct_the_sum_of_their_own_precision(table):
    weights = np.array([*2 * PRIOR[:6], 0.5, 7.0])
    corrected = LatencyTable({}, table.grids | {"int8": table.grids["none"]}, {"none": weights})
    count = len(list(operators(SPEC)))
    expected = 2 * expected_us(SPEC) + 0.5 * count + 7
    assert corrected.network_us(SPEC, "none") == pytest.approx(expected)
    assert corrected.sum_us(SPEC, "none") == pytest.approx(expected_us(SPEC))
    assert corrected.network_us(SPEC, "int8") == pytest.approx(expected_us(SPEC))


def test_json_there_and_back(table, tmp_path):
    table.weights["none"], table.errors["none"] = 1.5 * PRIOR, {"median": 0.02}
    (tmp_path / "table.json").write_text(table.to_json())
    again = LatencyTable.read(tmp_path / "table.json")
    del table.weights["none"], table.errors["none"]
    assert again.to_json() == (tmp_path / "table.json").read_text()
    assert (again.conditions, again.errors) == (table.conditions, {"none": {"median": 0.02}})
    assert again.weights["none"].tolist() == (1.5 * PRIOR).tolist()
    assert again.grids["none"].keys() == table.grids["none"].keys()
    assert again.network_us(SPEC, "none") == pytest.approx(1.5 * expected_us(SPEC))


def refused(action) -> str:
    """What a UserError says, in one sentence."""
    with pytest.raises(UserError) as caught:
        action()
    said = str(caught.value)
    assert said.endswith(".")
    assert "\n" not in said
    assert ". " not in said
    return said


@pytest.mark.parametrize(
    ("spec", "quantize", "told"),
    [
        (SPEC.replace(resolution=96), "none", "no conv 3x3 of stride 2 with hard_swish at 96x96"),
        (
            SPEC.with_block(3, kernel=7),
            "none",
            "no depthwise 7x7 of stride 2 with hard_swish at 8x8",
        ),
        (SPEC.replace(last_conv=4000), "none", "at 2x2 for 96 to 4000 channels in 'none'"),
        (SPEC, "int8", "for 3 to 16 channels in 'int8'"),
    ],
    ids=["resolution", "kernel", "channels", "precision"],
)
def test_what_the_table_lacks_is_named_with_the_command_that_fills_it(table, spec, quantize, told):
    said = refused(lambda: table.network_us(spec, quantize))
    assert told in said
    assert COMMAND in said


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_networks_of_other_tasks_are_refused(table, task):
    spec = resolve_spec(task, "small", resolution=64)
    kind = {"detect": "reshape", "segment": "resize"}[task]
    for action in (
        lambda: table.network_us(spec, "none"),
        lambda: latency_model.plan_grids([spec], plane=2, line=2),
    ):
        said = refused(action)
        assert said.startswith(f"The latency table is of classifiers and knows no {kind}")
        assert spec.name in said


DAMAGES = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "no object": lambda _: "[1, 2]",
    "no version": lambda text: text.replace("schema_version", "version"),
    "no grids": lambda text: text.replace('"grids"', '"grid"'),
    "grids in a list": lambda text: json.dumps(json.loads(text) | {"grids": [1]}),
    "an axis without knots": lambda text: text.replace('"knots"', '"nots"', 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(table, damage, tmp_path):
    path = tmp_path / "table.json"
    path.write_text(DAMAGES[damage](table.to_json()))
    said = refused(lambda: LatencyTable.read(path))
    assert said.startswith(f"{path} is no latency table")
    assert COMMAND in said


def test_another_version_is_refused(table, tmp_path):
    path = tmp_path / "table.json"
    path.write_text(table.to_json().replace('"schema_version": 1', '"schema_version": 99'))
    assert "of version 1 but of 99" in refused(lambda: LatencyTable.read(path))


def test_an_absent_file_is_refused(tmp_path):
    said = refused(lambda: LatencyTable.read(tmp_path / "absent.json"))
    assert said == f"Cannot read {tmp_path / 'absent.json'}: No such file or directory."


def test_it_needs_no_tensorflow():
    code = (
        "import sys; from mnv3_tf.networks.named import resolve;"
        "from mnv3_tf.search import latency_model, space;"
        "latency_model.plan_grids(space.Space(resolve('small')).corners(), 2, 2);"
        "assert not {'tensorflow', 'tf_keras', 'ai_edge_litert'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
