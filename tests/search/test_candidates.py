"""Networks with what a search knows of them."""

import json
import math

import numpy as np
import pytest

from mnv3_tf.errors import UserError
from mnv3_tf.networks.named import NETWORKS, resolve
from mnv3_tf.search.candidates import Candidate, pareto


@pytest.mark.parametrize("name", NETWORKS)
def test_json_both_ways(name):
    candidate = Candidate(resolve(name), 2410.5, 0.75, 1.25, True, "expansion 3: 96 -> 88")
    tree = candidate.to_json()
    assert Candidate.from_json(tree) == candidate
    assert Candidate.from_json(json.loads(json.dumps(tree))) == candidate
    assert tree["spec"] == json.loads(candidate.spec.to_json())


def test_a_diverged_training_comes_back_from_a_journal():
    for loss in (math.inf, math.nan):
        text = json.dumps(Candidate(resolve("small"), 1.0, 0.1, loss).to_json())
        assert repr(Candidate.from_json(json.loads(text)).loss) == repr(loss)


def test_what_may_be_left_out():
    tree = Candidate(resolve("small"), 1.0, 0.5, 0.7).to_json()
    del tree["stopped"], tree["change"]
    candidate = Candidate.from_json(tree)
    assert (candidate.stopped, candidate.change) == (False, "")


@pytest.mark.parametrize("harm", ["spec", "latency", "unknown", "list", "block"])
def test_other_trees_get_one_sentence(harm):
    tree = Candidate(resolve("small"), 1.0, 0.5, 0.7).to_json()
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
        Candidate.from_json(tree)


def test_the_frontier_is_that_of_comparing_all_with_all():
    rng, spec = np.random.default_rng(0), resolve("small")
    for count in range(40):
        # Few values, so that many are equal in one or both.
        points = rng.integers(1, 8, (count, 2)) / [1, 10]
        candidates = [Candidate(spec, *map(float, point), 0.0) for point in points]
        found = pareto(candidates)
        places = [(one.latency, one.accuracy) for one in found]
        undominated = {
            (x, y)
            for x, y in map(tuple, points)
            if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in points)
        }
        assert places == sorted(undominated)


def test_the_first_of_equals_is_on_the_frontier():
    spec = resolve("small")
    first, second = (Candidate(spec, 1.0, 0.5, 0.0, change=name) for name in ("first", "second"))
    assert pareto([first, second]) == [first]
    assert pareto([second, first]) == [second]
