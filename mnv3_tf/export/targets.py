"""What an exported file is for: how h-swish is written there, what is checked, what is refused.

Sources: LiteRT's code of August 2026 (commit f6745779), the guides of the GPU delegate and of the
Edge TPU, and reports to its makers. None of them but XNNPACK and the built-in kernels was run here;
the table in docs/int8.md has the sources beside what is claimed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mnv3_tf.networks.activations import Lowering
from mnv3_tf.tflite.delegates import EDGE_TPU
from mnv3_tf.tflite.reports import FileReport

Quantize = Literal["none", "float16", "dynamic", "int8"]
TargetName = Literal["xnnpack", "gpu", "nnapi", "edgetpu", "reference"]

_COMMON = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEQUANTIZE FULLY_CONNECTED
    HARD_SWISH LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PAD PADV2 PRELU QUANTIZE RELU RELU6
    RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SLICE SOFTMAX SPLIT STRIDED_SLICE SUB SUM TANH
    TRANSPOSE TRANSPOSE_CONV
"""
_GPU = frozenset([*_COMMON.split(), "GELU", "ONE_HOT", "SELECT_V2", "SQUARE"])
_NNAPI = frozenset([*_COMMON.split(), "ARG_MAX", "EXPAND_DIMS", "REVERSE_V2", "TOPK_V2"])


@dataclass(frozen=True)
class Target:
    """`title` names it in sentences, `source` says where it is from what is claimed.

    In int8 h-swish is written as `hard_swish` says, for this `reason`. `takes` are the operators
    that it takes, None where the file itself is tried. `refused` says of each --quantize that is of
    no use there why. `tries_xnnpack`: a file that XNNPACK refuses is none.
    """

    title: str
    source: str
    hard_swish: Lowering
    reason: str
    takes: frozenset[str] | None = None
    refused: Mapping[Quantize, str] = field(default_factory=dict)
    tries_xnnpack: bool = False

    def warnings(self, file: FileReport) -> Iterator[str]:
        """Sentences on what of a file the target leaves to the processor, or makes slow."""
        if self.takes is not None:
            left = {op: count for op, count in file["ops"].items() if op not in self.takes}
            if left:
                listed = ", ".join(f"{count} {op}" for op, count in left.items())
                yield f"{self.title} does not take {listed}, which the processor computes."
        if file["xnnpack"]["error"] and not self.tries_xnnpack:
            yield (
                "XNNPACK refuses the file, so where it computes on the processor it needs TFLite's "
                "built-in kernels (--delegate=none)."
            )


@dataclass(frozen=True)
class _Gpu(Target):
    def warnings(self, file: FileReport) -> Iterator[str]:
        yield from super().warnings(file)
        ends = [end["dtype"] for end in (file["input"], file["output"]) if end]
        if "uint8" in ends or "int8" in ends:
            yield (
                "The GPU delegate computes in floating point, and has bytes converted by the "
                "processor at both ends: --quantize=float16, or --input_type=float32, spares that."
            )


TARGETS: Mapping[TargetName, Target] = {
    "xnnpack": Target(
        "XNNPACK",
        "the file is run by it, and its share is in the report",
        "composite",
        "XNNPACK has no int8 HARD_SWISH: each would cut the graph in two",
        tries_xnnpack=True,
    ),
    "gpu": _Gpu(
        "The GPU delegate",
        "LiteRT's `tflite/delegates/gpu/common/model_builder.cc` and "
        "`tflite/g3doc/performance/gpu.md`",
        "fused",
        "the GPU delegate computes HARD_SWISH as one operator",
        _GPU,
    ),
    "nnapi": Target(
        "NNAPI's delegate",
        "LiteRT's `tflite/delegates/nnapi/nnapi_delegate.cc`",
        "fused",
        "from Android 11 on NNAPI computes HARD_SWISH as one operator",
        _NNAPI,
        {"dynamic": "its delegate takes no depthwise convolution of int8 kernels and float values"},
    ),
    "edgetpu": Target(
        "The Edge TPU",
        "coral.ai/docs/edgetpu/models-intro, google-coral/edgetpu issues 272 and 353",
        "composite",
        "the Edge TPU's compiler has no HARD_SWISH: all behind it would run on the processor",
        EDGE_TPU,
        dict.fromkeys(("none", "float16", "dynamic"), "the Edge TPU computes in 8 bits alone"),
    ),
    "reference": Target(
        "TFLite's built-in kernels",
        "the file is run by them",
        "fused",
        "TFLite's built-in kernels compute HARD_SWISH as one operator",
    ),
}
