"""Constants of cores: what a made-up world of phones lets expect is found again."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mnv3_tf.measuring.arm import estimate, fit, fitted
from mnv3_tf.measuring.arm.anchors import (
    BUILTIN,
    XNNPACK,
    Network,
    Point,
    Published,
    mobilenet_v1,
    points,
    published,
)
from mnv3_tf.measuring.arm.anchors import key as key_of
from mnv3_tf.measuring.arm.constants import Constants
from mnv3_tf.measuring.arm.cores import CORES, find
from mnv3_tf.measuring.arm.counting import Count
from mnv3_tf.networks.cost import cost

FAMILIES = ("v1", "v2", "large", "small")
TRUE = {"cortex-a73": (1.0, 0.2), "cortex-a75-nodot": (0.8, 0.25), "cortex-a53": (1.5, 1.6)}
"""Cycles and nanoseconds a byte by XNNPACK in float; built-in kernels take twice the former."""


def point(core, family, width, runtime=XNNPACK, quantize="none", phone="one", slower=1.0):
    cycles, ns = TRUE[core]
    # Instructions and bytes do not grow alike, or one would be as good as the other.
    instructions = int(1e8 * width**2 / (1 + FAMILIES.index(family)))
    weights = int(4e6 * width * (1 + FAMILIES.index(family) % 3))
    true = Constants(cycles * (2 if runtime == BUILTIN else 1), ns)
    ms = true.ms(instructions, weights, 2.0) * slower
    network = Network(family, width, 224, quantize, runtime)
    return Point(
        Published(network, CORES[core], phone, 2.0, ms, "made up"), instructions, weights, 10**8
    )


def world(core, **how):
    return [point(core, family, width, **how) for family in FAMILIES for width in (0.5, 1.0)]


def close(found, wanted, part=0.03):
    assert found.cycles == pytest.approx(wanted[0], rel=part)
    assert found.ns_per_byte == pytest.approx(wanted[1], rel=part)


def test_constants_of_cores_are_found():
    found = fit.Fit([one for core in TRUE for one in world(core)])
    for core, wanted in TRUE.items():
        close(found.constants(CORES[core], "none", XNNPACK), wanted)


def test_an_outlier_has_little_say():
    some = world("cortex-a73")
    some[3] = replace(some[3], published=replace(some[3].published, ms=3 * some[3].published.ms))
    close(fit.Fit(some).constants(CORES["cortex-a73"], "none", XNNPACK), TRUE["cortex-a73"], 0.1)


def test_a_core_without_points_borrows_from_its_own_of_other_kernels():
    """A75 takes 0.8 of A73's cycles in the built-in kernels, and so by XNNPACK."""
    some = world("cortex-a73") + world("cortex-a73", runtime=BUILTIN)
    some += world("cortex-a75-nodot", runtime=BUILTIN)
    found = fit.Fit(some)
    slow, fast = (
        found.constants(CORES[core], "none", XNNPACK).cycles
        for core in ("cortex-a73", "cortex-a75-nodot")
    )
    assert fast / slow == pytest.approx(0.8, abs=0.05)
    # Of a core that nobody measured there is its kind; of another kind nothing.
    kind = found.constants(CORES["cortex-a72"], "none", XNNPACK)
    assert fast < kind.cycles < slow
    assert found.constants(CORES["cortex-a53"], "none", XNNPACK) is None
    assert found.constants(CORES["cortex-a73"], "int8", XNNPACK) is None


def test_phones_of_a_core_differ_by_a_factor_and_the_core_is_in_their_middle():
    quick, slow = world("cortex-a73"), world("cortex-a73", phone="two", slower=1.21)
    found = fit.Fit([*quick, *slow])
    factors = [found.phone_factor(some[0]) for some in (quick, slow)]
    assert factors[1] / factors[0] == pytest.approx(1.21, rel=0.03)
    assert math.prod(factors) == pytest.approx(1)
    assert found.constants(CORES["cortex-a73"], "none", XNNPACK).cycles == pytest.approx(1.1, 0.05)
    assert found.phone_factor(world("cortex-a53")[0]) == 1


@pytest.mark.parametrize("part", ["network", "family"])
def test_points_left_out_are_predicted(part):
    some = [one for core in TRUE for one in world(core)]
    missed = list(fit.left_out(some, fit.PARTS[part], fit.by_instructions))
    assert sorted(one.ms for one in missed) == pytest.approx(
        sorted(one.published.ms for one in some), rel=0.05
    )
    by_macs = fit.left_out(some, fit.PARTS[part], fit.by_macs)
    worst = max(abs(one.log_error) for one in missed)
    assert np.median([abs(one.log_error) for one in by_macs]) > worst


def test_a_core_left_out_is_predicted_by_the_others():
    some = [one for core in ("cortex-a73", "cortex-a75-nodot") for one in world(core)]
    for one in fit.left_out(some, fit.PARTS["core"], fit.by_instructions):
        wrong = -1 if one.point.published.core.name == "cortex-a73" else 1
        assert 0.03 < wrong * one.log_error < 0.3


class TestFitted:
    @pytest.fixture(scope="class")
    def fitting(self):
        some = [one for core in TRUE for one in world(core)]
        noise = np.random.default_rng(0).lognormal(0, 0.05, len(some))
        noisy = [
            replace(one, published=replace(one.published, ms=one.published.ms * factor))
            for one, factor in zip(some, noise, strict=True)
        ]
        return fitted.make(noisy, "a runtime")

    def test_what_is_of_its_own_points_and_what_is_borrowed(self, fitting):
        grades = {row["core"]: row["grade"] for row in fitting["constants"]}
        assert {core for core, grade in grades.items() if grade == "anchored"} == set(TRUE)
        assert {"kryo", "cortex-a76", "cortex-a55"} <= set(grades)
        (row,) = (row for row in fitting["constants"] if row["core"] == "cortex-a73")
        assert (row["points"], row["families"]) == (8, sorted(FAMILIES))
        assert (row["least"], row["most"]) == (6250000, 100000000)

    def test_intervals_hold_what_was_left_out(self, fitting):
        together = [row for row in fitting["errors"] if row["core"] is None]
        for row in together:
            if row["by"] == "instructions":
                assert row["held"] >= 0.85
                assert row["median"] <= row["p90"] <= row["worst"]
        factors = {row["grade"]: row["factor"] for row in fitting["constants"]}
        assert 1 < factors["anchored"] < factors["borrowed"]

    def test_milliseconds_and_what_is_said_of_them(self, fitting, monkeypatch):
        monkeypatch.setattr(estimate, "read", lambda: fitting)
        count = Count(10**8, 3 * 10**8, 4 * 10**6, "none")
        found = estimate.estimate(count, find("arm:pixel2"))
        assert found.ms == pytest.approx(1e8 / 2.36e6 * 1.0 + 0.8, rel=0.1)
        assert found.low < found.ms < found.high
        assert found.ms / found.low == pytest.approx(found.high / found.ms)
        assert (found.grade, found.extrapolated) == ("anchored", None)
        assert estimate.microseconds(count, find("arm:pixel2")) == pytest.approx(1e3 * found.ms)
        # Twice as far as the points go.
        far = estimate.estimate(replace(count, instructions=3 * 10**8), find("arm:pixel2"))
        assert "300.0 million instructions are far from" in far.extrapolated
        borrowed = estimate.estimate(count, find("arm:pixel4"))
        assert borrowed.grade == "borrowed"
        assert "float by XNNPACK's kernels on cortex-a76" in borrowed.extrapolated
        assert borrowed.high / borrowed.low > found.high / found.low
        # float16 is unpacked before it runs; other kinds, and other kernels, have no points.
        half = estimate.estimate(replace(count, quantize="float16"), find("arm:pixel2"))
        assert half == found
        for other in ("dynamic", "int8"):
            assert estimate.estimate(replace(count, quantize=other), find("arm:pixel2")) is None
        assert estimate.estimate(count, find("arm:pixel2"), delegate=False) is None
        assert estimate.basis(find("arm:pixel2")) == "float anchored, int8 one instruction a cycle"
        assert estimate.basis(find("arm:pixel4")) == "float borrowed, int8 one instruction a cycle"
        plain = estimate.microseconds(count, find("arm:pixel2"), delegate=False)
        assert plain == pytest.approx(1e8 / 2360)


def test_points_of_two_families_say_so(monkeypatch):
    some = [one for one in world("cortex-a73") if one.published.network.family in ("v1", "v2")]
    fitting = fitted.make(some, "a runtime")
    monkeypatch.setattr(estimate, "read", lambda: fitting)
    found = estimate.estimate(Count(10**8, None, 10**6, "none"), find("arm:cortex-a73"))
    assert "is MobileNetV1 and V2 alone (4 points)" in found.extrapolated


def test_the_published_points():
    some = published()
    assert {one.network.runtime for one in some} == {XNNPACK, BUILTIN}
    assert len(some) == 389
    (large,) = (
        one
        for one in some
        if (one.phone, one.network.name, one.network.runtime) == ("Moto Z3", "large 1 224", XNNPACK)
    )
    assert (large.core.name, large.ghz, large.ms) == ("cortex-a73", 2.4576, 42.431)
    counts = {key_of(large): (87_000_000, 22_000_000, 217_000_000)}
    assert next(one.instructions for one in points(counts)) == 87_000_000


def test_mobilenet_v1_is_howards():
    """569 million multiply-accumulates, 4.2 million parameters (Howard et al. 2017, Table 4)."""
    found = cost(mobilenet_v1())
    assert round(found.madds / 1e6) == 569
    assert round(found.params / 1e6, 1) == 4.2
