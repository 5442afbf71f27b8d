import math

import pytest

from mnv3_tf.training.optimizers import learning_rate


def test_warm_up_is_linear_and_reaches_the_peak_on_its_last_step():
    rates = [learning_rate("cosine", 0.4, step, 100, 4) for step in range(4)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_cosine_falls_from_the_peak_through_its_half_towards_zero():
    assert learning_rate("cosine", 1.0, 10, 110, 10) == 1.0
    assert learning_rate("cosine", 1.0, 35, 110, 10) == pytest.approx(0.5 + math.sqrt(0.125))
    assert learning_rate("cosine", 1.0, 60, 110, 10) == pytest.approx(0.5)
    assert 0 < learning_rate("cosine", 1.0, 109, 110, 10) < 1e-3


def test_constant_stays():
    assert [learning_rate("constant", 0.3, step, 9) for step in (0, 4, 8)] == [0.3] * 3


def test_a_run_that_ends_within_its_warm_up_is_no_error():
    assert learning_rate("cosine", 1.0, 1, 2, 4) == 0.5


def test_exponential_falls_in_stairs_that_are_counted_from_the_first_step():
    rates = [learning_rate("exponential", 0.8, step, 99, 2, 0.5, 10.0) for step in (1, 2, 9, 10)]
    assert rates == pytest.approx([0.8, 0.8, 0.8, 0.4])
    assert learning_rate("exponential", 0.8, 29, 99, 2, 0.5, 10.0) == pytest.approx(0.2)


def test_polynomial_is_of_the_steps_that_remain():
    assert learning_rate("polynomial", 2.0, 10, 110, 10) == 2.0
    assert learning_rate("polynomial", 2.0, 60, 110, 10) == pytest.approx(2 * 0.5**0.9)
    assert learning_rate("polynomial", 2.0, 109, 110, 10) == pytest.approx(2 * 0.01**0.9)


def test_another_is_a_mistake_of_the_program():
    with pytest.raises(ValueError, match="Unknown schedule 'stairs'"):
        learning_rate("stairs", 1.0, 5, 10)
