"""A classification network of four blocks that reach output stride 32: a backbone for any task."""

from mnv3_tf.spec import Block, NetworkSpec, Stem

DENSE = NetworkSpec(
    name="dense",
    stem=Stem(filters=8),
    blocks=(
        Block(3, 8, 8, 0.0, "relu", 2),
        Block(3, 16, 8, 0.0, "relu", 2),
        Block(3, 16, 16, 0.25, "hard_swish", 2),
        Block(3, 32, 16, 0.25, "hard_swish", 2),
    ),
    last_conv=24,
    hidden=16,
    resolution=64,
)
"""Every kind of operator that MobileNetV3 has, and few of each."""
