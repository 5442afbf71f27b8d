"""detect_quick: a small detector from scratch, such as on `shapes`.

python train.py --task=detect --model=small --resolution=160 --dataset=shapes --out=runs/boxes

Run here for a few steps only: how far it gets was not seen. With --weights see detect_finetune.
"""

from mnv3_tf.data.augment_boxes import BoxAugmentation
from mnv3_tf.training.recipe import Recipe

RECIPE = Recipe(
    epochs=20,
    batch_size=16,
    learning_rate=2e-3,
    warmup_epochs=1,
    optimizer="adamw",
    weight_decay=0.02,
    augmentation=BoxAugmentation(),
    batch_norm_momentum=0.97,
    ema_decay=0.99,
)
