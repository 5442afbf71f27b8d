"""The networks with a name: MobileNetV3 and what stands beside it.

Sources: Howard et al. 2019 (arXiv 1905.02244), Tables 1 and 2; slim's `mobilenet_v3.py` for the
minimalistic variants; Sandler et al. 2018 for MobileNetV2; the `mnasnet_models.py` of
tensorflow/tpu for MnasNet-A1; Qin et al. 2024 (arXiv 2404.10518) for MobileNetV4-Conv-Small.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from mnv3_tf.errors import UserError
from mnv3_tf.networks.blocks import InvertedResidual, Stem
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.networks.universal import CONV_SMALL

RE, R6, HS = "relu", "relu6", "hard_swish"


def _large() -> NetworkSpec:
    """Table 1."""
    return NetworkSpec(
        name="large",
        blocks=(
            InvertedResidual(3, 16, 16, 0.0, RE, 1),
            InvertedResidual(3, 64, 24, 0.0, RE, 2),
            InvertedResidual(3, 72, 24, 0.0, RE, 1),
            InvertedResidual(5, 72, 40, 0.25, RE, 2),
            InvertedResidual(5, 120, 40, 0.25, RE, 1),
            InvertedResidual(5, 120, 40, 0.25, RE, 1),
            InvertedResidual(3, 240, 80, 0.0, HS, 2),
            InvertedResidual(3, 200, 80, 0.0, HS, 1),
            InvertedResidual(3, 184, 80, 0.0, HS, 1),
            InvertedResidual(3, 184, 80, 0.0, HS, 1),
            InvertedResidual(3, 480, 112, 0.25, HS, 1),
            InvertedResidual(3, 672, 112, 0.25, HS, 1),
            InvertedResidual(5, 672, 160, 0.25, HS, 2),
            InvertedResidual(5, 960, 160, 0.25, HS, 1),
            InvertedResidual(5, 960, 160, 0.25, HS, 1),
        ),
        last_conv=960,
        hidden=1280,
    )


def _small() -> NetworkSpec:
    """Table 2, without the squeeze-excite on the last convolution that no released code has."""
    return NetworkSpec(
        name="small",
        blocks=(
            InvertedResidual(3, 16, 16, 0.25, RE, 2),
            InvertedResidual(3, 72, 24, 0.0, RE, 2),
            InvertedResidual(3, 88, 24, 0.0, RE, 1),
            InvertedResidual(5, 96, 40, 0.25, HS, 2),
            InvertedResidual(5, 240, 40, 0.25, HS, 1),
            InvertedResidual(5, 240, 40, 0.25, HS, 1),
            InvertedResidual(5, 120, 48, 0.25, HS, 1),
            InvertedResidual(5, 144, 48, 0.25, HS, 1),
            InvertedResidual(5, 288, 96, 0.25, HS, 2),
            InvertedResidual(5, 576, 96, 0.25, HS, 1),
            InvertedResidual(5, 576, 96, 0.25, HS, 1),
        ),
        last_conv=576,
        hidden=1024,
    )


def _minimalistic(spec: NetworkSpec) -> NetworkSpec:
    """No squeeze-excite, no h-swish, no 5x5 (slim's README)."""
    spec = spec.without_squeeze_excite().with_activation(RE)
    blocks = tuple(block.replace(kernel=3) for block in spec.blocks)
    return spec.replace(name=f"{spec.name}_minimalistic", blocks=blocks)


def _stages(
    rows: list[tuple[int, int, int, int, int, bool]],
    stem_filters: int,
    squeeze_of_input: float,
    activation: str,
) -> tuple[InvertedResidual, ...]:
    """Blocks from rows of (kernel, expansion ratio, filters, repeats, stride, squeeze-excite)."""
    blocks, channels = [], stem_filters
    for kernel, ratio, filters, repeats, stride, squeeze in rows:
        for repeat in range(repeats):
            part = squeeze_of_input / ratio if squeeze else 0.0
            first_stride = stride if repeat == 0 else 1
            blocks.append(
                InvertedResidual(kernel, channels * ratio, filters, part, activation, first_stride)
            )
            channels = filters
    return tuple(blocks)


def _v2() -> NetworkSpec:
    """Sandler et al. 2018, Table 2."""
    rows = [
        (3, 1, 16, 1, 1, False),
        (3, 6, 24, 2, 2, False),
        (3, 6, 32, 3, 2, False),
        (3, 6, 64, 4, 2, False),
        (3, 6, 96, 3, 1, False),
        (3, 6, 160, 3, 2, False),
        (3, 6, 320, 1, 1, False),
    ]
    return NetworkSpec(
        name="v2",
        stem=Stem(filters=32, activation=R6),
        blocks=_stages(rows, 32, 0.0, R6),
        last_conv=1280,
        hidden=0,
        last_activation=R6,
        last_conv_scaling="grow",
    )


def _mnasnet_a1() -> NetworkSpec:
    """Tan et al. 2019; squeeze-excite is a quarter of the block's *input*, unrounded."""
    rows = [
        (3, 1, 16, 1, 1, False),
        (3, 6, 24, 2, 2, False),
        (5, 3, 40, 3, 2, True),
        (3, 6, 80, 4, 2, False),
        (3, 6, 112, 2, 1, True),
        (5, 6, 160, 3, 2, True),
        (3, 6, 320, 1, 1, False),
    ]
    return NetworkSpec(
        name="mnasnet_a1",
        stem=Stem(filters=32, activation=RE),
        blocks=_stages(rows, 32, 0.25, RE),
        last_conv=1280,
        hidden=0,
        last_activation=RE,
        last_conv_scaling="keep",
        squeeze_divisor=1,
        gate="sigmoid",
    )


def _v4_conv_small() -> NetworkSpec:
    """Qin et al. 2024, Table 11."""
    return NetworkSpec(
        name="v4_conv_small",
        stem=Stem(filters=32, activation=RE),
        blocks=CONV_SMALL,
        last_conv=960,
        hidden=1280,
        last_activation=RE,
        hidden_batch_norm=True,
    )


NETWORKS: Mapping[str, Callable[[], NetworkSpec]] = {
    "large": _large,
    "small": _small,
    "large_minimalistic": lambda: _minimalistic(_large()),
    "small_minimalistic": lambda: _minimalistic(_small()),
    "v2": _v2,
    "mnasnet_a1": _mnasnet_a1,
    "v4_conv_small": _v4_conv_small,
}

ALIASES = {"mobilenetv4_conv_small": "v4_conv_small"}
"""What others call them."""


def resolve(
    model: str,
    width: float = 1.0,
    resolution: int | None = None,
    num_classes: int | None = None,
) -> NetworkSpec:
    """The spec of a named network, or of a spec JSON file; None keeps what the spec says.

    Raises UserError for an unknown name, listing the known ones, and for values out of range.
    """
    model = ALIASES.get(model, model)
    if model in NETWORKS:
        spec = NETWORKS[model]()
    elif model.endswith(".json"):
        if not Path(model).is_file():
            raise UserError(f"The network spec {model} does not exist.")
        spec = NetworkSpec.from_json(Path(model).read_text(errors="replace"))
    else:
        raise UserError(
            f"Unknown model {model!r}; choose one of {', '.join(NETWORKS)}, or give the path of "
            "a spec JSON."
        )
    spec = spec.with_width(width)
    return spec.replace(
        resolution=spec.resolution if resolution is None else resolution,
        num_classes=spec.num_classes if num_classes is None else num_classes,
    )
