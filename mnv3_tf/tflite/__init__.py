"""A .tflite and nothing else: read, run, described, written. No TensorFlow here."""
