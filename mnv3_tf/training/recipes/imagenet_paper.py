"""imagenet_paper: the training of the paper (section 6.1.1), from scratch on ImageNet.

python train.py --model=large --recipe=imagenet_paper --dataset=tfds:imagenet2012 \
    --strategy=tpu --out=runs/large

Expect top-1 75.2 for Large, 67.4 for Small (paper, Table 3). Cost: 600 epochs, 187,200 steps of
4,096, 767 million pictures: 213 accelerator hours where each reaches 1,000 pictures/s. Not run
here.

From the paper: RMSProp with momentum 0.9, rate 0.1 at a batch of 4,096, times 0.99 every 3 epochs,
l2 1e-5, dropout 0.2 ("0.8" is what is kept), BatchNorm's average 0.99, averaged weights 0.9999.
Not in the paper, and filled in as TensorFlow's Model Garden trains Small: rho 0.9, epsilon 0.002,
5 epochs of warm-up, label smoothing 0.1. The number of epochs is timm's and torchvision's; Model
Garden takes 1,000. Inception's colour distortion is the jitter below; depthwise kernels are spared
by l2, as slim does.
"""

from mnv3_tf.data.augment import Augmentation
from mnv3_tf.training.recipe import Recipe

RECIPE = Recipe(
    epochs=600,
    batch_size=4096,
    learning_rate=0.1,
    rate_batch_size=4096,
    optimizer="rmsprop",
    momentum=0.9,
    rho=0.9,
    epsilon=2e-3,
    schedule="exponential",
    decay_rate=0.99,
    decay_epochs=3.0,
    warmup_epochs=5.0,
    l2=1e-5,
    decay_depthwise=False,
    ema_decay=0.9999,
    label_smoothing=0.1,
    dropout=0.2,
    augmentation=Augmentation(brightness=32 / 255, contrast=0.5, saturation=0.5),
    batch_norm_momentum=0.99,
)
