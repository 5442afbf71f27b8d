"""A network with a block of each kind, for searches that take seconds."""

from mnv3_tf.spec import Block, NetworkSpec, Stem

TINY = NetworkSpec(
    "tiny",
    (
        Block(3, 16, 16, 0.25, "relu", 2),
        Block(3, 48, 24, 0.0, "relu", 1),
        Block(5, 64, 24, 0.25, "hard_swish", 1),
        Block(5, 72, 32, 0.25, "hard_swish", 2),
    ),
    last_conv=64,
    hidden=32,
    stem=Stem(16),
    resolution=32,
    num_classes=3,
)
