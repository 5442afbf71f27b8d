"""NetAdapt's proposals on the paper's networks, with multiply-adds for latency."""

import pytest

from mnv3_tf.errors import UserError
from mnv3_tf.networks.cost import cost, operators
from mnv3_tf.networks.named import NETWORKS, resolve
from mnv3_tf.search.proposals import Part, parts_of, propose, shrunk


def madds(specs):
    return [float(cost(spec).madds) for spec in specs]


def names(spec):
    return [op.name for op in operators(spec)]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_proposal_cuts_enough_and_no_more_than_it_has_to(name):
    seed = resolve(name)
    (before,) = madds([seed])
    smallest = shrunk(seed, 0.25)
    proposals = propose(seed, before, 0.01 * before, smallest, madds)
    assert len({one.change for one in proposals}) == len(proposals) == len(parts_of(seed))
    for one in proposals:
        assert madds([one.spec]) == [one.latency] <= [0.99 * before]
        assert names(one.spec) == names(seed)
        kind, rest = one.change.split(" ", 1)
        block, channels = rest.split(": ")
        part, (old, new) = Part(kind, int(block)), map(int, channels.split(" -> "))
        assert part.resized(seed, new) == one.spec
        assert (part.channels(seed), new % 8) == (old, 0)
        larger = part.resized(seed, new + 8) if new + 8 < old else seed
        # Eight channels more cut too little, or change the layers.
        assert madds([larger])[0] > 0.99 * before or names(larger) != names(seed)


def test_parts_of_small():
    """Ten expansions (the first block has none) and five bottlenecks, residuals counted once."""
    parts = parts_of(resolve("small"))
    assert [part.block for part in parts if part.kind == "expansion"] == list(range(1, 11))
    assert [part.block for part in parts if part.kind == "bottleneck"] == [0, 1, 3, 6, 8]


def test_a_bottleneck_is_shrunk_in_every_block_that_shares_it():
    seed = resolve("small")
    (before,) = madds([seed])
    proposals = propose(seed, before, 0.01 * before, shrunk(seed, 0.25), madds)
    (shared,) = (one for one in proposals if one.change.startswith("bottleneck 3:"))
    changed = {
        i for i, (a, b) in enumerate(zip(seed.blocks, shared.spec.blocks, strict=True)) if a != b
    }
    assert changed == {3, 4, 5}


def test_the_block_bound_to_the_stem_is_left_alone():
    assert Part("bottleneck", 0) not in parts_of(resolve("large"))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_smallest_network_keeps_its_layers(name):
    seed = resolve(name)
    smallest = shrunk(seed, 0.25)
    assert names(smallest) == names(seed)
    for part in parts_of(seed):
        assert part.channels(smallest) <= max(16, 0.5 * part.channels(seed))
    assert shrunk(seed, 1.0) == seed


def test_parts_at_their_smallest_make_no_proposal():
    seed = resolve("small")
    (before,) = madds([seed])
    assert propose(seed, before, 0.01 * before, seed, madds) == []
    # Only what can cut a twentieth by itself.
    large = propose(seed, before, 0.05 * before, shrunk(seed, 0.25), madds)
    assert 0 < len(large) < len(parts_of(seed))


def test_latencies_are_asked_for_side_by_side():
    """Measuring is fair only among networks that take turns."""
    seed, asked = resolve("small"), []

    def latencies(specs):
        asked.append(len(specs))
        return madds(specs)

    (before,) = madds([seed])
    propose(seed, before, 0.01 * before, shrunk(seed, 0.25), latencies)
    assert asked[0] == len(parts_of(seed))
    assert asked == sorted(asked, reverse=True)


@pytest.mark.parametrize("part", [0, -1, 1.5])
def test_a_part_that_is_none(part):
    with pytest.raises(UserError, match=f"--smallest={part} "):
        shrunk(resolve("small"), part)
