"""The name map against names copied from the libraries' sources and files."""

import pytest

from mnv3_tf.networks.named import resolve
from mnv3_tf.weights.names import LIBRARIES, NUMBERED, convolutions, find_networks, outermost

TIMM_SMALL_BLOCKS = [(0, 1), (1, 2), (2, 3), (3, 2), (4, 3), (5, 1)]
TIMM_LARGE_BLOCKS = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 2), (5, 3), (6, 1)]
TIMM_V2_BLOCKS = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 3), (5, 3), (6, 1)]


def present(stages: list[tuple[int, int]]) -> list[str]:
    names = [f"blocks.{s}.{j}.bn1.weight" for s, count in stages for j in range(count)]
    return names[::-1]  # the order in a file means nothing


@pytest.mark.parametrize(
    ("library", "model", "stages", "layer", "variable", "expected"),
    [
        ("slim", "large", [], "conv", "kernel", "Conv/weights"),
        ("slim", "large", [], "conv_bn", "gamma", "Conv/BatchNorm/gamma"),
        (
            "slim",
            "large",
            [],
            "expanded_conv_14_squeeze_excite_conv_1",
            "bias",
            "expanded_conv_14/squeeze_excite/Conv_1/biases",
        ),
        ("slim", "large", [], "conv_2", "bias", "Conv_2/biases"),
        ("slim", "large", [], "logits", "kernel", "Logits/Conv2d_1c_1x1/weights"),
        (
            "tf_keras.applications",
            "small",
            [],
            "expanded_conv_project_bn",
            "moving_variance",
            "expanded_conv/project/BatchNorm/moving_variance",
        ),
        ("tf_keras.applications", "small", [], "logits", "bias", "Logits/bias"),
        (
            "tf_keras.applications V2",
            "v2",
            [],
            "expanded_conv_16_expand_bn",
            "beta",
            "block_16_expand_BN/beta",
        ),
        (
            "keras",
            "small",
            [],
            "expanded_conv_depthwise",
            "kernel",
            "expanded_conv_depthwise/kernel",
        ),
        (NUMBERED, "small", [], "conv_bn", "moving_mean", "batch_normalization/2"),
        (NUMBERED, "small", [], "expanded_conv_1_depthwise", "kernel", "depthwise_conv2d_1/0"),
        (NUMBERED, "small", [], "expanded_conv_project", "kernel", "conv2d_3/0"),
        ("timm", "large", TIMM_LARGE_BLOCKS, "conv_1", "kernel", "blocks.6.0.conv.weight"),
        ("timm", "large", TIMM_LARGE_BLOCKS, "conv_1_bn", "beta", "blocks.6.0.bn1.bias"),
        ("timm", "large", TIMM_LARGE_BLOCKS, "conv_2", "bias", "conv_head.bias"),
        (
            "timm",
            "large",
            TIMM_LARGE_BLOCKS,
            "expanded_conv_10_project_bn",
            "moving_mean",
            "blocks.4.0.bn3.running_mean",
        ),
        ("timm", "large", TIMM_LARGE_BLOCKS, "conv_bn", "gamma", "bn1.weight"),
        (
            "timm",
            "small",
            TIMM_SMALL_BLOCKS,
            "expanded_conv_project_bn",
            "gamma",
            "blocks.0.0.bn2.weight",
        ),
        (
            "timm",
            "small",
            TIMM_SMALL_BLOCKS,
            "expanded_conv_10_squeeze_excite_conv",
            "kernel",
            "blocks.4.2.se.conv_reduce.weight",
        ),
        ("timm", "v2", TIMM_V2_BLOCKS, "conv_1", "kernel", "conv_head.weight"),
        ("timm", "v2", TIMM_V2_BLOCKS, "conv_1_bn", "gamma", "bn2.weight"),
        (
            "timm",
            "mnasnet_a1",
            TIMM_LARGE_BLOCKS,
            "expanded_conv_15_project",
            "kernel",
            "blocks.6.0.conv_pwl.weight",
        ),
        ("torchvision", "large", [], "conv_1_bn", "gamma", "features.16.1.weight"),
        (
            "torchvision",
            "large",
            [],
            "expanded_conv_project",
            "kernel",
            "features.1.block.1.0.weight",
        ),
        (
            "torchvision",
            "large",
            [],
            "expanded_conv_3_squeeze_excite_conv_1",
            "bias",
            "features.4.block.2.fc2.bias",
        ),
        (
            "torchvision",
            "large",
            [],
            "expanded_conv_3_project_bn",
            "beta",
            "features.4.block.3.1.bias",
        ),
        ("torchvision", "large", [], "logits", "kernel", "classifier.3.weight"),
        ("torchvision V2", "v2", [], "expanded_conv_project", "kernel", "features.1.conv.1.weight"),
        ("torchvision V2", "v2", [], "expanded_conv_project_bn", "beta", "features.1.conv.2.bias"),
        (
            "torchvision V2",
            "v2",
            [],
            "expanded_conv_1_depthwise",
            "kernel",
            "features.2.conv.1.0.weight",
        ),
        (
            "torchvision V2",
            "v2",
            [],
            "expanded_conv_16_project_bn",
            "moving_mean",
            "features.17.conv.3.running_mean",
        ),
        ("torchvision V2", "v2", [], "conv_1", "kernel", "features.18.0.weight"),
        ("torchvision V2", "v2", [], "logits", "bias", "classifier.1.bias"),
    ],
)
def test_name(
    library: str,
    model: str,
    stages: list[tuple[int, int]],
    layer: str,
    variable: str,
    expected: str,
) -> None:
    names = LIBRARIES[library].tensors(resolve(model), present(stages))
    assert names[layer][variable] == expected


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "model", ["large", "small", "small_minimalistic", "v2", "mnasnet_a1", "v4_conv_small"]
)
def test_names_are_complete_and_distinct(library: str, model: str) -> None:
    spec = resolve(model)
    if library == "timm" or library.startswith("timm"):
        blocks = [(s, 1) for s in range(len(spec.blocks) + bool(spec.hidden))]
    else:
        blocks = []
    tensors = LIBRARIES[library].tensors(spec, present(blocks))
    names = [name for variables in tensors.values() for name in variables.values()]
    convs = convolutions(spec)
    assert len(names) == sum(5 if conv.batch_norm else 2 for conv in convs)
    assert len(set(names)) == len(names)
    assert not any("?" in name for name in names)


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["bn1.weight", "conv_stem.weight"], [("timm", "")]),
        (["Conv/weights"], [("slim", "")]),
        (["conv/kernel", "conv_bn/gamma"], [("keras", "")]),
        (["module.conv_stem.weight"], [("timm", "module.")]),
        (["a.conv_stem.weight", "b.conv_stem.weight"], [("timm", "a."), ("timm", "b.")]),
        (["functional/layers/conv2d/0"], [(NUMBERED, "functional/layers/")]),
        (["my_conv_stem.weight", "layer1.0.conv1.weight"], []),
    ],
)
def test_a_network_is_known_by_its_stem(names: list[str], places: list[tuple[str, str]]) -> None:
    assert find_networks(names) == places


def test_a_layer_that_is_called_as_a_stem_is_none() -> None:
    names = ["m/Conv/kernel", "m/expanded_conv/squeeze_excite/Conv/kernel"]
    assert outermost(find_networks(names)) == [("tf_keras.applications", "m/")]
