"""Architectures and the networks that they stand for; what it takes to span them all."""

import math

import numpy as np
import pytest

from mnv3_tf.errors import UserError
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.named import NETWORKS, resolve
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search import latency_model
from mnv3_tf.search.proposals import shrunk
from mnv3_tf.search.space import SEPARABLE, Space

SEEDS = pytest.mark.parametrize("name", ["large", "small", "v2"])
SMALL, V2 = resolve("small"), resolve("v2")


def around(name: str, **choices) -> Space:
    return Space(resolve(name), squeeze_of_input=name == "mnasnet_a1", **choices)


def members(space: Space, count: int, seed: int = 0) -> list[NetworkSpec]:
    rng = np.random.default_rng(seed)
    return [space.decode(space.random(rng)) for _ in range(count)]


def drawn_freely(space: Space, count: int, seed: int = 0) -> list[NetworkSpec]:
    rng = np.random.default_rng(seed)
    return [space.sample_freely(rng) for _ in range(count)]


def strides(spec: NetworkSpec) -> list[int]:
    return [block.stride for block in spec.blocks if block.stride > 1]


def chosen(space: Space, **values) -> NetworkSpec:
    """The member with the first choice everywhere but for decisions named "stage_2_kernel"."""
    wanted = {name.replace("_", " "): value for name, value in values.items()}
    assert wanted.keys() <= {d.name for d in space.decisions}
    return space.decode(
        tuple(d.choices.index(wanted[d.name]) if d.name in wanted else 0 for d in space.decisions)
    )


# -- decisions -------------------------------------------------------------------------------


def test_every_stage_has_its_decisions_but_the_first_keeps_its_size():
    names = [decision.name for decision in Space(SMALL).decisions]
    assert names[:2] == ["stage 1 kernel", "stage 1 squeeze"]
    assert names[2:8] == [
        f"stage 2 {what}" for what in ("kernel", "squeeze", "operator", "skip", "filters", "layers")
    ]
    assert len(names) == 2 + 4 * 6


def test_the_size_is_that_of_mnasnets_kind_of_space():
    assert Space(SMALL).size == 2**2 * (2 * 2 * 3 * 2 * 3 * 3) ** 4
    assert Space(V2).size > 1e13  # MnasNet's own has 1e13


def test_what_has_one_choice_is_not_decided():
    space = Space(SMALL, (3, 5), (0.25,), (1.0,), (True,), (1.0,), (0,))
    assert [d.name for d in space.decisions] == [f"stage {n} kernel" for n in range(1, 6)]
    assert space.size == 2**5


def test_a_space_without_choice_holds_its_start_alone():
    start = resolve("small_minimalistic")
    space = Space(start, (3,), (0.0,), (1.0,), (True,), (1.0,), (0,))
    assert (space.decisions, space.size) == ((), 1)
    for spec in (space.decode(()), *space.corners(), *drawn_freely(space, 3)):
        assert spec.hash == start.hash
    assert space.encode(start) == ()


def test_a_stage_of_one_block_has_no_skip_to_decide():
    space = Space(V2, layers=(0,))
    assert "stage 7 skip" not in {d.name for d in space.decisions}
    assert "stage 6 skip" in {d.name for d in space.decisions}


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"kernels": ()}, r"The choices of kernel are \(\); give different ones"),
        ({"layers": (0, 0)}, r"The choices of layers are \(0, 0\)"),
        ({"operators": (1.0, -0.5)}, r"The choices of operator are \(1.0, -0.5\); give parts"),
        ({"filters": (math.nan,)}, r"The choices of filters are \(nan,\)"),
    ],
)
def test_choices_out_of_range(choices, said):
    with pytest.raises(UserError, match=said):
        Space(SMALL, **choices)


def test_a_kernel_that_no_network_has():
    space = Space(SMALL, kernels=(4, 3))
    with pytest.raises(UserError, match=r"blocks\[0\].kernel is 4 but must be one of 3, 5, 7"):
        space.decode((0,) * len(space.decisions))


# -- from an architecture to a network -------------------------------------------------------


@SEEDS
def test_members_are_valid_specs_with_the_starts_frame(name):
    start = resolve(name, resolution=160, num_classes=7)
    for spec in members(Space(start), 50):
        assert NetworkSpec.from_json(spec.to_json()) == spec
        assert spec.replace(name=start.name, blocks=start.blocks) == start
        assert strides(spec) == strides(start)
        assert all(b.expansion % 8 == b.filters % 8 == 0 for b in spec.blocks)


@pytest.mark.parametrize("what", ["kernel", "squeeze", "filters", "operator"])
def test_a_choice_changes_its_stage_alone(what):
    """But for expansions, which follow their input."""
    space = Space(V2)
    for number, filters in enumerate((24, 32, 64, 96, 160, 320), 2):
        (choices,) = (d.choices for d in space.decisions if d.name == f"stage {number} {what}")
        changed = chosen(space, **{f"stage_{number}_{what}": choices[-1]}).blocks
        field = "expansion" if what == "operator" else what
        differ = {
            old.filters
            for old, new in zip(V2.blocks, changed, strict=True)
            if getattr(old, field) != getattr(new, field)
        }
        assert differ == {filters}


def test_the_operators_around_v2_are_mnasnets():
    space = Space(V2)
    for operator, ratio in ((1.0, 6), (0.5, 3), (SEPARABLE, 1)):
        for filters in (0.75, 1.0, 1.25):
            spec = chosen(space, stage_4_operator=operator, stage_4_filters=filters)
            stage = list(spec.placed_blocks())[6:10]
            assert {p.block.filters for p in stage} == {64 * filters}
            assert [p.block.expansion for p in stage] == [ratio * p.in_channels for p in stage]
            assert {p.has_expansion for p in stage} == {operator != SEPARABLE}


def test_a_stage_without_skip_adds_nothing():
    space = Space(SMALL)
    spec = chosen(space, stage_3_kernel=5, stage_3_skip=False)
    residuals = [placed.residual for placed in spec.placed_blocks()]
    expected = [placed.residual for placed in SMALL.placed_blocks()]
    assert residuals == [*expected[:4], False, False, *expected[6:]]
    assert not any(op.kind == "add" for op in operators(spec) if "expanded_conv_4" in op.name)


def test_layers_repeat_the_last_block_and_leave_one():
    space = Space(V2, layers=(0, 1, -2))
    more = chosen(space, stage_4_layers=1).blocks
    assert more[6:11] == (*V2.blocks[6:10], V2.blocks[9])
    assert more[11:] == V2.blocks[10:]
    fewer = chosen(space, stage_2_layers=-2).blocks
    assert fewer[1:3] == (V2.blocks[1], V2.blocks[3])


def test_a_repeated_block_is_as_wide_as_its_input_asks():
    last = chosen(Space(V2), stage_7_layers=1).blocks[-2:]
    assert [(b.expansion, b.filters) for b in last] == [(960, 320), (1920, 320)]


@SEEDS
def test_the_first_stage_is_bound_to_the_stem_and_keeps_its_size(name):
    start = resolve(name)
    first, space = start.blocks[0], Space(start)
    for spec in (*members(space, 50), *drawn_freely(space, 50)):
        block, placed = spec.blocks[0], next(spec.placed_blocks())
        assert (block.filters, block.expansion, block.stride) == (
            first.filters,
            first.expansion,
            first.stride,
        )
        assert spec.blocks[1].stride == 2  # no second block in it
        assert placed.residual == next(start.placed_blocks()).residual


def test_a_narrow_start_keeps_its_strides():
    """At 0.35, filters on both sides of a stride are equal; they are no single stage."""
    for name in ("large", "v2"):
        start = resolve(name, 0.35)
        assert start.blocks[0].filters == start.blocks[1].filters
        for spec in members(Space(start), 20):
            assert strides(spec) == strides(start)


def test_a_name_is_that_of_one_network():
    found = members(Space(SMALL), 50)
    assert found == members(Space(SMALL), 50) != members(Space(SMALL), 50, seed=1)
    assert {spec.name for spec in found} == {f"small_{spec.hash[:8]}" for spec in found}


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        ((0,) * 25, "makes 25 choices, but there are 26 decisions around small"),
        ((0,) * 25 + (3,), "Choice 3 of stage 5 layers does not exist; the last is 2"),
        ((-1,) + (0,) * 25, "Choice -1 of stage 1 kernel does not exist"),
    ],
)
def test_what_is_no_architecture(architecture, said):
    with pytest.raises(UserError, match=said):
        Space(SMALL).decode(architecture)


# -- and back --------------------------------------------------------------------------------


def test_a_network_of_other_blocks_has_no_space():
    said = "Block 0 of v4_conv_small is of the kind 'conv', of which there is no space; search ar"
    with pytest.raises(UserError, match=said):
        Space(resolve("v4_conv_small"))


@pytest.mark.parametrize("width", [0.5, 1.0])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "v4_conv_small"])
def test_named_networks_are_in_the_space_around_them(name, width):
    start = resolve(name, width)
    space = Space(start, squeeze_of_input=name == "mnasnet_a1")
    architecture = space.encode(start)
    assert space.decode(architecture).replace(name=start.name) == start
    for decision, index in zip(space.decisions, architecture, strict=True):
        if decision.name.split()[-1] not in ("kernel", "squeeze"):
            assert index == 0, decision.name


@pytest.mark.parametrize("name", ["large", "small", "v2", "mnasnet_a1"])
def test_members_there_and_back(name):
    space = around(name)
    rng = np.random.default_rng(0)
    for _ in range(8):
        architecture = space.random(rng)
        spec = space.decode(architecture)
        again = space.encode(spec.replace(name="renamed"))
        assert again <= architecture  # the first of those that are the same network
        assert space.decode(again) == spec


def test_mnasnets_choices_are_found_around_v2():
    spec = V2
    for index in range(6, 10):
        spec = spec.with_block(index, kernel=5, squeeze=0.25)
    space = Space(V2)
    found = dict(zip((d.name for d in space.decisions), space.encode(spec), strict=True))
    assert {name for name, index in found.items() if index} == {"stage 4 kernel", "stage 4 squeeze"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            SMALL.with_block(4, kernel=7),
            r"Block 4 of small, Inverted.*\(kernel=7, .* is not in",
        ),
        (SMALL.with_block(5, kernel=3), r"Block 5 of small, "),
        (
            SMALL.with_expansion(9, 80),
            r"Block 9 of small, Inverted.*\(kernel=5, expansion=80",
        ),
        (SMALL.replace(blocks=SMALL.blocks[:8]), "small, with its 8 blocks, is not in the space"),
        (SMALL.replace(blocks=SMALL.blocks + SMALL.blocks[-1:] * 2), "Block 12 of small"),
        (SMALL.replace(resolution=96), "whose resolution is 224 and not 96"),
        (resolve("large"), "large is not in the space around small, whose last_conv is 576"),
    ],
)
def test_what_is_outside_is_named(spec, said):
    with pytest.raises(UserError, match=said) as caught:
        Space(SMALL).encode(spec)
    assert "\n" not in str(caught.value)


# -- free draws and corners ------------------------------------------------------------------


def test_every_choice_is_drawn():
    for specs in (members(Space(SMALL), 50), drawn_freely(Space(SMALL), 50)):
        blocks = [block for spec in specs for block in spec.blocks]
        assert {block.kernel for block in blocks} == {3, 5}
        assert {block.squeeze for block in blocks} == {0.0, 0.25}
        assert {block.skip for block in blocks} == {True, False}
        assert {block.filters for block in blocks} >= {72, 96, 120}  # times 0.75, 1 and 1.25
        assert {len(spec.blocks) for spec in specs} >= {9, 10, 11, 12}
        placed = [p for spec in specs for p in list(spec.placed_blocks())[1:]]
        assert {p.has_expansion for p in placed} == {True, False}


def test_free_draws_are_repeatable_and_differ():
    space = Space(SMALL)
    assert drawn_freely(space, 20) == drawn_freely(space, 20) != drawn_freely(space, 20, seed=1)
    assert len({spec.hash for spec in drawn_freely(space, 50)}) == 50


def test_blocks_drawn_freely_share_all_but_their_expansion():
    expansions = set()
    for spec in drawn_freely(Space(resolve("large"), filters=(1.0,)), 20):
        last = [block for block in spec.blocks if block.filters == spec.blocks[-1].filters]
        assert 2 <= len(last) <= 4
        assert len({(block.kernel, block.squeeze) for block in last}) == 1
        assert [block.stride for block in last] == [2] + [1] * (len(last) - 1)
        expansions |= {block.expansion for block in last[1:]} - {160}
    assert len(expansions) > 10
    assert 480 <= min(expansions) <= max(expansions) <= 960


@pytest.mark.parametrize("name", ["small", "v2", "mnasnet_a1"])
def test_the_corners_span_every_operator_of_the_space(name):
    """Those of `smallest`, which come last, span the networks that are shrunk so far."""
    space = around(name)
    corners, alike = list(space.corners(0.25)), len(space.kernels) * len(space.squeezes)
    shrinking = [shrunk(space.start, part) for part in (0.25, 0.4, 0.7)]
    inside = [*members(space, 20), *drawn_freely(space, 20)]
    for spanning, specs in ((corners[:-alike], inside), (corners, shrinking)):
        plans = latency_model.plan_grids([space.start, *spanning], plane=3, line=3)
        for spec in specs:
            for op in operators(spec):
                _, knots = plans[latency_model.key_of(op)]
                channels = latency_model.channels_of(op)
                assert all(k[0] <= c <= k[-1] for k, c in zip(knots, channels, strict=True)), op


def test_without_smallest_the_corners_end_where_the_space_does():
    space = Space(SMALL)
    corners = [list(space.corners(part)) for part in (None, 0.25)]
    assert len(corners[0]) == 2 * 2 * 3 * 2 * 3 * 3
    assert corners[1][:-4] == corners[0]
    plain, small = (latency_model.plan_grids([SMALL, *specs], plane=3, line=3) for specs in corners)
    assert plain.keys() == small.keys()
    assert any(small[key][1][0][0] < plain[key][1][0][0] for key in plain)


def test_a_part_that_is_none_is_refused():
    with pytest.raises(UserError, match=r"--smallest=1.5 is no part of the channels"):
        list(Space(SMALL).corners(1.5))
