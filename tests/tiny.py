"""One tiny network for each task: every kind of operator that MobileNetV3 has, and few of each."""

from mnv3_tf.networks.blocks import InvertedResidual, Stem
from mnv3_tf.networks.lraspp import SegmenterSpec
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.networks.ssdlite import DetectorSpec

CLASSIFIER = NetworkSpec(
    "tiny",
    (
        InvertedResidual(3, 16, 16, 0.25, "relu", 2),
        InvertedResidual(3, 48, 24, 0.0, "relu", 1),
        InvertedResidual(5, 64, 24, 0.25, "hard_swish", 1),
        InvertedResidual(5, 72, 32, 0.25, "hard_swish", 2),
    ),
    last_conv=64,
    hidden=32,
    stem=Stem(16),
    resolution=32,
    num_classes=3,
)
"""A block without expansion, one that adds to what it reads, both kernels, both activations."""

SHALLOW = CLASSIFIER.replace(name="shallow", blocks=CLASSIFIER.blocks[::3])
"""Where the network does not matter, such as in tests of the training loop."""

BACKBONE = NetworkSpec(
    "backbone",
    (
        InvertedResidual(3, 8, 8, 0.0, "relu", 2),
        InvertedResidual(3, 16, 8, 0.0, "relu", 2),
        InvertedResidual(3, 16, 16, 0.25, "hard_swish", 2),
        InvertedResidual(3, 32, 16, 0.25, "hard_swish", 2),
    ),
    last_conv=24,
    hidden=16,
    stem=Stem(8),
    resolution=64,
    num_classes=3,
)
"""Reaches output stride 32, as the other tasks need."""

DETECTOR = DetectorSpec(BACKBONE, extra_filters=(16,))
SEGMENTER = SegmenterSpec(BACKBONE, height=64, width=96, filters=16)

NETWORKS = {"classify": CLASSIFIER, "detect": DETECTOR, "segment": SEGMENTER}
"""By task."""
