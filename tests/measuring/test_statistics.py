import numpy as np
import pytest

from mnv3_tf.measuring import statistics

DRAWS = statistics.RESAMPLES


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Draws enough for what is not exact."""
    monkeypatch.setattr(statistics, "RESAMPLES", 300)


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", DRAWS)


def simulate(rng, rounds=20, burst=10, centre=100.0, between=1.0, within=2.0):
    """Timings whose rounds differ: the true median is `centre`."""
    mood = rng.normal(0, between, (rounds, 1))
    return centre + mood + rng.normal(0, within, (rounds, burst))


def test_the_median_is_that_of_everything():
    rounds = np.arange(1.0, 22.0).reshape(7, 3)
    assert statistics.median(rounds).value == 11.0


# -- by hand: of rounds of one inference the odds of each median are known -----------------------

TWO = np.array([[1.0], [3.0]])
"""Two draws of it have the medians 1, 2 and 3 in 25, 50 and 25 of 100 cases."""


def rounds_of(low: int, high: int) -> np.ndarray:
    return np.array([[0.0]] * low + [[1.0]] * high)


def test_what_is_drawn():
    assert (DRAWS, statistics.FEWEST_ROUNDS, statistics.FULL_PACE) == (2000, 5, 0.1)


@pytest.mark.parametrize(("confidence", "low", "high"), [(0.6, 1, 3), (0.4, 2, 2)])
def test_an_interval_leaves_out_as_much_on_either_side(many, confidence, low, high):
    for found in (
        statistics.median(TWO, confidence),
        statistics.ratio(TWO, np.ones((2, 1)), confidence),
        statistics.unpaired_ratio(TWO, np.ones((2, 1)), confidence),
    ):
        assert found == statistics.Estimate(2, low, high)


@pytest.mark.parametrize(
    ("low", "high", "bound"),
    [
        (4, 1, 1),  # three or more of five draws: 5.8 of 100
        (7, 2, 1),  # five or more of nine: 3.0
        (6, 1, 0),  # four or more of seven: 1.0
    ],
)
def test_an_interval_is_of_95_percent_unless_told_otherwise(many, low, high, bound):
    rounds = rounds_of(low, high)
    assert statistics.median(rounds) == statistics.Estimate(0, 0, bound)
    ratio = statistics.ratio(rounds + 1, np.ones_like(rounds))
    assert ratio == statistics.Estimate(1, 1, 1 + bound)
    assert statistics.unpaired_ratio(rounds + 1, np.ones_like(rounds)) == ratio


def test_an_interval_of_full_pace_is_of_95_percent():
    """The tenth percentile of 11 draws is the second least: 1 unless two or more are the 0."""
    rounds = rounds_of(1, 10)
    assert statistics.full_pace(rounds) == statistics.Estimate(1, 0, 1)  # 26 of 100
    assert statistics.full_pace(rounds, 0.2) == statistics.Estimate(1, 1, 1)
    ratio = statistics.full_pace_ratio(rounds + 1, np.full_like(rounds, 2))
    assert ratio == statistics.Estimate(1, 0.5, 1)
    assert statistics.full_pace_ratio(rounds + 1, np.full_like(rounds, 2), 0.2).low == 1


def test_ratios_are_of_the_first_by_the_second():
    six, two = np.full((5, 3), 6.0), np.full((5, 2), 2.0)
    for ratio in (statistics.ratio, statistics.unpaired_ratio, statistics.full_pace_ratio):
        assert ratio(six, two) == statistics.Estimate(3, 3, 3)


def test_what_nothing_pairs_is_drawn_by_itself():
    rounds = np.arange(1.0, 22.0)[:, np.newaxis]
    found = statistics.unpaired_ratio(rounds, rounds)
    assert found.low < found.value == 1.0 < found.high
    assert statistics.ratio(rounds, rounds) == statistics.Estimate(1, 1, 1)
    assert statistics.unpaired_ratio(rounds, rounds[:6]).value == 11 / 3.5


def test_constant_timings_leave_no_doubt():
    estimate = statistics.median(np.full((10, 4), 3.0))
    assert (estimate.low, estimate.value, estimate.high) == (3.0, 3.0, 3.0)
    assert statistics.ratio(np.full((10, 4), 3.0), np.full((10, 2), 2.0)).value == 1.5


def test_the_interval_holds_the_true_median_about_as_often_as_it_says():
    rng, trials, held = np.random.default_rng(1), 60, 0
    for _ in range(trials):
        estimate = statistics.median(simulate(rng))
        held += estimate.low <= 100.0 <= estimate.high
    # 95 % is said; twenty rounds and a percentile bootstrap give a little less.
    assert 0.88 <= held / trials < 1


def test_drawing_single_timings_would_have_been_too_sure():
    """Why rounds are drawn: timings of a burst are not independent."""
    rng = np.random.default_rng(2)
    rounds = simulate(rng, burst=50, between=3.0, within=0.5)
    honest = statistics.median(rounds)
    naive = statistics.median(rng.permutation(rounds.ravel()).reshape(-1, 1))
    assert honest.high - honest.low > 2 * (naive.high - naive.low)


def test_the_ratio_is_paired_so_that_a_slow_machine_cancels():
    rng = np.random.default_rng(3)
    mood = rng.uniform(1, 3, (20, 1))
    first = 100 * mood * rng.normal(1, 0.01, (20, 15))
    second = 50 * mood * rng.normal(1, 0.01, (20, 8))
    estimate = statistics.ratio(second, first)
    assert estimate.low <= 0.5 <= estimate.high
    assert estimate.high - estimate.low < 0.01
    alone = statistics.median(second)
    assert (alone.high - alone.low) / alone.value > 0.1


def test_the_ratio_holds_the_truth_about_as_often_as_it_says():
    rng, trials, held = np.random.default_rng(4), 200, 0
    for _ in range(trials):
        first, second = simulate(rng), simulate(rng, centre=200.0)
        estimate = statistics.ratio(second, first)
        held += estimate.low <= 2.0 <= estimate.high
    assert 0.89 <= held / trials <= 0.99


def test_spread_is_relative_to_the_median():
    rounds = np.repeat(np.linspace(90, 110, 11)[:, np.newaxis], 3, axis=1)
    assert statistics.spread(rounds) == pytest.approx(0.16)


def test_equal_seeds_give_equal_intervals():
    rounds = simulate(np.random.default_rng(5))
    assert statistics.median(rounds) == statistics.median(rounds)
    assert statistics.median(rounds, seed=1) != statistics.median(rounds, seed=2)


def test_rounds_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match="5 rounds cannot be paired with 6"):
        statistics.ratio(np.ones((5, 2)), np.ones((6, 2)))


# -- full pace -------------------------------------------------------------------------------


def slowed(rounds: np.ndarray, part: float) -> np.ndarray:
    """As if others had taken the machine for this part of the rounds."""
    busy = rounds.copy()
    busy[: round(part * len(rounds))] *= 1.4
    return busy


def test_full_pace_is_a_low_quantile_of_everything_within_its_bounds():
    rounds = np.arange(1.0, 102.0).reshape(1, 101)
    assert statistics.full_pace(rounds).value == 11.0
    estimate = statistics.full_pace(simulate(np.random.default_rng(6)))
    assert estimate.low < estimate.value < estimate.high
    assert (estimate.high - estimate.low) / estimate.value < 0.05


def test_full_pace_keeps_still_while_others_slow_the_machine():
    rounds = simulate(np.random.default_rng(7), rounds=30, burst=40)

    def shift(estimate, part: float) -> float:
        return estimate(slowed(rounds, part)).value / estimate(rounds).value - 1

    assert 0 <= shift(statistics.full_pace, 1 / 3) < shift(statistics.median, 1 / 3) / 2
    assert shift(statistics.full_pace, 2 / 3) < 0.02
    assert shift(statistics.median, 2 / 3) > 0.3


def test_the_ratio_at_full_pace_is_not_that_of_the_slowed_rounds():
    rng = np.random.default_rng(8)
    first, second = simulate(rng, rounds=30), simulate(rng, rounds=30, centre=150.0, within=3.0)
    calm = statistics.full_pace_ratio(second, first)
    # The two were not slowed in the same rounds.
    busy = statistics.full_pace_ratio(slowed(second, 2 / 3), first)
    assert calm.low <= calm.value <= calm.high
    assert calm.value == pytest.approx(1.5, rel=0.02)
    assert busy.value == pytest.approx(1.5, rel=0.03)
    assert statistics.ratio(slowed(second, 2 / 3), first).value > 2


def test_the_ratio_at_full_pace_draws_rounds_together():
    mood = np.random.default_rng(9).uniform(1, 3, (20, 1))
    estimate = statistics.full_pace_ratio(150 * mood, 100 * mood)
    assert (estimate.low, estimate.value, estimate.high) == pytest.approx((1.5, 1.5, 1.5))
    alone = statistics.full_pace(150 * mood)
    assert alone.high / alone.low > 1.1


def test_full_pace_of_a_network_against_itself_is_one():
    rounds = simulate(np.random.default_rng(10))
    assert statistics.full_pace_ratio(rounds, rounds) == statistics.Estimate(1.0, 1.0, 1.0)


def test_the_headline_is_the_full_pace_of_inferences_and_the_median_of_processes():
    rounds = simulate(np.random.default_rng(11))
    assert statistics.headline(rounds) == statistics.full_pace(rounds)
    assert statistics.headline_ratio(rounds, rounds) == statistics.full_pace_ratio(rounds, rounds)
    processes = rounds[:, :1]
    assert statistics.headline(processes) == statistics.median(processes)
    slower = statistics.headline_ratio(2 * processes, processes)
    assert slower == statistics.ratio(2 * processes, processes)


def test_the_headline_of_a_row_is_named_and_that_of_older_files_is_the_median():
    row = {"median_us": 2.0, "ci_us": [1.5, 2.5]}
    assert statistics.headline_of(row) == statistics.Headline(2.0, (1.5, 2.5), "median")
    new = statistics.headline_of(row | {"full_pace_us": 1.0, "full_pace_ci_us": [0.5, 1.5]})
    assert new == statistics.Headline(1.0, (0.5, 1.5), "full pace")


def test_half_a_width_is_in_percent_of_the_value():
    assert statistics.half_width(20.0, [19.0, 22.0]) == 7.5
