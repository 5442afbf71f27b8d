"""Networks drawn around a seed, and a plan of measurements that spans them."""

import numpy as np
import pytest

from mnv3_tf.cost import operators
from mnv3_tf.networks import resolve
from mnv3_tf.search import latency_model
from mnv3_tf.search.space import Space
from mnv3_tf.spec import NetworkSpec

SEEDS = pytest.mark.parametrize("name", ["large", "small"])


def drawn(space: Space, count: int, seed: int = 0) -> list[NetworkSpec]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]


def strides(spec: NetworkSpec) -> list[int]:
    return [block.stride for block in spec.blocks if block.stride > 1]


@SEEDS
def test_samples_are_valid_specs_of_the_seeds_resolution(name):
    seed = resolve(name, resolution=160, num_classes=7)
    for spec in drawn(Space(seed), 50):
        assert NetworkSpec.from_json(spec.to_json()) == spec
        assert (spec.resolution, spec.num_classes) == (160, 7)
        assert strides(spec) == strides(seed)
        assert all(b.expansion % 8 == b.filters % 8 == 0 for b in spec.blocks)


def test_equal_seeds_draw_equal_networks_and_others_differ():
    space = Space(resolve("small"))
    assert drawn(space, 20) == drawn(space, 20) != drawn(space, 20, seed=1)
    assert len({spec.hash for spec in drawn(space, 50)}) == 50


def test_every_choice_is_drawn():
    blocks = [block for spec in drawn(Space(resolve("small")), 50) for block in spec.blocks]
    assert {block.kernel for block in blocks} == {3, 5}
    assert {block.squeeze for block in blocks} == {0.0, 0.25}
    assert {block.filters for block in blocks} >= {72, 96, 120}  # times 0.75, 1 and 1.25
    assert {len(spec.blocks) for spec in drawn(Space(resolve("small")), 50)} >= {9, 10, 11, 12}


def test_the_blocks_of_a_stage_share_all_but_their_expansion():
    for spec in drawn(Space(resolve("large")), 20):
        last = [block for block in spec.blocks if block.filters == spec.blocks[-1].filters]
        assert 2 <= len(last) <= 4
        assert len({(block.kernel, block.squeeze) for block in last}) == 1
        assert [block.stride for block in last] == [2] + [1] * (len(last) - 1)
        assert all(480 / 2 <= block.expansion <= 960 * 1.25 for block in last)
    assert len({block.expansion for block in last}) > 1


@SEEDS
def test_the_first_stage_is_bound_to_the_stem_and_keeps_its_size(name):
    seed = resolve(name)
    first = seed.blocks[0]
    for spec in drawn(Space(seed), 50):
        assert spec.stem == seed.stem
        block, placed = spec.blocks[0], next(spec.placed_blocks())
        assert (block.filters, block.expansion, block.stride) == (
            first.filters,
            first.expansion,
            first.stride,
        )
        assert spec.blocks[1].stride == 2  # no second block in it
        assert placed.residual == next(seed.placed_blocks()).residual


def test_a_narrow_seed_keeps_its_strides():
    """At 0.35, filters on both sides of a stride are equal; they are no single stage."""
    for name in ("large", "v2"):
        seed = resolve(name, 0.35)
        assert seed.blocks[0].filters == seed.blocks[1].filters
        for spec in drawn(Space(seed), 20):
            assert strides(spec) == strides(seed)


def test_a_space_without_choice_holds_its_seed_alone():
    seed = resolve("small_minimalistic")
    space = Space(seed, (3,), (0.0,), (1.0,), (1.0, 1.0), (0,))
    for spec in (*space.corners(), *drawn(space, 3)):
        assert spec.hash == seed.hash


@SEEDS
def test_the_corners_span_every_operator_of_the_space(name):
    space = Space(resolve(name))
    plans = latency_model.plan_grids([space.seed, *space.corners()], plane=3, line=3)
    for spec in drawn(space, 200):
        for op in operators(spec):
            _, knots = plans[latency_model.key_of(op)]
            channels = latency_model.channels_of(op)
            assert all(k[0] <= c <= k[-1] for k, c in zip(knots, channels, strict=True)), op
