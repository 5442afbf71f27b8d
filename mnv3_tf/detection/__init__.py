"""SSD detection: anchors, box coding, matching, losses, post-processing and metrics."""
