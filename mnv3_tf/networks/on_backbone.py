"""What the specs of detectors and of segmentation networks have in common."""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

from mnv3_tf.networks import spec_json
from mnv3_tf.networks.graph import OperatorGraph
from mnv3_tf.networks.spec import NetworkSpec


class OnBackbone(ABC):
    """A base of frozen dataclasses that have a `backbone`, whose classes are theirs."""

    task: ClassVar[str]
    backbone: NetworkSpec

    @property
    def num_classes(self) -> int:
        return self.backbone.num_classes

    @abstractmethod
    def graph(self, output_stride: int = 32) -> OperatorGraph:
        """The operators; the output stride is that of the task, whatever is asked for."""

    def with_backbone(self, backbone: NetworkSpec) -> Self:
        return self.replace(backbone=backbone)

    def replace(self, **changes: Any) -> Self:
        """Also of the backbone's `num_classes`."""
        if "num_classes" in changes:
            inner = changes.get("backbone", self.backbone)
            changes["backbone"] = inner.replace(num_classes=changes.pop("num_classes"))
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def to_json(self) -> str:
        return spec_json.dump(self._tree())

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits, the same on every machine; the name does not count."""
        tree = self._tree()
        del tree["backbone"]["name"]
        return spec_json.digest(tree)

    def _tree(self) -> dict[str, Any]:
        return {"task": self.task} | spec_json.tree_of(self)
