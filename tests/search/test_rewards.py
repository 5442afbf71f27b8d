"""The two rewards, at points worked out by hand."""

import math

import pytest

from mnv3_tf.errors import UserError
from mnv3_tf.search.rewards import STRENGTHS, Reward, absolute, mnasnet


def test_at_the_target_either_reward_is_the_accuracy():
    assert mnasnet(0.75, 80.0, 80.0, -0.07) == absolute(0.75, 80.0, 80.0, -0.1) == 0.75


def test_twice_the_latency_is_worth_five_per_cent_of_accuracy():
    """Tan et al. 2019, section 3: so the exponent was chosen."""
    assert mnasnet(0.525, 160.0, 80.0, -0.07) == pytest.approx(0.5, rel=1e-3)


def test_smalls_exponent_asks_for_more():
    """Howard et al. 2019, section 4.1."""
    assert mnasnet(0.5, 20.0, 10.0, -0.15) == pytest.approx(0.5 * 2**-0.15)
    assert mnasnet(0.5, 5.0, 10.0, -0.15) == pytest.approx(0.5 * 2**0.15)


def test_the_absolute_reward_is_as_severe_below_the_target_as_above():
    assert absolute(0.7, 60.0, 80.0, -0.1) == pytest.approx(0.675)
    assert absolute(0.7, 100.0, 80.0, -0.1) == pytest.approx(0.675)


@pytest.mark.parametrize(("kind", "function"), [("mnasnet", mnasnet), ("absolute", absolute)])
def test_a_reward_is_its_kinds_function(kind, function):
    reward = Reward(kind, 80.0, STRENGTHS[kind])
    assert reward(0.6, 90.0) == function(0.6, 90.0, 80.0, STRENGTHS[kind])
    assert reward(0.6, 90.0) < reward(0.6, 81.0) < reward(0.7, 81.0)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (("hard", 80.0, -0.07), "Unknown reward 'hard'; choose one of mnasnet, absolute"),
        (("mnasnet", 0.0, -0.07), "target is 0.0; give a latency above 0"),
        (("mnasnet", math.nan, -0.07), "target is nan"),
        (("mnasnet", math.inf, -0.07), "target is inf"),
        (("mnasnet", 80.0, 0.07), "strength is 0.07; give one below 0, as -0.07"),
        (("absolute", 80.0, 0.0), "strength is 0.0; give one below 0, as -0.1"),
        (("absolute", 80.0, math.nan), "strength is nan"),
    ],
)
def test_values_out_of_range(fields, said):
    with pytest.raises(UserError, match=said) as caught:
        Reward(*fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("latency", [0.0, -1.0, math.nan, math.inf])
def test_a_latency_that_cannot_be(latency):
    with pytest.raises(UserError, match=f"A latency of {latency} has no reward"):
        Reward("mnasnet", 80.0, -0.07)(0.5, latency)
