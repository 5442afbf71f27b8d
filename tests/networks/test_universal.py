"""MobileNetV4's blocks: where they stride, what they lack, and what they refuse."""

import json

import pytest
from refusals import refused

from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.graph import Convolution
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.networks.universal import ConvBlock, UniversalBottleneck
from mnv3_tf.tasks.specs import resolve_spec

V4 = resolve("v4_conv_small")


def with_blocks(*blocks) -> NetworkSpec:
    return V4.replace(name="blocks", blocks=blocks)


def convolutions(*blocks, output_stride=32) -> list[tuple]:
    """Of the blocks: role, kernel, stride, dilation, activation."""
    listed = operators(with_blocks(*blocks), output_stride)
    return [
        (op.role, op.kernel, op.stride, op.dilation, op.activation)
        for op in listed
        if isinstance(op, Convolution) and op.stage.startswith("expanded_conv")
    ]


@pytest.mark.parametrize(
    ("start", "kernel", "expected"),
    [
        (5, 3, [("start", 5, 1), ("expand", 1, 1), ("depthwise", 3, 2), ("project", 1, 1)]),
        (5, 0, [("start", 5, 2), ("expand", 1, 1), ("project", 1, 1)]),
        (0, 3, [("expand", 1, 1), ("depthwise", 3, 2), ("project", 1, 1)]),
    ],
)
def test_the_last_depthwise_convolution_strides(start, kernel, expected):
    found = convolutions(UniversalBottleneck(start, kernel, 64, 48, "relu", 2))
    assert [op[:3] for op in found] == expected
    linear = [role for role, *_, activation in found if activation == "linear"]
    assert linear == ["start", "project"] if start else ["project"]


def test_the_name_that_timm_gives_it():
    assert resolve("mobilenetv4_conv_small", 0.5) == resolve("v4_conv_small", 0.5)


def test_a_feed_forward_block_cannot_stride():
    with refused("blocks[0].stride is 2 but must be 1 without a depthwise convolution"):
        with_blocks(UniversalBottleneck(0, 0, 64, 48, "relu", 2))
    assert len(convolutions(UniversalBottleneck(0, 0, 64, 48, "relu", 1))) == 2


def test_an_expansion_as_wide_as_the_input_stays():
    assert convolutions(UniversalBottleneck(0, 3, 32, 48, "relu", 1))[0][0] == "expand"


def test_dilation_takes_the_place_of_strides():
    blocks = [ConvBlock(3, 32, "relu", 2)] * 3 + [UniversalBottleneck(5, 3, 64, 48, "relu", 2)]
    found = convolutions(*blocks, output_stride=8)
    # The fourth stride in all, and the first beyond 8, is the third block's.
    assert [op[1:4] for op in found] == [
        (3, 2, 1),
        (3, 2, 1),
        (3, 1, 1),
        (5, 1, 2),
        (1, 1, 1),
        (3, 1, 2),
        (1, 1, 1),
    ]


def test_residuals_are_of_bottlenecks_alone():
    residual = [placed.residual for placed in V4.placed_blocks()]
    assert residual == [False] * 5 + [True] * 5 + [False] + [True] * 5


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"kind": "mqa"}, "blocks[0].kind is 'mqa' but must be one of inverted_residual, conv, un"),
        ({"kind": "conv"}, "blocks[0] has an unknown field 'expansion'"),
    ],
)
def test_json_of_another_kind(block, said):
    tree = json.loads(with_blocks(V4.blocks[4]).to_json())
    tree["blocks"][0] |= block
    with refused(said):
        NetworkSpec.from_json(json.dumps(tree))


def test_a_kind_counts_for_the_hash():
    """A bottleneck without a first depthwise convolution is another network's block."""
    assert len({with_blocks(block).hash for block in V4.blocks}) == len(set(V4.blocks))


def test_what_other_tasks_tap():
    spec = resolve_spec("detect", "v4_conv_small")
    assert spec.c4(spec.graph()) == "expanded_conv_10_expand"
    spec = resolve_spec("segment", "v4_conv_small")
    graph = spec.graph()
    skip = spec.skip(graph)
    assert (skip, graph.shapes[skip]) == ("expanded_conv_3_conv", (28, 28, 64))


def test_a_stride_before_the_expansion_leaves_no_c4():
    blocks = (*V4.blocks[:10], UniversalBottleneck(5, 0, 384, 128, "relu", 2))
    spec = resolve_spec("detect", "v4_conv_small")
    spec = spec.with_backbone(spec.backbone.replace(blocks=blocks))
    with refused("v4_conv_small_half has no expansion in a block at output stride 32, before it"):
        spec.graph()


def test_the_old_last_stage_has_no_layer_after_pooling():
    old = V4.with_old_last_stage()
    assert (old.hidden, old.hidden_batch_norm, old.last_conv) == (0, False, 1280)
