"""coco_ssdlite: the paper's detectors on COCO (section 6.3, Table 6), from scratch.

python train.py --task=detect --model=large --recipe=coco_ssdlite --strategy=tpu --out=runs/coco \
    --dataset=coco:instances_train2017.json,train2017,instances_val2017.json,val2017

Not run here. Expected of these settings: mAP 22.0 on COCO test (the paper; 22.6 and 15.4 for the
released Large and Small, TF1 detection zoo). Large took 400,000 steps of 512 pictures on 32 TPU
cores, Small 800,000 (--steps=800000).

Source: ssdlite_mobilenet_v3_large_320x320_coco.config of the TensorFlow Object Detection API. It
warms up from a third of the rate for 2,000 steps, this from zero. Its initial class bias of -4.6 is
ignored by its own code; here it is there.

torchvision trains the same network otherwise (its references/detection, mAP 21.3): 660 epochs,
batches of 192 at a rate of 0.15, softmax with hard negatives, and decay of 4e-5:

    --epochs=660 --batch_size=192 --learning_rate=0.15 --override=rate_batch_size=192 \
    --override=detection_loss=hard_negative --override=batch_norm_momentum=0.97
"""

from mnv3_tf.data.augment_boxes import BoxAugmentation
from mnv3_tf.training.recipe import Recipe

RECIPE = Recipe(
    epochs=1732,  # 400,000 steps of COCO 2017's 118,287 pictures
    batch_size=512,
    learning_rate=0.4,
    rate_batch_size=512,
    optimizer="sgd",
    momentum=0.9,
    schedule="cosine",
    warmup_epochs=8.7,  # 2,000 steps
    l2=4e-5,
    detection_loss="focal",
    focal_alpha=0.75,
    focal_gamma=2.0,
    augmentation=BoxAugmentation(),
    batch_norm_momentum=0.97,
)
