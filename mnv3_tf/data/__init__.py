"""Pictures with labels, boxes or masks: sources, decoding, augmentation, batches."""
