"""segment_finetune: segmentation of a few hundred pictures, from given weights of a classifier.

python train.py --task=segment --model=small --resolution=360x480 --dataset=masks:camvid12 \
    --out=runs/camvid --weights=mobilenet_v3_small_1.0_224_imagenet_folded.npz

Seen on 367 pictures of streets (101 for validation, eleven classes), 360x480: mIoU 0.542 in 42
minutes on two CPU cores that other work kept busy; 0.50 after twelve epochs, 30 minutes. The best
epoch is chosen on those 101.

The backbone's BatchNorm stays in inference mode: the statistics of folded weights are made up. The
head's own follow the batches.
"""

from mnv3_tf.data.augment_masks import MaskAugmentation
from mnv3_tf.training.recipe import Recipe

RECIPE = Recipe(
    epochs=20,
    batch_size=8,
    learning_rate=1e-3,
    warmup_epochs=1,
    optimizer="adamw",
    weight_decay=0.02,
    augmentation=MaskAugmentation(brightness=0.2, contrast=0.2, saturation=0.2),
    batch_norm="frozen",
    batch_norm_momentum=0.97,
    ema_decay=0.99,
)
