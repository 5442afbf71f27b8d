"""imagenet_modern: what has been learnt since, from scratch on ImageNet.

python train.py --model=large --recipe=imagenet_modern --dataset=tfds:imagenet2012 \
    --strategy=tpu --out=runs/large

Aimed at top-1 above 76 for Large and 68 for Small: with AdamW and strong augmentation Model Garden
reports 75.7 for Large in 700 epochs, timm 76.3 (mobilenetv3_large_100.ra4_e3600_r224_in1k, in
3,600 epochs) and 67.6 for Small (mobilenetv3_small_100.lamb). Cost: 700 epochs, 218,400 steps of
4,096, 895 million pictures: 248 accelerator hours where each reaches 1,000 pictures/s. Not run
here.

For Small and other small networks, weaker: --override=mixup=0 --override=cutmix=0
--override=drop_path=0 --override=augmentation.randaugment_magnitude=5.
"""

from mnv3_tf.data.augment import Augmentation
from mnv3_tf.training.recipe import Recipe

RECIPE = Recipe(
    epochs=700,
    batch_size=4096,
    learning_rate=4e-3,
    rate_batch_size=4096,
    optimizer="adamw",
    schedule="cosine",
    warmup_epochs=5.0,
    weight_decay=0.1,
    ema_decay=0.9999,
    label_smoothing=0.1,
    dropout=0.2,
    drop_path=0.1,
    mixup=0.2,
    cutmix=1.0,
    augmentation=Augmentation(randaugment_layers=2, randaugment_magnitude=9.0, erase=0.2),
)
