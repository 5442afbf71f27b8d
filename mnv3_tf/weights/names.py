"""What every library calls every tensor of the network: the one name map.

A layer is a convolution or its BatchNorm, named as in Keras 3's applications
("expanded_conv_3_depthwise", "expanded_conv_3_depthwise_bn"); these are our own names too. Each
library below says how it names them. Which layers there are comes from the spec, through
`mnv3_tf.networks.cost.operators`.

Sources: slim's `mobilenet_v3.py` and `conv_blocks.py`; tf_keras and Keras `applications`; timm's
`mobilenetv3.py` and `_efficientnet_blocks.py`; torchvision's `mobilenetv2.py`, `mobilenetv3.py`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.graph import Convolution, Depthwise, Role
from mnv3_tf.networks.pixels import InputRange
from mnv3_tf.networks.spec import NetworkSpec

TensorNames = dict[str, dict[str, str]]
"""{our layer: {variable: the library's name of the tensor}}."""

NORM = ("gamma", "beta", "moving_mean", "moving_variance")


@dataclass(frozen=True)
class ConvNames:
    """A convolution of ours.

    `block` is that in which it is (0 is the first), of the kind `block_kind`; outside the blocks it
    is -1, and the kind "". `kernel` is the shape in Keras' layout: (k, k, in, out), for depthwise
    (k, k, in, 1). `outputs` is the number of its channels. `batch_norm`: it is followed by
    BatchNorm; else it has a bias.
    """

    name: str
    role: Role
    scope: str
    block: int
    block_kind: str
    kernel: tuple[int, int, int, int]
    outputs: int
    depthwise: bool
    batch_norm: bool


def convolutions(spec: NetworkSpec) -> list[ConvNames]:
    """The network's convolutions in the order in which they run."""
    places = {placed.name: index for index, placed in enumerate(spec.placed_blocks())}
    found = []
    for op in operators(spec):
        if isinstance(op, Convolution):
            block = places.get(op.stage, -1)
            found.append(
                ConvNames(
                    op.name,
                    op.role,
                    op.stage,
                    block,
                    spec.blocks[block].kind if block >= 0 else "",
                    op.kernel_shape,
                    op.output[-1],
                    isinstance(op, Depthwise),
                    not op.bias,
                )
            )
    return found


# -- libraries -------------------------------------------------------------------------------

LayerNames = Iterator[tuple[ConvNames, str, str]]
"""A convolution, the library's name for it, and its name for the BatchNorm that follows."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """How one library names layers and variables, and what its networks need.

    `stem` is the tensor whose presence tells the library. `variables` are the library's names of
    kernel, bias and BatchNorm's four, joined to the layer's by `separator`. `layout` is that of
    kernels, "tensorflow" (HWIO) or "torch" (OIHW). `padding` and `batch_norm_epsilon` are what
    its networks are built with, `pixels` what they take pictures as; None keeps the spec's.
    `is_certain`: all its networks do. `background`: class 0 of its ImageNet networks is
    "background".
    """

    title: str
    stem: str
    layers: Callable[[list[ConvNames], Iterable[str]], LayerNames]
    separator: str
    variables: tuple[str, ...]
    layout: str
    padding: str | None = None
    batch_norm_epsilon: float | None = None
    pixels: InputRange | None = None
    is_certain: bool = True
    background: bool = False

    def tensors(self, spec: NetworkSpec, present: Iterable[str]) -> TensorNames:
        """Names of all tensors of `spec`, given the names that are `present` in the file."""
        kernel, bias, *norm = self.variables
        names: TensorNames = {}
        for conv, layer, norm_layer in self.layers(convolutions(spec), present):
            names[conv.name] = {"kernel": f"{layer}{self.separator}{kernel}"}
            if conv.batch_norm:
                names[f"{conv.name}_bn"] = {
                    variable: f"{norm_layer}{self.separator}{theirs}"
                    for variable, theirs in zip(NORM, norm, strict=True)
                }
            else:
                names[conv.name]["bias"] = f"{layer}{self.separator}{bias}"
        return names


def _ours(convs: list[ConvNames], present: Iterable[str]) -> LayerNames:
    for conv in convs:
        yield conv, conv.name, f"{conv.name}_bn"


SQUEEZE_EXCITE = {"squeeze": "squeeze_excite/Conv", "excite": "squeeze_excite/Conv_1"}


def _keras_applications(convs: list[ConvNames], present: Iterable[str]) -> LayerNames:
    """`Conv`, `expanded_conv_3/squeeze_excite/Conv_1`, `expanded_conv_3/expand/BatchNorm`."""
    for conv in convs:
        name = conv.name.capitalize()
        if conv.block >= 0:
            name = f"{conv.scope}/{SQUEEZE_EXCITE.get(conv.role, conv.role)}"
        yield conv, name, f"{name}/BatchNorm"


def _slim(convs: list[ConvNames], present: Iterable[str]) -> LayerNames:
    for conv, name, norm in _keras_applications(convs, present):
        yield conv, "Logits/Conv2d_1c_1x1" if conv.role == "logits" else name, norm


def _keras_applications_v2(convs: list[ConvNames], present: Iterable[str]) -> LayerNames:
    outside = {
        "stem": ("Conv1", "bn_Conv1"),
        "last_conv": ("Conv_1", "Conv_1_bn"),
        "logits": ("predictions", ""),
    }
    for conv in convs:
        name = re.sub(r"^expanded_conv_(?=\d)", "block_", conv.name)
        yield conv, *outside.get(conv.role, (name, f"{name}_BN"))


def _numbered(convs: list[ConvNames], present: Iterable[str]) -> LayerNames:
    """`.weights.h5` numbers layers within their class, in the order in which they run."""
    seen: Counter[str] = Counter()

    def number(kind: str) -> str:
        seen[kind] += 1
        return kind if seen[kind] == 1 else f"{kind}_{seen[kind] - 1}"

    for conv in convs:
        kind = "depthwise_conv2d" if conv.depthwise else "conv2d"
        yield conv, number(kind), number("batch_normalization") if conv.batch_norm else ""


TIMM: Mapping[str, dict[str, tuple[str, str]]] = {
    "inverted_residual": {
        "expand": ("conv_pw", "bn1"),
        "depthwise": ("conv_dw", "bn2"),
        "squeeze": ("se.conv_reduce", ""),
        "excite": ("se.conv_expand", ""),
        "project": ("conv_pwl", "bn3"),
    },
    "universal": {
        "start": ("dw_start.conv", "dw_start.bn"),
        "expand": ("pw_exp.conv", "pw_exp.bn"),
        "depthwise": ("dw_mid.conv", "dw_mid.bn"),
        "project": ("pw_proj.conv", "pw_proj.bn"),
    },
    "conv": {"conv": ("conv", "bn1")},
    "": {
        "stem": ("conv_stem", "bn1"),
        "last_conv": ("conv_head", "bn2"),
        "hidden": ("conv_head", "norm_head"),
        "logits": ("classifier", ""),
    },
}
"""Convolutions and their BatchNorm in each kind of block, and outside of them."""

TIMM_SEPARABLE = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}
"""In an inverted residual without an expansion."""


def _timm(convs: list[ConvNames], present: Iterable[str]) -> LayerNames:
    """Blocks are `blocks.STAGE.INDEX`; the file itself tells which are there."""
    matches = (re.match(r"blocks\.(\d+)\.(\d+)\.", name) for name in present)
    places = sorted({(int(match[1]), int(match[2])) for match in matches if match})
    blocks = max(conv.block for conv in convs) + 1
    expanded = {conv.block for conv in convs if conv.role == "expand"}
    last_is_block = len(places) > blocks

    def place(index: int) -> str:
        return "blocks.{}.{}".format(*places[index] if index < len(places) else ("?", index))

    for conv in convs:
        names = TIMM[conv.block_kind]
        if conv.block_kind == "inverted_residual" and conv.block not in expanded:
            names = names | TIMM_SEPARABLE
        if conv.block >= 0:
            name, norm = (f"{place(conv.block)}.{name}" for name in names[conv.role])
        elif conv.role == "last_conv" and last_is_block:
            name, norm = f"{place(blocks)}.conv", f"{place(blocks)}.bn1"
        else:
            name, norm = names[conv.role]
        yield conv, name, norm


def _torchvision_v3(convs: list[ConvNames], present: Iterable[str]) -> LayerNames:
    """`features.N.block.K`, K counting what the block has."""
    blocks = max(conv.block for conv in convs) + 1
    at, step = -1, 0
    for conv in convs:
        if conv.block != at:
            at, step = conv.block, 0
        inside = f"features.{conv.block + 1}.block.{step}"
        match conv.role:
            case "stem":
                names = "features.0.0", "features.0.1"
            case "last_conv":
                names = f"features.{blocks + 1}.0", f"features.{blocks + 1}.1"
            case "hidden":
                names = "classifier.0", ""
            case "logits":
                names = "classifier.3", ""
            case "squeeze":
                names = f"{inside}.fc1", ""
                step -= 1  # the two are one module
            case "excite":
                names = f"{inside}.fc2", ""
            case _:
                names = f"{inside}.0", f"{inside}.1"
        step += 1
        yield conv, *names


def _torchvision_v2(convs: list[ConvNames], present: Iterable[str]) -> LayerNames:
    """`features.N.conv.K`, where the projection and its BatchNorm are modules of their own."""
    expanded = {conv.block for conv in convs if conv.role == "expand"}
    for conv, name, norm in _torchvision_v3(convs, present):
        inside = f"features.{conv.block + 1}.conv"
        step = int(conv.block in expanded)
        match conv.role:
            case "expand":
                name, norm = f"{inside}.0.0", f"{inside}.0.1"
            case "depthwise":
                name, norm = f"{inside}.{step}.0", f"{inside}.{step}.1"
            case "project":
                name, norm = f"{inside}.{step + 1}", f"{inside}.{step + 2}"
            case "logits":
                name = "classifier.1"
        yield conv, name, norm


TIMM_TF = "timm tf_"
FOLDED = "folded"
NUMBERED = "numbered Keras"

_TENSORFLOW = Library(
    title="",
    stem="",
    layers=_ours,
    separator="/",
    variables=("kernel", "bias", *NORM),
    layout="tensorflow",
)
_TRAINED_IN_TENSORFLOW = replace(
    _TENSORFLOW, padding="same", batch_norm_epsilon=1e-3, pixels="-1..1"
)
_TORCH = replace(
    _TENSORFLOW,
    separator=".",
    variables=("weight", "bias", "weight", "bias", "running_mean", "running_var"),
    layout="torch",
    padding="symmetric",
    pixels="imagenet",
    is_certain=False,
)

LIBRARIES: dict[str, Library] = {
    "keras": replace(_TENSORFLOW, title="Keras", stem="conv_bn/gamma", layers=_ours),
    FOLDED: replace(_TENSORFLOW, title="folded Keras", stem="conv/bias", layers=_ours),
    NUMBERED: replace(
        _TENSORFLOW,
        title="Keras",
        stem="conv2d/0",
        layers=_numbered,
        variables=("0", "1", "0", "1", "2", "3"),
    ),
    "tf_keras.applications": replace(
        _TRAINED_IN_TENSORFLOW,
        title="tf_keras.applications",
        stem="Conv/kernel",
        layers=_keras_applications,
    ),
    "tf_keras.applications V2": replace(
        _TRAINED_IN_TENSORFLOW,
        title="tf_keras.applications",
        stem="Conv1/kernel",
        layers=_keras_applications_v2,
    ),
    "slim": replace(
        _TRAINED_IN_TENSORFLOW,
        title="TF-slim",
        stem="Conv/weights",
        layers=_slim,
        variables=("weights", "biases", *NORM),
        background=True,
    ),
    "timm": replace(
        _TORCH,
        title="timm",
        stem="conv_stem.weight",
        layers=_timm,
        batch_norm_epsilon=1e-5,
    ),
    TIMM_TF: replace(
        _TORCH,
        title="timm (tf_ variant)",
        stem="conv_stem.weight",
        layers=_timm,
        padding="same",
        batch_norm_epsilon=1e-3,
        pixels="-1..1",
        is_certain=True,
    ),
    "torchvision": replace(
        _TORCH,
        title="torchvision",
        stem="features.1.block.0.0.weight",
        layers=_torchvision_v3,
        batch_norm_epsilon=1e-3,
    ),
    "torchvision V2": replace(
        _TORCH,
        title="torchvision",
        stem="features.1.conv.0.0.weight",
        layers=_torchvision_v2,
        batch_norm_epsilon=1e-5,
    ),
}


class Place(NamedTuple):
    """Where a file has a network: under the names of a library, a key of LIBRARIES, with a prefix
    before each."""

    library: str
    prefix: str


def find_networks(present: Iterable[str]) -> list[Place]:
    """Every network among these names."""
    found: dict[str, str] = {}
    for key, library in LIBRARIES.items():
        for name in present:
            if name == library.stem or name.endswith((f".{library.stem}", f"/{library.stem}")):
                found.setdefault(name.removesuffix(library.stem), key)
    return [Place(library, prefix) for prefix, library in found.items()]


def outermost(places: Sequence[Place]) -> list[Place]:
    """Those that are not within another: "squeeze_excite/Conv" is as a stem is called, too."""
    prefixes = [place.prefix for place in places]
    return [
        place
        for place in places
        if not any(p != place.prefix and place.prefix.startswith(p) for p in prefixes)
    ]
