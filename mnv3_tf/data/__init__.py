"""Pictures with labels: sources, decoding, augmentation, batches."""

from mnv3_tf.data.augment import Augmentation
from mnv3_tf.data.dataset import Dataset, Split
from mnv3_tf.data.sources import open_dataset

__all__ = ["Augmentation", "Dataset", "Split", "open_dataset"]
