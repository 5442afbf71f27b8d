"""finetune: given weights on a user's photographs; the head first, then everything.

python train.py --model=small --dataset=folder:flowers --recipe=finetune --out=runs/flowers \
    --weights=mobilenet_v3_small_1.0_224_imagenet_folded.npz

Seen on 1,700 photographs of five kinds of flowers (350 for validation), 224x224: val top-1 0.934 to
0.946 in three runs of 4.3 minutes on one CPU core. Without averaged weights four such runs gave
0.923 to 0.940; with 3e-4 for 25 epochs: 0.934. The head alone: 0.914.

BatchNorm stays in inference mode: the statistics of folded weights are made up.
"""

from mnv3_tf.data.augment import Augmentation
from mnv3_tf.training.recipe import Recipe

RECIPE = Recipe(
    epochs=18,
    batch_size=32,
    freeze_epochs=3,
    head_learning_rate=2e-3,
    learning_rate=1.5e-4,
    warmup_epochs=2,
    optimizer="adamw",
    weight_decay=0.02,
    label_smoothing=0.1,
    dropout=0.2,
    augmentation=Augmentation(crop_scale=(0.35, 1.0), brightness=0.2, contrast=0.2, saturation=0.2),
    batch_norm="frozen",
    ema_decay=0.99,
)
