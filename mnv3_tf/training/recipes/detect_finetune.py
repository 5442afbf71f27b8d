"""detect_finetune: a detector on a few hundred pictures, from given weights of a classifier.

python train.py --task=detect --model=small --dataset=voc:bccd --out=runs/bccd \
    --weights=mobilenet_v3_small_1.0_224_imagenet_folded.npz

Seen on 205 photographs of blood cells (87 for validation, three classes), 320x320: mAP 0.502, and
0.825 at IoU 0.5, in 23 minutes on two busy CPU cores. The best epoch is chosen on those 87.

The backbone's BatchNorm stays in inference mode: the statistics of folded weights are made up. The
heads' own follow the batches.
"""

from mnv3_tf.data.augment_boxes import BoxAugmentation
from mnv3_tf.training.recipe import Recipe

RECIPE = Recipe(
    epochs=30,
    batch_size=8,
    learning_rate=1e-3,
    warmup_epochs=2,
    optimizer="adamw",
    weight_decay=0.02,
    augmentation=BoxAugmentation(brightness=0.2, contrast=0.2, saturation=0.2),
    batch_norm="frozen",
    batch_norm_momentum=0.97,
    ema_decay=0.99,
)
