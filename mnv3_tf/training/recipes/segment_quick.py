"""segment_quick: a small segmentation network from scratch on `shapes`, in minutes on two cores.

python train.py --task=segment --model=small --resolution=96 --dataset=shapes --out=runs/masks
"""

from mnv3_tf.data import MaskAugmentation
from mnv3_tf.training.recipe import Recipe

RECIPE = Recipe(
    epochs=20,
    batch_size=16,
    learning_rate=2e-3,
    warmup_epochs=1,
    optimizer="adamw",
    weight_decay=0.02,
    augmentation=MaskAugmentation(scale=(0.75, 1.5)),
    batch_norm_momentum=0.97,
    ema_decay=0.99,
)
