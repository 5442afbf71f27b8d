"""Latency from a table, counted and measured, and targets as people write them."""

import numpy as np
import pytest

from mnv3_tf.errors import UserError
from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.named import resolve
from mnv3_tf.search.latency_model import Grid, LatencyTable, plan_grids
from mnv3_tf.search.latency_sources import (
    CountedLatency,
    MeasuredLatency,
    TableLatency,
    parse_target,
    shown,
)

SMALL = resolve("small", resolution=96)


def table() -> LatencyTable:
    plans = plan_grids([SMALL, SMALL.with_expansion(9, 288)], 2, 2)
    grids = {
        key: Grid(knots, np.ones([len(axis) for axis in knots]))
        for key, (_, knots) in plans.items()
    }
    return LatencyTable({"device": "toy"}, {"none": grids})


def test_multiply_adds():
    large = resolve("large")
    assert CountedLatency().of([SMALL, large]) == [cost(SMALL).madds, cost(large).madds]


def test_a_table():
    latency = TableLatency(table(), "none")
    assert latency.of([SMALL]) == [len(cost(SMALL).operators)]
    assert latency.conditions == {"latency": "table", "quantize": "none", "device": "toy"}


def test_a_table_without_the_precision():
    with pytest.raises(UserError, match=r"no 'int8' but 'none'; choose --quantize"):
        TableLatency(table(), "int8")


def test_an_operator_that_the_table_lacks():
    with pytest.raises(UserError, match=r"no conv 1x1 .* 5 .*benchmark latency_table"):
        TableLatency(table(), "none").of([SMALL.replace(num_classes=5)])


class Clock:
    """A machine that is twice as slow from the second measurement on."""

    def __init__(self) -> None:
        self.conditions, self.times = {"device": "toy"}, 0

    def time(self, paths, burst_ms):
        self.times += 1
        return [len(path.read_bytes()) * (1.0 if self.times == 1 else 2.0) for path in paths]


def test_measured_networks_are_scaled_by_the_one_that_is_always_there():
    latency = MeasuredLatency(Clock(), SMALL, lambda spec: b"x" * spec.hidden)
    narrow = SMALL.replace(hidden=512)
    assert latency.of([SMALL, narrow]) == [1024, 512]
    assert latency.of([SMALL, narrow]) == [1024, 512]
    assert latency.conditions == {"latency": "measured", "device": "toy"}


@pytest.mark.parametrize(
    ("text", "unit", "found"),
    [
        ("0.75", "µs", 1500),
        (".5", "MAdds", 1000),
        ("1.2ms", "µs", 1200),
        ("900us", "µs", 900),
        ("900 µs", "µs", 900),
        ("0.0005M", "MAdds", 500),
    ],
)
def test_targets(text, unit, found):
    assert parse_target(text, 2000, unit) == pytest.approx(found)


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("1.2", "µs", r"--target=1.2 is 2.400 ms, not below the start's 2.000 ms; give a lower"),
        ("3ms", "µs", "not below the start's 2.000 ms"),
        ("0", "µs", "not below the start's"),
        ("40M", "µs", r"no latency; give a part of the start's \(0.75\), or a number with us"),
        ("fast", "µs", "--target=fast is no latency"),
        ("2ms", "MAdds", "a number with M or G"),
        (None, "µs", "--target is missing"),
    ],
)
def test_targets_that_are_none(text, unit, message):
    with pytest.raises(UserError, match=message):
        parse_target(text, 2000, unit)


def test_shown():
    assert shown(2413, "µs") == "2.413 ms"
    assert shown(41.23e6, "MAdds") == "41.2 M MAdds"
