"""SSDLite: a detector on a backbone, as one frozen value (section 6.3).

Sources: Howard et al. 2019, Table 6; of the TensorFlow Object Detection API
`ssd_mobilenet_v3_feature_extractor.py`, `feature_map_generators.py`,
`convolutional_box_predictor.py` and the released configurations for 320x320.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from mnv3_tf.errors import UserError
from mnv3_tf.networks import anchors
from mnv3_tf.networks.graph import OperatorGraph
from mnv3_tf.networks.on_backbone import OnBackbone
from mnv3_tf.networks.spec import NetworkSpec

RESOLUTION = 320
EXTRA_FILTERS = (512, 256, 256, 128)
FEWEST_FILTERS = 8
SCORES = ("sigmoid", "softmax")


@dataclass(frozen=True)
class DetectorSpec(OnBackbone):
    """Feature maps from a backbone and beyond it, each with a head for boxes and one for classes.

    C4 is the expansion of the first block at output stride 32, which still has 16; C5 is what
    comes before the pooling. `extra_filters` are those of the maps after them, each at half the
    size of the one before. Resolution and classes are those of `backbone`, whose `hidden` layer is
    not there. Scales are sides of anchors as parts of the picture's.

    A class more than there are is for the background, as in the released detectors. `scores` says
    what makes scores of logits: "sigmoid", each class by itself, or "softmax".
    """

    task: ClassVar[str] = "detect"

    backbone: NetworkSpec
    extra_filters: tuple[int, ...] = EXTRA_FILTERS
    scales: tuple[float, float] = (0.2, 0.95)
    reduce_lowest: bool = True
    scores: str = "sigmoid"

    def __post_init__(self) -> None:
        if not (self.extra_filters and all(f >= FEWEST_FILTERS for f in self.extra_filters)):
            raise UserError(
                f"extra_filters of a detector are {self.extra_filters}; give at least one map, of "
                f"at least {FEWEST_FILTERS} filters each."
            )
        if self.scores not in SCORES:
            raise UserError(
                f"scores of a detector are {self.scores!r}; choose one of {', '.join(SCORES)}."
            )
        low, high = self.scales
        if not 0 < low < high <= 1:
            raise UserError(f"scales of a detector are {self.scales}; give 0 < low < high <= 1.")

    @property
    def name(self) -> str:
        return f"{self.backbone.name}_ssdlite"

    @property
    def resolution(self) -> int:
        return self.backbone.resolution

    @property
    def image_size(self) -> tuple[int, int]:
        return self.backbone.image_size

    def graph(self, output_stride: int = 32) -> OperatorGraph:
        """Ends in "box_codes", (A, 4), and "class_logits", (A, 1 + classes)."""
        graph = OperatorGraph(*self.image_size)
        last = self.backbone.add_backbone(graph)["last"]
        maps = _add_extras(graph, [self.c4(graph), last], self.extra_filters)
        for head, values in (("box", 4), ("class", 1 + self.num_classes)):
            _add_head(graph, head, values, maps, self.anchors_per_cell())
        return graph

    def c4(self, graph: OperatorGraph) -> str:
        """The name of the operator that C4 is."""
        at_16 = tuple(math.ceil(side / 16) for side in self.image_size)
        stages = {p.name for p in self.backbone.placed_blocks() if p.output_stride == 32}
        for op in graph.operators:
            if op.stage in stages and op.role == "expand" and op.output[:2] == at_16:
                return op.name
        raise UserError(
            f"{self.backbone.name} has no expansion in a block at output stride 32, before it "
            "strides, which SSDLite reads; choose another --model."
        )

    @property
    def map_sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each feature map: 20, 10, 5, 3, 2, 1 at 320x320."""
        sizes = [tuple(math.ceil(side / 16) for side in self.image_size)]
        for _ in range(1 + len(self.extra_filters)):
            sizes.append(tuple(math.ceil(side / 2) for side in sizes[-1]))
        return tuple((height, width) for height, width in sizes)

    def anchors(self) -> np.ndarray:
        """float32 (A, 4): cy, cx, h, w as parts of the picture."""
        return anchors.generate(self.map_sizes, self.scales, reduce_lowest=self.reduce_lowest)

    def anchors_per_cell(self) -> list[int]:
        """Of each feature map."""
        return anchors.per_cell(len(self.map_sizes), reduce_lowest=self.reduce_lowest)

    def replace(self, **changes: Any) -> Self:
        """Also of the backbone's `num_classes` and `resolution`."""
        if "resolution" in changes:
            inner = changes.get("backbone", self.backbone)
            changes["backbone"] = inner.replace(resolution=changes.pop("resolution"))
        return super().replace(**changes)


def make_detector(
    backbone: NetworkSpec, width: float = 1.0, half_tail: bool = True
) -> DetectorSpec:
    """The paper's detector on a classification network of width 1; `width` is its multiplier.

    `half_tail` halves the channels from C4 to C5, as in the released detectors (Table 6's dagger).
    The multiplier scales the last convolution too, whatever the classifier does with it.
    """
    if half_tail:
        backbone = backbone.with_halved_tail(first_expansion=False)
    backbone = backbone.replace(last_conv_scaling="scale").with_width(width)
    extra = tuple(max(int(filters * width), FEWEST_FILTERS) for filters in EXTRA_FILTERS)
    return DetectorSpec(backbone, extra)


def _add_extras(graph: OperatorGraph, maps: list[str], filters: tuple[int, ...]) -> list[str]:
    """The maps, and those after them, each at half the size of the one before."""
    for number, wide in enumerate(filters, 1):
        name, half = f"extra_{number}", wide // 2
        at = graph.conv(f"{name}_reduce", "extras", maps[-1], half, activation="relu6")
        at = graph.depthwise(f"{name}_depthwise", "extras", at, 3, 2, activation="relu6")
        at = graph.conv(f"{name}_project", "extras", at, wide, activation="relu6", role="project")
        maps = [*maps, at]
    return maps


def _add_head(
    graph: OperatorGraph, head: str, values: int, maps: list[str], boxes_per_cell: list[int]
) -> None:
    """`values` for each anchor of each map, in "box_codes" or "class_logits"."""
    stage, found = f"{head}_head", []
    for number, (source, boxes) in enumerate(zip(maps, boxes_per_cell, strict=True)):
        name = f"{head}_{number}"
        at = graph.depthwise(f"{name}_depthwise", stage, source, 3, activation="relu6")
        at = graph.conv(
            name, stage, at, boxes * values, bias=True, role="logits" if head == "class" else ""
        )
        height, width, _ = graph.shapes[at]
        found.append(graph.reshape(f"{name}_reshape", stage, at, (height * width * boxes, values)))
    graph.join("box_codes" if head == "box" else "class_logits", stage, found, 0)
