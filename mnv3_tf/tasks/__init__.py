"""What the networks are for: to classify, to detect, to segment."""
