"""A state dict with the names and shapes that timm's `mobilenetv4_conv_small` has."""

import re
from pathlib import Path

import numpy as np
import pytest
from refusals import refused
from safetensors.numpy import save_file

from mnv3_tf import weights
from mnv3_tf.networks.named import resolve

ARCHITECTURE = (
    "cn_r1_k3_s2_e1_c32 cn_r1_k1_s1_e1_c32",
    "cn_r1_k3_s2_e1_c96 cn_r1_k1_s1_e1_c64",
    "uir_r1_a5_k5_s2_e3_c96 uir_r4_a0_k3_s1_e2_c96 uir_r1_a3_k0_s1_e4_c96",
    "uir_r1_a3_k3_s2_e6_c128 uir_r1_a5_k5_s1_e4_c128 uir_r1_a0_k5_s1_e4_c128 "
    "uir_r1_a0_k5_s1_e3_c128 uir_r2_a0_k3_s1_e4_c128",
    "cn_r1_k1_s1_c960",
)
"""The stages, as in timm's `_gen_mobilenet_v4`."""

Tensors = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    """Random, in float32; a kernel is (out, in, k, k)."""
    rng, found = np.random.default_rng(0), {}

    def conv(name: str, norm: str, kernel: int, inputs: int, outputs: int) -> None:
        shape = (outputs, inputs, kernel, kernel)
        found[f"{name}.weight"] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{norm}.{part}"] = rng.uniform(0.5, 1.5, outputs).astype(np.float32)
        found[f"{norm}.num_batches_tracked"] = np.zeros((), np.int64)

    conv("conv_stem", "bn1", 3, 3, 32)
    channels = 32
    for stage, line in enumerate(ARCHITECTURE):
        index = 0
        for text in line.split():
            kind, *parts = text.split("_")
            given = {part[0]: int(part[1:]) for part in parts}
            for _ in range(given["r"]):
                name, filters = f"blocks.{stage}.{index}", given["c"]
                if kind == "cn":
                    conv(f"{name}.conv", f"{name}.bn1", given["k"], channels, filters)
                else:
                    wide = channels * given["e"]
                    if given["a"]:
                        conv(
                            f"{name}.dw_start.conv", f"{name}.dw_start.bn", given["a"], 1, channels
                        )
                    conv(f"{name}.pw_exp.conv", f"{name}.pw_exp.bn", 1, channels, wide)
                    if given["k"]:
                        conv(f"{name}.dw_mid.conv", f"{name}.dw_mid.bn", given["k"], 1, wide)
                    conv(f"{name}.pw_proj.conv", f"{name}.pw_proj.bn", 1, wide, filters)
                channels, index = filters, index + 1
    conv("conv_head", "norm_head", 1, 960, 1280)
    found["classifier.weight"] = rng.uniform(0.5, 1.5, (1000, 1280)).astype(np.float32)
    found["classifier.bias"] = rng.uniform(0.5, 1.5, 1000).astype(np.float32)
    return found


def read(tensors: Tensors, folder: Path) -> weights.Weights:
    path = folder / "model.safetensors"
    save_file(tensors, path, {"architecture": "mobilenetv4_conv_small"})
    return weights.read(str(path), resolve("v4_conv_small"), "-1..1")


def test_it_is_the_whole_network(tensors, tmp_path):
    trainable = [
        value for name, value in tensors.items() if not re.search("running|num_batches", name)
    ]
    assert sum(value.size for value in trainable) == 3_774_024  # as timm says
    found = read(tensors, tmp_path)
    assert found.source == "timm"
    spec = resolve("v4_conv_small").replace(padding="symmetric", batch_norm_epsilon=1e-5)
    assert found.spec == spec
    read_values = [value for layer in found.layers.values() for value in layer.values()]
    kept = [value for value in tensors.values() if value.ndim]
    assert sum(value.size for value in read_values) == sum(value.size for value in kept)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("conv", "conv_stem"),
        ("expanded_conv_conv", "blocks.0.0.conv"),
        ("expanded_conv_3_conv", "blocks.1.1.conv"),
        ("expanded_conv_4_start", "blocks.2.0.dw_start.conv"),
        ("expanded_conv_4_expand", "blocks.2.0.pw_exp.conv"),
        ("expanded_conv_4_depthwise", "blocks.2.0.dw_mid.conv"),
        ("expanded_conv_9_start", "blocks.2.5.dw_start.conv"),
        ("expanded_conv_15_project", "blocks.3.5.pw_proj.conv"),
        ("conv_1", "blocks.4.0.conv"),
        ("conv_2", "conv_head"),
    ],
)
def test_kernels_are_where_they_belong(layer, name, tensors, tmp_path):
    found = read(tensors, tmp_path).layers
    kernel = tensors[f"{name}.weight"].transpose(2, 3, 1, 0)
    if "dw_" in name:
        kernel = kernel.transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(found[layer]["kernel"], kernel)
    norm = {"conv_stem": "bn1", "conv_head": "norm_head"}.get(name) or re.sub(
        "conv$", "bn" if "w_" in name else "bn1", name
    )
    np.testing.assert_array_equal(
        found[f"{layer}_bn"]["moving_variance"], tensors[f"{norm}.running_var"]
    )


def test_another_network_is_refused_by_its_own_names(tensors, tmp_path):
    without = {name: value for name, value in tensors.items() if "blocks.2.0.dw_start" not in name}
    with refused("blocks.2.0.dw_start.conv.weight is missing"):
        read(without, tmp_path)
