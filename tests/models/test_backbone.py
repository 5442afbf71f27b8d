"""Taps by stride and by name, at every output stride."""

import numpy as np
import pytest
import tiny
from random_network import noise, randomise, relative_error
from refusals import refused

from mnv3_tf.models import create_backbone
from mnv3_tf.networks.blocks import InvertedResidual
from mnv3_tf.networks.graph import OperatorGraph
from mnv3_tf.networks.named import resolve

SPEC = tiny.BACKBONE.replace(
    blocks=(*tiny.BACKBONE.blocks, InvertedResidual(5, 24, 16, 0.25, "relu", 1))
)
STRIDES = pytest.mark.parametrize("output_stride", [8, 16, 32])


@STRIDES
def test_taps_by_stride(output_stride):
    model = create_backbone(SPEC, output_stride=output_stride, resolution=(64, 96))
    strides = [stride for stride in (2, 4, 8, 16, 32) if stride <= output_stride]
    assert list(map(int, model.output)) == strides
    for stride in strides:
        assert model.output[str(stride)].shape[1:3] == (64 // stride, 96 // stride)
    assert model.output[str(output_stride)].shape[-1] == SPEC.last_conv


@STRIDES
def test_taps_by_name(output_stride):
    """Strides and names mix."""
    taps = ["expanded_conv_3_expand", "expanded_conv_3_depthwise", 2, "conv_1", "expanded_conv_3"]
    model = create_backbone(SPEC, taps, output_stride=output_stride, resolution=(64, 64))
    assert list(model.output) == list(map(str, taps))
    before, after = 64 // min(16, output_stride), 64 // output_stride
    assert [tuple(model.output[str(tap)].shape[1:]) for tap in taps] == [
        (before, before, 32),
        (after, after, 32),
        (32, 32, 8),
        (after, after, 24),
        (after, after, 16),
    ]


@STRIDES
@pytest.mark.parametrize(("name", "index"), [("large", 12), ("small", 8)])
def test_taps_of_detection_and_segmentation(name, index, output_stride):
    """Block 13 of Large and 9 of Small, counted from 1."""
    spec = resolve(name, resolution=64)
    graph, block = OperatorGraph(*spec.image_size), spec.blocks[index]
    taps = spec.add_backbone(graph, output_stride)
    before, after = 64 // min(16, output_stride), 64 // output_stride
    expected = {
        f"expanded_conv_{index}_expand": (before, before, block.expansion),
        f"expanded_conv_{index}_depthwise": (after, after, block.expansion),
        f"expanded_conv_{index}": (after, after, block.filters),
        "conv": (32, 32, 16),
        "conv_1": (after, after, spec.last_conv),
        "last": (after, after, spec.last_conv),
    }
    assert {tap: graph.shapes[taps[tap]] for tap in expected} == expected


def test_a_tap_is_of_the_last_block_and_after_the_activation():
    deeper = SPEC.replace(blocks=(*SPEC.blocks[:3], InvertedResidual(3, 48, 16, 0.0, "relu", 1)))
    taps = [16, "expanded_conv_3", "expanded_conv_2", "expanded_conv_2_expand"]
    model = randomise(create_backbone(deeper.replace(last_conv=0), taps))
    found = model(noise(1, 64))
    np.testing.assert_array_equal(found["16"], found["expanded_conv_3"])
    assert relative_error(found["16"], found["expanded_conv_2"]) > 0.1
    least = found["expanded_conv_2_expand"].numpy().min()
    assert least == pytest.approx(-0.375, abs=0.02)  # of h-swish


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilation_sees_what_strides_would_see(output_stride):
    """Where the dilated backbone meets the grid of the strided one, their features agree.

    The padding is symmetric because with "same" the place of the first pixel depends on the side.
    """
    # Squeeze-excite looks at the whole picture, hence at other grids.
    spec = SPEC.without_squeeze_excite().replace(padding="symmetric")
    strided = randomise(create_backbone(spec, ["conv_1"], resolution=(128, 128)))
    dilated = create_backbone(spec, ["conv_1"], output_stride=output_stride, resolution=(128, 128))
    dilated.set_weights(strided.get_weights())
    picture = noise(1, 128)
    expected = strided(picture)["conv_1"].numpy()
    found = dilated(picture)["conv_1"].numpy()
    step = 32 // output_stride
    assert found.shape[1] == expected.shape[1] * step
    assert relative_error(expected, found[:, ::step, ::step]) <= 1e-4


@pytest.mark.parametrize("tap", [64, "layer_14"])
def test_an_unknown_tap_is_told_the_known_ones(tap):
    with refused(f"{SPEC.name} has no tap {tap!r}; choose among 2, 4, 8, 16, 32, conv, exp"):
        create_backbone(SPEC, [tap])


def test_any_side_will_do():
    model = create_backbone(SPEC, [32])
    assert model.output["32"].shape[1:3] == (None, None)
    assert model(noise(1, 100))["32"].shape[1:3] == (4, 4)
    assert model.name == "backbone_backbone"
