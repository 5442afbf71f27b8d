"""distill: a network learns from the answers of a larger one, on any photographs of its classes.

python train.py --model=small --dataset=folder:photos --teacher=runs/large --out=runs/small
python train.py --model=small --dataset=tfds:imagenet2012 --teacher=large:imagenet \
    --epochs=300 --out=runs/small

The teacher is a run folder, a SavedModel, or MODEL:WEIGHTS, with the same classes. Long training on
strong views is what makes it work, and the teacher sees the same view (Beyer et al. 2022); the
labels count for a tenth. Cost: that of the epochs, with the teacher's forward pass added to each
step.
"""

from mnv3_tf.data.augment import Augmentation
from mnv3_tf.training.recipe import Recipe

RECIPE = Recipe(
    epochs=60,
    batch_size=64,
    learning_rate=1e-3,
    optimizer="adamw",
    schedule="cosine",
    warmup_epochs=2.0,
    weight_decay=0.02,
    ema_decay=0.999,
    distillation=0.9,
    temperature=2.0,
    mixup=0.2,
    augmentation=Augmentation(crop_scale=(0.2, 1.0), brightness=0.2, contrast=0.2, saturation=0.2),
)
