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
    start = resolve(name)
    (before,) = madds([start])
    smallest = shrunk(start, 0.25)
    proposals = propose(start, before, 0.01 * before, smallest, madds)
    assert len({one.change for one in proposals}) == len(proposals) == len(parts_of(start))
    for one in proposals:
        assert madds([one.spec]) == [one.latency] <= [0.99 * before]
        assert names(one.spec) == names(start)
        kind, rest = one.change.split(" ", 1)
        block, channels = rest.split(": ")
        part, (old, new) = Part(kind, int(block)), map(int, channels.split(" -> "))
        assert part.resized(start, new) == one.spec
        assert (part.channels(start), new % 8) == (old, 0)
        larger = part.resized(start, new + 8) if new + 8 < old else start
        # Eight channels more cut too little, or change the layers.
        assert madds([larger])[0] > 0.99 * before or names(larger) != names(start)


def test_parts_of_small():
    """Ten expansions (the first block has none) and five bottlenecks, residuals counted once."""
    parts = parts_of(resolve("small"))
    assert [part.block for part in parts if part.kind == "expansion"] == list(range(1, 11))
    assert [part.block for part in parts if part.kind == "bottleneck"] == [0, 1, 3, 6, 8]


def test_a_bottleneck_is_shrunk_in_every_block_that_shares_it():
    start = resolve("small")
    (before,) = madds([start])
    proposals = propose(start, before, 0.01 * before, shrunk(start, 0.25), madds)
    (shared,) = (one for one in proposals if one.change.startswith("bottleneck 3:"))
    changed = {
        i for i, (a, b) in enumerate(zip(start.blocks, shared.spec.blocks, strict=True)) if a != b
    }
    assert changed == {3, 4, 5}


def test_the_block_bound_to_the_stem_is_left_alone():
    assert Part("bottleneck", 0) not in parts_of(resolve("large"))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_smallest_network_keeps_its_layers(name):
    start = resolve(name)
    smallest = shrunk(start, 0.25)
    assert names(smallest) == names(start)
    for part in parts_of(start):
        assert part.channels(smallest) <= max(16, 0.5 * part.channels(start))
    assert shrunk(start, 1.0) == start


def test_parts_at_their_smallest_make_no_proposal():
    start = resolve("small")
    (before,) = madds([start])
    assert propose(start, before, 0.01 * before, start, madds) == []
    # Only what can cut a twentieth by itself.
    large = propose(start, before, 0.05 * before, shrunk(start, 0.25), madds)
    assert 0 < len(large) < len(parts_of(start))


def test_latencies_are_asked_for_side_by_side():
    """Measuring is fair only among networks that take turns."""
    start, asked = resolve("small"), []

    def latencies(specs):
        asked.append(len(specs))
        return madds(specs)

    (before,) = madds([start])
    propose(start, before, 0.01 * before, shrunk(start, 0.25), latencies)
    assert asked[0] == len(parts_of(start))
    assert asked == sorted(asked, reverse=True)


@pytest.mark.parametrize("part", [0, -1, 1.5])
def test_a_part_that_is_none(part):
    with pytest.raises(UserError, match=f"--smallest={part} "):
        shrunk(resolve("small"), part)
