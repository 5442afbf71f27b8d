"""Semantic segmentation: the loss and the metrics."""
