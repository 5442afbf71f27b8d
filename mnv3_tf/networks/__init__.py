"""Networks as values: specs, their operators and what they cost. No TensorFlow here."""
