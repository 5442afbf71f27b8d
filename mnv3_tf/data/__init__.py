"""Pictures with labels, boxes or masks: sources, decoding, augmentation, batches."""

from mnv3_tf.data.augment import Augmentation
from mnv3_tf.data.augment_boxes import BoxAugmentation
from mnv3_tf.data.augment_masks import MaskAugmentation
from mnv3_tf.data.dataset import Dataset, Split
from mnv3_tf.data.sources import open_dataset

__all__ = [
    "Augmentation",
    "BoxAugmentation",
    "Dataset",
    "MaskAugmentation",
    "Split",
    "open_dataset",
]
