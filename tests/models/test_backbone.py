"""Taps by stride and by name, at every output stride."""

import numpy as np
import pytest
from random_network import noise, randomise, relative_error

from mnv3_tf.errors import UserError
from mnv3_tf.models import create_backbone
from mnv3_tf.networks import resolve


@pytest.fixture(scope="module", params=["large", "small"])
def spec(request):
    return resolve(request.param, 0.35)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_taps_by_stride(spec, output_stride):
    model = create_backbone(spec, output_stride=output_stride, resolution=(64, 96))
    strides = [stride for stride in (2, 4, 8, 16, 32) if stride <= output_stride]
    assert list(map(int, model.output)) == strides
    for stride in strides:
        assert model.output[str(stride)].shape[1:3] == (64 // stride, 96 // stride)
    assert model.output[str(output_stride)].shape[-1] == spec.last_conv


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_taps_by_name(spec, output_stride):
    """Those of detection and segmentation (block 13 of Large, 9 of Small, counted from 1)."""
    index = 12 if spec.name.startswith("large") else 8
    taps = [f"expanded_conv_{index}_expand", f"expanded_conv_{index}_depthwise", "conv", "conv_1"]
    taps.append(f"expanded_conv_{index}")
    model = create_backbone(spec, taps, output_stride=output_stride, resolution=(64, 64))
    assert list(model.output) == taps
    block = spec.blocks[index]
    before, after = 64 // min(16, output_stride), 64 // output_stride
    shapes = [tuple(model.output[tap].shape[1:]) for tap in taps]
    assert shapes == [
        (before, before, block.expansion),
        (after, after, block.expansion),
        (32, 32, spec.stem.filters),
        (after, after, spec.last_conv),
        (after, after, block.filters),
    ]


def test_a_tap_inside_a_block_is_taken_after_the_activation(spec):
    index = 12 if spec.name.startswith("large") else 8
    model = randomise(create_backbone(spec, [f"expanded_conv_{index}_expand"]))
    (tapped,) = model(noise(1, 64)).values()
    assert tapped.numpy().min() == pytest.approx(-0.375, abs=0.02)  # the least of h-swish


def test_strides_and_names_mix(spec):
    model = create_backbone(spec, [8, "conv_1"], resolution=(64, 64))
    assert list(model.output) == ["8", "conv_1"]


def test_the_last_tap_at_each_stride_is_the_deepest():
    spec = resolve("large", 0.35)
    model = create_backbone(spec, [8, "expanded_conv_5", "expanded_conv_4"])
    found = randomise(model)(noise(1, 64))
    np.testing.assert_array_equal(found["8"], found["expanded_conv_5"])
    assert relative_error(found["8"], found["expanded_conv_4"]) > 0.1


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilation_sees_what_strides_would_see(output_stride):
    """Where the dilated backbone meets the grid of the strided one, their features agree.

    The padding is symmetric because with "same" the place of the first pixel depends on the side.
    """
    # Squeeze-excite looks at the whole picture, hence at other grids.
    spec = resolve("small", 0.35).without_squeeze_excite().replace(padding="symmetric")
    strided = randomise(create_backbone(spec, ["conv_1"], resolution=(256, 256)))
    dilated = create_backbone(spec, ["conv_1"], output_stride=output_stride, resolution=(256, 256))
    dilated.set_weights(strided.get_weights())
    picture = noise(1, 256)
    expected = strided(picture)["conv_1"].numpy()
    found = dilated(picture)["conv_1"].numpy()
    step = 32 // output_stride
    assert found.shape[1] == expected.shape[1] * step
    assert relative_error(expected, found[:, ::step, ::step]) <= 1e-4


def test_an_unknown_tap_is_told_the_known_ones(spec):
    with pytest.raises(UserError, match=r"has no tap 64; choose among 2, 4, 8, 16, 32, conv, exp"):
        create_backbone(spec, [64])
    with pytest.raises(UserError, match="has no tap 'layer_14'"):
        create_backbone(spec, ["layer_14"])


def test_any_side_will_do(spec):
    model = create_backbone(spec, [32])
    assert model.output["32"].shape[1:3] == (None, None)
    assert model(noise(1, 100))["32"].shape[1:3] == (4, 4)
