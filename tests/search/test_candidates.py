"""Networks with what a search knows of them."""

import json
import math

import numpy as np
import pytest

from mnv3_tf.errors import UserError
from mnv3_tf.networks.named import NETWORKS, resolve
from mnv3_tf.search.candidates import Judged, pareto


@pytest.mark.parametrize("name", NETWORKS)
def test_json_both_ways(name):
    judged = Judged(resolve(name), 2410.5, 0.75, 1.25, True, "expansion 3: 96 -> 88")
    tree = judged.to_json()
    assert Judged.from_json(tree) == judged
    assert Judged.from_json(json.loads(json.dumps(tree))) == judged
    assert tree["spec"] == json.loads(judged.spec.to_json())


def test_a_diverged_training_comes_back_from_a_journal():
    for loss in (math.inf, math.nan):
        text = json.dumps(Judged(resolve("small"), 1.0, 0.1, loss).to_json())
        assert repr(Judged.from_json(json.loads(text)).loss) == repr(loss)


def test_what_may_be_left_out():
    tree = Judged(resolve("small"), 1.0, 0.5, 0.7).to_json()
    del tree["stopped"], tree["change"]
    judged = Judged.from_json(tree)
    assert (judged.stopped, judged.change) == (False, "")


@pytest.mark.parametrize("harm", ["spec", "latency", "unknown", "list", "block"])
def test_other_trees_get_one_sentence(harm):
    tree = Judged(resolve("small"), 1.0, 0.5, 0.7).to_json()
    match harm:
        case "unknown":
            tree["speed"] = 3
        case "list":
            tree = [tree]
        case "block":
            tree["spec"]["blocks"][0]["kernel"] = 4
        case field:
            del tree[field]
    expected = "kernel is 4" if harm == "block" else "has the fields spec, latency, accuracy"
    with pytest.raises(UserError, match=expected):
        Judged.from_json(tree)


def test_the_frontier_is_that_of_comparing_all_with_all():
    rng, spec = np.random.default_rng(0), resolve("small")
    for count in range(40):
        # Few values, so that many are equal in one or both.
        points = rng.integers(1, 8, (count, 2)) / [1, 10]
        judged = [Judged(spec, *map(float, point), 0.0) for point in points]
        found = pareto(judged)
        places = [(one.latency, one.accuracy) for one in found]
        undominated = {
            (x, y)
            for x, y in map(tuple, points)
            if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in points)
        }
        assert places == sorted(undominated)


def test_the_first_of_equals_is_on_the_frontier():
    spec = resolve("small")
    first, second = (Judged(spec, 1.0, 0.5, 0.0, change=name) for name in ("first", "second"))
    assert pareto([first, second]) == [first]
    assert pareto([second, first]) == [second]
