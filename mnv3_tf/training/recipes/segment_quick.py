"""segment_quick: a small segmentation network from scratch, such as on `shapes`.

python train.py --task=segment --model=small --resolution=96 --dataset=shapes --out=runs/masks

Run here for two of its epochs only (mIoU 0.08, little but background): how far it gets was not
seen. With --weights see segment_finetune.
"""

from mnv3_tf.data.augment_masks import MaskAugmentation
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
