"""The lines of a report: parts of the first network's latency, predicted and measured."""

import numpy as np
import tiny

from mnv3_tf.networks.cost import cost
from mnv3_tf.search.latency_sources import CountedLatency
from mnv3_tf.search.report import COLUMNS, compare, rows
from mnv3_tf.tflite.inspection import inspect

SPEC = tiny.SHALLOW
OTHER = SPEC.with_expansion(1, 24)


class DriftingTimer:
    """Takes twice as long every time, and once measures the second network wrongly."""

    def __init__(self) -> None:
        self.conditions = {"device": "toy"}
        self.calls = 0
        self.precisions = set()

    def time(self, paths, burst_ms):
        assert len(paths) == 2
        self.precisions |= {inspect(path)["quantize"] for path in paths}
        self.calls += 1
        second = 9.0 if self.calls == 2 else 0.5
        return list(np.array([100.0, 100 * second]) * 2**self.calls)


def test_what_drifts_is_a_part_of_the_first():
    timer = DriftingTimer()
    first, other = compare([(SPEC, 0.9), (OTHER, None)], CountedLatency(), timer, "none")
    assert (timer.precisions, timer.calls) == ({"none"}, 3)
    assert (first["measured_us"], first["measured_part"], other["measured_part"]) == (400, 1, 0.5)
    assert other["predicted_part"] == cost(OTHER).madds / cost(SPEC).madds
    cells = rows([first, other], "MAdds")
    assert {len(row) for row in cells} == {len(COLUMNS)}
    assert cells[0][:3] == ("shallow", "0.3 M MAdds", "0.400 ms  1.000")
    assert cells[1][2].endswith("0.500")
    assert cells[0][3:5] == (f"{cost(SPEC).madds / 1e6:.1f}", f"{cost(SPEC).params / 1e6:.2f}")
    assert (cells[0][-1], cells[1][-1]) == ("0.9000", "-")


def test_nothing_measured_is_said():
    (line,) = compare([(SPEC, 0.9)], CountedLatency(), None, "none")
    assert (line["measured_us"], line["measured_part"]) == (None, None)
    assert rows([line], "MAdds")[0][2] == "-"


def test_what_is_timed_has_the_precision_asked_for():
    timer = DriftingTimer()
    compare([(SPEC, 0.9), (OTHER, 0.8)], CountedLatency(), timer, "int8")
    assert timer.precisions == {"int8"}
