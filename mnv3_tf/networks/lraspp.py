"""R-ASPP and LR-ASPP: segmentation on a backbone, as one frozen value (section 6.4, Figure 10).

Sources: Howard et al. 2019, Tables 7 and 8; DeepLab's `feature_extractor.py` and `model.py`, and
the flags of the released models.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from mnv3_tf.errors import UserError
from mnv3_tf.networks.graph import OperatorGraph
from mnv3_tf.networks.on_backbone import OnBackbone
from mnv3_tf.networks.spec import NetworkSpec

HEADS = ("lraspp", "raspp")
POOLINGS = ("window", "global")
CROP = 769
"""The crop that DeepLab trains on; the pooling window sees a whole one."""
HOPS = {16: (16, 20), 32: (4, 5)}
"""Strides of the pooling window by output stride."""
SKIP_STRIDE = 8


@dataclass(frozen=True)
class SegmenterSpec(OnBackbone):
    """A backbone at `output_stride` 16 or 32, and a head with `filters` filters.

    LR-ASPP multiplies a 1x1 convolution of the last feature by a gate from its averages, adds what
    a second 1x1 convolution makes of the depthwise output of the last block at stride 8, and
    stretches the sum to the picture. R-ASPP is its predecessor from MobileNetV2, without that skip.

    `pooling` "window" averages over the paper's large windows, which is the whole map where that is
    no larger (pictures up to 784 pixels at stride 16); "global" always over all. `height` and
    `width` are the input's, in pixels.

    `mobile` computes the same otherwise: LR-ASPP makes classes before it stretches to stride 8, by
    fewer multiply-adds than as published, and windows are cut out and averaged, because XNNPACK has
    no int8 AVERAGE_POOL_2D.

    Classes are those of `backbone`, whose `hidden` layer is not there.
    """

    task: ClassVar[str] = "segment"

    backbone: NetworkSpec
    height: int
    width: int
    head: str = "lraspp"
    filters: int = 128
    output_stride: int = 16
    pooling: str = "window"
    mobile: bool = False

    def __post_init__(self) -> None:
        for name, known in (("head", HEADS), ("pooling", POOLINGS), ("output_stride", HOPS)):
            if getattr(self, name) not in known:
                raise UserError(
                    f"{name} of a segmentation network is {getattr(self, name)!r}; choose one of "
                    f"{', '.join(map(str, known))}."
                )
        for name, least in (("height", 32), ("width", 32), ("filters", 1)):
            if not getattr(self, name) >= least:
                raise UserError(
                    f"{name} of a segmentation network is {getattr(self, name)!r}; give at least "
                    f"{least}."
                )

    @property
    def name(self) -> str:
        return f"{self.backbone.name}_{self.head}"

    @property
    def image_size(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def resolution(self) -> tuple[int, int]:
        return self.image_size

    def graph(self, output_stride: int = 32) -> OperatorGraph:
        """Ends in "semantic", logits (height, width, classes)."""
        graph = OperatorGraph(*self.image_size)
        last = self.backbone.add_backbone(graph, self.output_stride)["last"]
        at = _raspp(graph, self, last) if self.head == "raspp" else _lraspp(graph, self, last)
        graph.resize("semantic", "head", at, *self.image_size)
        return graph

    def skip(self, graph: OperatorGraph) -> str:
        """The name of the operator that the skip reads.

        Where the last block at stride 8 has no depthwise convolution, that is the block's last.
        """
        placed = [p for p in self.backbone.placed_blocks() if p.output_stride == SKIP_STRIDE]
        if not placed:
            raise UserError(
                f"{self.backbone.name} has no block at output stride 8, which LR-ASPP reads; "
                "choose another --model."
            )
        inside = [op for op in graph.operators if op.stage == placed[-1].name]
        depthwise = [op.name for op in inside if op.role == "depthwise"]
        return depthwise[-1] if depthwise else inside[-1].name

    def replace(self, **changes: Any) -> Self:
        """Also of the backbone's `num_classes`, and of `resolution`, (height, width)."""
        if "resolution" in changes:
            changes["height"], changes["width"] = changes.pop("resolution")
        return super().replace(**changes)


def make_segmenter(
    backbone: NetworkSpec,
    image_size: tuple[int, int],
    multiplier: float,
    half_tail: bool,
    **head: Any,
) -> SegmenterSpec:
    """The paper's segmentation network on a classification network of width 1.

    `half_tail` is the paper's RF2. The last convolution of networks that have nothing after the
    pooling (V2, MnasNet-A1) is part of their classifier, and left out. `head` are fields of
    SegmenterSpec.
    """
    if not backbone.hidden:
        backbone = backbone.replace(last_conv=0)
    if half_tail:
        backbone = backbone.with_halved_tail(first_expansion=backbone.hidden > 0)
    return SegmenterSpec(backbone.with_width(multiplier), *image_size, **head)


def _lraspp(graph: OperatorGraph, spec: SegmenterSpec, last: str) -> str:
    skip = spec.skip(graph)
    height, width, _ = graph.shapes[last]
    skip_size = graph.shapes[skip][:2]
    features = graph.conv("aspp", "head", last, spec.filters, activation="relu")
    at = _pooled(graph, spec, last)
    at = graph.conv("image_pooling", "head", at, spec.filters, activation="hard_sigmoid", bias=True)
    if graph.shapes[at][:2] != (1, 1):  # else the product repeats it, which is the same
        at = graph.resize("gate", "head", at, height, width)
    at = graph.multiply("gated", "head", features, at)
    if not spec.mobile:
        at = graph.resize("upsampled", "head", at, *skip_size)
    at = graph.conv("logits", "head", at, spec.num_classes, bias=True, role="logits")
    if spec.mobile:
        at = graph.resize("upsampled", "head", at, *skip_size)
    from_skip = graph.conv("skip_logits", "head", skip, spec.num_classes, bias=True, role="logits")
    return graph.add("sum", "head", at, from_skip)


def _raspp(graph: OperatorGraph, spec: SegmenterSpec, last: str) -> str:
    height, width, _ = graph.shapes[last]
    pooled = graph.mean("pool", "head", last)
    pooled = graph.conv("image_pooling", "head", pooled, spec.filters, activation="relu")
    pooled = graph.resize("pooled", "head", pooled, height, width)
    features = graph.conv("aspp", "head", last, spec.filters, activation="relu")
    at = graph.concatenate("concatenated", "head", [pooled, features], 2)
    at = graph.conv("concat_projection", "head", at, spec.filters, activation="relu")
    return graph.conv("logits", "head", at, spec.num_classes, bias=True, role="logits")


def _pooled(graph: OperatorGraph, spec: SegmenterSpec, source: str) -> str:
    height, width, _ = graph.shapes[source]
    side = math.ceil((CROP - 1) / spec.output_stride) + 1
    window = min(side, height), min(side, width)
    if spec.pooling == "global" or window == (height, width):
        return graph.mean("pool", "head", source)
    hop = HOPS[spec.output_stride]
    if not spec.mobile:
        return graph.average_pool("pool", "head", source, window, hop)
    lines = []
    for row, top in enumerate(range(0, height - window[0] + 1, hop[0])):
        line = []
        for column, left in enumerate(range(0, width - window[1] + 1, hop[1])):
            name = f"pool_{row}_{column}"
            cut = graph.cut(f"{name}_cut", "head", source, (top, left), window)
            line.append(graph.mean(name, "head", cut, role=""))
        lines.append(graph.join(f"pool_{row}", "head", line, 1))
    return graph.join("pool", "head", lines, 0, role="pool")
