"""cityscapes: the paper's segmentation on Cityscapes (section 6.4, Tables 7 and 8), from scratch.

python train.py --task=segment --model=large --resolution=1024x2048 --recipe=cityscapes \
    --dataset=masks:cityscapes --out=runs/cityscapes

`masks:` wants train/images, train/masks (label ids 0 to 18, 255 ignored), val/... and labels.txt.

Not run here. Expected: mIoU 72.4 for Large and 68.4 for Small on Cityscapes val (Table 7, rows 8
and 11); public trainings from scratch reach 67.9 and 62.7 (mmsegmentation).

The paper gives no settings of its own but "the same protocol" as DeepLab, without ImageNet. From
DeepLabV3+ (Chen et al. 2018): the polynomial schedule, momentum, decay 4e-5, scales from 0.5 to 2.
From mmsegmentation's LR-ASPP: rate 0.01, batches of 16, 320,000 steps. DeepLab trains on crops of
769 and mmsegmentation on 512x1024; here the network trains on what it will see.
"""

from mnv3_tf.data.augment_masks import MaskAugmentation
from mnv3_tf.training.recipe import Recipe

RECIPE = Recipe(
    epochs=1730,  # 320,000 steps of the 2,975 finely annotated pictures
    batch_size=16,
    learning_rate=0.01,
    rate_batch_size=16,
    optimizer="sgd",
    momentum=0.9,
    schedule="polynomial",
    l2=4e-5,
    augmentation=MaskAugmentation(scale=(0.5, 2.0)),
    batch_norm_momentum=0.99,
)
